"""Networks of shapes without numbers: built, called and differentiated on torch's "meta" device, in no memory."""

from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from competition.models.factory import build_model, place
from competition.models.gradient_checkpointing import checkpoint_gradients
from competition.settings import Experiment
from competition.tracks.track import Track

META = torch.device("meta")


def network_of_shapes(experiment: Experiment, track: Track) -> nn.Module:
    """Return the network of an experiment on the meta device, as training uses it; no weight is fetched or drawn.

    Raises:
        CompetitionError: As ``build_model``.
    """
    with META, _RealNumbers():
        network = build_model(experiment, track, pretrained=False)
    network = place(network, META).train()  # some encoders of smp are built on the CPU whatever the device is
    if experiment.train.gradient_checkpointing:
        checkpoint_gradients(network, experiment.model.architecture)
    return network


class _RealNumbers(TorchFunctionMode):
    """Rates of dropped paths are read while a network is built, so they must be numbers."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        return function(*args, **named | {"device": "cpu"} if function is torch.linspace else named)


# What torch.autocast computes in the lower precision, and what on CUDA alone in float32 (torch/aten/src/ATen/
# autocast_mode.h); everything else takes the format of what it is given.
LOWERED: Collection[Any] = {
    *(F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.linear, F.scaled_dot_product_attention),
    *(torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.baddbmm, torch.addmm, torch.einsum),
    *(torch.conv2d, torch.conv_transpose2d, torch.mm, torch.Tensor.bmm),
}
RAISED_ON_CUDA: Collection[Any] = {
    *(F.layer_norm, F.group_norm, F.softmax, torch.softmax, torch.Tensor.softmax, torch.Tensor.pow, torch.pow),
    *(torch.norm, torch.Tensor.norm, torch.sum, torch.Tensor.sum, torch.cumsum, torch.Tensor.cumsum, torch.rsqrt),
    *(F.normalize, F.cosine_similarity, F.softplus),
}


class Autocast(TorchFunctionMode):
    """torch.autocast for the meta device, which torch does not have: the same formats, one copy of each weight."""

    def __init__(self, lower: torch.dtype, on_cuda: bool) -> None:
        """Remember the lower precision, and whether the rules of CUDA or of a processor hold."""
        super().__init__()
        self._lower = lower
        self._raised = RAISED_ON_CUDA if on_cuda else ()
        self._weights: dict[int, torch.Tensor] = {}

    def __torch_function__(  # noqa: D105
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if function in LOWERED:
            args = tuple(self._lowered(value) for value in args)
            named = {name: self._lowered(value) for name, value in named.items()}
        elif function in self._raised:
            args = tuple(value.float() if _is_float(value) else value for value in args)
        return function(*args, **named)

    def _lowered(self, value: Any) -> Any:
        if not _is_float(value):
            return value
        if not isinstance(value, nn.Parameter):
            return value.to(self._lower)
        if id(value) not in self._weights:
            self._weights[id(value)] = value.to(self._lower)
        return self._weights[id(value)]


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()
