"""Processes that train one fold together, each on its share of every batch: ranks, as torchrun starts them.

All ranks hold the same weights, moving average and optimizer. Each adds the gradients of its share to its weights'
``grad``, in chunks that fit its memory; once all have finished the batches of an optimizer step, one all-reduce sums
them up, and every rank takes the same step. A loss that is a mean over samples is so learned from as by one process, up
to rounding. What a network or loss computes over the samples of a batch it computes over those of one rank, as over
those of a chunk where memory is short: each rank normalises its share by the share's own statistics, and the running
statistics of batch normalisation are the first rank's, copied to all after each epoch.

Only the first rank prints and writes. Predictions are written by all, each those of its share, and the file that shares
the training grid by the one that comes first.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from competition.console import be_quiet
from competition.errors import CompetitionError
from competition.machine import rank_of_process
from competition.models.gpu import computing_device

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others. They share all long work, so that they differ by a few images at most."""

AGAIN = "Run the same command again to resume"


@dataclass(frozen=True)
class Ranks:
    """The processes that train a fold, seen from one of them: its ``number`` among the ``count`` of them.

    Each method but ``share`` must be called by all ranks, in the same order. One process alone communicates nothing.
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Return whether this is the one that prints and writes."""
        return self.number == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this rank's part of some items; the parts follow each other and are as even as can be."""
        return items[self.number * len(items) // self.count : (self.number + 1) * len(items) // self.count]

    def join(self, items: Sequence[T]) -> list[T]:
        """Return the items of all ranks, those of the first rank first."""
        if self.count == 1:
            return list(items)
        parts: list[list[T]] = [[] for _ in range(self.count)]
        with self._together():
            dist.all_gather_object(parts, list(items))
        return [item for part in parts for item in part]

    def of_first(self, value: T) -> T:
        """Return the first rank's value."""
        if self.count == 1:
            return value
        values = [value]
        with self._together():
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def wait(self) -> None:
        """Return when all ranks have got here."""
        self.join(())

    def sum_gradients(self, model: nn.Module, losses: Sequence[float]) -> list[float]:
        """Replace gradients by their sums over all ranks, and return the sums of some losses.

        A rank without samples has no gradients, which count as 0. Where no rank has one, none is made: the optimizer
        leaves out weights without a gradient, but would decay others.
        """
        if self.count == 1:
            return list(losses)
        learned = [weight for weight in model.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in learned]
        known = [float(weight.grad is not None) for weight in learned]
        # Numbers beside the gradients: one message, and one wait for it.
        numbers = torch.tensor([*losses, *known], device=learned[0].device)
        flat = _flat([*gradients, numbers])
        with self._together():
            dist.all_reduce(flat)
            summed = flat[flat.numel() - numbers.numel() :].tolist()
        _copy_flat(flat, gradients)
        for weight, gradient, ranks in zip(learned, gradients, summed[len(losses) :], strict=True):
            weight.grad = gradient if ranks else None
        return summed[: len(losses)]

    def copy_first(self, *modules: nn.Module) -> None:
        """Give all ranks the weights and buffers of the first."""
        if self.count == 1:
            return
        tensors = [value for module in modules for value in module.state_dict().values()]
        for form in sorted({tensor.dtype for tensor in tensors}, key=str):
            alike = [tensor for tensor in tensors if tensor.dtype == form]
            flat = _flat(alike)
            with self._together():
                dist.broadcast(flat, src=0)
            _copy_flat(flat, alike)

    def check_same(self, facts: Sequence[object], where: Path) -> None:
        """Reject ranks that would train different things, which would wait for each other in vain.

        Raises:
            CompetitionError: Some ``facts`` differ.
        """
        everywhere = self.join([tuple(map(str, facts))])
        if len(set(everywhere)) > 1:
            what = "the processes that are to train this fold together see different settings, data or checkpoints"
            repair = "Give all machines the same version of the program and a workspace on a disk that they share"
            self.fail(CompetitionError(what, where, repair))

    def fail(self, error: CompetitionError | None, cause: Exception | None = None) -> NoReturn:
        """End the training on all ranks with one sentence: that of the first rank that has an ``error``.

        Raises:
            CompetitionError: On the first rank, which prints it.
            SystemExit: On all others.
        """
        if self.count > 1 and not isinstance(error, LostRankError):
            error = next(each for each in self.join([error]) if each is not None)
        if self.first and error is not None:
            raise error from cause
        sys.exit(1)

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            self.fail(LostRankError("a process that trains together with this one has ended", None, AGAIN), error)


class LostRankError(CompetitionError):
    """Another rank has ended, so that this one waits in vain."""


ALONE = Ranks()


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _copy_flat(flat: torch.Tensor, tensors: Sequence[torch.Tensor]) -> None:
    """Copy the numbers of ``_flat``, of which there may be more, back into the tensors."""
    sizes = [tensor.numel() for tensor in tensors]
    with torch.no_grad():
        for tensor, part in zip(tensors, torch.split(flat[: sum(sizes)], sizes), strict=True):
            tensor.copy_(part.view(tensor.shape))


def join_ranks() -> Ranks:
    """Join the processes that torchrun has started with this one; without torchrun this one is alone.

    With GPUs each process of a machine takes one of its own, and all but the first process print nothing from now on.

    Raises:
        CompetitionError: There are more processes on this machine than GPUs.
    """
    number, count = rank_of_process()
    if count == 1:
        return ALONE
    gpus = computing_device().type == "cuda"
    if gpus:
        own, have = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= have:
            what = f"torchrun started more than {have} processes on a machine with so many GPUs"
            raise CompetitionError(what, None, f"Give torchrun --nproc-per-node {have}")
        torch.cuda.set_device(own)
    if number:
        be_quiet()
    if not dist.is_initialized():
        # gloo for the objects that live in main memory.
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    return Ranks(number, count)


def leave_ranks() -> None:
    """Leave the others after the last fold; NCCL complains about a process that ends without it."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
