"""The rivals against 3x3 cases worked by hand: a benchmark against a wrong rival would be meaningless."""

import sys

import numpy as np
import pytest

from competition.errors import CompetitionError
from pipelines.benchmarks import rivals

CORNER = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]], bool)
EMPTY, WHOLE = np.zeros((3, 3), bool), np.ones((3, 3), bool)


@pytest.mark.parametrize(("mask", "rle"), [(CORNER, "2 3 9 1"), (EMPTY, ""), (WHOLE, "1 9")])
def test_encoder_and_decoder_by_hand(mask, rle):
    assert rivals.encode(mask) == rle
    decoded = rivals.decode(rle, (3, 3))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, mask)


def test_decoder_knows_rows_from_columns():
    assert rivals.decode("2 2 6 1", (2, 3)).tolist() == [[0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("mask", [CORNER, EMPTY, WHOLE])
def test_pycocotools_gives_the_mask_back(mask):
    encoded = rivals.encode_coco(mask)
    assert encoded["size"] == [3, 3]
    np.testing.assert_array_equal(rivals.decode_coco(encoded), mask)
    np.testing.assert_array_equal(rivals.decode_coco(rivals.encode_coco_view(mask)).T, mask)


def test_a_missing_pycocotools_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(CompetitionError, match=r"pycocotools is not installed\. pip install"):
        rivals.encode_coco(CORNER)


def test_a_vote_by_hand():
    # Pixel 1 has three votes, 2 has two, 3 has one; of two members two votes are needed.
    assert rivals.vote([["1 3", ""], ["1 2", "5 1"], ["1 1", "5 1"]], (3, 3)) == ["1 2", "5 1"]
    assert rivals.vote([["1 2"], ["2 2"]], (3, 3)) == ["2 1"]


def test_dice_by_hand():
    row = np.array([[1, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
    assert rivals.dice(CORNER, row) == 4 / 7
    assert rivals.dice(EMPTY, EMPTY) == 1.0
    assert rivals.dice(EMPTY, row) == 0.0
    assert rivals.score(["2 3 9 1", "", ""], ["1 3", "", "1 1"], (3, 3)) == [4 / 7, 1.0, 0.0]


def test_a_weight_vector_by_hand():
    maps = np.zeros((2, 1, 3, 3), np.float32)
    maps[0, 0, 0] = 200, 127, 128
    maps[1, 0, 0] = 100, 128, 127
    # Blends: 150; 127.25, which is below the threshold 127.5; 127.75.
    truth = np.array([[[1, 1, 0], [0, 0, 0], [0, 0, 0]]], bool)
    weights = (750, 250)
    blends = [175.0, 127.25, 127.75]
    above = [blend > 127.5 for blend in blends]
    assert above == [True, False, True]
    assert rivals.score_weights(maps, weights, truth, 127_500) == [2 * 1 / (2 + 2)]
    assert rivals.score_weights_at_once(maps, weights, truth, 127_500) == [2 * 1 / (2 + 2)]
    assert rivals.vote_soft(maps, weights, 127_500) == ["1 1 3 1"]
    assert rivals.vote_soft(maps, weights, 127_000) == ["1 3"]


def test_all_thresholds_by_hand():
    levels = np.array([[0, 100, 255], [0, 0, 0], [0, 0, 0]], np.uint8)
    truth = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
    scores = rivals.score_thresholds(levels, truth)
    assert len(scores) == 256
    assert scores[:100] == [1.0] * 100
    assert scores[100:255] == [2 / 3] * 155
    assert scores[255] == 0.0


def test_half_floats_come_back(tmp_path):
    probs = np.random.default_rng(0).random((2, 3, 3)).astype(np.float16)
    rivals.store(tmp_path / "map.npz", probs)
    back = rivals.load(tmp_path / "map.npz")
    assert back.dtype == np.float16
    np.testing.assert_array_equal(back, probs)
