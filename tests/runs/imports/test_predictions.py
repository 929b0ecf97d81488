"""Imported arrays and submissions, against levels worked out in exact fractions, and every array that can't be read."""

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from array_submissions import CLASSES as VERTEBRAE
from array_submissions import array_of, random_masks, zip_of

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.prediction.probability_maps import read_scores, write_scores
from competition.runs.imports.predictions import (
    hold_masks,
    open_imported_maps,
    read_imported_map,
    read_imported_scores,
)
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.run_lengths.form import RunLengthForm

CLASSES = ("disc", "square", "bar")
SIZE = (5, 4)


def map_of(array, classes, size_hw, name="a.npy"):
    """Read an array back as another program would have saved it."""
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / name, array)
        return read_imported_map(Path(folder) / name, CLASSES[:classes], size_hw)


def exact_level(prob):
    """ceil(255 p - 1/2) without any rounding, then the dead zone."""
    value = Fraction(float(prob)) * 255 - Fraction(1, 2)
    level = -(-value.numerator // value.denominator)
    return 0 if level < 4 else 255 if level > 251 else level


def probabilities(dtype, seed=0):
    random = np.random.default_rng(seed)
    probs = random.random((3, *SIZE)).astype(dtype)
    probs[0, 0] = np.array([0, 0.5, 1, 0.015], dtype)
    probs[0, 1] = np.nextafter(dtype(0.5), dtype(1)), np.nextafter(dtype(0.5), dtype(0)), dtype(0.984), dtype(0.986)
    return probs


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("last", [False, True])
def test_floats_become_the_exact_levels_in_either_order_of_axes(dtype, last):
    probs = probabilities(dtype)
    found = map_of(np.moveaxis(probs, 0, -1) if last else probs, 3, SIZE)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[exact_level(value) for value in row] for row in plane] for plane in probs]
    assert found[0, 0, 1] == 127
    # What is greater than 0.5 as a float is greater than the cut of 0.5.
    np.testing.assert_array_equal(found > 127, probs > dtype(0.5))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_level_survives_as_a_float(dtype):
    levels = np.array([0, *range(4, 252), 255], np.uint8).reshape(1, 10, 25)
    np.testing.assert_array_equal(map_of((levels / 255).astype(dtype), 1, (10, 25)), levels)


def test_levels_and_masks_stay_what_they_are():
    levels = np.arange(60, dtype=np.uint8).reshape(3, *SIZE)
    expected = np.where(levels < 4, 0, levels)
    np.testing.assert_array_equal(map_of(levels, 3, SIZE), expected)
    assert levels[0, 0, 1] == 1  # theirs is not changed
    mask = np.random.default_rng(1).random((*SIZE, 3)) < 0.5
    np.testing.assert_array_equal(map_of(mask, 3, SIZE), np.moveaxis(mask, -1, 0) * 255)
    assert map_of(np.zeros((3, *SIZE), np.uint8), 3, SIZE).max() == 0


@pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (5, 4, 1)])
def test_one_class_needs_no_axis_of_its_own(shape):
    probs = np.random.default_rng(2).random(SIZE)
    np.testing.assert_array_equal(map_of(probs.reshape(shape), 1, SIZE), map_of(probs[None], 1, SIZE))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((4, 5, 4)), r"shape \(4, 5, 4\) fits neither \(3, 5, 4\) .* nor \(5, 4, 3\)"),  # a class too many
        (np.zeros((3, 4, 5)), r"shape \(3, 4, 5\) fits neither \(3, 5, 4\)"),  # rows and columns changed places
        (np.zeros((5, 4)), r"shape \(5, 4\) fits neither"),
        (np.full((3, 5, 4), np.nan), "a probability is NaN"),
        (np.full((3, 5, 4), 255.0), "255 is not a probability from 0 to 1.*not logits"),
        (np.full((3, 5, 4), -0.01), "-0.01 is not a probability"),
        (np.full((3, 5, 4), np.inf), "inf is not a probability"),
        (np.ones((3, 5, 4), np.uint8), "none is above 1.*Save masks as bool"),
        (np.ones((3, 5, 4), np.int64), "values of type int64"),
        (np.ones((3, 5, 4), np.complex64), "values of type complex64"),
    ],
)
def test_what_is_no_map_of_probabilities_is_named(array, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        map_of(array, 3, SIZE, "a.npy")


def test_one_wrong_value_of_the_last_class_is_found():
    probs = np.zeros((3, *SIZE), np.float32)
    probs[2, -1, -1] = np.nan
    with pytest.raises(CompetitionError, match="NaN"):
        map_of(probs, 3, SIZE)


def test_a_mean_of_ones_may_be_rounded():
    ones = np.full((3, *SIZE), np.float32(1.0000001))
    assert (map_of(ones, 3, SIZE) == 255).all()


def test_a_cube_is_ambiguous():
    with pytest.raises(CompetitionError, match=r"can be \(classes, rows, columns\) and \(rows, columns, classes\)"):
        map_of(np.zeros((3, 3, 3)), 3, (3, 3))


def test_files_of_one_array_and_of_one_for_each_class(tmp_path):
    probs = probabilities(np.float32)
    expected = map_of(probs, 3, SIZE)
    np.save(tmp_path / "a.npy", probs)
    np.savez(tmp_path / "b.npz", probs)
    np.savez_compressed(tmp_path / "c.npz", whatever=np.moveaxis(probs, 0, -1))
    np.savez_compressed(tmp_path / "d.npz", bar=probs[2], disc=probs[0], square=probs[1])
    for name in ("a.npy", "b.npz", "c.npz", "d.npz"):
        np.testing.assert_array_equal(read_imported_map(tmp_path / name, CLASSES, SIZE), expected)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (("disc", "square"), "holds 2 arrays and lacks 'bar'"),
        (("disc", "square", "baar"), "holds 3 arrays and lacks 'bar' and has unknown 'baar'"),
        (("disc", "square", "bar", "ring"), "holds 4 arrays and has unknown 'ring'"),
    ],
)
def test_named_arrays_must_be_those_of_the_classes(tmp_path, keys, sentence):
    np.savez(tmp_path / "a.npz", **{key: np.zeros(SIZE) for key in keys})
    with pytest.raises(CompetitionError, match=sentence):
        read_imported_map(tmp_path / "a.npz", CLASSES, SIZE)


def test_a_wrong_array_of_a_class_is_named_with_the_class(tmp_path):
    np.savez(tmp_path / "a.npz", disc=np.zeros(SIZE), square=np.zeros(SIZE), bar=np.zeros((4, 4)))
    with pytest.raises(CompetitionError, match=r"a\.npz, bar"):
        read_imported_map(tmp_path / "a.npz", CLASSES, SIZE)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path, name, share):
    path = tmp_path / name
    probs = np.random.default_rng(3).random((3, *SIZE))
    np.save(path, probs) if name.endswith("y") else np.savez_compressed(path, probs)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CompetitionError, match=rf"can't be read as an array .*{name}"):
        read_imported_map(path, CLASSES, SIZE)


def test_nothing_is_ever_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(CompetitionError, match="can't be read as an array"):
        read_imported_map(tmp_path / "a.npy", CLASSES, SIZE)


def write_uint8(folder, *arrays):
    files = []
    for number, array in enumerate(arrays):
        np.save(folder / f"{number}.npy", array.astype(np.uint8))
        files.append((folder / f"{number}.npy", SIZE))
    return files


def test_a_set_of_zeros_and_ones_is_one_of_masks(tmp_path):
    random = np.random.default_rng(5)
    masks = [random.random((3, *SIZE)) < 0.5, np.zeros((3, *SIZE)), random.random((*SIZE, 3)) < 0.5]
    files = write_uint8(tmp_path, *masks)
    assert hold_masks(files, CLASSES)
    np.testing.assert_array_equal(read_imported_map(files[0][0], CLASSES, SIZE, masks=True), masks[0] * 255)
    np.testing.assert_array_equal(
        read_imported_map(files[2][0], CLASSES, SIZE, masks=True), np.moveaxis(masks[2], -1, 0) * 255
    )


@pytest.mark.parametrize("last", [np.full((3, *SIZE), 2), np.full((3, *SIZE), 255)])
def test_one_level_above_1_makes_all_of_them_levels(tmp_path, last):
    assert not hold_masks(write_uint8(tmp_path, np.ones((3, *SIZE)), last), CLASSES)


def test_nothing_but_zeros_and_floats_are_no_masks(tmp_path):
    assert not hold_masks(write_uint8(tmp_path, np.zeros((3, *SIZE)), np.zeros((3, *SIZE))), CLASSES)
    np.save(tmp_path / "f.npy", np.ones((3, *SIZE), np.float32))
    assert not hold_masks([(tmp_path / "f.npy", SIZE), *write_uint8(tmp_path, np.ones((3, *SIZE)))], CLASSES)
    assert not hold_masks([], CLASSES)


@pytest.mark.parametrize("dtype", ["<U100000000", "|S3", "<i8", "<M8[s]"])
def test_a_type_of_any_size_is_refused_before_it_is_read(tmp_path, dtype):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (3, 5, 4), }}".ljust(117).encode() + b"\n"
    with (tmp_path / "a.npy").open("wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        file.truncate(10 + len(header) + 60 * np.dtype(dtype).itemsize)  # a hole, no bytes on disk
    with pytest.raises(CompetitionError, match=r"values of type .*a\.npy"):
        read_imported_map(tmp_path / "a.npy", CLASSES, SIZE)


@pytest.mark.parametrize(("value", "kept"), [(1.0000001, 1.0), (-1e-7, 0.0), (0.75, 0.75)])
def test_scores_that_are_rounded_beside_0_or_1_can_be_kept(shared_patients, tmp_path, value, kept):
    entry, classes = shared_patients.manifest.of("test")[0], shared_patients.track.classes
    path = tmp_path / "theirs.csv"
    path.write_text(f"Index,{','.join(classes)}\n{entry.name},{value:.7f}{',0' * (len(classes) - 1)}\n")
    found = read_imported_scores([path], classes, [entry], shared_patients.track.form).read[entry.sample]()
    write_scores(tmp_path, [entry.sample], classes, found[None])
    assert read_scores(tmp_path, [entry.sample], classes).tolist() == [[kept, *[0.0] * (len(classes) - 1)]]
    path.write_text(path.read_text().replace(f"{value:.7f}", "1.001"))
    with pytest.raises(CompetitionError, match=r"1\.001 is not a probability"):
        read_imported_scores([path], classes, [entry], shared_patients.track.form)


@pytest.fixture
def predicted(shared_hands):
    """Two test images and their masks."""
    entries = shared_hands.manifest.of("test")
    masks = {entry.name: random_masks(n, (entry.height, entry.width)) for n, entry in enumerate(entries)}
    return entries, masks


def test_a_zip_of_arrays_and_run_lengths_give_the_same_maps(predicted, tmp_path):
    entries, masks = predicted
    for form in (ArrayZipForm(), RunLengthForm()):
        path = tmp_path / f"s{form.ending}"
        form.write(path, VERTEBRAE, [(name, pack_masks(each)) for name, each in masks.items()])
        found = open_imported_maps([path], VERTEBRAE, entries, form)
        assert found.files == [path]
        for entry in entries:
            values = found.read[entry.sample]()
            assert values.dtype == np.uint8
            np.testing.assert_array_equal(values, 255 * masks[entry.name].astype(np.uint8))


def test_a_zip_that_does_not_fit_is_refused(predicted, tmp_path):
    entries, masks = predicted
    first = array_of(masks[entries[0].name])
    stem = entries[0].name.removesuffix(".npy")
    one = zip_of(tmp_path / "one.zip", **{f"_{stem}": first})
    with pytest.raises(CompetitionError, match="1 of 2 samples are not predicted"):
        open_imported_maps([one], VERTEBRAE, entries, ArrayZipForm())
    odd = zip_of(tmp_path / "odd.zip", **{f"_{stem}": first, "other": first})
    with pytest.raises(CompetitionError, match=r"1 predictions belong to none of the 2 samples \(other\)"):
        open_imported_maps([odd], VERTEBRAE, entries, ArrayZipForm())
    turned = zip_of(tmp_path / "turned.zip", **{f"_{stem}": np.ascontiguousarray(first[:-1])})
    found = open_imported_maps([turned], VERTEBRAE, entries[:1], ArrayZipForm())
    with pytest.raises(CompetitionError, match=r"\.npy is .*, its image has"):
        found.read[entries[0].sample]()
