"""The draws of each batch of an epoch: a function of seed and epoch alone, so a resumed run repeats none."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from competition.data.folds import FULL, Fold
from competition.settings import TrainSettings

Draw = tuple[int, int]
"""(index of the sample, seed of the draw)"""

# For the seed of the model of all samples; no fold has this number.
NUMBER_OF_FULL = 999


class DrawSampler(Sampler[list[Draw]]):
    """The samples of each batch of an epoch, and the seed of each draw.

    Samples are batched with samples on an equal canvas, so that portraits are not padded to the width of landscapes.
    What is left of each canvas in an epoch, less than a batch, is batched in the order of canvases.
    """

    def __init__(self, canvases: Sequence[tuple[int, int]], batch_size: int, repeats: int, seed: int) -> None:
        """Start before the first epoch.

        Args:
            canvases: Rows and columns of the canvas of each sample.
            batch_size: Draws in a batch.
            repeats: How often each sample is drawn in an epoch.
            seed: Other seeds give other batches.
        """
        self._canvases = list(canvases)
        self._batch_size = batch_size
        self._repeats = repeats
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        draws = len(self._canvases) * self._repeats
        return len(self._batches([(number % len(self._canvases), 0) for number in range(draws)]))

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield the batches of the epoch."""
        random = np.random.default_rng([self._seed, self._epoch])
        order = np.concatenate([random.permutation(len(self._canvases)) for _ in range(self._repeats)])
        seeds = random.integers(2**32, size=len(order))
        batches = self._batches(list(zip(order.tolist(), seeds.tolist(), strict=True)))
        if len(set(self._canvases)) > 1:
            # An epoch must not end with all wide images.
            batches = [batches[place] for place in random.permutation(len(batches))]
        yield from batches

    def _batches(self, draws: Sequence[Draw]) -> list[list[Draw]]:
        """Split an epoch's draws into batches, canvas by canvas."""
        of_canvas: dict[tuple[int, int], list[Draw]] = {}
        for draw in draws:
            of_canvas.setdefault(self._canvases[draw[0]], []).append(draw)
        batches: list[list[Draw]] = []
        left: list[Draw] = []
        for _, own in sorted(of_canvas.items()):
            whole = len(own) - len(own) % self._batch_size
            batches += self._cut(own[:whole])
            left += own[whole:]
        batches += self._cut(left)
        # A single last sample joins the batch before it: batch normalisation can't work on one.
        if len(batches) > 1 and len(batches[-1]) == 1 < self._batch_size:
            alone = batches.pop()
            batches[-1] += alone
        return batches

    def _cut(self, draws: list[Draw]) -> list[list[Draw]]:
        return [draws[start : start + self._batch_size] for start in range(0, len(draws), self._batch_size)]


def fold_sampler(canvases: Sequence[tuple[int, int]], settings: TrainSettings, fold: Fold) -> DrawSampler:
    """Return the batches of a fold, which differ by fold and seed."""
    number = NUMBER_OF_FULL if fold == FULL else fold
    return DrawSampler(canvases, settings.batch_size, settings.repeats, settings.seed + 1000 * number)
