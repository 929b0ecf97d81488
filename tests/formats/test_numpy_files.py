"""Arrays of others: read like np.load where they are sound, one sentence and no memory where they are not."""

import io
import resource
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.numpy_files import open_arrays, read_next


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


def header_by_hand(shape: str, dtype: str = "<f4") -> bytes:
    """A .npy header of version 1, written out by hand."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float16, np.float32, np.float64, ">f4", np.int64])
def test_arrays_come_back_as_numpy_reads_them(tmp_path: Path, dtype: type, order: str) -> None:
    array = np.asarray((np.random.default_rng(0).random((3, 5, 4)) * 9).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "b.npz", one=array, two=array[0])
    np.savez_compressed(tmp_path / "c.npz", one=array, two=array[0])
    for name in ("a.npy", "b.npz", "c.npz"):
        stored = open_arrays(tmp_path / name)
        expected = {"": array} if name == "a.npy" else {"one": array, "two": array[0]}
        assert list(stored) == list(expected)
        for key, value in expected.items():
            assert (stored[key].shape, stored[key].dtype, stored[key].nbytes) == (
                value.shape,
                value.dtype,
                value.nbytes,
            )
            np.testing.assert_array_equal(stored[key].read(), value)


def test_arrays_that_follow_each_other_come_back_in_order(tmp_path: Path) -> None:
    arrays = [
        np.array("text"),
        np.zeros((0, 3), np.uint8),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.int64(7),
    ]
    with (tmp_path / "a.npy").open("wb") as file:
        for array in arrays:
            np.save(file, array)
    with (tmp_path / "a.npy").open("rb") as file:
        for array in arrays:
            np.testing.assert_array_equal(read_next(file), array)
        with pytest.raises(ValueError, match=r"EOF|magic"):
            read_next(file)


@pytest.mark.parametrize(
    "start",
    [
        header_by_hand("(400000, 440000)") + bytes(4),  # 700 GB
        header_by_hand("(99999999999999999999, 99999999999)"),
        header_by_hand("(3, -4)"),
        header_by_hand("(3,)", "|S0"),
        header_by_hand("(3,)", "|O") + bytes(24),
        header_by_hand("(1,)", "<U999999999"),
        header_by_hand("(((((((((" * 50),
        header_by_hand("(1, 'x')"),
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"\x93NUMPY\x03\x00" + bytes(100),
        b"",
        b"PK\x03\x04" + bytes(100),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(start)
    with pytest.raises(CompetitionError, match=r"can't be read as an array .*a\.npy"):
        open_arrays(tmp_path / "a.npy")
    with (
        (tmp_path / "a.npy").open("rb") as file,
        pytest.raises(ValueError, match=r"not|magic|read|header|bytes|version"),
    ):
        read_next(file)


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_the_size_of_a_compressed_array_is_known_without_inflating_it(tmp_path: Path) -> None:
    size = 100 * 1024**2
    path = write_zip(tmp_path / "bomb.npz", {"probs.npy": header_by_hand(f"({size},)", "|u1") + bytes(size)})
    assert path.stat().st_size < 2_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert open_arrays(path)["probs"].nbytes == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize(
    ("members", "method"),
    [
        ({"a.npy": header_by_hand("(1000,)") + bytes(400)}, zipfile.ZIP_DEFLATED),  # fewer values than said
        ({"a.npy": header_by_hand("(1000,)") + bytes(4000)}, zipfile.ZIP_LZMA),
        ({"a.txt": b"text"}, zipfile.ZIP_STORED),
    ],
)
def test_a_zip_that_numpy_did_not_write_is_refused(tmp_path: Path, members: dict[str, bytes], method: int) -> None:
    path = write_zip(tmp_path / "a.npz", members, method)
    with pytest.raises(CompetitionError, match=r"can't be read as an array .*a\.npz"):
        open_arrays(path)


def test_a_flipped_bit_of_a_compressed_array_is_noticed_by_the_checksum_of_the_zip(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "a.npz", {"a.npy": header_by_hand("(100,)", "|u1") + bytes(range(100))}, zipfile.ZIP_STORED
    )
    content = bytearray(path.read_bytes())
    content[content.index(bytes(range(100))) + 50] ^= 1
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match=r"can't be read as an array .*CRC.*a\.npz"):
        open_arrays(path)["a"].read()


def test_a_missing_file_and_a_lack_of_memory_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CompetitionError, match=r"No such file.*absent\.npy"):
        open_arrays(tmp_path / "absent.npy")
    np.save(tmp_path / "a.npy", np.zeros(3))
    stored = open_arrays(tmp_path / "a.npy")[""]

    def short(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", short)
    with pytest.raises(CompetitionError, match=r"out of memory.*a\.npy"):
        stored.read()
