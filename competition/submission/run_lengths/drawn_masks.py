"""The score of run lengths by a mask metric, for which both sides are drawn, one image in memory at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from competition.masks.objects import join_classes, pixels_of_runs
from competition.masks.run_length_text import parse
from competition.masks.run_lengths import decode_planes
from competition.metrics.masks import ImageMasks, MaskMetric
from competition.submission.form import Score
from competition.submission.known_images import KnownImages, Truth, same_rows
from competition.submission.mask_scores import ReadTruth, given_size, label_masks, score_masks
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.files import Key, check_classes, read_masks, read_rle_csv, read_truth_csv


def score_drawn_masks(
    path: Path,
    truth: Truth,
    classes: Sequence[str],
    images: KnownImages,
    columns: SubmissionColumns,
    metric: MaskMetric,
) -> Score:
    """Return the score over all images and classes; arguments and errors as ``RunLengthForm.score``.

    The objects of the submission are connected components; those of a truth in submission form are its rows where an
    image and class has several.
    """
    predicted = read_rle_csv(path, classes, columns)
    check_classes((name for _, name in predicted), classes, path)
    names = list(dict.fromkeys(image for image, _ in predicted))
    if isinstance(truth, Path):
        right = read_truth_csv(truth, classes, columns)
        names = list(dict.fromkeys(image for image, _ in right))
        wanted = [(image, name) for image in names for name in classes]
        same_rows(wanted, list(right), "the truth", "of an unknown class")
        of_rows = _object_rows(truth, classes, columns)
        theirs: ReadTruth = partial(_true_masks, right, of_rows, classes, columns)
    else:
        theirs = label_masks(truth, names, len(classes), metric)
    wanted = [(image, name) for image in names for name in classes]
    same_rows(wanted, list(predicted), path, "not in the truth")
    return score_masks(names, classes, partial(_draw, predicted, classes, columns, str(path)), theirs, images, metric)


def _true_masks(
    rles: Mapping[Key, str],
    of_rows: Mapping[Key, list[str]],
    classes: Sequence[str],
    columns: SubmissionColumns,
    image: str,
    known: tuple[int, int] | None,
) -> ImageMasks:
    """Return the masks of a truth in submission form, with one object per row if any of its keys has several rows."""
    size_hw = given_size(known, image)
    masks = _draw(rles, classes, columns, "the truth", image, size_hw)
    if not of_rows:
        return masks
    by_class = [[parse(rle, f"the truth, {image}") for rle in of_rows.get((image, name), ())] for name in classes]
    pixels = [[pixels_of_runs(runs, size_hw, columns.order) for runs in own] for own in by_class]
    return replace(masks, given=join_classes(size_hw, pixels))


def _draw(
    rles: Mapping[Key, str],
    classes: Sequence[str],
    columns: SubmissionColumns,
    where: str,
    image: str,
    size_hw: tuple[int, int],
) -> ImageMasks:
    planes = decode_planes([rles[image, name] for name in classes], size_hw, columns.order, f"{where}, {image}")
    return ImageMasks(planes, len(classes))


def _object_rows(path: Path, classes: Sequence[str], columns: SubmissionColumns) -> dict[Key, list[str]]:
    """Return the run lengths of each row of a truth, counted from pixel 1; nothing where no key has two rows."""
    rows: dict[Key, list[str]] = {}
    for row in read_masks(path, classes, columns, truth=True):
        if row.rle:
            rows.setdefault((row.image, row.class_name), []).append(row.rle)
    return rows if any(len(own) > 1 for own in rows.values()) else {}
