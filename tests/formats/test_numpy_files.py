"""Arrays of others: read like np.load where they are sound, one sentence and no memory where they are not."""

import io
import resource
import sys
import zipfile

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.numpy_files import open_arrays


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape, dtype="|u1", version=1):
    file = io.BytesIO()
    write = {1: np.lib.format.write_array_header_1_0, 2: np.lib.format.write_array_header_2_0}[version]
    write(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def read_all(path):
    return {name: stored.read() for name, stored in open_arrays(path).items()}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


RANDOM = np.random.default_rng(0)
ARRAYS = [
    RANDOM.random((2, 3, 4)),
    np.asfortranarray(RANDOM.random((5, 4)).astype(np.float32)),
    RANDOM.integers(0, 9, (3, 2, 1)).astype(">i4"),
    RANDOM.random((4, 4)) < 0.5,
    np.float16(0.5),
    np.empty((0, 3), np.uint8),
    RANDOM.integers(0, 255, (2000, 1500)).astype(np.uint8),  # more than one piece
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{np.shape(array)} {array.dtype}")
def test_what_numpy_saved_is_read_as_it_was(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "b.npz", one=array, two=array)
    np.savez_compressed(tmp_path / "c.npz", array)
    for name, keys in (("a.npy", [""]), ("b.npz", ["one", "two"]), ("c.npz", ["arr_0"])):
        seen, found = open_arrays(tmp_path / name), read_all(tmp_path / name)
        assert list(found) == keys
        for key in keys:
            np.testing.assert_array_equal(found[key], array)
            assert found[key].dtype == array.dtype
            assert (seen[key].shape, seen[key].dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_numpy_never_writes_is_refused_because_its_own_header_says_how_much_memory_it_takes(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("x.npy", npy(ARRAYS[0]))
    with pytest.raises(CompetitionError, match=r"x\.npy is compressed in a way that NumPy does not write"):
        open_arrays(tmp_path / "a.npz")


BROKEN = {
    "nothing": b"",
    "text": b"1,2\n3,4\n",
    "cut": npy(ARRAYS[0])[:-1],
    "longer": npy(ARRAYS[0]) * 2,
    "Python objects": npy(np.array([None, "x"])),
    "700 GB": header((1_000_000, 100_000, 7)),
    "negative": header((-1, 4)) + bytes(4),
    "a header of 4 GB": b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\xff" + bytes(100),
    "an unknown version": b"\x93NUMPY\x09\x00" + bytes(100),
    "an open bracket": header((1, 1)).replace(b"(1, 1)", b"(1, 1 ") + b"1",
    "brackets": b"\x93NUMPY\x01\x00\xe8\x03" + b"(" * 1000,
    "a zip that was cut": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_damage_is_one_sentence(tmp_path, kind, packed):
    path = tmp_path / "a.npz"
    path.write_bytes(BROKEN[kind])
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", BROKEN[kind])
    with pytest.raises(CompetitionError, match=r"can't be read as an array \(.+\): .*a\.npz"):
        read_all(path)


@pytest.mark.parametrize("change", ["method", "encrypted", "checksum"])
def test_damage_within_a_zip_is_one_sentence(tmp_path, change):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(ARRAYS[0]))
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):  # the entry, and the table of contents
        place = content.index(signature) + at
        if change == "method":
            content[place + 8] = 99  # a method that nobody has
        elif change == "encrypted":
            content[place + 6] |= 1
        else:
            content[place + 14] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CompetitionError, match=r"can't be read as an array \(.+\)"):
        read_all(path)


def test_a_shape_that_is_refused_takes_no_memory(tmp_path):
    path = tmp_path / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        file.write(header((30_000, 10_000)))
        for _ in range(30):
            file.write(bytes(10_000_000))

    before = peak()
    stored = open_arrays(path)["x"]
    assert (stored.shape, stored.nbytes) == ((30_000, 10_000), 300_000_000)
    assert peak() - before < 50e6


def test_no_file_is_a_sentence(tmp_path):
    with pytest.raises(CompetitionError, match=r"No such file or directory.*none\.npy"):
        read_all(tmp_path / "none.npy")
