import errno
import os
import time
from pathlib import Path

import blosc2
import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.stored_arrays import open_array, open_imported_array, read_array, write_array


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("shape", [(1,), (29,), (3, 1), (5, 7, 4), (2, 3, 4, 5), (300, 200, 3)])
def test_an_array_comes_back_bit_for_bit(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    array = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    write_array(tmp_path / "a.b2", array)
    back = read_array(tmp_path / "a.b2")
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)


def test_an_array_of_any_memory_layout_is_stored(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    for number, view in enumerate([array[:, ::-1], array.transpose(2, 0, 1), np.asfortranarray(array), array[1:, ::2]]):
        write_array(tmp_path / f"{number}.b2", view)
        np.testing.assert_array_equal(read_array(tmp_path / f"{number}.b2"), view)


def test_a_part_is_read_without_the_rest(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (6, 40, 30), dtype=np.uint8)
    write_array(tmp_path / "a.b2", array, chunks=(1, 40, 30))
    stored = open_array(tmp_path / "a.b2")
    assert stored.shape == array.shape
    assert tuple(stored.chunks) == (1, 40, 30)
    np.testing.assert_array_equal(stored[5], array[5])
    np.testing.assert_array_equal(stored[1:3, -1, :7], array[1:3, -1, :7])


def test_empty_background_takes_almost_no_room(tmp_path: Path) -> None:
    array = np.zeros((29, 256, 256), np.uint8)
    array[3, 100:150, 100:150] = 200
    write_array(tmp_path / "a.b2", array)
    assert (tmp_path / "a.b2").stat().st_size < array.nbytes / 100


def test_a_newer_array_replaces_the_older_and_leaves_no_litter(tmp_path: Path) -> None:
    for value in (1, 2):
        write_array(tmp_path / "deep" / "a.b2", np.full((4, 4), value, np.uint8))
    assert (read_array(tmp_path / "deep" / "a.b2") == 2).all()
    assert os.listdir(tmp_path / "deep") == ["a.b2"]


@pytest.mark.parametrize("fails", [True, False])
def test_an_array_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    path = tmp_path / "a.b2"
    write_array(path, np.ones((4, 4), np.uint8))
    really_open = blosc2.open
    opened: list[str] = []

    def replace_first(*arguments: str, **options: str) -> object:
        opened.append("")
        stored = really_open(*arguments, **options)
        if len(opened) == 1:
            write_array(path, np.full((40, 50), 2, np.uint8))
            if fails:
                raise RuntimeError("blosc2 failed")
        return stored

    monkeypatch.setattr("competition.masks.stored_arrays.blosc2.open", replace_first)
    array = read_array(path)
    assert array.shape == (40, 50)
    assert (array == 2).all()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("blosc2 failed")])
def test_a_full_disk_leaves_the_old_array_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / "a.b2"
    write_array(path, np.ones(3))

    def fail(*_: object, **options: str) -> None:
        Path(options["urlpath"]).write_bytes(b"half")
        raise error

    monkeypatch.setattr("competition.masks.stored_arrays.blosc2.asarray", fail)
    with pytest.raises(CompetitionError, match=r"can't write .*a\.b2"):
        write_array(path, np.zeros(3))
    monkeypatch.undo()
    assert (read_array(path) == 1).all()
    assert os.listdir(tmp_path) == ["a.b2"]


def test_a_missing_array_is_an_error_that_names_it(tmp_path: Path) -> None:
    for read in (open_array, read_array):
        with pytest.raises(CompetitionError, match=r"not found: .*absent\.b2"):
            read(tmp_path / "absent.b2")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_array_is_an_error_that_names_it(tmp_path: Path, part: float) -> None:
    path = tmp_path / "a.b2"
    write_array(path, np.random.default_rng(0).integers(0, 256, (60, 50, 4), dtype=np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(CompetitionError, match=r"damaged.*a\.b2. Delete it"):
        read_array(path)


def test_a_file_of_another_kind_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.b2").write_text("this is no array")
    with pytest.raises(CompetitionError, match=r"damaged.*a\.b2. Delete it"):
        read_array(tmp_path / "a.b2")


def test_an_array_with_fewer_pieces_than_its_shape_needs_is_refused_at_once(tmp_path: Path) -> None:
    stored = np.arange(60, dtype=np.uint8).reshape(2, 6, 5)
    frame = bytearray(blosc2.asarray(stored).to_cframe())
    shape = frame.index(bytes([0xD3, 0, 0, 0, 0, 0, 0, 0, 6, 0xD3]))  # MessagePack: an int64, and what follows is one
    assert frame[shape + 9 : shape + 18] == bytes([0xD3, 0, 0, 0, 0, 0, 0, 0, 5])
    frame[shape + 14] = 32  # 5 columns become 536,870,917
    (tmp_path / "a.b2").write_bytes(frame)
    start = time.perf_counter()
    with pytest.raises(CompetitionError, match=r"1 pieces, where its shape .* needs 107374184.*a\.b2"):
        open_imported_array(tmp_path / "a.b2", "Export it again")
    assert time.perf_counter() - start < 1
