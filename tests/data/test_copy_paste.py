import numpy as np
import pytest

from competition.data.augmentation import LARGEST_SHIFT, copy_paste
from competition.data.datasets import TrainingSet
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_planes

SIDE = 32


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and masks of ten classes, class 9 inside class 2, class 4 empty."""
    random = np.random.default_rng(seed)
    masks = np.zeros((10, SIDE, SIDE), bool)
    for index in (0, 2, 7):
        top, left = random.integers(0, SIDE - 12, 2)
        masks[index, top : top + 12, left : left + 9] = True
    masks[9] = masks[2] & (np.arange(SIDE) % 2 == 0)
    return random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8), masks


def pasted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    (image, masks), (donor, donor_masks) = sample(1), sample(2)
    result = copy_paste(image, pack_masks(masks), donor, pack_masks(donor_masks), 10, np.random.default_rng(seed))
    return result[0], unpack_planes(result[1], 10)


def explanations(image: np.ndarray, masks: np.ndarray) -> set[tuple[int, int, int]]:
    """All (class, down, right) for which pasting pixel by pixel gives this result."""
    (old, old_masks), (donor, donor_masks) = sample(1), sample(2)
    furthest = int(LARGEST_SHIFT * SIDE)
    found = set()
    for index in (0, 2, 7, 9):
        for down in range(-furthest, furthest + 1):
            for right in range(-furthest, furthest + 1):
                expected, expected_masks = old.copy(), old_masks.copy()
                for row, column in np.argwhere(donor_masks[index]):
                    if 0 <= row + down < SIDE and 0 <= column + right < SIDE:
                        expected[row + down, column + right] = donor[row, column]
                        expected_masks[:, row + down, column + right] = donor_masks[:, row, column]
                if np.array_equal(expected, image) and np.array_equal(expected_masks, masks):
                    found.add((index, down, right))
    return found


def test_a_region_brings_its_pixels_and_all_of_its_labels_along() -> None:
    places = []
    for seed in range(8):
        (place,) = explanations(*pasted(seed))
        places.append(place)
    assert len({index for index, _, _ in places}) >= 2
    assert len({(down, right) for _, down, right in places}) >= 6


def test_what_leaves_the_picture_is_cut_off() -> None:
    image, planes = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 1), np.uint8)
    donor, whole = np.full((8, 8), 9, np.uint8), pack_masks(np.ones((1, 8, 8), bool))
    sizes = set()
    for seed in range(30):
        result, labels = copy_paste(image, planes, donor, whole, 1, np.random.default_rng(seed))
        assert np.array_equal(result == 9, labels[..., 0] == 1)
        rows, columns = np.nonzero(result)
        assert result.sum() == 9 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        sizes.add(result.sum() // 9)
    assert sizes == {64, 56, 49}  # shifts of at most one pixel
    assert not image.any()
    assert not planes.any()


def test_a_donor_without_labels_changes_nothing() -> None:
    image, masks = sample(1)
    planes = pack_masks(masks)
    result = copy_paste(image, planes, 255 - image, np.zeros_like(planes), 10, np.random.default_rng(0))
    assert result[0] is image
    assert result[1] is planes


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 20, 44), (1.0, 55, 64)])
def test_the_share_of_draws_that_are_pasted_into(shared_hands, tiny_experiment, share, low, high) -> None:
    experiment = tiny_experiment(data={"copy_paste": share})
    entries = shared_hands.train()
    dataset = TrainingSet(entries, shared_hands.workspace, shared_hands.track, experiment)
    plain = TrainingSet(entries, shared_hands.workspace, shared_hands.track, tiny_experiment())
    draws = [(seed % 8, seed) for seed in range(64)]
    changed = sum(not np.array_equal(dataset[draw].images, plain[draw].images) for draw in draws)
    assert low <= changed <= high
    again = TrainingSet(entries, shared_hands.workspace, shared_hands.track, experiment)
    assert again[(3, 5)].images.tobytes() == dataset[(3, 5)].images.tobytes()


def test_the_donor_is_always_another_image(shared_hands, tiny_experiment) -> None:
    experiment = tiny_experiment(data={"copy_paste": 1.0})
    alone = TrainingSet(shared_hands.train()[:1], shared_hands.workspace, shared_hands.track, experiment)
    plain = TrainingSet(shared_hands.train()[:1], shared_hands.workspace, shared_hands.track, tiny_experiment())
    assert alone[(0, 4)].images.tobytes() == plain[(0, 4)].images.tobytes()
    pair = TrainingSet(shared_hands.train()[:2], shared_hands.workspace, shared_hands.track, experiment)
    read = []
    original = pair._reader.read
    pair._reader.read = lambda entry: read.append(entry.sample) or original(entry)
    for seed in range(10):
        pair[(0, seed)]
    assert read == ["hand0", "hand1"] * 10


def test_a_track_without_masks_refuses(shared_patients, tiny_experiment) -> None:
    experiment = tiny_experiment(multiview=True, data={"copy_paste": 0.5})
    with pytest.raises(CompetitionError, match=r"copy_paste .* track tiny_patients has no masks"):
        TrainingSet(shared_patients.train(), shared_patients.workspace, shared_patients.track, experiment)
