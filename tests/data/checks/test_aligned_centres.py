"""Poses are taken out of centres: what is left is what was moved."""

import numpy as np
import pytest

from competition.data.checks.aligned_centres import align, position_outliers


def posed(random: np.random.Generator, samples: int, noise: float = 0.002) -> np.ndarray:
    """Ten places in ``samples`` poses: turned, scaled, shifted, every second one mirrored."""
    places = random.uniform(-0.3, 0.3, (10, 2))
    drawn = []
    for number in range(samples):
        angle, scale = random.uniform(0, 2 * np.pi), random.uniform(0.7, 1.3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        mirror = np.diag([1, -1 if number % 2 else 1])
        drawn.append(scale * places @ mirror @ turn + random.uniform(0.4, 0.6, 2))
    return np.stack(drawn) + random.normal(0, noise, (samples, 10, 2))


def test_poses_without_noise_fall_on_one_template() -> None:
    placed = align(posed(np.random.default_rng(0), 12, noise=0))
    assert placed == pytest.approx(np.broadcast_to(placed[:1], placed.shape), abs=1e-9)


def test_exchanged_and_moved_classes_are_the_farthest() -> None:
    centres = posed(np.random.default_rng(1), 30)
    centres[4, [2, 7]] = centres[4, [7, 2]]
    centres[9, 5] += 0.08
    _, z = position_outliers(centres)
    order = [(int(place) // 10, int(place) % 10) for place in np.argsort(-z, axis=None)[:3]]
    assert set(order) == {(4, 2), (4, 7), (9, 5)}
    assert np.sort(z, axis=None)[-4] < 10 < z[9, 5]


def test_distances_are_in_the_unit_of_the_centres() -> None:
    random = np.random.default_rng(2)
    centres = np.tile(random.uniform(0.2, 0.8, (1, 10, 2)), (8, 1, 1))
    centres[3, 0, 1] += 0.1
    distances, _ = position_outliers(centres)
    assert distances[3, 0] == pytest.approx(0.1, abs=1e-6)
    assert np.delete(distances, 3, axis=0) == pytest.approx(0, abs=1e-9)


def test_absent_classes_are_no_outliers_and_two_classes_are_compared_with_each_other() -> None:
    centres = posed(np.random.default_rng(3), 8)
    centres[2, 1:] = np.nan
    assert np.isnan(position_outliers(centres)[1][2]).all()
    pair = np.tile(np.array([[[0.2, 0.2], [0.5, 0.5]]]), (7, 1, 1)) + np.linspace(0, 0.3, 7)[:, None, None]
    pair[5, 1, 0] += 0.1
    _, z = position_outliers(pair)
    assert set(np.flatnonzero((z > 10).any(axis=1))) == {5}


def test_of_one_class_the_place_in_the_image_counts_and_four_samples_say_nothing() -> None:
    one = np.full((6, 1, 2), 0.5)
    one[1] = 0.7
    distances, z = position_outliers(one)
    assert distances[1, 0] == pytest.approx(0.2 * np.sqrt(2))
    assert z[1, 0] > 10 > z[0, 0]
    assert np.isnan(position_outliers(one[:4])[1]).all()
