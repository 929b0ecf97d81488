"""The score of a submission of arrays against labels or other arrays: Dice over the classes, plane accuracy beside it.

Nobody knows the metric of the organiser's leaderboard. Plane accuracy, the share of equal entries over all planes with
the background, is hardly it: an empty submission reaches 0.97.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import track as shown
from competition.delivery.plane_files import list_plane_files, packed, plane_fault, plane_file_name, read_plane_file
from competition.delivery.scoring import Score, labels_of
from competition.delivery.submissions import few
from competition.errors import CompetitionError
from competition.imaging.planes import class_areas, intersections
from competition.metrics import dice
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
    names = list_plane_files(submission)
    if not names:
        raise CompetitionError("there is nothing to score: no files", submission)
    read_truth = _open_truth(track, truth, names)
    size_of = {plane_file_name(name): size for name, size in (sizes or {}).items()}
    classes = len(track.classes)
    scores, shares = [], []
    for name in shown(names, "scoring"):
        ours = _read(submission, name, classes, size_of.get(name))
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


def _open_truth(track: Track, truth: Path, names: list[str]) -> Truth:
    """How to read the label planes of a submitted file."""
    if truth.is_file() or any(truth.rglob("*.npy")):
        theirs = list_plane_files(truth)
        for missing, where in ((set(theirs) - set(names), "the submission"), (set(names) - set(theirs), "the truth")):
            if missing:
                raise CompetitionError(f"{len(missing)} files lack in {where} ({few(sorted(missing))})", truth)
        return lambda name, size_hw: _read(truth, name, len(track.classes), size_hw)
    read_label = track.read_label
    if read_label is None:
        raise CompetitionError(f"track {track.name} has no label files", truth)
    labels = labels_of(track, truth, names)
    return lambda name, size_hw: read_label(labels[name], size_hw)


def _read(path: Path, name: str, classes: int, size_hw: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Label planes of one file of a submission."""
    array = read_plane_file(path, name)
    if fault := plane_fault(array, classes, size_hw):
        raise CompetitionError(f"{name} {fault}", path)
    return packed(array)
