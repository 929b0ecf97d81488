"""Differences of arrays against a dense comparison."""

import numpy as np
import pytest
from array_submissions import CLASSES, SIZES, array_of, random_masks, zip_of

from competition.errors import CompetitionError
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.known_images import NOTHING_KNOWN, KnownImages


def test_pixels_of_each_image_and_class_are_counted(tmp_path):
    first = {name.split(".")[0]: random_masks(number, size) for number, (name, size) in enumerate(SIZES.items())}
    second = {stem: random_masks(5, masks.shape[1:]) for stem, masks in first.items()}
    second["12"][3] = first["12"][3]
    a = zip_of(tmp_path / "a.zip", **{f"_{stem}": array_of(masks) for stem, masks in first.items()})
    b = zip_of(tmp_path / "b.zip", **{f"_{stem}": array_of(second[stem]) for stem in reversed(first)})
    differences = ArrayZipForm().compare(a, b, CLASSES, KnownImages(sizes=SIZES))
    table = differences.table
    assert list(table.columns) == ["image", "class", "only_a", "only_b", "dice"]
    keys = [(f"{stem}.npy", name) for stem in first for name in CLASSES]
    assert list(zip(table["image"], table["class"], strict=True)) == keys
    ours, theirs = (
        np.concatenate([[mask.ravel().sum() for mask in x[stem]] for stem in first]) for x in (first, second)
    )
    both = np.concatenate([(first[stem] & second[stem]).sum(axis=(1, 2)) for stem in first])
    np.testing.assert_array_equal(table["only_a"], ours - both)
    np.testing.assert_array_equal(table["only_b"], theirs - both)
    dice = np.where(ours + theirs == 0, 1.0, 2 * both / np.maximum(ours + theirs, 1))
    np.testing.assert_allclose(table["dice"], dice, rtol=0, atol=1e-15)
    differing = int(((ours - both) + (theirs - both) > 0).sum())
    pixels = int((ours + theirs - 2 * both).sum())
    figures = differences.figures()
    assert (figures["rows"], figures["rows_that_differ"], figures["pixels"]) == (12, differing, pixels)
    assert figures["dice"] == pytest.approx(dice.mean(), abs=1e-15)
    assert figures["per_class"]["vertebra_2"] == 1.0  # empty on both sides
    assert f"{differing} of 12 rows differ, by {pixels} pixels" in differences.summary()
    assert [len(shown.rows) for shown in differences.tables()] == [6, 10]
    assert ArrayZipForm().compare(a, a, CLASSES, NOTHING_KNOWN).tables() == []


def test_an_image_on_one_side_only_is_an_error(tmp_path):
    array = array_of(random_masks(0, (4, 5)))
    a, b = zip_of(tmp_path / "a.zip", _7=array, _8=array), zip_of(tmp_path / "b.zip", _7=array)
    with pytest.raises(CompetitionError, match=r"1 files are missing, which .*a\.zip has \(8\.npy\): .*b\.zip"):
        ArrayZipForm().compare(a, b, CLASSES, NOTHING_KNOWN)
