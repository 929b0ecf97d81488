"""The score of a submission of arrays against labels or other arrays: Dice over the classes, plane accuracy beside it.

Nobody knows the metric of the organiser's leaderboard. Plane accuracy, the share of equal entries over all planes with
the background, is hardly it: an empty submission reaches 0.97.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import track as shown
from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.masks.bit_planes import class_areas, intersections
from competition.metrics.counts import dice
from competition.submission.array_zip.files import PlaneFiles, open_plane_files, packed, plane_file_name
from competition.submission.scoring import Score
from competition.text import few, near_misses
from competition.tracks.label_folder import labels_of
from competition.tracks.track import Track

Truth = Callable[[str, tuple[int, int]], NDArray[np.uint8]]
"""(file name, rows and columns) -> label planes."""


def score_planes(
    track: Track, submission: Path, truth: Path, sizes: Mapping[str, tuple[int, int]] | None = None
) -> Score:
    """Scores a submission, one image in memory at a time.

    Args:
        track: Classes, and how labels are read and paired.
        submission: A zip of .npy files, or the folder of them.
        truth: Another such zip or folder, or a folder of labels in the track's own form.
        sizes: Image name -> rows and columns where they are known. Without them an array of the wrong size is noticed
            only where the label does not fit it either way round.

    Returns:
        Mean Dice over all (image, class) pairs, empty against empty = 1; ``beside`` holds plane_accuracy and
        all_background_accuracy, what an empty submission would have.

    Raises:
        CompetitionError: An image lacks on either side, a file is damaged, or its form, size or values are wrong.
    """
    size_of = {plane_file_name(name): size for name, size in (sizes or {}).items()}
    classes = len(track.classes)
    scores, shares = [], []
    with ExitStack() as opened:
        files = opened.enter_context(open_plane_files(submission))
        names = _names(files)
        read_truth = _open_truth(track, truth, names, opened)
        for name in shown(names, "scoring"):
            ours = packed(files.read(name, classes, size_of.get(name)))
            overlaps, accuracies = _compare(ours, read_truth(name, (ours.shape[0], ours.shape[1])), classes)
            scores.append(overlaps)
            shares.append(accuracies)
    table = np.stack(scores)
    plane_accuracy, all_background_accuracy = np.mean(shares, axis=0).tolist()
    return Score(
        metric="dice",
        score=float(table.mean()),
        per_class=dict(zip(track.classes, table.mean(axis=0).tolist(), strict=True)),
        rows=table.size,
        beside={"plane_accuracy": plane_accuracy, "all_background_accuracy": all_background_accuracy},
        per_image=dict(zip(names, table.mean(axis=1).tolist(), strict=True)),
    )


def _compare(
    ours: NDArray[np.uint8], theirs: NDArray[np.uint8], classes: int
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Dice (C,) of two images' label planes, and plane accuracy: ours, and that of an empty image."""
    both = intersections(ours, theirs, classes)
    our_areas, their_areas = class_areas(ours, classes), class_areas(theirs, classes)
    # The background planes differ where exactly one side has any class.
    our_any, their_any = ours.any(axis=-1), theirs.any(axis=-1)
    wrong = (our_areas + their_areas - 2 * both).sum() + np.count_nonzero(our_any != their_any)
    empty_wrong = their_areas.sum() + np.count_nonzero(their_any)
    entries = (classes + 1) * our_any.size
    return dice(both, our_areas, their_areas), (1 - float(wrong) / entries, 1 - float(empty_wrong) / entries)


def _names(files: PlaneFiles) -> list[str]:
    """The names of a submission that can be scored: there are some, and none appears twice."""
    if not files.names:
        raise CompetitionError("there is nothing to score: no files", files.path)
    if twice := [name for name, count in Counter(files.names).items() if count > 1]:
        raise CompetitionError(f"{len(twice)} files appear twice ({few(twice)})", files.path)
    return files.names


def _open_truth(track: Track, truth: Path, names: list[str], opened: ExitStack) -> Truth:
    """How to read the label planes of a submitted file; what it opens is closed with ``opened``."""
    if truth.is_file() or find_files(truth, "**/*.npy"):
        files = opened.enter_context(open_plane_files(truth))
        theirs = _names(files)
        for missing, others, where in (
            (set(theirs) - set(names), set(names) - set(theirs), "the submission"),
            (set(names) - set(theirs), (), "the truth"),
        ):
            if missing:
                hint = near_misses(sorted(others), sorted(missing))
                raise CompetitionError(
                    f"{len(missing)} files are missing in {where} ({few(sorted(missing))}){hint}", truth
                )
        return lambda name, size_hw: packed(files.read(name, len(track.classes), size_hw))
    read_label = track.read_label
    if read_label is None:
        raise CompetitionError(f"track {track.name} has no label files", truth)
    labels = labels_of(track, truth, names)
    return lambda name, size_hw: read_label(labels[name], size_hw)
