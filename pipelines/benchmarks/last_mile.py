"""From stored maps of five members to a tuned decision, and to the rows of a submission: time and peak memory."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.out_of_fold import OutOfFold
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.segmentation.tuning_images import SEARCH_IMAGES
from competition.ensembling.voting.class_groups import one_group
from competition.ensembling.voting.class_votes import everyone
from competition.ensembling.voting.masks import vote_image
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_lengths import encode_planes
from competition.phantoms.hand_bone.anatomy import CLASS_ORDER
from competition.prediction.opened_maps import open_map
from competition.prediction.probability_maps import HALF_LEVEL, read_map
from competition.runs.members import Member
from competition.submission.run_lengths.files import write_rle_csv
from competition.text import size_text
from pipelines.benchmarks import rivals
from pipelines.benchmarks.rivals import HALF_IN_THOUSANDTHS
from pipelines.benchmarks.synthetic_images import MEMBERS, StoredImages, stored_images
from pipelines.benchmarks.timed_pairs import OwnProcess, Row, Scale, in_own_process, require_equal

EQUAL_WEIGHTS = [1000 // MEMBERS] * MEMBERS
FEW, MANY = 4, 40
MOST_ENSEMBLE_MB = 1000.0
# The most that 40 images may take more than 4: the allocator's freed pieces, nothing that grows.
SAME_MB = 50.0
WINDOW = (0.2, 0.8)
FOLDS = 5
TOTAL = 800
DENSE_IMAGES = 8
MOST_TUNE_SECONDS, MOST_TUNE_MB = 40 * 60.0, 6 * 1024.0

VoteOne = Callable[[Sequence[Path], str], list[str]]


def measure_ensemble(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Vote on 4 and on 40 images, each in a process of its own, and with a float32 stack of all members on 4."""
    few, many = (FEW, MANY) if scale.full else scale.images
    with stored_images(many, scale.size) as images:
        files = [images.workspace.root / name for name in ("few.csv", "stack.csv", "many.csv")]
        some = StoredImages(images.workspace, images.samples[:few])
        ours = in_own_process(write_votes, some, files[0], vote_streamed)
        rival = in_own_process(write_votes, some, files[1], vote_stacked)
        all_of_them = in_own_process(write_votes, images, files[2], vote_streamed)
        first, second, third = (file.read_text() for file in files)
    work = f"ensemble of {MEMBERS} members, {size_text(masks.shape)}"
    require_equal(first == second and third.startswith(first), work)
    measured = f"the stack measured at {few} images"
    more_mb = all_of_them.peak_mb - ours.peak_mb
    seconds = all_of_them.processor_seconds / many, rival.processor_seconds / few
    return [
        Row(f"{work}: peak memory at {few} images", "mb", ours.peak_mb, rival.peak_mb, MOST_ENSEMBLE_MB, "ours"),
        Row(f"{work}: at {many} images", "mb", all_of_them.peak_mb, rival.peak_mb, MOST_ENSEMBLE_MB, "ours", measured),
        Row(f"{work}: more at {many} than at {few}", "mb", more_mb, None, SAME_MB, "ours"),
        Row(f"{work}: time per image", "s", *seconds, note=measured),
    ]


def write_votes(images: StoredImages, path: Path, vote: VoteOne) -> None:
    """Write a submission, one image in memory at a time."""

    def rows() -> Iterator[tuple[str, str, str]]:
        for sample in images.samples:
            for name, rle in zip(CLASS_ORDER, vote(images.folders(), sample), strict=True):
                yield f"{sample}.png", name, rle

    write_rle_csv(path, rows())


def vote_streamed(folders: Sequence[Path], sample: str) -> list[str]:
    """Return our vote: piece by piece, in whole numbers."""
    voters = everyone(len(CLASS_ORDER), len(folders))
    maps = [open_map(folder, sample) for folder in folders]
    planes = vote_image(maps, voters, voters.weights_by_class(EQUAL_WEIGHTS), [HALF_LEVEL] * len(CLASS_ORDER))
    return encode_planes(planes, len(CLASS_ORDER))


def vote_stacked(folders: Sequence[Path], sample: str) -> list[str]:
    """Return the rival's vote: all members as floats in one array."""
    stack = np.empty((len(folders), *read_map(folders[0], sample).shape), np.float32)
    for number, folder in enumerate(folders):
        stack[number] = read_map(folder, sample)
    return rivals.vote_soft(stack, EQUAL_WEIGHTS, HALF_IN_THOUSANDTHS)


def measure_tune(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Tune on two numbers of images, each in a process of its own, and extrapolate linearly to 800."""
    few, many = scale.images
    with stored_images(many, scale.size) as images:
        some = StoredImages(images.workspace, images.samples[:few])
        runs = [in_own_process(tune_stored, each, scale.trials) for each in (some, images)]
        dense_seconds, dense = try_densely(images)
    at_half, contested = runs[1].result
    work = f"tune {TOTAL} images, {MEMBERS} members, {size_text(masks.shape)}, {scale.trials} trials"
    require_equal(np.array_equal(at_half[: len(dense)], dense), work)
    seconds = extrapolate(scale.images, [run.processor_seconds for run in runs])
    peak_mb = extrapolate(scale.images, [run.peak_mb for run in runs])
    stack_mb = TOTAL * MEMBERS * masks.size * 4 / 1024**2
    time_note = (
        f"{_measured(scale, runs)}, {contested:.2%} contested; one dense trial measured on {len(dense)} images, "
        f"{dense_seconds:.2f} s each; the line ignores that a search uses at most {SEARCH_IMAGES} images"
    )
    memory_note = f"{_measured(scale, runs)}; the rival's is all maps as float32, computed"
    dense_total = dense_seconds * scale.trials * TOTAL
    return [
        Row(f"{work}: time", "s", seconds, dense_total, MOST_TUNE_SECONDS, "ours", note=time_note),
        Row(f"{work}: memory", "mb", peak_mb, stack_mb, MOST_TUNE_MB, "ours", note=memory_note),
    ]


def _measured(scale: Scale, runs: list[OwnProcess]) -> str:
    parts = [
        f"{run.processor_seconds:.1f} s ({run.seconds:.1f} by the clock) and {run.peak_mb:.0f} MB at {count} images"
        for count, run in zip(scale.images, runs, strict=True)
    ]
    return f"extrapolated from {' and '.join(parts)}"


def extrapolate(counts: tuple[int, int], figures: list[float]) -> float:
    """Return the figure at 800 images on the line through two; a falling line is taken as level."""
    slope = max(0.0, figures[1] - figures[0]) / (counts[1] - counts[0])
    return figures[1] + slope * (TOTAL - counts[1])


def tune_stored(images: StoredImages, trials: int) -> tuple[NDArray[np.float64], float]:
    """Run the tuning of the stage tune, on five folds of groups with two images each.

    Returns:
        The Dice at equal weights and threshold 0.5, float64 (n, C), and the share of contested pixels.
    """
    members = [Member(name=f"member{number}", folds=(0,), config_hash="", fold_hash="") for number in range(MEMBERS)]
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
    return tuned.tuned.at_half, tuned.contested


def try_densely(images: StoredImages) -> tuple[float, NDArray[np.float64]]:
    """Run the rival's trial: add, threshold and score every image's dense maps.

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
