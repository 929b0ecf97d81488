"""How alike members are, against dense Dice and scipy's ranks."""

import numpy as np
import pytest
from scipy.stats import rankdata

from competition.data.cache import read_cached_planes
from competition.ensembling.voting.class_votes import Voters
from competition.masks.bit_planes import unpack_planes
from competition.prediction.probability_maps import read_map
from competition.reporting.ensemble.agreement import mask_dice, member_agreement, rank_correlations

pytestmark = pytest.mark.slow  # draws charts


def dense_dice(one, other):
    total = one.sum() + other.sum()
    return 2 * (one & other).sum() / total if total else 1.0


def test_masks_are_compared_on_the_classes_that_both_predict():
    random = np.random.default_rng(0)
    full, partial = random.integers(0, 256, (3, 9, 11), dtype=np.uint8), random.integers(0, 256, (1, 9, 11), np.uint8)
    other = random.integers(0, 256, (3, 9, 11), dtype=np.uint8)
    full[2] = other[2] = 100  # both empty
    voters = Voters(np.array([[0, 0, -1], [1, 1, 0], [2, 2, -1]]))
    matrix = mask_dice([full, other, partial], voters)
    assert np.array_equal(matrix, matrix.T)
    assert np.diag(matrix).tolist() == [1, 1, 1]
    pairs = [dense_dice(full[index] > 127, other[index] > 127) for index in range(3)]
    assert matrix[0, 1] == pytest.approx(np.mean(pairs))
    assert matrix[0, 2] == pytest.approx(dense_dice(full[1] > 127, partial[0] > 127))
    apart = mask_dice([full[:1], full[:1]], Voters(np.array([[0, -1], [-1, 0]])))
    assert np.isnan(apart[0, 1])


def test_the_figure_is_the_mean_over_images(two_hands):
    (figure,) = member_agreement(two_hands)
    found = []
    for entry in two_hands.tuning.entries:
        one, other = (read_map(folder_of[entry.sample], entry.sample) > 127 for folder_of in two_hands.tuning.folders)
        found.append(np.mean([dense_dice(one[index], other[index]) for index in range(3)]))
        assert unpack_planes(read_cached_planes(two_hands.workspace, entry.sample), 3).shape == one.shape
    assert figure.table["member"].tolist() == ["other", "quick"]
    assert figure.table["quick"].iloc[0] == pytest.approx(np.mean(found))
    assert f"({np.mean(found):.3f})" in figure.sentence


def test_ranks_are_those_of_scipy_and_constant_members_have_none():
    scores = np.random.default_rng(1).random((3, 20)).round(1)
    scores[2] = 0.5
    matrix = rank_correlations(scores)
    assert matrix[0, 1] == pytest.approx(np.corrcoef(rankdata(scores[0]), rankdata(scores[1]))[0, 1])
    assert np.isnan(matrix[0, 2])
    assert matrix[2, 2] == 1


def test_one_member_is_compared_with_nobody(tuned_hands, tuned_patients):
    assert member_agreement(tuned_hands) == []
    assert member_agreement(tuned_patients) == []
