"""NIfTI files, written by nibabel: values, scale, slices, and files that do not hold what they announce."""

import gzip

import nibabel
import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats import nifti

VALUES = np.random.default_rng(0).integers(-90, 900, (5, 7, 4)).astype(np.int16)


def save(path, values, slope: float = 1, inter: float = 0, **header: float):
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(slope, inter)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_values_are_those_that_nibabel_gives(tmp_path, ending) -> None:
    path = save(tmp_path / f"a.{ending}", VALUES, 0.5, -3, cal_min=-40, cal_max=200)
    theirs = nibabel.load(path).get_fdata()
    for axis in range(3):
        assert nifti.count_slices(path, axis) == VALUES.shape[axis]
        found = nifti.read_values(path, axis, "002")
        np.testing.assert_allclose(found, theirs.take(2, axis).T)
    volume = nifti.read_volume(path)
    assert volume.between == pytest.approx((theirs.min(), theirs.max()))
    assert volume.window == (-40, 200)
    whole = save(tmp_path / f"b.{ending}", VALUES)
    assert nifti.read_values(whole, 0, "004").dtype == np.int16
    assert nifti.read_volume(whole).window is None


def test_numbers_have_three_digits_or_more() -> None:
    assert nifti.slice_numbers(2) == ["000", "001"]
    assert nifti.slice_numbers(1001)[-1] == "1000"
    assert nifti.slice_numbers(1001)[7] == "0007"


def test_a_changed_file_is_read_again(tmp_path) -> None:
    path = save(tmp_path / "a.nii", VALUES)
    assert nifti.read_values(path, 2, "000")[0, 0] == VALUES[0, 0, 0]
    save(path, VALUES[:4] + 1)
    assert nifti.read_values(path, 2, "000").shape == (7, 4)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_files_that_are_cut_off_or_announce_too_much_are_refused(tmp_path, ending) -> None:
    path = save(tmp_path / f"a.{ending}", VALUES)
    content = gzip.decompress(path.read_bytes()) if ending.endswith("gz") else path.read_bytes()
    for damaged in (content[:-9], content[:200], b"", content[:40] + (30_000).to_bytes(2, "little") * 4 + content[48:]):
        path.write_bytes(gzip.compress(damaged) if ending.endswith("gz") else damaged)
        with pytest.raises(CompetitionError, match=r"NIfTI.*a\.nii"):
            nifti.read_values(path, 2, "000")


def test_numbers_that_are_none_are_refused(tmp_path) -> None:
    values = VALUES.astype(np.float32)
    values[1, 2, 3] = np.nan
    with pytest.raises(CompetitionError, match="1 of 140 values that are not finite"):
        nifti.read_values(save(tmp_path / "a.nii", values), 2, "000")
    with pytest.raises(CompetitionError, match="image not found"):
        nifti.count_slices(tmp_path / "none.nii", 2)
    with pytest.raises(CompetitionError, match="has 1 axis of 6 values"):
        nifti.count_slices(save(tmp_path / "b.nii", np.zeros(6, np.uint8)), 0)
    colours = np.zeros((3, 3, 3), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    with pytest.raises(CompetitionError, match="numbers are expected"):
        nifti.count_slices(save(tmp_path / "c.nii", colours), 0)
