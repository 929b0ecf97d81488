"""The submission of arrays as files."""

import io
import zipfile

import numpy as np
import pytest
from array_submissions import CLASSES, SIZES, array_of, npy, random_masks

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.submission.array_zip.files import (
    open_plane_files,
    packed,
    plane_file_name,
    with_background,
    write_plane_files,
)
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.known_images import KnownImages


def test_an_image_keeps_its_name():
    names = ("7.dcm", "a.b.DCM", "7.nii.gz", "case7_1.5", "case7_1.6", "7.npy")
    assert [plane_file_name(name) for name in names] == [
        *("7.npy", "a.b.npy", "7.npy"),
        *("case7_1.5.npy", "case7_1.6.npy", "7.npy"),
    ]


def test_the_background_is_what_no_class_covers():
    masks = random_masks(1, (5, 6))
    array = with_background(pack_masks(masks), 6)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, array_of(masks))
    np.testing.assert_array_equal(packed(array), pack_masks(masks))


def test_files_and_zip_hold_the_same_arrays_in_the_given_order(tmp_path):
    images = {name: array_of(random_masks(2, size)) for name, size in SIZES.items()}
    path = tmp_path / "out" / "submission.zip"
    write_plane_files(path, images.items(), tmp_path / "out" / "planes")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["7.npy", "12.npy"]
        for name, array in images.items():
            np.testing.assert_array_equal(np.load(io.BytesIO(archive.read(plane_file_name(name)))), array)
            np.testing.assert_array_equal(np.load(tmp_path / "out" / "planes" / plane_file_name(name)), array)
    assert ArrayZipForm().names(path) == ["7.npy", "12.npy"]
    assert ArrayZipForm().names(tmp_path / "out" / "planes") == ["12.npy", "7.npy"]
    for written in (path, tmp_path / "out" / "planes"):
        assert ArrayZipForm().check(written, CLASSES, KnownImages(tuple(SIZES), SIZES)).errors == []


def test_the_same_masks_give_the_same_bytes_on_another_day(tmp_path, monkeypatch):
    images = [("7.dcm", array_of(random_masks(2, (30, 20))))]
    write_plane_files(tmp_path / "a.zip", images, tmp_path / "a")
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    write_plane_files(tmp_path / "b.zip", images, tmp_path / "b")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "a.zip").infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_failure_half_way_leaves_what_was_there(tmp_path):
    path, folder = tmp_path / "submission.zip", tmp_path / "planes"
    write_plane_files(path, [("1.dcm", array_of(random_masks(0, (4, 4))))], folder)
    before = path.read_bytes()

    def broken():
        yield "2.dcm", array_of(random_masks(0, (4, 4)))
        raise CompetitionError("a map is missing")

    with pytest.raises(CompetitionError, match="a map is missing"):
        write_plane_files(path, broken(), folder)
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["1.npy", "planes", "submission.zip"]


def test_without_a_folder_the_zip_is_the_same_and_alone(tmp_path):
    images = [("7.dcm", array_of(random_masks(2, (30, 20))))]
    write_plane_files(tmp_path / "a.zip", images, tmp_path / "a")
    write_plane_files(tmp_path / "alone" / "b.zip", images)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "alone" / "b.zip").read_bytes()
    assert [file.name for file in (tmp_path / "alone").iterdir()] == ["b.zip"]


def test_a_member_that_differs_from_its_checksum_is_damaged(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("7.npy", npy(array_of(random_masks(0, (60, 50)))))
        checksum = archive.getinfo("7.npy").CRC.to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(checksum, b"wxyz"))
    with open_plane_files(path) as files, pytest.raises(CompetitionError, match=r"7\.npy can't be read"):
        files.read("7.npy", 6)
