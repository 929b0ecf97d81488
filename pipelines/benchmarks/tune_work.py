"""Tuning end to end: stored maps in, weights, thresholds, post-processing and their cross-fitted worth out."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.out_of_fold import OutOfFold
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.segmentation.tuning_images import SEARCH_IMAGES
from competition.ensembling.voting.class_groups import one_group
from competition.masks.bit_planes import unpack_planes
from competition.phantoms.hand_bone.anatomy import CLASS_ORDER
from competition.prediction.probability_maps import read_map
from competition.runs.members import Member
from pipelines.benchmarks import rivals
from pipelines.benchmarks.duels import Alone, Row, Scale, alone, require_equal
from pipelines.benchmarks.ensemble_work import EQUAL_WEIGHTS, HALF_IN_THOUSANDTHS
from pipelines.benchmarks.stored_images import MEMBERS, StoredImages, stored_images

WINDOW = (0.2, 0.8)
FOLDS = 5
TOTAL = 800
DENSE_IMAGES = 8
MOST_SECONDS, MOST_MB = 40 * 60.0, 6 * 1024.0


@dataclass(frozen=True)
class Tuned:
    """What is kept of a tuning.

    Attributes:
        at_half: float64 (n, C), the Dice at equal weights and threshold 0.5.
        contested: Share of the pixels that were contested.
    """

    at_half: NDArray[np.float64]
    contested: float


def measure_tune(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Tunes at two numbers of images, each in a process of its own, and extrapolates to 800 by the line through both.

    Args:
        scale: How large.
        masks: Tell how large a float32 map is.
    """
    few, many = scale.images
    with stored_images(many, scale.size) as images:
        some = StoredImages(images.workspace, images.samples[:few])
        runs = [alone(tune_stored, each, scale.trials) for each in (some, images)]
        dense_seconds, dense = try_densely(images)
    tuned: Tuned = runs[1].result
    work = f"tune {TOTAL} images, {MEMBERS} members, {'x'.join(map(str, masks.shape))}, {scale.trials} trials"
    require_equal(np.array_equal(tuned.at_half[: len(dense)], dense), work)
    seconds = extrapolate(scale.images, [run.processor_seconds for run in runs])
    peak_mb = extrapolate(scale.images, [run.peak_mb for run in runs])
    stack_mb = TOTAL * MEMBERS * masks.size * 4 / 1024**2
    trial = f"one dense trial measured on {len(dense)} images, {dense_seconds:.2f} s each"
    return [
        Row(
            f"{work}: time",
            "s",
            seconds,
            dense_seconds * scale.trials * TOTAL,
            MOST_SECONDS,
            "ours",
            note=f"{_measured(scale, runs)}, {tuned.contested:.2%} contested; {trial}; the line "
            f"leaves out that a search looks at {SEARCH_IMAGES} images at most",
        ),
        Row(
            f"{work}: memory",
            "mb",
            peak_mb,
            stack_mb,
            MOST_MB,
            "ours",
            note=f"{_measured(scale, runs)}; the rival's is all maps as float32, computed",
        ),
    ]


def _measured(scale: Scale, runs: list[Alone]) -> str:
    parts = [
        f"{run.processor_seconds:.1f} s ({run.seconds:.1f} by the clock) and {run.peak_mb:.0f} MB at {count} images"
        for count, run in zip(scale.images, runs, strict=True)
    ]
    return f"extrapolated from {' and '.join(parts)}"


def extrapolate(counts: tuple[int, int], figures: list[float]) -> float:
    """The figure at 800 images by the line through two; one that falls with the number of images is taken as level."""
    slope = max(0.0, figures[1] - figures[0]) / (counts[1] - counts[0])
    return figures[1] + slope * (TOTAL - counts[1])


def tune_stored(images: StoredImages, trials: int) -> Tuned:
    """Run the tuning that the stage tune runs, on five folds of persons with two images each."""
    members = [
        Member(name=f"member{number}", folds=(0,), config_hash="", fold_hash="")
        for number in range(len(images.folders()))
    ]
    persons = [position // 2 for position in range(len(images.samples))]
    data = OutOfFold(
        members,
        [dict.fromkeys(images.samples, folder) for folder in images.folders()],
        images.workspace,
        images.samples,
        np.array([person % FOLDS for person in persons]),
        [f"person{person}" for person in persons],
        CLASS_ORDER,
    )
    folder = images.workspace.ensemble_folder(f"of{len(images.samples)}") / "contested"
    tuned = tune_segmentation(data, Search("optuna", trials, one_group(len(CLASS_ORDER)), [WINDOW]), folder)
    assert tuned.contested is not None  # there are several members
    return Tuned(tuned.tuned.at_half, tuned.contested)


def try_densely(images: StoredImages) -> tuple[float, NDArray[np.float64]]:
    """Return the rival's trial: every image's dense maps are added, compared and scored.

    Returns:
        Median processor seconds of an image, without reading its maps; and the Dice (n, C) at equal weights.
    """
    seconds, scores = [], []
    for sample in images.samples[:DENSE_IMAGES]:
        maps = np.stack([read_map(folder, sample) for folder in images.folders()]).astype(np.float32)
        masks = unpack_planes(read_cached_planes(images.workspace, sample), len(CLASS_ORDER))
        start = time.process_time()
        scores.append(rivals.score_weights(maps, EQUAL_WEIGHTS, masks, HALF_IN_THOUSANDTHS))
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), np.array(scores)
