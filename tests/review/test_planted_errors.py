"""A twentieth of the labels of synthetic data is made wrong; a review of a tenth finds at least 80 % of them.

The predictions are simulated: the labels before planting, shifted by a pixel or with noise.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from competition.data.checks import label_maps
from competition.data.checks.label_maps import map_labels
from competition.data.checks.label_outliers import area_suspicions, missing_suspicions, position_suspicions
from competition.data.manifest import Entry
from competition.masks.bit_planes import class_areas, intersections
from competition.phantoms import PHANTOMS
from competition.review.disagreement import mask_suspicions, target_suspicions
from competition.review.out_of_fold import Agreement
from competition.review.suspicious_labels import rank, rank_samples
from competition.tracks import get_track
from competition.tracks.track import Track
from pipelines.benchmarks.planted_labels import (
    HAND_ERRORS,
    HEART_ERRORS,
    choose_wrong,
    flip_targets,
    found_share,
)

pytestmark = pytest.mark.slow
SEEDS = range(5)
BLANK = Entry("", "", "train", "", "", (True,), 1, 1, (0.0,), (1.0,), (), "", "", "")


def drawn(name: str, folder: Path, people: int, size: int):
    track = get_track(name)
    PHANTOMS[name].draw(folder, people, 0, size, 0, lambda: None)
    return track, [sample for sample in track.list_samples(folder).samples if sample.split == "train"]


def reviewed_masks(track: Track, planes: dict[str, np.ndarray], predicted: dict[str, np.ndarray], monkeypatch) -> list:
    """The samples in the order of a review of label planes."""
    classes, samples = len(track.classes), tuple(planes)
    areas = {key: class_areas(each, classes) for key, each in planes.items()}
    entries = [
        replace(BLANK, sample=key, height=each.shape[0], width=each.shape[1], areas=tuple(areas[key].tolist()))
        for key, each in planes.items()
    ]
    monkeypatch.setattr(label_maps, "read_label_planes", lambda workspace, track, sample: planes[sample])
    maps = map_labels(track, None, entries)
    labelled = np.stack([areas[key] for key in samples]).astype(float)
    above = np.stack([class_areas(predicted[key], classes) for key in samples]).astype(float)
    both = np.stack([intersections(planes[key], predicted[key], classes) for key in samples])
    dice = np.where(labelled > 0, 2 * both / np.maximum(labelled + above, 1), np.nan)
    found = mask_suspicions(Agreement(samples, dice, labelled, above), track.classes)
    found += area_suspicions(entries, track.classes) + missing_suspicions(entries, track.classes)
    found += position_suspicions(entries, track.classes, maps)
    return [each.sample for each in rank_samples(rank(found))]


def share_of_masks(track, folder, samples, size, errors, monkeypatch) -> float:
    truth = {sample.key: track.read_label(folder / sample.label, (size, size)) for sample in samples}
    keys, shares = list(truth), []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        predicted = {key: np.roll(each, random.integers(-1, 2, 2), (0, 1)) for key, each in truth.items()}
        wrong, labels = choose_wrong(keys, random), dict(truth)
        for key in wrong:
            kind = int(random.integers(len(errors) + (len(track.classes) == 1)))
            other = truth[keys[(keys.index(key) + len(keys) // 2) % len(keys)]]
            labels[key] = other if kind == len(errors) else errors[kind](truth[key], len(track.classes), random)
        shares.append(found_share(wrong, reviewed_masks(track, labels, predicted, monkeypatch), len(keys)))
    return float(np.mean(shares))


@pytest.mark.exhaustive
def test_exchanged_moved_and_missing_bones_are_found(tmp_path, monkeypatch) -> None:
    track, samples = drawn("hand_bone", tmp_path, 20, 200)
    assert len(samples) == 40
    assert share_of_masks(track, tmp_path, samples, 200, HAND_ERRORS, monkeypatch) >= 0.8


def test_shifted_scaled_and_foreign_hearts_are_found(tmp_path, monkeypatch) -> None:
    track, samples = drawn("cardiac", tmp_path, 6, 96)
    labelled = [sample for sample in samples if track.read_label(tmp_path / str(sample.label), (96, 96)).sum() > 60]
    assert len(labelled) > 40
    assert share_of_masks(track, tmp_path, labelled, 96, HEART_ERRORS, monkeypatch) >= 0.8


@pytest.mark.exhaustive
def test_flipped_patients_and_locations_are_found(tmp_path) -> None:
    track, samples = drawn("aneurysm", tmp_path, 40, 48)
    truth = np.array([sample.targets for sample in samples])
    keys, shares = [sample.key for sample in samples], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        logits = random.normal(np.where(truth == 1, 2.5, -2.5), 1.2)
        wrong, targets = choose_wrong(keys, random), truth.copy()
        for key in wrong:
            targets[keys.index(key)] = flip_targets(truth[keys.index(key)], random)
        found = target_suspicions(keys, targets, 1 / (1 + np.exp(-logits)), track.classes)
        shares.append(found_share(wrong, [each.sample for each in rank_samples(rank(found))], len(keys)))
    assert np.mean(shares) >= 0.8
