"""Exports a network to ONNX and compares its output with that of torch before it is kept."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import nn

from competition.errors import CompetitionError
from competition.export.packages import needed
from competition.formats.source_files import first_line
from competition.models.layers import stride_of

EXAMPLE = 256
"""Pixels of a side of the image that a network is exported with; others are as good, because rows and columns are free.
At 2048 pixels, 29 classes would take a minute and gigabytes."""
TOLERANCE = 1e-4
"""Largest difference of a probability from torch in float32. Measured: 1e-5 for the networks shipped here."""


def to_onnx(network: nn.Module, side: int, views: tuple[int, int] | None, channels: int) -> bytes:
    """Return a network as ONNX with logits as its output.

    Args:
        network: In evaluation mode; on any device.
        side: Pixels of the training grid, or of a tile.
        views: For a multi-view classifier the number of views and of classes; its size is fixed. None for a network of
            one image, whose rows and columns are free.
        channels: 1 or 3.

    Raises:
        CompetitionError: ONNX can't hold it, or its output differs from torch's; with the reason.
    """
    plain = copy.deepcopy(network).to("cpu", memory_format=torch.contiguous_format).float().eval()  # type: ignore[call-overload]
    inputs = _inputs(plain, side, views, channels)
    free = None if views is not None else ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
    needed("onnxscript")
    needed("onnx")
    try:
        with _silent():
            # dynamo=False takes 0.6 s where this takes 11 s, but is deprecated and follows one path of the code only.
            program: Any = torch.onnx.export(plain, inputs[0], dynamo=True, dynamic_shapes=free, verbose=False)
        content: bytes = program.model_proto.SerializeToString()
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # each step of the exporter has errors of its own, with the reason as their cause
        raise CompetitionError(first_line(error.__cause__ or error)) from error
    _compare(plain, content, inputs)
    return content


def _inputs(
    network: nn.Module, side: int, views: tuple[int, int] | None, channels: int
) -> list[tuple[torch.Tensor, ...]]:
    """Return what a network is exported with and, where sizes are free, another input to compare it on."""
    generator = torch.Generator().manual_seed(0)
    if views is not None:
        images = torch.randn(1, views[0], channels, side, side, generator=generator)
        present = torch.ones(1, views[0], dtype=torch.bool)
        absent = present.clone()
        absent[:, : views[0] // 2] = False
        return [(images, present), (images, absent)]
    stride = stride_of(network)
    long = max(1, min(side, EXAMPLE) // stride) * stride
    short = max(1, long // stride // 2) * stride
    return [(torch.randn(1, channels, *size, generator=generator),) for size in ((long, long), (long, short))]


def _compare(network: nn.Module, content: bytes, inputs: list[tuple[torch.Tensor, ...]]) -> None:
    """Run ONNX beside torch: control flow that depends on values is exported as one of its paths."""
    runtime = needed("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    for given in inputs:
        with torch.inference_mode():
            expected = network(*given).float().sigmoid().numpy()
        logits = session.run(None, {name: one.numpy() for name, one in zip(names, given, strict=True)})[0]
        found = torch.from_numpy(np.asarray(logits)).sigmoid().numpy()
        if found.shape != expected.shape or not np.abs(found - expected).max() <= TOLERANCE:
            difference = "another shape" if found.shape != expected.shape else f"{np.abs(found - expected).max():.2g}"
            raise CompetitionError(f"its output differs from torch's (largest difference: {difference})")


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what the exporter prints, warns and logs off the screen; an error carries its own reason."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
