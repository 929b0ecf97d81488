"""Folds against each other and against their vote, beside dense arithmetic in float64."""

import numpy as np
import pytest

from competition.inference import disagreement
from competition.inference.disagreement import find_disagreement
from competition.masks.bit_planes import pack_masks


def dense(folds, vote, levels):
    """(F, C, H, W) levels, (C, H, W) vote -> deviation of probabilities and mean Dice, all at once."""
    deviation = (folds / 255).std(axis=0).max(axis=0)
    own = folds > np.asarray(levels)[:, None, None]
    with np.errstate(invalid="ignore"):
        dice = 2 * (own & vote).sum(axis=(2, 3)) / (own.sum(axis=(2, 3)) + vote.sum(axis=(1, 2)))
    return deviation, dice


@pytest.mark.parametrize("rows", [512, 7])
@pytest.mark.parametrize("folds", [2, 5])
def test_random_folds_beside_dense_arithmetic(monkeypatch, rows, folds):
    monkeypatch.setattr(disagreement, "ROWS", rows)
    random = np.random.default_rng(folds)
    maps = random.integers(0, 256, (folds, 3, 40, 33), dtype=np.uint8)
    maps[:, 1, :9] = maps[:, 1, :, 20:] = 0  # where all are 0 nothing is computed
    levels = [127, 60, 200]
    vote = maps.mean(axis=0) > np.array(levels)[:, None, None]
    shown, dice = find_disagreement(lambda index: list(maps[:, index]), pack_masks(vote), levels)
    deviation, expected = dense(maps, vote, levels)
    assert np.abs(shown - deviation / 0.5 * 255).max() < 0.501
    assert dice == pytest.approx(expected.mean(axis=0), abs=1e-12)


def test_the_largest_disagreement_is_white_and_agreement_is_black():
    maps = np.zeros((2, 1, 2, 3), np.uint8)
    maps[0, 0, 0] = 255
    maps[:, 0, 1] = 180
    shown, dice = find_disagreement(lambda index: list(maps[:, index]), pack_masks(maps[0] > 127), [127])
    assert shown.tolist() == [[255, 255, 255], [0, 0, 0]]
    assert dice == pytest.approx([(1 + 2 * 3 / (6 + 3)) / 2])


def test_classes_that_nobody_or_not_everybody_sees():
    maps = np.zeros((2, 3, 4, 4), np.uint8)
    maps[0, 1, 1, 1] = 255  # one fold sees it, the vote and the other don't: 0 and 1
    maps[:, 2, 0, 0] = 255
    vote = np.zeros((3, 4, 4), bool)
    vote[2, 0, 0] = True
    _, dice = find_disagreement(lambda index: list(maps[:, index]), pack_masks(vote), [127] * 3)
    assert np.isnan(dice[0])
    assert dice[1:].tolist() == [0.5, 1.0]


def test_classes_may_have_different_folds():
    few = {0: [np.full((2, 2), 200, np.uint8)], 1: [np.full((2, 2), value, np.uint8) for value in (100, 200, 240)]}
    shown, dice = find_disagreement(few.__getitem__, pack_masks(np.ones((2, 2, 2), bool)), [127, 127])
    assert shown.tolist() == [[round(2 * np.std([100, 200, 240]))] * 2] * 2
    assert dice.tolist() == [1.0, pytest.approx(2 / 3)]
