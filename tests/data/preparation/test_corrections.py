"""Corrected labels override the organiser's, and untouched classes keep their pixels."""

from dataclasses import replace

import numpy as np
import pytest

from competition.data.cache import cache_sample, read_cached_planes
from competition.data.manifest import data_hash
from competition.data.preparation.corrected_files import format_targets, parse_targets
from competition.data.preparation.corrections import (
    Corrections,
    correct_planes,
    draw_objects,
    read_corrections,
    record_corrections,
    with_corrections,
)
from competition.errors import CompetitionError
from competition.formats.coco import write_coco
from competition.formats.csv_files import read_csv
from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.formats.labelme import write_labelme
from competition.masks.bit_planes import pack_masks, unpack_class, unpack_planes
from competition.tracks.track import Sample

CLASSES = ("disc", "square", "bar")


@pytest.fixture
def hands(tiny_hands):
    """Samples as their track listed them: the manifest does not keep the label's path."""
    samples = [
        Sample(each.sample, each.name, each.split, each.group, (each.name,), each.name.replace("hand", "mask"))
        for each in tiny_hands.train()
    ]
    return tiny_hands, tiny_hands.workspace.root / "raw", samples


def objects_of(planes) -> list[DrawnObject]:
    return [each for index, name in enumerate(CLASSES) for each in draw_objects(name, unpack_class(planes, index))]


def test_outlines_that_nobody_touched_keep_every_pixel(tiny_hands) -> None:
    noisy = pack_masks(np.random.default_rng(0).random((3, 40, 50)) < 0.4)
    objects = objects_of(noisy)
    assert (correct_planes(noisy, DrawnImage((40, 50), tuple(objects[::-1])), CLASSES) == noisy).all()


def test_a_changed_class_is_what_was_drawn_and_an_erased_one_is_empty() -> None:
    masks = np.zeros((3, 20, 20), bool)
    masks[0, 2:9, 2:9] = masks[1, 5:15, 5:15] = masks[2, 18] = True
    box = np.array([[1.0, 1], [5, 1], [5, 4], [1, 4]])
    drawn = [
        DrawnObject("disc", (box,)),
        DrawnObject("disc", (box + 10, box[:3] * 0 + 100)),
        *draw_objects("bar", masks[2]),
    ]
    after = unpack_planes(correct_planes(pack_masks(masks), DrawnImage((20, 20), tuple(drawn)), CLASSES), 3)
    expected = np.zeros((20, 20), bool)
    expected[1:4, 1:5] = expected[11:14, 11:15] = True
    assert (after[0] == expected).all()
    assert not after[1].any()
    assert (after[2] == masks[2]).all()


def test_a_correction_at_another_size_is_refused() -> None:
    planes = pack_masks(np.zeros((3, 20, 20), bool))
    with pytest.raises(CompetitionError, match=r"of 20x10, the image has 20x20 \(rows x columns\)"):
        correct_planes(planes, DrawnImage((20, 10), ()), CLASSES)


@pytest.mark.parametrize("form", ["labelme", "coco"])
def test_corrections_are_read_recorded_and_taken_back(hands, tmp_path, form) -> None:
    prepared, root, samples = hands
    folder = tmp_path / "corrections"
    folder.mkdir()
    images = {}
    for sample in samples[:2]:
        planes = read_cached_planes(prepared.workspace, sample.key)
        objects = objects_of(planes)
        if sample.key == "hand1":
            objects = [DrawnObject("square", each.rings) if each.label == "disc" else each for each in objects]
        images[sample.key] = DrawnImage((planes.shape[0], planes.shape[1]), tuple(objects))
    if form == "coco":
        write_coco(folder / "all.json", CLASSES, {f"images/{key}.png": image for key, image in images.items()})
    else:
        for key, image in images.items():
            write_labelme(folder / f"{key}.json", f"{key}.png", image.size_hw, image.objects)
    found = read_corrections(prepared.track, folder, samples)
    reading, corrected = with_corrections(prepared.track, root, samples, found)
    entries = [cache_sample(prepared.workspace, reading, root, sample)[0] for sample in corrected]
    before = prepared.train()
    pairs = list(zip(entries, before, strict=True))
    assert [one.fingerprint == other.fingerprint for one, other in pairs] == [False] * 2 + [True] * 8
    assert [one.labels == other.labels for one, other in pairs] == [True, False] + [True] * 8
    assert data_hash(entries) != data_hash(before)
    assert record_corrections(prepared.track, prepared.workspace, root, samples, entries, found) == 2
    header, rows = read_csv(prepared.workspace.corrections_file())
    assert header == ["sample", "name", "class", "before", "after", "dice"]
    disc, square = (fields for _, fields in rows)
    assert disc == ["hand1", "hand1.npy", "disc", str(before[1].areas[0]), "0", "0.0"]
    masks = unpack_planes(read_cached_planes(prepared.workspace, "hand1"), 3)
    truth = np.load(root / "mask1.npy")
    dice = 2 * (masks[1] & truth[1]).sum() / (masks[1].sum() + truth[1].sum())
    assert square[2:] == ["square", str(truth[1].sum()), str(masks[1].sum()), str(round(dice, 4))]
    assert record_corrections(prepared.track, prepared.workspace, root, samples, before, Corrections()) == 0
    assert not prepared.workspace.corrections_file().exists()


def test_corrected_targets_change_the_sample_alone(tiny_patients, tmp_path, capsys) -> None:
    root = tiny_patients.workspace.root / "raw"
    samples = [
        Sample(each.sample, each.name, "train", each.group, (None,) * 4, targets=each.targets)
        for each in tiny_patients.train()
    ]
    (tmp_path / "review.csv").write_text("sample,corrected,name\n2,any;right,2\n3,,3\n0,none,0\n")
    found = read_corrections(tiny_patients.track, tmp_path, samples)
    assert found.targets == {"2": (1, 0, 1), "0": (0, 0, 0)}
    track, corrected = with_corrections(tiny_patients.track, root, samples, found)
    assert track is tiny_patients.track
    assert [sample.targets for sample in corrected[:3]] == [(0, 0, 0), (0, 0, 0), (1, 0, 1)]
    entries = [
        replace(each, targets=sample.targets) for each, sample in zip(tiny_patients.train(), corrected, strict=True)
    ]
    assert record_corrections(track, tiny_patients.workspace, root, samples, entries, found) == 2
    _, rows = read_csv(tiny_patients.workspace.corrections_file())
    assert [fields for _, fields in rows] == [["2", "2", "left", "1", "0", ""], ["2", "2", "right", "0", "1", ""]]
    assert "2 samples read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("sample,corrected\n9,none\n", "'9' is a test sample"),
        ("sample,corrected\nx,none\n", "'x' is not in the data"),
        ("sample,corrected\n1,lft\n", "unknown class 'lft', did you mean 'left'"),
        ("sample,corrected\n1,none\n1,any\n", "'1' is corrected twice"),
        ("sample,corrected\n1,left\n", "any of sample '1' is 0, but another class is 1"),
        ("sample,wrong\n1,none\n", "corrected"),
    ],
)
def test_a_wrong_table_is_one_sentence(tiny_patients, tmp_path, table, message) -> None:
    samples = [Sample(str(n), str(n), "train", str(n), (None,) * 4, targets=(n % 2, n % 2, 0)) for n in range(9)]
    samples.append(Sample("9", "9", "test", "9", (None,) * 4))
    (tmp_path / "review.csv").write_text(table)
    with pytest.raises(CompetitionError, match=message):
        read_corrections(tiny_patients.track, tmp_path, samples)


@pytest.mark.parametrize(("corrected", "count"), [("none", 0), ("left;right", 2)])
def test_a_sample_of_one_class_is_not_corrected_to_none_or_several(tiny_patients, tmp_path, corrected, count) -> None:
    track = replace(tiny_patients.track, targets="multiclass")
    samples = [Sample(str(n), str(n), "train", str(n), (None,) * 4, targets=(0, n % 2, 1 - n % 2)) for n in range(4)]
    (tmp_path / "review.csv").write_text("sample,corrected\n1,right\n")
    assert read_corrections(track, tmp_path, samples).targets == {"1": (0, 0, 1)}
    (tmp_path / "review.csv").write_text(f"sample,corrected\n1,{corrected}\n")
    with pytest.raises(CompetitionError, match=f"sample '1' is corrected to {count} classes"):
        read_corrections(track, tmp_path, samples)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no JSON file of labelme or COCO"),
        ({"hand1.json": "dics"}, "unknown class 'dics' of sample 'hand1', did you mean 'disc'"),
        ({"hand77.json": "disc"}, "'hand77' is not in the data"),
    ],
)
def test_wrong_masks_are_one_sentence(hands, tmp_path, files, message) -> None:
    prepared, _, samples = hands
    for name, label in files.items():
        ring = np.array([[1.0, 1], [5, 1], [5, 4]])
        write_labelme(tmp_path / name, "a.png", (64, 64), [DrawnObject(label, (ring,))])
    with pytest.raises(CompetitionError, match=message):
        read_corrections(prepared.track, tmp_path, samples)


def test_targets_are_written_as_they_are_read() -> None:
    for targets in ((0, 0, 0), (1, 0, 1), (1, 1, 1)):
        assert parse_targets(format_targets(targets, CLASSES), CLASSES, "") == targets
