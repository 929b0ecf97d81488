"""Training draws of a hand at full size: ours from a sample that was decoded once, against two usual data sets.

The baseline's data set reads PNG and polygons, fills the 29 masks and resizes them to the training grid, every time. A
plain data set keeps image and 29 masks in memory and augments all of them before it crops.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.datasets import Drawn, TrainingSet
from competition.data.manifest import Entry
from competition.settings import Experiment
from competition.tracks.hand_bone.track import HAND_BONE
from competition.workspace import Workspace
from pipelines.benchmarks.hand_files import prepared_image, read_raw, write_raw
from pipelines.benchmarks.timed_pairs import Row, Scale, require_equal, time_pair

STRONG_SECONDS = 0.025
MANY = 2**31
"""Processes that share the memory for samples, so that each has a byte and draws from the mapped file instead."""


def measure_draws(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time a draw of half the sides of an image: cropped, mirrored, warped and of another brightness.

    OpenCV has one thread on both sides, as it has in loading processes.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return _measure(scale, masks)
    finally:
        cv2.setNumThreads(threads)


def _measure(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    with prepared_image(masks) as (workspace, entry):
        raw = workspace.root / "raw.png", workspace.root / "raw.json"
        image = write_raw(*raw, masks)
        light, strong = (_draws(workspace, entry, masks.shape[1], preset) for preset in ("light", "strong"))
        mapped = _draws(workspace, entry, masks.shape[1], "strong", MANY)
        mapped.share([entry], workspace.grids_folder())
        ours, strongly, from_file = (partial(_next_draw, drawn, count()) for drawn in (light, strong, mapped))
        baseline = partial(_baseline_item, *raw, len(masks), scale.size // 2)
        plain = partial(_plain_item, image, list(masks.astype(np.uint8)), _plain_transform(scale.size // 2))
        for theirs in (baseline(), plain()):
            require_equal(theirs.shape[-2:] == ours().images.shape[-2:], "draws")
        rounds = min(scale.rounds, 3)
        against_baseline, against_plain = (time_pair(ours, rival, rounds) for rival in (baseline, plain))
        seconds = time_pair(from_file, strongly, rounds)
    work = f"draw of {scale.size // 2} pixels from {scale.size}"
    return [
        Row(f"{work}, baseline's data set", "s", *against_baseline, target=20, note="theirs is not augmented"),
        Row(f"{work}, albumentations on {len(masks)} masks", "s", *against_plain, target=5),
        Row(f"{work}, strong", "s", seconds[1], None, STRONG_SECONDS, "ours"),
        Row(f"{work}, strong, from the mapped file", "s", *seconds, note="theirs is ours from memory"),
    ]


def _next_draw(dataset: TrainingSet, seeds: Iterator[int]) -> Drawn:
    return dataset[0, next(seeds)]


def _draws(workspace: Workspace, entry: Entry, size: int, preset: str, sharers: int = 1) -> TrainingSet:
    data = {"size": size, "crop": size // 2, "oversample": 1, "flip": True, "augmentation": preset}
    return TrainingSet([entry], workspace, HAND_BONE, Experiment.model_validate({"data": data}), sharers=sharers)


def _baseline_item(picture: Path, polygons: Path, classes: int, size: int) -> NDArray[np.uint8]:
    """Return image and masks (1 + C, size, size) as the baseline's data set reads them."""
    image, masks = read_raw(picture, polygons, classes)
    resized = A.Resize(size, size)(image=image, mask=masks)
    return np.concatenate([resized["image"][None], resized["mask"].transpose(2, 0, 1)])


def _plain_transform(size: int) -> A.Compose:
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(rotate=(-10, 10), scale=(0.9, 1.1), translate_percent=(-0.05, 0.05), p=0.8),
            A.RandomBrightnessContrast(0.15, 0.15, p=0.5),
            A.RandomCrop(size, size),
        ]
    )


def _plain_item(image: NDArray[np.uint8], masks: list[NDArray[np.uint8]], transform: A.Compose) -> NDArray[np.uint8]:
    """Return image and masks (1 + C, size, size), augmented by albumentations as its manual describes."""
    augmented = transform(image=image, masks=masks)
    return np.stack([augmented["image"], *augmented["masks"]])
