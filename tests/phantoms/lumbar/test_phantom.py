"""The drawn spines: every trap of the real files is planted, the answers fit the pictures, the anatomy holds."""

import hashlib
from itertools import pairwise

import h5py
import numpy as np
import pydicom
import pytest
import scipy.io

from competition.masks.bit_planes import unpack_planes
from competition.phantoms.lumbar import phantom as spine
from competition.phantoms.lumbar.phantom import form_of
from competition.phantoms.lumbar.picture import draw_spine
from competition.tracks.lumbar.labels import read_vertebrae
from competition.tracks.lumbar.track import LUMBAR, list_spines, read_spine

SIZE = 120
PEOPLE = 5


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("spines")
    calls = []
    spine.draw(root, PEOPLE, 1, SIZE, 4, lambda: calls.append(1))
    assert len(calls) == 2 * (PEOPLE + 1)
    return root


@pytest.fixture(scope="module")
def pictures():
    """Masks and picture of a dozen people, a little larger."""
    return [draw_spine(4, person, person % 2, 240) for person in range(1, 13)]


def test_the_layout_is_the_organisers(drawn):
    numbers = range(1, 2 * PEOPLE + 1)
    assert sorted(int(path.stem) for path in (drawn / "train/img").iterdir()) == list(numbers)
    assert sorted(path.name for path in (drawn / "train/label").iterdir()) == [f"{n:03d}.mat" for n in numbers]
    assert sorted(path.stem for path in (drawn / "test/img").iterdir()) == ["11", "12"]
    assert sorted(path.name for path in (drawn / "truth/label").iterdir()) == ["011.mat", "012.mat"]
    # Unpadded names sort otherwise than padded ones: pairing by order would go wrong.
    images = [int(path.stem) for path in sorted((drawn / "train/img").iterdir())]
    labels = [int(path.stem) for path in sorted((drawn / "train/label").iterdir())]
    assert images != labels


def test_the_track_reads_it_whole_with_two_pictures_per_person(drawn):
    listing = list_spines(drawn)
    assert (listing.problems, listing.remarks) == ([], [])
    groups = [sample.group for sample in listing.samples if sample.split == "train"]
    people = [f"SPINE-{person:04d}" for person in range(1, PEOPLE + 1) for _ in range(2)]
    assert groups == ["patient-" + hashlib.sha256(person.encode()).hexdigest()[:10] for person in people]


def test_every_trap_is_planted(drawn):
    datasets = [pydicom.dcmread(path) for path in (drawn / "train/img").iterdir()]
    assert {dataset.PhotometricInterpretation for dataset in datasets} == {"MONOCHROME1", "MONOCHROME2"}
    syntaxes = {dataset.file_meta.TransferSyntaxUID.name.split(",")[0] for dataset in datasets}
    assert syntaxes == {"Explicit VR Little Endian", "RLE Lossless", "JPEG Lossless"}
    assert {path.suffix for path in (drawn / "train/img").iterdir()} == {".dcm", ".DCM"}
    assert {"RescaleSlope" in dataset for dataset in datasets} == {True, False}
    assert all(dataset.pixel_array.dtype == np.uint16 for dataset in datasets)
    assert len({dataset.pixel_array.shape for dataset in datasets}) > 7
    labels = list((drawn / "train/label").iterdir())
    assert {h5py.is_hdf5(path) for path in labels} == {True, False}
    backgrounds, turned = set(), set()
    for path in labels:
        if h5py.is_hdf5(path):
            stored = h5py.File(path)["label_separated"][()].transpose(2, 1, 0)
        else:
            stored = scipy.io.loadmat(path)["label_separated"]
        assert stored.shape[2] == 7
        backgrounds.add(int(stored[..., 6].max()))
        size = next(
            d for d, p in zip(datasets, (drawn / "train/img").iterdir(), strict=True) if int(p.stem) == int(path.stem)
        )
        turned.add(stored.shape[:2] == (size.Columns, size.Rows))
    assert backgrounds == {1, 255}
    assert turned == {True, False}


@pytest.mark.slow
def test_files_hold_what_was_drawn(drawn):
    for sample in list_spines(drawn).samples:
        number = int(sample.name.split(".")[0])
        light, masks, mm = draw_spine(4, (number + 1) // 2, (number + 1) % 2, SIZE)
        path = drawn / str(sample.images[0])
        expected = (light - light.min()) / (light.max() - light.min()) * 255
        assert np.abs(read_spine(path).astype(np.float64) - expected).max() < 0.6
        label = drawn / (sample.label or f"truth/label/{number:03d}.mat")
        np.testing.assert_array_equal(unpack_planes(read_vertebrae(label, masks.shape[1:]), 6), masks)
        assert LUMBAR.read_spacing is not None
        assert LUMBAR.read_spacing(path) == pytest.approx((mm, mm), abs=1e-5)


def test_the_answers_of_the_test_are_in_the_plainest_form(drawn):
    for path in (drawn / "truth/label").iterdir():
        stored = scipy.io.loadmat(path)["label_separated"]
        assert set(np.unique(stored)) == {0, 1}
        np.testing.assert_array_equal(stored[..., 6] == 1, ~stored[..., :6].any(axis=-1))


def test_among_the_first_eight_numbers_every_form_occurs():
    forms = [form_of(number) for number in range(1, 9)]
    for name in ("inverted", "rescaled", "capitals", "version_73", "background_255", "transposed"):
        assert {getattr(form, name) for form in forms} == {True, False}
    assert {form.compression for form in forms} == {"none", "rle", "jpeg_lossless"}


def test_vertebrae_lie_below_each_other_and_apart(pictures):
    for _, masks, _ in pictures:
        rows = [np.nonzero(mask)[0].mean() for mask in masks if mask.any()]
        assert rows == sorted(rows)
        assert len(rows) >= 5
        assert (masks.sum(axis=0) <= 1).all()


def test_of_one_in_five_the_topmost_is_outside(pictures):
    empty = [not masks[0].any() for _, masks, _ in pictures]
    assert empty == [person % 5 == 3 for person in range(1, 13)]
    assert all(masks[1:].any(axis=(1, 2)).all() for _, masks, _ in pictures)


def test_bodies_have_human_measures(pictures):
    for _, masks, mm in pictures:
        areas = masks[1:].sum(axis=(1, 2)) * mm**2
        assert (areas > 480).all()  # 24 mm high and 29 deep, less the corners and a fracture
        assert (areas < 1500).all()


def test_bodies_are_brighter_than_their_discs(pictures):
    differences = []
    for light, masks, _ in pictures:
        for upper, lower in pairwise(masks[1:]):
            between = (np.nonzero(upper)[0].max() + np.nonzero(lower)[0].min()) // 2
            column = round((np.nonzero(upper)[1].mean() + np.nonzero(lower)[1].mean()) / 2)
            disc = light[between - 1 : between + 2, column - 2 : column + 3].mean()
            differences.append((light[upper].mean() + light[lower].mean()) / 2 - disc)
    assert np.mean(np.array(differences) > 0) > 0.85


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_people(drawn, tmp_path):
    spine.draw(tmp_path, 2, 0, SIZE, 4, lambda: None)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 8
    for path in files:
        assert path.read_bytes() == (drawn / path.relative_to(tmp_path)).read_bytes()
    other, same = draw_spine(5, 1, 0, SIZE)[1], draw_spine(4, 1, 0, SIZE)[1]
    assert other.shape != same.shape or (other != same).any()


def test_two_visits_show_the_same_person_otherwise():
    first, second = draw_spine(4, 1, 0, 400), draw_spine(4, 1, 1, 400)
    assert first[0].shape != second[0].shape
    depth = [np.sqrt(masks[3].sum()) * mm for _, masks, mm in (first, second)]
    assert depth[0] == pytest.approx(depth[1], rel=0.03)
