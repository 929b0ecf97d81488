import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.stored_arrays import write_array
from competition.prediction.opened_maps import open_map, tiles
from competition.prediction.probability_maps import TILE, map_file, write_map


@pytest.mark.parametrize("size_hw", [(1, 1), (64, 48), (512, 2048), (513, 2049), (1100, 4100)])
def test_tiles_cover_every_pixel_once(size_hw):
    times = np.zeros(size_hw, int)
    for tile in tiles(size_hw):
        assert times[tile].size <= 512 * 2048
        assert all(side.stop <= length for side, length in zip(tile, size_hw, strict=True))
        times[tile] += 1
    assert (times == 1).all()


def test_tiles_read_what_was_written(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 53, 2 * TILE + 3), dtype=np.uint8)
    write_map(tmp_path, "a", values)
    opened = open_map(tmp_path, "a")
    assert opened.shape == values.shape
    for index in (2, 0, 1):
        for tile in tiles(values.shape[1:]):
            np.testing.assert_array_equal(opened[index, *tile], values[index, *tile])
    np.testing.assert_array_equal(opened[1, slice(None), slice(3, 7)], values[1, :, 3:7])


def test_what_is_missing_damaged_or_no_map_is_named(tmp_path):
    with pytest.raises(CompetitionError, match=r"no map of sample 'a': .*a\.b2"):
        open_map(tmp_path, "a")
    write_map(tmp_path, "a", np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8))
    path = map_file(tmp_path, "a")
    whole = path.read_bytes()
    for share in (0.0, 0.3, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CompetitionError, match=r"damaged.*a\.b2"):
            open_map(tmp_path, "a")[2, slice(None), slice(None)]
    for wrong in (np.zeros((3, 4), np.uint8), np.zeros((3, 4, 5), np.float32)):
        write_array(path, wrong)
        with pytest.raises(CompetitionError, match=r"a map is uint8 \(classes, rows, columns\).*a\.b2"):
            open_map(tmp_path, "a")


def test_a_map_that_is_replaced_while_it_is_read_is_an_error(tmp_path):
    everything = (slice(None), slice(None))
    write_map(tmp_path, "a", np.zeros((2, 30, 40), np.uint8))
    opened = open_map(tmp_path, "a")
    write_map(tmp_path, "a", np.ones((2, 30, 40), np.uint8))
    with pytest.raises(CompetitionError, match="another process replaced the map while it was read"):
        opened[0, *everything]
    assert (open_map(tmp_path, "a")[0, *everything] == 1).all()
