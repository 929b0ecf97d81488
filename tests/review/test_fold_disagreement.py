"""How much folds disagree, against pairs counted by hand."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.review.fold_disagreement import compare_masks, rank_disagreement


def test_the_score_is_the_mean_over_pairs_and_classes_that_either_predicts() -> None:
    masks = np.zeros((3, 2, 4, 5), bool)
    masks[0, 0, 0] = masks[1, 0, 0] = True
    masks[2, 0, :2] = True
    masks[2, 1, 3, 3] = True
    found = compare_masks("x", [pack_masks(each) for each in masks], ("a", "b"))
    # Of a: the pairs share 5 of 5 + 5, 5 of 5 + 10 twice; of b: nothing of 0 + 1 twice.
    assert found.score == pytest.approx((0 + 1 / 3 + 1 / 3 + 1 + 1) / 5)
    assert (found.sample, found.label) == ("x", "b")


def test_empty_masks_agree() -> None:
    empty = pack_masks(np.zeros((2, 4, 5), bool))
    assert compare_masks("x", [empty, empty], ("a", "b")).score == 0


def test_a_single_fold_disagrees_with_none(shared_hands, decided_masks) -> None:
    made = decided_masks(shared_hands, lambda member, entry: np.zeros((3, entry.height, entry.width), np.uint8))
    with pytest.raises(CompetitionError, match=r"fewer than two.*Train more folds"):
        rank_disagreement(shared_hands.track, shared_hands.workspace, made.decision, shared_hands.manifest.of("test"))
