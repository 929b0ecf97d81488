"""Arrays of others: the same values as numpy reads, and every header that lies is refused before memory is taken."""

import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.numpy_files import open_arrays, read_next


def header(shape: str, dtype: str = "<f4") -> bytes:
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
        header("(400000, 440000)") + bytes(4),  # 700 GB
        header("(99999999999999999999, 99999999999)"),
        header("(3, -4)"),
        header("(3,)", "|S0"),
        header("(3,)", "|O") + bytes(24),
        header("(1,)", "<U999999999"),
        header("(((((((((" * 50),
        header("(1, 'x')"),
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
    path = write_zip(tmp_path / "bomb.npz", {"probs.npy": header(f"({size},)", "|u1") + bytes(size)})
    assert path.stat().st_size < 2_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert open_arrays(path)["probs"].nbytes == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize(
    ("members", "method"),
    [
        ({"a.npy": header("(1000,)") + bytes(400)}, zipfile.ZIP_DEFLATED),  # fewer values than said
        ({"a.npy": header("(1000,)") + bytes(4000)}, zipfile.ZIP_LZMA),
        ({"a.txt": b"text"}, zipfile.ZIP_STORED),
    ],
)
def test_a_zip_that_numpy_did_not_write_is_refused(tmp_path: Path, members: dict[str, bytes], method: int) -> None:
    path = write_zip(tmp_path / "a.npz", members, method)
    with pytest.raises(CompetitionError, match=r"can't be read as an array .*a\.npz"):
        open_arrays(path)


def test_a_flipped_bit_of_a_compressed_array_is_noticed_by_the_checksum_of_the_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.npz", {"a.npy": header("(100,)", "|u1") + bytes(range(100))}, zipfile.ZIP_STORED)
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
    with pytest.raises(CompetitionError, match=r"MemoryError.*a\.npy"):
        stored.read()
