"""Lets torchvision import beside a CPU-only torch; import this module before timm or segmentation_models_pytorch.

The torchvision wheel on PyPI is built for CUDA; beside a CPU build of torch its C++ library does not load, and its
import fails because two operators are not registered ("operator torchvision::nms does not exist"). Declaring them,
without an implementation, is enough: nothing here ever calls them.
"""

import sys

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a library object that is collected takes its operators with it


def import_torchvision() -> None:
    """Import torchvision, declaring its two operators first where they are missing.

    Only after the plain import failed: a CPU build of torchvision defines the operators itself, and defining them twice
    is an error.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if torch.version.cuda is not None or "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for schema in SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        _declared.append(library)
        import torchvision  # noqa: F401


import_torchvision()
