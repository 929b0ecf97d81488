"""Submissions as predictions: a zip of arrays and the same masks as run lengths become the same maps."""

import numpy as np
import pytest
from array_submissions import CLASSES, array_of, random_masks, zip_of

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.runs.imported_predictions import open_foreign_maps
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.run_lengths.form import RunLengthForm


@pytest.fixture
def predicted(shared_hands):
    """Two test images and their masks."""
    entries = shared_hands.manifest.of("test")
    masks = {entry.name: random_masks(n, (entry.height, entry.width)) for n, entry in enumerate(entries)}
    return entries, masks


def test_a_zip_of_arrays_and_run_lengths_give_the_same_maps(predicted, tmp_path):
    entries, masks = predicted
    for form in (ArrayZipForm(), RunLengthForm()):
        path = tmp_path / f"s{form.ending}"
        form.write(path, CLASSES, [(name, pack_masks(each)) for name, each in masks.items()])
        found = open_foreign_maps([path], CLASSES, entries, form)
        assert found.files == [path]
        for entry in entries:
            values = found.read[entry.sample]()
            assert values.dtype == np.uint8
            np.testing.assert_array_equal(values, 255 * masks[entry.name].astype(np.uint8))


def test_a_zip_that_does_not_fit_is_refused(predicted, tmp_path):
    entries, masks = predicted
    first = array_of(masks[entries[0].name])
    stem = entries[0].name.removesuffix(".npy")
    one = zip_of(tmp_path / "one.zip", **{f"_{stem}": first})
    with pytest.raises(CompetitionError, match="1 of 2 samples are not predicted"):
        open_foreign_maps([one], CLASSES, entries, ArrayZipForm())
    odd = zip_of(tmp_path / "odd.zip", **{f"_{stem}": first, "other": first})
    with pytest.raises(CompetitionError, match=r"1 predictions belong to none of the 2 samples \(other\)"):
        open_foreign_maps([odd], CLASSES, entries, ArrayZipForm())
    turned = zip_of(tmp_path / "turned.zip", **{f"_{stem}": np.ascontiguousarray(first[:-1])})
    found = open_foreign_maps([turned], CLASSES, entries[:1], ArrayZipForm())
    with pytest.raises(CompetitionError, match=r"\.npy is .*, its image has"):
        found.read[entries[0].sample]()
