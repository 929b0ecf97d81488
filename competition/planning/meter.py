"""What operations allocate, free, compute and move, added up while they run on shapes alone."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Rates:
    """What a device computes and moves in a second."""

    flops: float
    bytes: float


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what is allocated and freed, computed and moved by the operations within it."""

    def __init__(self, rates: Rates, copies_weights: bool) -> None:
        """Start at zero.

        Args:
            rates: For the seconds.
            copies_weights: Whether convolutions copy the gradient of their weights, as oneDNN on a processor does to
                bring it into the order of the weights (38 MB of a layer of 1024 to 1024 channels).
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._copies_weights = copies_weights
        self.peak = self.flops = self.moved = 0
        self.seconds = 0.0
        self._rates, self._live = rates, 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(  # noqa: D105
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = _result(function, args, kwargs or {})
        made = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        fresh = [value for value in made if self._is_held_first(value)]
        if (fresh or function._schema.is_mutable) and "empty" not in function._schema.name:
            given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
            moved = sum(value.numel() * value.itemsize for value in (*given, *made))
            count = flop_registry.get(function._overloadpacket)
            flops = 0 if count is None else int(count(*args, **(kwargs or {}), out_val=result))
            if self._copies_weights and function is torch.ops.aten.convolution_backward.default:
                self.peak = max(self.peak, self._live + args[2].nbytes)
            self.flops += flops
            self.moved += moved
            self.seconds += max(flops / self._rates.flops, moved / self._rates.bytes)
        return result

    def move(self, count: int) -> None:
        """Count bytes that no traced operation moves."""
        self.moved += count
        self.seconds += count / self._rates.bytes

    def _is_held_first(self, value: torch.Tensor) -> bool:
        storage = value.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return False
        size = storage.nbytes()
        self._live += size
        self.peak = max(self.peak, self._live)
        self._known[key] = weakref.ref(storage, partial(self._release, key, size))
        return True

    def _release(self, key: int, size: int, _: object) -> None:
        del self._known[key]
        self._live -= size


Gradients = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]


def _batch_norm(images: torch.Tensor, *_: Any) -> tuple[torch.Tensor, ...]:
    statistics = images.new_empty((2, images.shape[1]), dtype=torch.float32)
    return torch.empty_like(images), *statistics.unbind()


def _layer_norm(features: torch.Tensor, shape: list[int], *_: Any) -> tuple[torch.Tensor, ...]:
    statistics = features.new_empty((2, *features.shape[: -len(shape)], *[1] * len(shape)), dtype=torch.float32)
    return features.new_empty(features.shape), *statistics.unbind()


def _batch_norm_backward(_: torch.Tensor, images: torch.Tensor, weight: torch.Tensor | None, *__: Any) -> Gradients:
    return torch.empty_like(images), _like(weight), _like(weight)


def _layer_norm_backward(_: torch.Tensor, features: torch.Tensor, *others: Any) -> Gradients:
    weight, bias = others[3], others[4]
    return torch.empty_like(features), _like(weight), _like(bias)


def _like(value: torch.Tensor | None) -> torch.Tensor | None:
    return None if value is None else torch.empty_like(value)


def _same_shape(values: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return torch.empty_like(values)


def _pairwise(first: torch.Tensor, second: Any, **_: Any) -> torch.Tensor:
    known = isinstance(second, torch.Tensor) and first.dtype == second.dtype
    if known and first.shape == second.shape and first.stride() == second.stride():
        return torch.empty_like(first)
    return torch.add(first, second)  # a product has the shape of a sum


def _upsampled(images: torch.Tensor, size: list[int], *_: Any) -> torch.Tensor:
    flat = images.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if flat else torch.contiguous_format
    return torch.empty((*images.shape[:2], *size), dtype=images.dtype, device=images.device, memory_format=layout)


# Operations for which torch finds the shape of the result in Python, 1 to 18 ms each, in most of the time of a trace.
QUICK: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_batch_norm.default: _batch_norm,
    torch.ops.aten.native_batch_norm_backward.default: _batch_norm_backward,
    torch.ops.aten.native_layer_norm.default: _layer_norm,
    torch.ops.aten.native_layer_norm_backward.default: _layer_norm_backward,
    torch.ops.aten.add.Tensor: _pairwise,
    torch.ops.aten.mul.Tensor: _pairwise,
    torch.ops.aten.upsample_bilinear2d.default: _upsampled,
    torch.ops.aten.threshold_backward.default: _same_shape,
    torch.ops.aten.gelu.default: _same_shape,
    torch.ops.aten.gelu_backward.default: _same_shape,
}


def _result(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return QUICK.get(function, function)(*args, **kwargs)
