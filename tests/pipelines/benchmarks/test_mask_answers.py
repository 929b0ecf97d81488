"""The Dice of mask files as the race scores them."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from pipelines.benchmarks.mask_answers import dice_of, write_masks


def test_dice_of_files_by_hand(tmp_path):
    true, called = np.zeros((3, 2, 4), bool), np.zeros((3, 2, 4), bool)
    true[0, 0], called[0, :, 0] = True, True  # 4 and 2 pixels, 1 in both: 2/6
    called[1, 0, 0] = True  # nothing is there: 0; the third is empty in both: 1
    classes = ("a", "b", "c")
    write_masks(tmp_path / "truth", "image", classes, true)
    write_masks(tmp_path / "called", "image", classes, called)
    score = dice_of(tmp_path / "called", tmp_path / "truth", "image", classes)
    assert score == pytest.approx((2 / 6 + 0 + 1) / 3)
    write_masks(tmp_path / "called", "image", classes, called[:, :, :3])
    with pytest.raises(CompetitionError, match="predicted mask is 3x2 pixels, the true one 4x2"):
        dice_of(tmp_path / "called", tmp_path / "truth", "image", classes)
    (tmp_path / "called" / "a" / "image.png").unlink()
    with pytest.raises(CompetitionError, match="mask is missing or damaged"):
        dice_of(tmp_path / "called", tmp_path / "truth", "image", classes)
