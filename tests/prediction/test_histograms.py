import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.prediction import histograms
from competition.prediction.histograms import (
    count_levels,
    count_levels_of_parts,
    dice_curves,
    image_histogram,
    join_histograms,
    load_histograms,
    save_histograms,
)


def reference_dice(probs_u8, masks, cut):
    """Dice of "level > cut" for each class, by definition."""
    scores = []
    for levels, mask in zip(probs_u8, masks, strict=True):
        positive = levels > cut
        total = positive.sum() + mask.sum()
        scores.append(1.0 if total == 0 else 2.0 * (positive & mask).sum() / total)
    return np.array(scores)


def cases():
    random = np.random.default_rng(0)
    levels = random.integers(0, 256, (29, 13, 17), dtype=np.uint8)
    masks = random.random((29, 13, 17)) < 0.3
    yield "random, 29 classes", levels, masks
    yield "127 and 128 only", random.integers(127, 129, (9, 8, 8), dtype=np.uint8), masks[:9, :8, :8]
    yield "all equal", np.full((2, 5, 5), 77, np.uint8), masks[:2, :5, :5]
    yield "one pixel", np.array([[[200]]], np.uint8), np.array([[[True]]])
    yield "empty truth", levels[:3], np.zeros((3, 13, 17), bool)
    yield "full truth", levels[:3], np.ones((3, 13, 17), bool)
    yield "empty map", np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4), bool)
    yield "full map", np.full((1, 4, 4), 255, np.uint8), np.ones((1, 4, 4), bool)
    sparse = np.where(random.random((11, 24, 16)) < 0.02, levels[:11, :1, :16], np.uint8(0))
    yield "mostly 0, in whole words", sparse, masks[:11, :1, :16].repeat(24, axis=1)
    yield "mostly 0, in no whole words", sparse[:, :23, :13], masks[:11, :1, :13].repeat(23, axis=1)
    last = np.zeros((1, 6, 7), bool)
    last[0, -1, -1] = True
    yield "last pixel", np.where(last, np.uint8(255), np.uint8(0)), last


@pytest.mark.parametrize(
    ("name", "levels", "masks"), list(cases()), ids=lambda value: value if type(value) is str else ""
)
def test_curves_equal_brute_force_at_every_cut(name, levels, masks):
    curves = dice_curves(image_histogram(levels, pack_masks(masks))[None])
    assert curves.shape == (1, len(levels), 256)
    for cut in range(256):
        np.testing.assert_array_equal(curves[0, :, cut], reference_dice(levels, masks, cut), err_msg=f"{name}, {cut}")


def test_a_half_is_positive_from_128_on():
    levels = np.array([[[127, 128]]], np.uint8)
    histogram = image_histogram(levels, pack_masks(np.array([[[False, True]]])))
    assert dice_curves(histogram[None])[0, 0, 127] == 1.0


def test_counting_beyond_float32_is_exact(monkeypatch):
    monkeypatch.setattr(histograms, "EXACT_FLOAT32", 10)
    levels = np.random.default_rng(1).integers(0, 4, 1000, dtype=np.uint8)
    counted = count_levels(levels)
    assert [counted[level] for level in range(4)] == [(levels == level).sum() for level in range(4)]


def test_counting_at_the_float32_bound_is_exact():
    levels = np.zeros(2**24 + 1, np.uint8)
    assert count_levels(levels)[0] == 2**24 + 1
    assert count_levels(levels[:-1])[0] == 2**24


def test_counting_a_strided_view():
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.flatnonzero(count_levels(levels[::2, 1::3])).tolist() == sorted(levels[::2, 1::3].ravel().tolist())


@pytest.mark.parametrize("bound", [2**24, 40])
@pytest.mark.parametrize("sizes", [[0, 5, 1, 0, 60], [7], [0], [], [1] * 700, [3, 0] * 128, [2] * 256 + [90]])
def test_levels_of_parts_are_those_of_each_part(monkeypatch, sizes, bound):
    monkeypatch.setattr(histograms, "EXACT_FLOAT32", bound)
    levels = np.random.default_rng(3).integers(0, 256, sum(sizes), dtype=np.uint8)
    counted = count_levels_of_parts(levels, np.array(sizes, dtype=np.int64))
    expected = [np.bincount(part, minlength=256) for part in np.split(levels, np.cumsum(sizes)[:-1])] if sizes else []
    np.testing.assert_array_equal(counted, np.reshape(expected, (len(sizes), 256)))


def test_map_and_truth_of_other_sizes_are_refused():
    planes = pack_masks(np.zeros((9, 4, 5), bool))
    with pytest.raises(ValueError, match="does not fit"):
        image_histogram(np.zeros((9, 5, 4), np.uint8), planes)
    with pytest.raises(ValueError, match="does not fit"):
        image_histogram(np.zeros((8, 4, 5), np.uint8), planes)


def test_stored_histograms_come_back_and_join_by_key(tmp_path):
    random = np.random.default_rng(2)
    counts = random.integers(0, 2**31 - 1, (3, 2, 2, 256))
    path = tmp_path / "deep" / "histograms.npz"
    save_histograms(path, ["b", "a", "c"], counts)
    stored = load_histograms(path)
    np.testing.assert_array_equal(join_histograms(stored, ["a", "b"], path), counts[[1, 0]])
    with pytest.raises(CompetitionError, match=r"1 of 2 images.*first: d"):
        join_histograms(stored, ["a", "d"], path)


def test_bad_histogram_files_are_named(tmp_path):
    path = tmp_path / "histograms.npz"
    with pytest.raises(CompetitionError, match=r"histograms\.npz"):
        load_histograms(path)
    save_histograms(path, ["a"], np.zeros((1, 1, 2, 256), np.int64))
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CompetitionError, match=r"histograms\.npz"):
            load_histograms(path)


def test_what_can_not_be_stored_is_refused(tmp_path):
    path = tmp_path / "histograms.npz"
    with pytest.raises(ValueError, match="keys"):
        save_histograms(path, ["a", "a"], np.zeros((2, 1, 2, 256), np.int64))
    with pytest.raises(ValueError, match="32 bits"):
        save_histograms(path, ["a"], np.full((1, 1, 2, 256), 2**31))
    assert not path.exists()
