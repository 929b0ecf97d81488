"""Checksums in files: every single bit, every cut, and files of other programs."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import pandas as pd
import pytest

from competition import checksums
from competition.checksums import MARK, SEAL_BYTES, check_seal, sealed_file, stored_checksum
from competition.errors import CompetitionError
from competition.formats.parquet_tables import read_imported_table, read_table, write_table
from competition.masks.stored_arrays import read_array, write_array

CONTENT = bytes(range(200))
FRAME = pd.DataFrame({"sample": ["a", "b"], "x": [0.25, 0.5]})


def write_sealed(path: Path, content: bytes = CONTENT) -> Path:
    with sealed_file(path) as part:
        part.write_bytes(content)
    return path


def test_a_file_ends_in_the_sha256_of_its_content(tmp_path: Path) -> None:
    path = write_sealed(tmp_path / "a.bin")
    digest = hashlib.sha256(CONTENT)
    assert path.read_bytes() == CONTENT + MARK + digest.digest()
    assert stored_checksum(path, "") == digest.hexdigest()
    check_seal(path, "")
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("content", [b"", b"x", b"PAR1" + b"z" * 40])
def test_any_content_can_carry_one(tmp_path: Path, content: bytes) -> None:
    check_seal(write_sealed(tmp_path / "a.bin", content), "")


@pytest.mark.slow
def test_every_flipped_bit_of_a_file_is_noticed(tmp_path: Path) -> None:
    path = write_sealed(tmp_path / "a.bin")
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(CompetitionError, match=r"file is damaged .*a\.bin\. Make it again\."):
            check_seal(path, "Make it again")


def test_every_cut_and_every_addition_is_noticed(tmp_path: Path) -> None:
    path = write_sealed(tmp_path / "a.bin")
    whole = path.read_bytes()
    for content in [*(whole[:length] for length in range(len(whole))), whole + b"\0", b"\0" + whole, whole + whole]:
        path.write_bytes(content)
        with pytest.raises(CompetitionError, match=r"file is damaged .*a\.bin"):
            check_seal(path, "")


@pytest.mark.slow
def test_every_flipped_bit_of_a_table_is_noticed_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, FRAME)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for bit in [*range(8 * (len(whole) - 80), 8 * len(whole)), *random.integers(0, 8 * len(whole), 1000).tolist()]:
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(CompetitionError, match=r"file is damaged .*t\.parquet\. Make it again\."):
            read_table(path, "Make it again")


def test_what_carries_one_is_still_read_by_the_libraries(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", FRAME)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), FRAME)
    array = np.arange(600, dtype=np.uint8).reshape(20, 30)
    write_array(tmp_path / "a.b2", array)
    np.testing.assert_array_equal(blosc2.open(str(tmp_path / "a.b2"), mode="r")[...], array)


def test_a_file_is_hashed_once_as_long_as_it_does_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, hashed = write_sealed(tmp_path / "a.bin"), []
    digest: Callable[..., bytes] = checksums._digest
    monkeypatch.setattr(checksums, "_digest", lambda *words: hashed.append(1) or digest(*words))
    check_seal(path, "")
    check_seal(path, "")
    assert len(hashed) == 2  # written within this tick of the clock: it could change again without a new time
    monkeypatch.setattr(checksums, "_CLOCK_TICK_NS", 0)
    for _ in range(3):
        check_seal(path, "")
    assert len(hashed) == 3
    status = path.stat()
    time.sleep(0.02)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # equal size and time of modification
    with pytest.raises(CompetitionError, match="damaged"):
        check_seal(path, "")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sealed(tmp_path / "a.bin", b"old")

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checksums, "_digest", full)
    with pytest.raises(CompetitionError, match=r"can't write .*a\.bin"):
        write_sealed(path, b"new")
    assert path.read_bytes()[:-SEAL_BYTES] == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_files_of_other_programs_need_none_but_one_that_is_there_is_compared(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_imported_table(tmp_path / "t.parquet", ""), FRAME)
    with pytest.raises(CompetitionError, match="no checksum"):
        read_table(tmp_path / "t.parquet", "")
    path = write_sealed(tmp_path / "a.bin")
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match="damaged"):
        check_seal(path, "", required=False)


def test_an_array_without_one_is_refused_before_it_is_decompressed(tmp_path: Path) -> None:
    blosc2.zeros((29, 15_000, 15_000), dtype=np.uint8, urlpath=str(tmp_path / "bomb.b2"), mode="w")
    assert (tmp_path / "bomb.b2").stat().st_size < 1000  # and 6.5 GB in memory
    with pytest.raises(CompetitionError, match=r"no checksum.*bomb\.b2"):
        read_array(tmp_path / "bomb.b2")
