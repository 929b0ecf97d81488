"""Copies that were saved again, cropped and brightened are found, and different images are not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.fft import dctn

from competition.data.cache import cache_sample
from competition.data.checks import near_duplicates
from competition.data.checks.near_duplicates import detail_correlation, find_near_duplicates, perceptual_hash
from competition.data.manifest import Entry
from competition.tracks.track import Sample


def scene(seed: int, side: int = 200) -> np.ndarray:
    """Blobs of all sizes, as an anatomy of its own."""
    random = np.random.default_rng(seed)
    noise = sum(s * cv2.GaussianBlur(random.standard_normal((side, side)), (0, 0), s) for s in (2.0, 6.0, 20.0))
    return np.clip(110 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)


def copied(image: np.ndarray) -> np.ndarray:
    """Cropped by 2 to 4 %, brightened, shrunk and saved as JPEG."""
    cropped = image[4:-8, 6:-5].astype(float)
    bright = np.clip(1.1 * cropped + 10, 0, 255).astype(np.uint8)
    small = cv2.resize(bright, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    return cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_GRAYSCALE)


@pytest.fixture
def cached(tiny_hands):
    """Puts images into the cache, each as a sample of a group and a split."""

    def put(*samples: tuple[str, str, str, np.ndarray]) -> list[Entry]:
        entries = []
        for key, group, split, image in samples:
            np.save(tiny_hands.workspace.root / f"{key}.npy", image)
            sample = Sample(key, key, split, group, (f"{key}.npy",))
            track = replace(tiny_hands.track, read_label=None, task="classification")
            entries.append(cache_sample(tiny_hands.workspace, track, tiny_hands.workspace.root, sample)[0])
        return entries

    return put


def test_a_copy_in_another_group_or_in_the_test_set_is_found(tiny_hands, cached) -> None:
    one, other = scene(1), scene(2)
    entries = cached(
        ("t", "z", "test", copied(other)),
        ("a", "x", "train", one),
        ("b", "y", "train", copied(one)),
        ("c", "w", "train", other),
        ("d", "v", "train", scene(3)),
    )
    found = find_near_duplicates(tiny_hands.track, tiny_hands.workspace, entries)
    assert {(pair.first.sample, pair.second.sample) for pair in found} == {("a", "b"), ("c", "t")}
    assert all(0.97 <= pair.likeness <= 1 and pair.views == (0, 0) for pair in found)


def test_copies_within_a_group_two_test_images_and_equal_pixels_are_not(tiny_hands, cached) -> None:
    one = scene(1)
    entries = cached(
        ("a", "x", "train", one),
        ("b", "x", "train", copied(one)),
        ("c", "y", "train", one),
        ("d", "q", "test", scene(4)),
        ("e", "r", "test", copied(scene(4))),
    )
    found = find_near_duplicates(tiny_hands.track, tiny_hands.workspace, entries)
    assert [(pair.first.sample, pair.second.sample) for pair in found] == [("b", "c")]
    assert find_near_duplicates(tiny_hands.track, tiny_hands.workspace, []) == []


def test_the_hash_is_that_of_scipys_cosine_transform() -> None:
    image = scene(5)
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(float)
    low = dctn(small, norm="ortho")[:8, :8].ravel()
    bits = np.array([bit == "1" for bit in f"{perceptual_hash(image):064b}"])
    assert (bits == (low > np.median(low))).mean() > 0.98  # float32 against float64 at the median itself
    assert (perceptual_hash(image) ^ perceptual_hash(copied(image))).bit_count() <= near_duplicates.MOST_BITS


def test_detail_survives_a_shift_and_not_another_image() -> None:
    large = scene(6, 140).astype(np.float32)
    one, shifted = large[:128, :128], large[3:131, 5:133]
    assert detail_correlation(one, 1.3 * shifted + 20) > 0.99
    assert detail_correlation(one, scene(7, 128).astype(np.float32)) < 0.8
    assert detail_correlation(one, np.zeros((128, 128), np.float32)) == 0


def test_a_view_that_is_absent_is_no_picture(shared_patients) -> None:
    assert (
        find_near_duplicates(shared_patients.track, shared_patients.workspace, shared_patients.manifest.entries) == []
    )
