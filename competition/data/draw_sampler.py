"""The draws of each batch of an epoch: a function of seed and epoch alone, so a resumed run repeats none."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import Sampler

from competition.data.folds import FULL, Fold
from competition.settings import TrainSettings

Draw = tuple[int, int]
"""(index of the sample, seed of the draw)"""

# For the seed of the model of all samples; no fold has this number.
NUMBER_OF_FULL = 999


@dataclass(eq=False)
class DrawSampler(Sampler[list[Draw]]):
    """The samples of each batch of an epoch, and the seed of each draw.

    Samples are batched with samples on an equal canvas, so that portraits are not padded to the width of landscapes.
    What is left of each canvas in an epoch, less than a batch, is batched in the order of canvases.
    """

    canvases: Sequence[tuple[int, int]]  # rows and columns of the canvas of each sample
    batch_size: int  # draws in a batch
    repeats: int  # how often each sample is drawn in an epoch
    seed: int  # other seeds give other batches
    _epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        draws = len(self.canvases) * self.repeats
        return len(self._batches([(number % len(self.canvases), 0) for number in range(draws)]))

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield the batches of the epoch."""
        random = np.random.default_rng([self.seed, self._epoch])
        order = np.concatenate([random.permutation(len(self.canvases)) for _ in range(self.repeats)])
        seeds = random.integers(2**32, size=len(order))
        batches = self._batches(list(zip(order.tolist(), seeds.tolist(), strict=True)))
        if len(set(self.canvases)) > 1:
            # An epoch must not end with all wide images.
            batches = [batches[place] for place in random.permutation(len(batches))]
        yield from batches

    def _batches(self, draws: Sequence[Draw]) -> list[list[Draw]]:
        """Split an epoch's draws into batches, canvas by canvas."""
        of_canvas = defaultdict[tuple[int, int], list[Draw]](list)
        for draw in draws:
            of_canvas[self.canvases[draw[0]]].append(draw)
        batches, left = list[list[Draw]](), list[Draw]()
        for _, own in sorted(of_canvas.items()):
            whole = len(own) - len(own) % self.batch_size
            batches += self._cut(own[:whole])
            left += own[whole:]
        batches += self._cut(left)
        # A single last sample joins the batch before it: batch normalisation can't work on one.
        if len(batches) > 1 and len(batches[-1]) == 1 < self.batch_size:
            batches[-2:] = [batches[-2] + batches[-1]]
        return batches

    def _cut(self, draws: list[Draw]) -> list[list[Draw]]:
        return [draws[start : start + self.batch_size] for start in range(0, len(draws), self.batch_size)]


def fold_sampler(canvases: Sequence[tuple[int, int]], settings: TrainSettings, fold: Fold) -> DrawSampler:
    """Return the batches of a fold, which differ by fold and seed."""
    number = NUMBER_OF_FULL if fold == FULL else fold
    return DrawSampler(canvases, settings.batch_size, settings.repeats, settings.seed + 1000 * number)
