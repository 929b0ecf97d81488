"""Training draws of a hand at full size: ours from a sample that was decoded once, against two usual data sets.

The baseline's data set reads PNG and polygons, fills the 29 masks and resizes them to the training grid, every time. A
plain data set keeps image and 29 masks in memory and augments all of them before it crops.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.datasets import Drawn, TrainingSet
from competition.data.manifest import Entry
from competition.masks.bit_planes import pack_masks
from competition.masks.stored_arrays import write_array
from competition.settings import Experiment
from competition.tracks.hand_bone.track import HAND_BONE
from competition.workspace import Workspace
from pipelines.benchmarks.timed_pairs import Row, Scale, require_equal, time_pair

SAMPLE = "hand"
STRONG_SECONDS = 0.025


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
    with _prepared(masks) as (workspace, entry):
        raw = workspace.root / "raw.png", workspace.root / "raw.json"
        image = _draw_files(*raw, masks)
        light, strong = (_draws(workspace, entry, masks.shape[1], preset) for preset in ("light", "strong"))
        ours, strongly = partial(_next_draw, light, count()), partial(_next_draw, strong, count())
        baseline = partial(_baseline_item, *raw, len(masks), scale.size // 2)
        plain = partial(_plain_item, image, list(masks.astype(np.uint8)), _plain_transform(scale.size // 2))
        for theirs in (baseline(), plain()):
            require_equal(theirs.shape[-2:] == ours().images.shape[-2:], "draws")
        rounds = min(scale.rounds, 3)
        against_baseline, against_plain = (time_pair(ours, rival, rounds) for rival in (baseline, plain))
        seconds, _ = time_pair(strongly, strongly, rounds)
    work = f"draw of {scale.size // 2} pixels from {scale.size}"
    return [
        Row(f"{work}, baseline's data set", "s", *against_baseline, target=20, note="theirs is not augmented"),
        Row(f"{work}, albumentations on {len(masks)} masks", "s", *against_plain, target=5),
        Row(f"{work}, strong", "s", seconds, None, STRONG_SECONDS, "ours"),
    ]


def _next_draw(dataset: TrainingSet, seeds: Iterator[int]) -> Drawn:
    return dataset[0, next(seeds)]


@contextmanager
def _prepared(masks: NDArray[np.bool_]) -> Iterator[tuple[Workspace, Entry]]:
    """Yield a workspace whose cache holds one image with its labels, and the row of it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        workspace = Workspace(Path(name), "hand_bone")
        image = _picture(masks)
        write_array(workspace.image_file(SAMPLE, HAND_BONE.views[0]), image)
        write_array(workspace.label_file(SAMPLE), pack_masks(masks))
        size, mean, std = image.shape, (float(image.mean()),), (float(image.std()),)
        areas = tuple(int(mask.sum()) for mask in masks)
        yield (
            workspace,
            Entry(SAMPLE, "hand.png", "train", "person", "", (True,), size[0], size[1], mean, std, areas, "", "", ""),
        )


def _draws(workspace: Workspace, entry: Entry, size: int, preset: str) -> TrainingSet:
    data = {"size": size, "crop": size // 2, "oversample": 1, "flip": True, "augmentation": preset}
    return TrainingSet([entry], workspace, HAND_BONE, Experiment.model_validate({"data": data}))


def _picture(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 30, masks.shape[1:])
    picture: NDArray[np.uint8] = (masks.sum(axis=0) * 60 + noise).clip(0, 255).astype(np.uint8)
    return picture


def _draw_files(picture: Path, polygons: Path, masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Write the organiser's two files, and return the image."""
    image = _picture(masks)
    cv2.imwrite(str(picture), image)
    outlines = []
    for mask in masks:
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        outlines.append({"points": max(contours, key=len)[:, 0].tolist()})
    polygons.write_text(json.dumps({"annotations": outlines}), encoding="utf-8")
    return image


def _baseline_item(picture: Path, polygons: Path, classes: int, size: int) -> NDArray[np.uint8]:
    """Return image and masks (1 + C, size, size) as the baseline's data set reads them."""
    image = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    masks = np.zeros((*image.shape, classes), np.uint8)
    for index, outline in enumerate(json.loads(polygons.read_text(encoding="utf-8"))["annotations"]):
        mask = np.zeros(image.shape, np.uint8)
        cv2.fillPoly(mask, [np.array(outline["points"])], 1)
        masks[..., index] = mask
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
