import hashlib
import json

import cv2
import numpy as np
import pytest

from competition.phantoms.hand_bone import phantom as hand

pytestmark = pytest.mark.slow

CLASSES = [
    *(f"finger-{number}" for number in range(1, 20)),
    *("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform", "Radius", "Ulna"),
]
SEED = 7


def masks_of(polygons, size):
    """The organisers' way: one cv2.fillPoly per class."""
    masks = np.zeros((len(polygons), size, size), np.uint8)
    for mask, polygon in zip(masks, polygons, strict=True):
        cv2.fillPoly(mask, [np.asarray(polygon, np.int32)], 1)
    return masks.astype(bool)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("hands")
    calls = []
    hand.draw(root, 3, 2, 512, SEED, lambda: calls.append(1))
    assert len(calls) == 10
    return root


@pytest.fixture(scope="module")
def native():
    """Masks at 2048 of three people, straight, and their polygons."""
    hands = [
        hand.draw_hand(SEED, person, side, False, 2048) for person, side in ((1, "right"), (2, "left"), (3, "right"))
    ]
    return [(masks_of(polygons, 2048), polygons) for _, polygons in hands]


def annotations(root):
    return sorted((root / "train" / "outputs_json").rglob("*.json")) + sorted((root / "truth").rglob("*.json"))


def test_layout_is_the_organisers(drawn):
    pictures = sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.png"))
    answers = sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.json"))
    assert len(pictures) == 10
    expected = [
        path.replace("test/DCM", "truth/outputs_json")
        .replace("train/DCM", "train/outputs_json")
        .replace(".png", ".json")
        for path in pictures
    ]
    assert answers == sorted(expected)
    assert [path.split("/")[:3] for path in pictures[::2]] == [
        ["test", "DCM", "ID004"],
        ["test", "DCM", "ID005"],
        ["train", "DCM", "ID001"],
        ["train", "DCM", "ID002"],
        ["train", "DCM", "ID003"],
    ]
    stems = [path.split("/")[-1] for path in pictures]
    assert len(set(stems)) == len(stems)
    suffixes = [stem.removeprefix("image")[13:] for stem in stems]
    assert suffixes == [".png"] * 4 + ["_R.png", "_L.png"] + [".png"] * 4


def test_pictures_are_grey_in_three_equal_channels(drawn):
    for path in drawn.rglob("*.png"):
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (512, 512, 3)
        assert picture.dtype == np.uint8
        assert np.ptp(picture, axis=2).max() == 0
        assert 0.05 < picture.mean() / 255 < 0.25


def test_annotation_files_hold_every_class_once_and_all_five_traps(drawn):
    paths = annotations(drawn)
    assert len(paths) == 10
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        labels = [entry["label"] for entry in content["annotations"]]
        assert sorted(labels) == sorted(CLASSES)
        assert labels != CLASSES
        assert (labels[0], labels[-1]) == ("Radius", "Pisiform")
        assert content["metadata"] == {"height": 3060, "width": 3060}
        assert content["filename"] == path.stem + ".jpg"
        assert not (drawn / content["parent_path"].lstrip("/")).exists()
        for entry in content["annotations"]:
            points = entry["points"]
            assert all(len(point) == 2 and all(type(value) is int for value in point) for point in points)
            assert np.min(points) >= 0
            assert np.max(points) < 512
            if entry["label"] not in ("Radius", "Ulna"):
                assert 17 <= len(points) <= 63


def test_first_image_of_a_person_is_the_right_hand(drawn):
    for person in sorted((drawn / "train" / "outputs_json").iterdir()):
        for place, path in enumerate(sorted(person.iterdir())):
            entries = json.loads(path.read_text(encoding="utf-8"))["annotations"]
            x = {entry["label"]: np.mean([point[0] for point in entry["points"]]) for entry in entries}
            assert (x["finger-1"] < x["finger-16"]) == (place == 0)
            assert (x["Radius"] < x["Ulna"]) == (place == 0)


def test_fingers_are_in_anatomical_order_and_the_forearm_leaves_by_the_lower_edge(native):
    for masks, _ in native:
        y = [np.nonzero(mask.any(axis=1))[0].mean() for mask in masks]
        for first, last in ((0, 2), (3, 6), (7, 10), (11, 14), (15, 18)):
            assert all(y[bone] < y[bone + 1] for bone in range(first, last))
        assert min(y[7:8]) == min(y)
        assert masks[-2:, -1].any(axis=1).all()
        assert not masks[:-2, -1].any()
        assert max(y[19:27]) < min(y[27:])


def test_areas_and_overlaps_are_near_the_measured_ones(native):
    measured = {"finger-3": 26666, "finger-4": 4950, "finger-7": 35311, "finger-8": 5743, "finger-11": 32278,
                "finger-12": 5668, "finger-16": 3895, "Pisiform": 4327, "Radius": 75128, "Ulna": 39456}  # fmt: skip
    areas = np.mean([masks.sum(axis=(1, 2)) for masks, _ in native], axis=0)
    for name, area in measured.items():
        assert areas[CLASSES.index(name)] == pytest.approx(area, rel=0.25), name

    def inside(masks, name, other):
        one, two = masks[CLASSES.index(name)], masks[CLASSES.index(other)]
        return (one & two).sum() / one.sum()

    assert np.mean([inside(masks, "Pisiform", "Triquetrum") for masks, _ in native]) == pytest.approx(0.79, abs=0.1)
    assert np.mean([inside(masks, "Trapezoid", "Trapezium") for masks, _ in native]) == pytest.approx(0.29, abs=0.08)
    layers = [masks.sum(axis=0) for masks, _ in native]
    assert np.mean([(count >= 2).mean() for count in layers]) == pytest.approx(0.0042, abs=0.0015)
    assert max(int(count.max()) for count in layers) == 3


def test_forearm_polygons_are_dense_pixel_chains_at_2048(native):
    for _, polygons in native:
        for polygon in polygons[-2:]:
            assert len(polygon) >= 1000
            steps = np.abs(polygon - np.roll(polygon, 1, axis=0)).max(axis=1)
            assert steps.max() == 1


def test_forearm_chain_fills_to_the_drawn_bone():
    """The chain and the outline it was taken from give the same mask, or the label would not be the bone."""
    for person in range(1, 5):
        _, polygons = hand.draw_hand(SEED, person, "right", True, 640)
        for polygon in polygons[-2:]:
            mask = masks_of([polygon], 640)[0]
            chains, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            assert len(chains) == 1
            np.testing.assert_array_equal(masks_of([chains[0]], 640)[0], mask)


def test_bones_are_brighter_than_what_surrounds_them_and_overlaps_brighter_still():
    brighter, overlap = [], []
    for person in range(1, 5):
        grey, polygons = hand.draw_hand(SEED, person, "left", False, 768)
        masks = masks_of(polygons, 768)
        for bone in range(19):
            mask = masks[bone].astype(np.uint8)
            around = cv2.dilate(mask, np.ones((11, 11), np.uint8)).astype(bool) & ~cv2.dilate(
                masks.any(axis=0).astype(np.uint8), np.ones((5, 5), np.uint8)
            ).astype(bool)
            brighter.append(grey[masks[bone]].mean() - grey[around].mean())
        pisiform, triquetrum = masks[CLASSES.index("Pisiform")], masks[CLASSES.index("Triquetrum")]
        overlap.append(grey[pisiform & triquetrum].mean() - grey[triquetrum & ~pisiform].mean())
    assert min(brighter) > 10
    assert min(overlap) > 10


def test_no_threshold_on_brightness_finds_the_bones():
    best = []
    for person in range(1, 5):
        grey, polygons = hand.draw_hand(SEED, person, "right", False, 512)
        bone = masks_of(polygons, 512).any(axis=0)
        best.append(
            max(2 * (bone & (grey > cut)).sum() / (bone.sum() + (grey > cut).sum()) for cut in range(0, 250, 5))
        )
    # And this is bone against the rest: which of the 29 it is, no threshold can say.
    assert np.mean(best) < 0.95


def test_size_scales_everything():
    small, large = (hand.draw_hand(SEED, 2, "right", True, size)[1] for size in (512, 1024))
    for one, two in zip(small[:-2], large[:-2], strict=True):
        assert np.abs((one + 0.5) * 2 - (two + 0.5)).max() <= 2.0


def test_same_seed_same_bytes_and_a_person_is_independent_of_the_others(drawn, tmp_path):
    hand.draw(tmp_path, 1, 0, 512, SEED, lambda: None)
    for path in tmp_path.rglob("ID*/*.*"):
        twin = drawn / path.relative_to(tmp_path)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(twin.read_bytes()).digest()
    assert len(list(tmp_path.rglob("ID*/*.*"))) == 4
    other, _ = hand.draw_hand(SEED + 1, 1, "right", False, 512)
    same, _ = hand.draw_hand(SEED, 1, "right", False, 512)
    assert (other != same).mean() > 0.1


@pytest.mark.parametrize(
    ("share", "people"), [(hand.TRAIN_OBLIQUE, 400), (hand.TEST_OBLIQUE, 144), (0.0, 50), (1.0, 50)]
)
def test_share_of_bent_wrists(share, people):
    for seed in (0, 7):
        count = sum(hand.is_oblique(seed, person, share) for person in range(1, people + 1))
        assert count == pytest.approx(share * people, abs=3)


def test_the_list_of_wrists_tells_how_each_person_was_drawn(tmp_path):
    hand.draw(tmp_path, 4, 2, 64, SEED, lambda: None)
    header, *rows = (line.split(",") for line in (tmp_path / "strata.csv").read_text().splitlines())
    assert header == ["ID", "stratum"]
    assert [name for name, _ in rows] == [f"ID{number:03d}" for number in range(1, 7)]
    assert {stratum for _, stratum in rows} == {"oblique", "straight"}
    for number, (name, stratum) in enumerate(rows, start=1):
        (file,) = tmp_path.rglob(f"outputs_json/{name}/{hand.image_stems(SEED, number)[0]}.json")
        points = {entry["label"]: entry["points"] for entry in json.loads(file.read_text())["annotations"]}
        _, polygons = hand.draw_hand(SEED, number, "right", stratum == "oblique", 64)
        assert points["finger-11"] == polygons[10].tolist()


def test_bent_wrists_are_bent():
    def bend(oblique, person):
        """Angle between the forearm's edge and the middle metacarpal."""
        _, polygons = hand.draw_hand(SEED, person, "right", oblique, 512)

        def direction(polygon):
            line = cv2.fitLine(polygon.astype(np.float32), cv2.DIST_L2, 0, 0.01, 0.01).ravel()
            return np.degrees(np.arctan2(line[0], line[1]))

        angle = abs(direction(polygons[10]) - direction(polygons[28])) % 180
        return min(angle, 180 - angle)

    people = range(1, 7)
    assert np.mean([bend(True, person) for person in people]) > np.mean([bend(False, person) for person in people]) + 6
