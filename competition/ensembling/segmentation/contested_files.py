"""Contested pixels on disk: one file per image, kept from one tuning to the next and made again where stale.

Of 800 images and five members the maps take most of an hour to read, so a tuning that was cut, or one with another
method, goes on with what is there. A file knows a hash of the maps and the truth that it was made from.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.checksums import check_seal, sealed_file
from competition.console import Ticker
from competition.ensembling.segmentation.contested import CONTESTED_LIMIT, ContestedImage, blend_histograms, contest
from competition.ensembling.segmentation.out_of_fold import TuningMaps
from competition.ensembling.segmentation.thresholds import Window, window_cuts
from competition.errors import CompetitionError
from competition.formats.numpy_files import read_next
from competition.metrics.counts import DICE, CountMetric
from competition.metrics.ratios import Ratios, join
from competition.prediction.histograms import threshold_counts
from competition.workspace import contested_file

# What the stored pixels mean; another number makes all files stale.
FORM = 2

_REMAKE = "Delete it and run tune"


@dataclass(frozen=True)
class ContestedSet:
    """The contested pixels of many images.

    Attributes:
        images: What returns the pixels of each image, from its file or from memory, in the order of the samples; fewer
            where too many pixels were contested to go on.
        share: Contested among all pixels of the images that were looked at, 0..1.
        present: bool (n, C): whether a class occurs in the truth of an image.
        made: How many were found now; the others were there.
    """

    images: list[Callable[[], ContestedImage]]
    share: float
    present: NDArray[np.bool_]
    made: int


def contest_all(data: TuningMaps, window: Window, folder: Path | None, ticker: Ticker) -> ContestedSet:
    """Find the contested pixels of every image, the maps of one image in memory at a time.

    It stops as soon as more pixels are contested than a search may have on all images together.

    Args:
        data: The images and the members.
        window: Lowest and highest threshold that may be chosen later.
        folder: Where each image has a file; those of other members or cuts are left alone. None keeps all in memory.
        ticker: Advanced once per image that was looked at.

    Raises:
        CompetitionError: A map is missing or damaged.
    """
    voters = data.voters()
    lowest, highest = window_cuts(window)
    members = hashlib.sha256(repr((data.names, voters.rows.tolist())).encode()).hexdigest()[:10]
    allowed = CONTESTED_LIMIT * data.pixels()
    images: list[Callable[[], ContestedImage]] = []
    present, kept, pixels, made = [], 0, 0, 0
    for sample in data.samples:
        path = None if folder is None else contested_file(folder, members, f"{lowest}-{highest}", sample)
        made_of = f"{FORM} {data.fingerprint(sample)}"
        image = None if path is None else load_fresh(path, made_of)
        if image is None:
            image = contest(data.open_maps(sample), data.truth(sample), window, voters)
            made += 1
            if path is not None:
                save_contested(path, image, made_of)
        images.append(partial(_same, image) if path is None else partial(load_of_window, path, window))
        present.append(image.truth_area > 0)
        kept, pixels = kept + image.kept, pixels + image.total
        ticker.advance(sample)
        if kept > allowed:
            break
    return ContestedSet(images, kept / pixels, np.array(present), made)


def _same(image: ContestedImage) -> ContestedImage:
    return image


def save_contested(path: Path, contested: ContestedImage, made_of: str = "") -> None:
    """Write one image's contested pixels into a file, whole or not at all.

    The arrays follow each other as numpy writes each of them. A search reads every file for every weight vector, and a
    zip of them (.npz) took three times as long to read: longer than it then takes to score the vector.

    Args:
        path: The file.
        contested: The pixels.
        made_of: Tells what they were made from; another text makes the file stale.
    """
    with sealed_file(path) as part, part.open("wb") as file:
        for array in (np.array(made_of), *(getattr(contested, field.name) for field in fields(contested))):
            np.save(file, array, allow_pickle=False)


def load_contested(path: Path) -> ContestedImage:
    """Read a file of ``save_contested``.

    Raises:
        CompetitionError: The file is missing or not whole.
    """
    check_seal(path, _REMAKE)
    try:
        with path.open("rb") as file:
            read_next(file)
            return ContestedImage(*(read_next(file) for _ in fields(ContestedImage)))
    except Exception as error:  # of the many kinds that numpy raises
        raise CompetitionError(f"can't be read as contested pixels ({error})", path, _REMAKE) from error


def load_fresh(path: Path, made_of: str) -> ContestedImage | None:
    """Read a file of ``save_contested``; None where it is missing, damaged or made of something else."""
    try:
        check_seal(path, _REMAKE)
        with path.open("rb") as file:
            if str(read_next(file)) != made_of:
                return None
        return load_contested(path)
    except (CompetitionError, OSError, ValueError):
        return None


def load_of_window(path: Path, window: Window) -> ContestedImage:
    """Read a file of ``save_contested`` that was made for a window.

    Raises:
        CompetitionError: The file is missing, damaged or made for another window.
    """
    contested = load_contested(path)
    if contested.cuts.tolist() != list(window_cuts(window)):
        raise CompetitionError("contested pixels of another window", path, _REMAKE)
    return contested


def contested_curves(
    units: Sequence[Sequence[Callable[[], ContestedImage]]],
    weights: Sequence[int] | NDArray[np.integer],
    metric: CountMetric = DICE,
) -> Ratios:
    """Score a weight vector at every level on many images, one of them in memory at a time.

    Args:
        units: What returns the contested pixels of the images of each unit of the metric: of one image, unless the
            metric pools the images of a group.
        weights: As for ``blend_histograms``.
        metric: What is scored.

    Returns:
        Ratios (units, C, 256), exact at the levels of the window and not to be read elsewhere.

    Raises:
        CompetitionError: A file is missing or damaged, or the weights are not convex.
    """
    scored = []
    for images in units:
        histogram = np.sum([blend_histograms(load(), weights) for load in images], axis=0)
        scored.append(metric.ratios(*threshold_counts(histogram[None])))
    return join(scored)
