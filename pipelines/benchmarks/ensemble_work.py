"""From stored maps of five members to the rows of a submission: the most memory held, and the time per image."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.voting.class_votes import everyone
from competition.ensembling.voting.masks import vote_image
from competition.masks.run_lengths import encode_planes
from competition.phantoms.hand_bone.anatomy import CLASS_ORDER
from competition.prediction.opened_maps import open_map
from competition.prediction.probability_maps import HALF_LEVEL, read_map
from competition.submission.run_lengths.files import write_rle_csv
from pipelines.benchmarks import rivals
from pipelines.benchmarks.duels import Row, Scale, alone, require_equal
from pipelines.benchmarks.stored_images import MEMBERS, StoredImages, stored_images

EQUAL_WEIGHTS = [1000 // MEMBERS] * MEMBERS
HALF_IN_THOUSANDTHS = 127_499.5  # the blend is rounded to whole levels: above 127 from 127.5 on
FEW, MANY = 4, 40
MOST_MB = 1000.0
# What may come on top with many images: the allocator's freed pieces, nothing that grows.
SAME_MB = 50.0

VoteOne = Callable[[Sequence[Path], str], list[str]]


def measure_ensemble(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Vote at 4 and at 40 images, each in a process of its own, and a float32 stack of all members at 4.

    Args:
        scale: How large.
        masks: Tell how many classes there are.
    """
    few, many = (FEW, MANY) if scale.full else scale.images
    with stored_images(many, scale.size) as images:
        files = [images.workspace.root / name for name in ("few.csv", "stack.csv", "many.csv")]
        some = StoredImages(images.workspace, images.samples[:few])
        ours = alone(write_votes, some, files[0], vote_streamed)
        rival = alone(write_votes, some, files[1], vote_stacked)
        all_of_them = alone(write_votes, images, files[2], vote_streamed)
        first, second, third = (file.read_text() for file in files)
    work = f"ensemble of {MEMBERS} members, {'x'.join(map(str, masks.shape))}"
    require_equal(first == second and third.startswith(first), work)
    measured = f"the stack measured at {few} images"
    return [
        Row(f"{work}: peak memory at {few} images", "mb", ours.peak_mb, rival.peak_mb, MOST_MB, "ours"),
        Row(f"{work}: at {many} images", "mb", all_of_them.peak_mb, rival.peak_mb, MOST_MB, "ours", note=measured),
        Row(f"{work}: more at {many} than at {few}", "mb", all_of_them.peak_mb - ours.peak_mb, None, SAME_MB, "ours"),
        Row(
            f"{work}: time per image",
            "s",
            all_of_them.processor_seconds / many,
            rival.processor_seconds / few,
            note=measured,
        ),
    ]


def write_votes(images: StoredImages, path: Path, vote: VoteOne) -> None:
    """Write a submission, one image in memory at a time."""
    write_rle_csv(path, _rows(images, vote))


def _rows(images: StoredImages, vote: VoteOne) -> Iterator[tuple[str, str, str]]:
    for sample in images.samples:
        for name, rle in zip(CLASS_ORDER, vote(images.folders(), sample), strict=True):
            yield f"{sample}.png", name, rle


def vote_streamed(folders: Sequence[Path], sample: str) -> list[str]:
    """Ours: piece by piece, in whole numbers."""
    voters = everyone(len(CLASS_ORDER), len(folders))
    maps = [open_map(folder, sample) for folder in folders]
    planes = vote_image(maps, voters, voters.weights_by_class(EQUAL_WEIGHTS), [HALF_LEVEL] * len(CLASS_ORDER))
    return encode_planes(planes, len(CLASS_ORDER))


def vote_stacked(folders: Sequence[Path], sample: str) -> list[str]:
    """Return the rival's: all members as floats in one array."""
    stack = np.empty((len(folders), *read_map(folders[0], sample).shape), np.float32)
    for number, folder in enumerate(folders):
        stack[number] = read_map(folder, sample)
    return rivals.vote_soft(stack, EQUAL_WEIGHTS, HALF_IN_THOUSANDTHS)
