import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from competition.phantoms import legs
from competition.tracks import get_track


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("legs")
    calls = []
    legs.draw(root, 6, 2, 512, 5, lambda: calls.append(1))
    assert len(calls) == 16
    return root


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_every_image_has_a_mask_of_each_bone_and_an_eighth_as_many_columns_as_rows(drawn):
    for images, answers, people in (
        ("train/images", "train/masks", range(1, 7)),
        ("test/images", "truth/masks", range(7, 9)),
    ):
        expected = sorted(f"{person:03d}_{side}.png" for person in people for side in "LR")
        for folder in (drawn / images, drawn / answers / "femur", drawn / answers / "tibia"):
            assert sorted(path.name for path in folder.iterdir()) == expected
            assert {read(path).shape for path in folder.iterdir()} == {(512, 64)}


def test_the_track_reads_what_was_drawn_and_no_person_is_in_two_splits(drawn):
    track = get_track("legs")
    listing = track.list_samples(drawn)
    assert not listing.problems
    assert track.classes == legs.BONES
    people = {
        split: {sample.group for sample in listing.samples if sample.split == split} for split in ("train", "test")
    }
    assert people == {"train": {f"{n:03d}" for n in range(1, 7)}, "test": {"007", "008"}}
    sample = next(sample for sample in listing.samples if sample.key == "003_L")
    grey, masks = legs.draw_leg(5, 3, "L", 512)
    np.testing.assert_array_equal(track.read_image(drawn / sample.images[0]), grey)
    planes = track.read_label(drawn / sample.label, grey.shape)
    np.testing.assert_array_equal(planes[..., 0], masks["femur"] + 2 * masks["tibia"])


def test_masks_are_the_outlines_as_pillow_fills_them(monkeypatch):
    outlines = []
    fill = legs.drawing.fill_polygon
    monkeypatch.setattr(
        legs.drawing, "fill_polygon", lambda points, size: outlines.append(points) or fill(points, size)
    )
    for person in range(1, 6):
        outlines.clear()
        grey, masks = legs.draw_leg(0, person, "R", 1024)
        assert grey.shape == (1024, 128)
        for bone, points in zip(legs.BONES, outlines, strict=False):
            canvas = Image.new("1", (128, 1024))
            ImageDraw.Draw(canvas).polygon([tuple(map(int, point)) for point in points], fill=1, outline=1)
            expected = np.asarray(canvas)
            union = (expected | (masks[bone] > 0)).sum()
            assert (expected & (masks[bone] > 0)).sum() > 0.99 * union
            assert cv2.connectedComponents(masks[bone])[0] == 2


def test_femur_is_above_tibia_and_neither_overlaps_the_other():
    for person in range(1, 11):
        for side in legs.SIDES:
            _, masks = legs.draw_leg(1, person, side, 512)
            femur, tibia = masks["femur"] > 0, masks["tibia"] > 0
            assert not (femur & tibia).any()
            assert np.nonzero(femur)[0].mean() < np.nonzero(tibia)[0].mean() - 150
            assert 0.09 < femur.mean() < 0.22
            assert 0.06 < tibia.mean() < 0.17


def test_bones_differ_in_place_length_and_tilt():
    def top_bottom_tilt(mask):
        rows = np.nonzero(mask.any(axis=1))[0]
        middles = [np.nonzero(mask[row])[0].mean() for row in (rows[len(rows) // 4], rows[3 * len(rows) // 4])]
        return rows[0], rows[-1] - rows[0], middles[1] - middles[0]

    legs_drawn = [legs.draw_leg(2, person, "R", 512)[1]["tibia"] for person in range(1, 21)]
    top, length, tilt = np.array([top_bottom_tilt(mask) for mask in legs_drawn]).T
    assert top.std() > 10
    assert length.std() > 8
    assert tilt.std() > 2


def test_bone_is_brighter_than_the_flesh_beside_it_and_no_threshold_finds_it():
    brighter, best = [], []
    for person in range(1, 11):
        grey, masks = legs.draw_leg(3, person, "L", 512)
        bone = np.maximum(masks["femur"], masks["tibia"])
        ring = cv2.dilate(bone, np.ones((7, 7), np.uint8)) - cv2.dilate(bone, np.ones((3, 3), np.uint8))
        brighter.append(np.median(grey[bone > 0]) - np.median(grey[ring > 0]))
        cuts = [grey > level for level in range(10, 250, 10)]
        best.append(max(2 * (cut & (bone > 0)).sum() / (cut.sum() + bone.sum()) for cut in cuts))
    assert min(brighter) > 4
    assert np.mean(best) < 0.85


def test_deterministic_and_independent_of_the_number_of_people(drawn, tmp_path):
    legs.draw(tmp_path, 2, 0, 512, 5, lambda: None)
    files = list(tmp_path.rglob("*.png"))
    assert len(files) == 12
    for path in files:
        assert path.read_bytes() == (drawn / path.relative_to(tmp_path)).read_bytes()
    assert (legs.draw_leg(6, 1, "R", 512)[0] != legs.draw_leg(5, 1, "R", 512)[0]).any()


@pytest.mark.parametrize("size", [16, 64])
def test_small_pictures_can_be_drawn(size):
    grey, masks = legs.draw_leg(0, 1, "R", size)
    assert grey.shape == (size, size // 8)
    assert all(mask.shape == grey.shape for mask in masks.values())
