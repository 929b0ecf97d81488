import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import torch

from competition.errors import CompetitionError
from competition.formats.parquet_tables import write_table
from competition.prediction.probability_maps import (
    HALF_LEVEL,
    MapFolder,
    map_file,
    quantise,
    read_index,
    read_map,
    read_scores,
    write_index,
    write_map,
    write_scores,
)

CLASSES = ("any", "left", "right")


def quantised(*probs):
    return quantise(torch.tensor(probs, dtype=torch.float32)).tolist()


def test_levels_are_rounded_probabilities_outside_the_dead_zone():
    probs = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    levels = quantise(probs).numpy().astype(float)
    exact = 255 * probs.double().numpy()
    kept = (levels > 0) & (levels < 255)
    assert np.abs(levels - exact)[kept].max() <= 0.5 + 1e-4
    assert (exact[levels == 0] < 3.5 + 1e-4).all()
    assert (exact[levels == 255] > 251.5 - 1e-4).all()


def test_every_level_outside_the_dead_zone_comes_back_as_itself():
    assert quantised(*(level / 255 for level in range(256))) == [0] * 4 + list(range(4, 252)) + [255] * 4


def test_the_dead_zone_starts_below_4_and_above_251():
    assert quantised(3 / 255, 3.49 / 255, 3.51 / 255, 4 / 255) == [0, 0, 4, 4]
    assert quantised(251 / 255, 251.49 / 255, 251.51 / 255, 252 / 255) == [251, 251, 255, 255]
    assert quantised(0.0, 1.0) == [0, 255]


def test_positive_from_128_on_means_greater_than_a_half_on_floats():
    half = np.float32(0.5)
    probs = [np.nextafter(half, np.float32(0)), half, np.nextafter(half, np.float32(1)), 0.499, 0.501]
    levels = quantised(*map(float, probs))
    assert [level > HALF_LEVEL for level in levels] == [prob > 0.5 for prob in probs]
    probs = 0.5 + torch.randn(50_000, generator=torch.Generator().manual_seed(1)) / 100
    assert torch.equal(quantise(probs) > HALF_LEVEL, probs > 0.5)


def test_quantise_keeps_its_input_and_its_shape():
    probs = torch.rand(2, 3, 4)
    before = probs.clone()
    assert quantise(probs).shape == (2, 3, 4)
    assert quantise(probs).dtype == torch.uint8
    assert torch.equal(probs, before)


@pytest.mark.parametrize("shape", [(3, 64, 48), (1, 1, 1), (29, 5, 700), (2, 513, 512)])
def test_maps_come_back_as_written(tmp_path, shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_map(tmp_path, "a", values)
    back = read_map(tmp_path, "a")
    assert back.dtype == np.uint8
    assert np.array_equal(back, values)


def test_a_damaged_map_is_named(tmp_path):
    write_map(tmp_path, "a", np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8))
    path = map_file(tmp_path, "a")
    whole = path.read_bytes()
    for share in (0.0, 0.3, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CompetitionError, match=rf"damaged.*{path.name}"):
            read_map(tmp_path, "a")


def test_a_missing_map_names_the_sample(tmp_path):
    write_map(tmp_path, "a", np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(CompetitionError, match=r"no map of sample 'b': .*b\.b2"):
        read_map(tmp_path, "b")


def test_scores_are_joined_by_key_whatever_the_order_of_rows_and_columns(tmp_path):
    samples = [f"p{number}" for number in range(20)]
    probs = np.random.default_rng(0).random((20, 3))
    write_scores(tmp_path, samples, CLASSES, probs)
    frame = pd.read_parquet(tmp_path / "scores.parquet")
    shuffled = frame.sample(frac=1, random_state=1)[["right", "sample", "any", "left"]]
    write_table(tmp_path / "scores.parquet", shuffled)
    assert np.array_equal(read_scores(tmp_path, samples, CLASSES), probs)
    wanted = ["p7", "p0", "p19"]
    assert np.array_equal(read_scores(tmp_path, wanted, ("left", "any")), probs[[7, 0, 19]][:, [1, 0]])
    assert read_scores(tmp_path, [], CLASSES).shape == (0, 3)


def test_scores_that_lack_something_say_what(tmp_path):
    with pytest.raises(CompetitionError, match=r"no scores: .*scores\.parquet"):
        read_scores(tmp_path, ["a"], CLASSES)
    write_scores(tmp_path, ["a", "b"], CLASSES, np.zeros((2, 3)))
    with pytest.raises(CompetitionError, match=r"no scores of sample 'c' \(2 missing\): .*scores\.parquet"):
        read_scores(tmp_path, ["a", "c", "d"], CLASSES)
    with pytest.raises(CompetitionError, match=r"no column 'both': .*scores\.parquet"):
        read_scores(tmp_path, ["a"], ("any", "both"))


def test_scores_with_a_sample_listed_twice_are_refused(tmp_path):
    write_scores(tmp_path, ["a", "b", "a"], CLASSES, np.random.default_rng(0).random((3, 3)))
    with pytest.raises(CompetitionError, match=r"'a' .*twice.*scores\.parquet"):
        read_scores(tmp_path, ["a", "b"], CLASSES)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e-9, 1.001])
def test_a_score_that_is_no_probability_is_named(tmp_path, value):
    probs = np.array([[0.0, 1.0, 0.5], [0.2, value, 0.5]])
    write_scores(tmp_path, ["a", "b"], CLASSES, probs)
    with pytest.raises(CompetitionError, match=rf"{CLASSES[1]} of sample 'b' is {value}, not a prob.*scores\.parquet"):
        read_scores(tmp_path, ["a", "b"], CLASSES)
    assert read_scores(tmp_path, ["a"], CLASSES).tolist() == [[0.0, 1.0, 0.5]]


def test_a_damaged_score_table_is_named(tmp_path):
    write_scores(tmp_path, ["a"], CLASSES, np.zeros((1, 3)))
    path = tmp_path / "scores.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CompetitionError, match=r"damaged.*scores\.parquet"):
        read_scores(tmp_path, ["a"], CLASSES)


def test_the_index_comes_back_and_its_absence_names_the_command(tmp_path):
    index = MapFolder(("disc", "bar"), ("a", "b"), {"config_hash": "abc", "epoch": 3})
    with pytest.raises(CompetitionError, match=r"index\.json\. Run train\."):
        read_index(tmp_path, "Run train")
    write_index(tmp_path, index)
    assert read_index(tmp_path, "Run train") == index


def test_a_table_of_text_that_is_not_utf_8_is_refused(tmp_path):
    names = pyarrow.StringArray.from_buffers(1, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0"), pyarrow.py_buffer(b"\x80"))
    table = pyarrow.table({"sample": names, "any": pyarrow.array([0.5])})
    pyarrow.parquet.write_table(table, tmp_path / "scores.parquet")
    with pytest.raises(CompetitionError, match=r"table can't be read \(.*UTF.*scores\.parquet"):
        read_scores(tmp_path, ["a"], ["any"], imported=True)
