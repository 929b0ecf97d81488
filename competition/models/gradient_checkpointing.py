"""Gradient checkpointing: blocks of layers keep only their input, and compute the rest again in the backward pass.

It works for every network that is made of blocks (residual, transformer and decoder blocks, pairs of convolutions):
those are found by their number of layers, not by name, and no weight changes its name. Gradients stay the same, a step
takes one more forward pass, and the shipped networks save 8 to 48 % of the activations that they save without it (the
UNet 3+ of the hand-bone report 67 to 87 %, because its logits are most of them).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from competition.errors import CompetitionError

MOST_LAYERS = 12
"""Layers with weights in a block, at most: a bottleneck with squeeze-and-excitation and a shortcut has ten, a block of
SegFormer eleven. Larger blocks would keep as much while they are computed again as they save."""


def checkpoint_gradients(network: nn.Module, name: str) -> None:
    """Let the blocks of a network compute their activations again in the backward pass of training.

    Args:
        network: Changed in place; a copy of it does the same.
        name: Its ``model.architecture``, for the message.

    Raises:
        CompetitionError: It has no blocks.
    """
    blocks = [block for child in network.children() for block in blocks_in(child)]
    if not blocks:
        what = f"train.gradient_checkpointing computes blocks of layers again, and {name} has none"
        raise CompetitionError(what, None, "Use --set train.gradient_checkpointing=false")
    for block in blocks:
        # A method of the instance: copy.deepcopy binds it to the copy, and modules keep their types and names.
        block.forward = MethodType(_checkpointed_forward, block)


def blocks_in(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the largest modules of 2 to ``MOST_LAYERS`` layers with weights, this one or others within it."""
    layers = sum(any(True for _ in part.parameters(recurse=False)) for part in module.modules())
    if layers < 2:
        return
    if layers <= MOST_LAYERS and not isinstance(module, nn.ModuleList | nn.ModuleDict):
        yield module
        return
    for child in module.children():
        yield from blocks_in(child)


def _checkpointed_forward(block: nn.Module, *inputs: Any, **named: Any) -> Any:
    forward = partial(type(block).forward, block)
    if not block.training:
        return forward(*inputs, **named)
    # DenseNet gives its blocks a list that it appends to later.
    inputs = tuple([*value] if isinstance(value, list) else value for value in inputs)
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _again(block, modes)

    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **named)


@contextmanager
def _again(block: nn.Module, modes: Sequence[TorchFunctionMode]) -> Iterator[None]:
    """Compute again without counting the batch a second time in the running statistics of batch normalisation.

    ``modes`` were on the first time: training has none, but the planner counts in one (``planning/shapes.py``).
    """
    norms = [part for part in block.modules() if isinstance(part, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # Momentum zero leaves the statistics as they are; without them autograd would save other tensors than before.
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            yield
    finally:  # the computation ends by an exception as soon as it has what the backward pass needs
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
