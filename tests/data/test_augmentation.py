import albumentations as A
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from competition.data.augmentation import PRESETS, Augmenter, Exposure, check_augmentation
from competition.data.boxes import Box
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, plane_count, unpack_planes
from competition.tracks import get_track

SIDE = 96
SEEDS = range(12)


def square(side: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A bright square on dark ground, off the centre, and its mask."""
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 4 * 3, side // 3 : side // 4 * 3] = True
    return np.where(mask, 220, 30).astype(np.uint8), mask


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("preset", ["light", "strong", "turning"])
def test_a_label_moves_with_its_image(preset: str) -> None:
    image, mask = square()
    augment = Augmenter(preset)
    moved = 0
    for seed in range(30):
        images, planes = augment([image], pack_masks(mask[None]), seed)
        assert planes is not None
        label = unpack_planes(planes, 1)[0]
        # Brightness may change, so the cut lies between what the square and its surroundings have become.
        cut = (images[0][label].mean() + images[0][~label].mean()) / 2
        assert dice(images[0] > cut, label) > 0.9
        moved += dice(mask, label) < 0.9
    assert moved > 5  # the label of the unmoved image would not have passed


@pytest.mark.slow
@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("classes", [1, 8, 29, 41])
def test_packed_classes_move_exactly_as_masks_one_by_one(preset: str, classes: int) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    masks = np.zeros((classes, SIDE, SIDE), bool)
    for mask in masks:
        top, left = random.integers(0, SIDE // 2, 2)
        mask[top : top + SIDE // 2, left : left + SIDE // 3] = True
    augment = Augmenter(preset)
    for seed in SEEDS:
        _, planes = augment([image], pack_masks(masks), seed)
        assert planes is not None
        assert (planes.shape, planes.dtype) == ((SIDE, SIDE, plane_count(classes)), np.uint8)
        packed = unpack_planes(planes, classes)
        for mask, moved in zip(masks[::5], packed[::5], strict=True):
            _, alone = augment([image], mask[..., None].astype(np.uint8), seed)
            assert alone is not None
            np.testing.assert_array_equal(moved, alone[..., 0].astype(bool))
        assert packed.any(axis=(1, 2)).all()
        unused = planes[..., -1] >> (classes - 8 * (plane_count(classes) - 1))
        assert classes % 8 == 0 or not unused.any()


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"none"}))
def test_the_same_seed_gives_the_same_picture_whatever_came_before(preset: str) -> None:
    image, mask = square()
    planes = pack_masks(mask[None])
    augment, other = Augmenter(preset), Augmenter(preset)
    first = [augment([image], planes, seed)[0][0] for seed in SEEDS]
    backwards = [other([image], planes, seed)[0][0] for seed in reversed(SEEDS)][::-1]
    np.testing.assert_array_equal(first, backwards)
    assert len({picture.tobytes() for picture in first}) > len(SEEDS) / 2


def test_none_changes_nothing() -> None:
    image, mask = square()
    images, planes = Augmenter("none")([image], pack_masks(mask[None]), 5)
    np.testing.assert_array_equal(images[0], image)
    np.testing.assert_array_equal(planes, pack_masks(mask[None]))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_colour_and_labels_come_back_in_their_own_shape_and_the_source_is_untouched(preset: str) -> None:
    image, mask = square()
    colour, planes = np.stack([image, image // 2, 255 - image], axis=2), pack_masks(mask[None])
    kept = colour.copy(), planes.copy()
    augment = Augmenter(preset)
    for seed in SEEDS:
        images, moved = augment([colour], planes, seed)
        assert moved is not None
        assert (images[0].shape, images[0].dtype, moved.shape) == (colour.shape, np.uint8, planes.shape)
        np.testing.assert_array_equal(colour, kept[0])
        np.testing.assert_array_equal(planes, kept[1])


def test_views_of_one_patient_do_not_move_in_step() -> None:
    image, _ = square()
    augment = Augmenter("light")
    different = 0
    for seed in SEEDS:
        images, planes = augment([image, image, image], None, seed)
        assert planes is None
        assert [one.shape for one in images] == [image.shape] * 3
        different += len({one.tobytes() for one in images}) == 3
        np.testing.assert_array_equal(images[0], augment([image], None, seed)[0][0])
    assert different > len(SEEDS) / 2


def test_the_largest_seed_is_a_seed() -> None:
    image, _ = square()
    assert len(Augmenter("light")([image] * 8, None, 2**32 - 1)[0]) == 8


def test_turning_reaches_all_four_quarters() -> None:
    corner = np.zeros((SIDE, SIDE), bool)
    corner[8:40, 8:40] = True
    image = np.where(corner, 200, 0).astype(np.uint8)
    quarters = set()
    for seed in range(30):
        planes = Augmenter("turning")([image], pack_masks(corner[None]), seed)[1]
        assert planes is not None
        row, column = (axis.mean() for axis in np.nonzero(planes[..., 0]))
        quarters.add((row > SIDE / 2, column > SIDE / 2))
    assert len(quarters) == 4


@pytest.mark.parametrize("degrees", [10, 30])
def test_half_of_the_draws_are_rotated_by_up_to_the_angle_and_about_the_middle(degrees: int) -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[SIDE // 2 - 3 : SIDE // 2 + 3, 8 : SIDE - 8] = True
    image = np.where(mask, 200, 0).astype(np.uint8)
    augment = Augmenter(f"rotate{degrees}")
    angles = []
    for seed in range(60):
        images, planes = augment([image], pack_masks(mask[None]), seed)
        assert planes is not None
        rows, columns = np.nonzero(planes[..., 0])
        assert abs(rows.mean() - (SIDE - 1) / 2) < 1.5
        angles.append(abs(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0]))))
        assert dice(images[0] > 100, planes[..., 0] > 0) > 0.9
    assert 15 <= sum(angle > 0.3 for angle in angles) <= 45
    assert 0.8 * degrees < max(angles) < degrees + 1


@pytest.mark.parametrize("preset", ["grid_dropout", "cutout"])
def test_half_of_the_draws_have_holes_and_nothing_else_is_changed(preset: str) -> None:
    image, mask = square()
    dropout = Augmenter(preset)
    hidden = 0
    for seed in range(60):
        images, planes = dropout([image], pack_masks(mask[None]), seed)
        assert planes is not None
        np.testing.assert_array_equal(planes, pack_masks(mask[None]))
        holes = images[0] == 0  # the picture itself has no black
        np.testing.assert_array_equal(images[0][~holes], image[~holes])
        hidden += bool(holes.any())
        assert holes.mean() < 0.35
    assert 20 <= hidden <= 40


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_what_has_a_fixed_up_is_not_turned(preset: str) -> None:
    check_augmentation(preset, get_track("cardiac"))
    spine = get_track("lumbar")
    assert spine.upright
    if preset in ("turning", "quarter_turns"):
        with pytest.raises(
            CompetitionError, match=rf"'{preset}' turns images .*track lumbar .*order from the top.*strong"
        ):
            check_augmentation(preset, spine)
        return
    check_augmentation(preset, spine)
    bar = np.zeros((SIDE, SIDE), bool)
    bar[8:20, 40:56] = True  # at the top
    for seed in range(40):
        planes = Augmenter(preset)([np.where(bar, 200, 30).astype(np.uint8)], pack_masks(bar[None]), seed)[1]
        assert planes is not None
        assert np.nonzero(planes[..., 0])[0].mean() < SIDE / 2


@pytest.mark.parametrize("turn", [A.RandomRotate90(), A.VerticalFlip(), A.Transpose(), A.D4()])
def test_every_kind_of_turn_is_found(turn: A.BasicTransform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "mine", lambda border: [A.RandomGamma(), turn])
    with pytest.raises(CompetitionError, match="'mine' turns images"):
        check_augmentation("mine", get_track("lumbar"))


# Quarter turns have no border, and the last two hide patches on purpose.
WARPING = sorted(set(PRESETS) - {"none", "quarter_turns", "grid_dropout", "cutout"})


@pytest.mark.parametrize("preset", WARPING)
def test_a_picture_without_a_label_gets_no_black_border(preset: str) -> None:
    grey = np.full((SIDE, SIDE), 190, np.uint8)
    unlabelled, labelled = Augmenter(preset, labelled=False), Augmenter(preset)
    darkest = [unlabelled([grey], None, seed)[0][0].min() for seed in range(30)]
    assert min(darkest) > 100
    assert min(labelled([grey], None, seed)[0][0].min() for seed in range(30)) == 0


@pytest.mark.parametrize("preset", WARPING)
def test_a_label_never_grows_beyond_its_picture(preset: str) -> None:
    image, planes = np.full((SIDE, SIDE), 200, np.uint8), np.ones((SIDE, SIDE, 1), np.uint8)
    outside = 0
    for seed in range(30):
        images, moved = Augmenter(preset)([image], planes, seed)
        assert moved is not None
        # No preset makes 200 black but by a border; bilinear and nearest warps part at most a pixel from each other.
        beyond = cv2.erode((images[0] == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert not moved[beyond].any()
        outside += beyond.any()
    assert outside > 5


def test_the_exposure_of_angiograms_varies_by_less_than_a_vessel_differs_from_its_ground() -> None:
    still = np.full((SIDE, SIDE), 190, np.uint8)
    still[SIDE // 2 - 10 : SIDE // 2 + 10, SIDE // 2 - 10 : SIDE // 2 + 10] = 60
    changed = 0
    for seed in range(60):
        (varied,), _ = Augmenter("angiogram", labelled=False)([still], None, seed)
        (moved,), _ = Augmenter("geometric", labelled=False)([still], None, seed)
        ground, vessel = varied[moved == 190].mean(), varied[moved == 60].mean()
        assert abs(ground - 190) < 10
        assert abs(vessel - 60) < 14
        changed += abs(ground - 190) > 1
    assert 15 < changed < 45


def test_an_unknown_preset_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(CompetitionError, match="unknown augmentation 'stong', did you mean 'strong'"):
        check_augmentation("stong", get_track("cardiac"))


@pytest.mark.parametrize("preset", ["none", "light", "geometric", "shift", "rotate30"])
@pytest.mark.parametrize("window", [Box(0, 0, 40, 30), Box(13, 5, 53, 35), Box(0, 0, 64, 48)])
def test_a_window_of_an_augmented_picture_is_that_part_of_it(preset, window):
    random = np.random.default_rng(0)
    image = cv2.GaussianBlur(random.integers(0, 256, (64, 48), dtype=np.uint8), (5, 5), 0)
    planes = pack_masks((image > 128)[None])
    for seed in range(8):
        (whole,), labels = Augmenter(preset)([image], planes, seed)
        (part,), part_labels = Augmenter(preset)([image], planes, seed, window)
        assert labels is not None
        assert part_labels is not None
        # OpenCV rounds coordinates to 1/32 of a pixel, and a shifted warp rounds elsewhere.
        steepest = max(np.abs(np.diff(whole.astype(int), axis=axis)).max() for axis in (0, 1))
        assert np.abs(part.astype(int) - whole[window.window]).max() <= 1 + steepest / 8
        assert (part_labels != labels[window.window]).mean() < 0.03


def test_exposure_changes_a_dark_picture_as_much_as_a_bright_one_in_units_of_its_deviation() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (64, 64))
    bright, dark = (np.round(80 + scale * values).astype(np.uint8) for scale in (100, 40))
    exposure = A.Compose([Exposure(0.15, 0.15, p=1.0)])
    shifts, gains = [], []
    for seed in SEEDS:
        changed = []
        for image in (bright, dark):
            exposure.set_random_seed(seed)
            seen = (exposure(image=image)["image"] - image.mean()) / image.std()
            changed.append((seen.mean(), seen.std()))
        np.testing.assert_allclose(changed[0], changed[1], atol=0.04)  # half a grey value of a deviation of 12
        shifts.append(changed[0][0])
        gains.append(changed[0][1])
    assert max(np.abs(shifts)) <= 0.17
    assert min(gains) >= 0.83
    assert max(gains) <= 1.17
    assert np.std(shifts) > 0.05
    assert np.std(gains) > 0.05
