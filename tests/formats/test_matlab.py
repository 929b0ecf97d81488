"""MATLAB files of both kinds, written by scipy and h5py."""

import h5py
import numpy as np
import pytest
import scipy.io

from competition.errors import CompetitionError
from competition.formats.matlab import read_matlab

VALUES = np.random.default_rng(1).integers(0, 256, (5, 4, 3)).astype(np.uint8)


def write_73(path, values, key="label"):
    """As MATLAB does: a block of 512 bytes, then HDF5 with the axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        reversed_axes = np.empty(values.shape[::-1], values.dtype)
        for index in np.ndindex(values.shape):
            reversed_axes[index[::-1]] = values[index]
        file[key] = reversed_axes
        file.create_group("#refs#")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def write_5(path, values, key="label", compressed=True):
    scipy.io.savemat(path, {"other": np.eye(2), key: values}, do_compression=compressed)
    return path


def failure(path, key="label"):
    with pytest.raises(CompetitionError) as caught:
        read_matlab(path, key)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("write", [write_5, write_73])
@pytest.mark.parametrize("kind", [np.uint8, np.float64, np.int16])
def test_axes_and_numbers_are_as_matlab_shows_them(tmp_path, write, kind):
    read = read_matlab(write(tmp_path / "a.mat", VALUES.astype(kind)), "label")
    assert read.dtype == kind
    np.testing.assert_array_equal(read, VALUES)


def test_logical_and_uncompressed_arrays_are_read(tmp_path):
    np.testing.assert_array_equal(read_matlab(write_5(tmp_path / "a.mat", VALUES > 9), "label"), VALUES > 9)
    np.testing.assert_array_equal(read_matlab(write_5(tmp_path / "b.mat", VALUES, compressed=False), "label"), VALUES)


@pytest.mark.parametrize(("write", "known"), [(write_5, "it has label, other"), (write_73, "it has label")])
def test_a_missing_key_is_named_with_those_there_are(tmp_path, write, known):
    sentence = failure(write(tmp_path / "a.mat", VALUES), "label_separated")
    assert "no key 'label_separated'" in sentence
    assert known in sentence
    assert "#refs#" not in sentence


@pytest.mark.parametrize("write", [write_5, write_73])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_an_error(tmp_path, write, bad):
    values = VALUES.astype(np.float32)
    values[1, 2, 0] = bad
    assert "1 of 60 values that are not finite" in failure(write(tmp_path / "a.mat", values))


def test_what_is_no_array_of_numbers_is_an_error(tmp_path):
    scipy.io.savemat(tmp_path / "cell.mat", {"label": np.array([["a", 1]], dtype=object)})
    scipy.io.savemat(tmp_path / "struct.mat", {"label": {"a": 1}})
    scipy.io.savemat(tmp_path / "text.mat", {"label": "vertebra"})
    with h5py.File(tmp_path / "group.mat", "w") as file:
        file.create_group("label")
    for name in ("cell", "struct", "text", "group"):
        assert "no array of numbers" in failure(tmp_path / f"{name}.mat")


@pytest.mark.parametrize("write", [write_5, write_73])
def test_a_cut_file_is_an_error_wherever_it_is_cut(tmp_path, write):
    content = write(tmp_path / "a.mat", np.random.default_rng(0).random((20, 20, 3))).read_bytes()
    for length in [0, 50, 127, 130, 300, 600, len(content) // 2, len(content) - 1]:
        (tmp_path / "cut.mat").write_bytes(content[:length])
        failure(tmp_path / "cut.mat")


def test_a_missing_file_and_another_kind_of_file_are_errors(tmp_path):
    assert "not found" in failure(tmp_path / "none.mat")
    (tmp_path / "a.mat").write_text("no MATLAB file at all, only text that is long enough to hold a header" * 9)
    assert "can't be read" in failure(tmp_path / "a.mat")
