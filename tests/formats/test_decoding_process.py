"""Files that crash or flood a native decoder end only the decoding process."""

import os
import shutil
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from competition.errors import CompetitionError
from competition.formats import decoding_process
from competition.formats.decoding_process import decode_elsewhere
from competition.formats.matlab import read_matlab

HERE = "tests.formats.test_decoding_process"


def crash(path: Path) -> np.ndarray:
    """Ends the process that runs it, as a native decoder would."""
    os.abort()


def allocate(path: Path) -> np.ndarray:
    """Asks for 8 GB."""
    return np.ones(1 << 30)


def wait(path: Path) -> np.ndarray:
    """Never ends."""
    while True:
        pass


def columns_first(path: Path) -> np.ndarray:
    """Returns an array in MATLAB's order of memory."""
    return np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a.bin").write_bytes(b"x")
    return tmp_path / "a.bin"


def test_an_array_comes_back_as_it_is(file: Path) -> None:
    np.testing.assert_array_equal(decode_elsewhere(f"{HERE}:columns_first", file, []), columns_first(file))


def test_a_crash_is_a_sentence_and_the_next_file_is_read(file: Path) -> None:
    with pytest.raises(CompetitionError, match=r"decoder crash \(SIGABRT\).*a\.bin"):
        decode_elsewhere(f"{HERE}:crash", file, [])
    assert decode_elsewhere(f"{HERE}:columns_first", file, []).shape == (2, 3, 4)


def test_a_decoder_that_can_not_start_is_a_sentence_and_the_next_file_is_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding_process, "_decoder", None)
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", shutil.which("false"))
        with pytest.raises(CompetitionError, match=r"the process that decodes MATLAB .* files does not start"):
            decode_elsewhere(f"{HERE}:columns_first", file, [])
    assert decode_elsewhere(f"{HERE}:columns_first", file, []).shape == (2, 3, 4)
    decoding_process._stop()


def test_memory_beyond_the_declared_size_is_a_sentence(file: Path) -> None:
    with pytest.raises(CompetitionError, match=r"more than 1 GB beyond.*a\.bin"):
        decode_elsewhere(f"{HERE}:allocate", file, [])


def test_a_decoder_that_never_ends_is_stopped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_process, "_SECONDS", 0.3)
    with pytest.raises(CompetitionError, match=r"could not be decoded within 0 s.*a\.bin"):
        decode_elsewhere(f"{HERE}:wait", file, [])


def test_a_damaged_type_in_a_matlab_file_ends_no_program(tmp_path: Path) -> None:
    """scipy crashed on byte 201 set to 9 (SIGSEGV or SIGBUS), depending on what lies behind the array in memory."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"label": np.zeros((4, 5, 7), np.uint8)})
    content = bytearray(path.read_bytes())
    content[201] = 9
    path.write_bytes(content)
    with suppress(CompetitionError):
        assert read_matlab(path, "label").shape == (4, 5, 7)


def test_matlab_arrays_are_measured_before_they_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as stored:
        stored.create_dataset("label", shape=(7, 11_000, 11_000), dtype="f8", chunks=(1, 100, 100), compression="gzip")
    with pytest.raises(CompetitionError, match=r"'label' of the MATLAB file is 7x11000x11000, 6\.8 GB.*a\.mat"):
        read_matlab(tmp_path / "a.mat", "label")
    assert (tmp_path / "a.mat").stat().st_size < 1_000_000


def test_a_matlab_file_that_inflates_to_more_than_it_may_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "b.mat"
    scipy.io.savemat(path, {"label": np.zeros((4, 5), np.uint8)}, do_compression=True)
    content = path.read_bytes()
    variable = bytearray(zlib.decompress(content[136:]))
    at = variable.index(np.array([4, 5], "<i4").tobytes())
    variable[at : at + 8] = np.array([30_000, 30_000], "<i4").tobytes()
    packed = zlib.compress(bytes(variable))
    path.write_bytes(content[:132] + len(packed).to_bytes(4, "little") + packed)
    with pytest.raises(CompetitionError, match=r"'label' of the MATLAB file is 30000x30000.*b\.mat"):
        read_matlab(path, "label")
