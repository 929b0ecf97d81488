from collections import Counter
from itertools import pairwise

import pytest

from competition.data.draw_sampler import Draw, DrawSampler, fold_sampler
from competition.data.folds import FULL
from competition.settings import TrainSettings


def draws(samples: int, batch_size: int, repeats: int = 1, seed: int = 0, epoch: int = 0) -> list[list[Draw]]:
    sampler = DrawSampler([(32, 32)] * samples, batch_size, repeats, seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    return batches


@pytest.mark.parametrize(
    ("samples", "batch_size", "repeats", "sizes"),
    [
        (8, 4, 1, [4, 4]),
        (9, 4, 1, [4, 5]),  # a single last sample joins the batch before
        (10, 4, 1, [4, 4, 2]),
        (3, 4, 1, [3]),
        (1, 4, 1, [1]),
        (5, 1, 1, [1, 1, 1, 1, 1]),
        (3, 2, 3, [2, 2, 2, 3]),
        (1, 2, 3, [3]),
    ],
)
def test_every_sample_is_drawn_as_often_as_asked(samples: int, batch_size: int, repeats: int, sizes: list[int]) -> None:
    batches = draws(samples, batch_size, repeats)
    assert [len(batch) for batch in batches] == sizes
    assert Counter(index for batch in batches for index, _ in batch) == dict.fromkeys(range(samples), repeats)


UPRIGHT, LYING, SQUARE = (64, 32), (32, 64), (64, 64)


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("counts", [(9, 8, 0), (4, 4, 4), (1, 0, 12), (1, 1, 1), (5, 0, 0)])
def test_batches_hold_samples_of_one_canvas_but_for_what_is_left_of_each(counts, batch_size):
    canvases = [UPRIGHT] * counts[0] + [LYING] * counts[1] + [SQUARE] * counts[2]
    sampler = DrawSampler(canvases, batch_size, 2, 0)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert Counter(index for batch in batches for index, _ in batch) == dict.fromkeys(range(len(canvases)), 2)
    for batch in batches:
        assert len(batch) in range(1 if batch_size == 1 else 2, batch_size + 2)
    mixed = [batch for batch in batches if len({canvases[index] for index, _ in batch}) > 1]
    left = sum(2 * count % batch_size for count in counts)
    assert len(mixed) <= -(-left // batch_size) + 1
    assert list(DrawSampler(canvases, batch_size, 2, 0)) == batches


def test_canvases_take_turns_within_an_epoch():
    canvases = [UPRIGHT] * 40 + [LYING] * 40
    order = [canvases[batch[0][0]] for batch in DrawSampler(canvases, 4, 1, 0)]
    assert sum(one != other for one, other in pairwise(order)) > 5


def test_no_two_draws_of_an_epoch_have_one_seed_and_every_epoch_has_others() -> None:
    first, second, other = (
        [draw for batch in draws(50, 8, 2, seed, epoch) for draw in batch] for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert len({seed for _, seed in first}) == 100
    for different in (second, other):
        assert not {seed for _, seed in first} & {seed for _, seed in different}
        assert [index for index, _ in first] != [index for index, _ in different]
    assert first == [draw for batch in draws(50, 8, 2) for draw in batch]


def test_every_fold_and_every_seed_draws_its_own_batches():
    def batches(fold, seed=0):
        return list(fold_sampler([(32, 32)] * 20, TrainSettings(batch_size=4, seed=seed), fold))

    assert batches(1) == batches(1)
    drawn = [batches(fold) for fold in (0, 1, 2, FULL)] + [batches(0, seed=1)]
    assert all(one != other for number, one in enumerate(drawn) for other in drawn[:number])
