"""The score of a submission by a metric of masks: one image in memory at a time, both sides as masks and objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from competition.console import track as shown
from competition.errors import CompetitionError
from competition.metrics.masks import ImageMasks, MaskMetric, Measured
from competition.metrics.metric import Metric
from competition.submission.form import Score
from competition.submission.known_images import KnownImages, Labels
from competition.submission.mask_counts import count_pixels, groups_of, score_values, stack_counts

ReadMasks = Callable[[str, tuple[int, int]], ImageMasks]
"""(image name, rows and columns) -> its masks."""

ReadTruth = Callable[[str, tuple[int, int] | None], ImageMasks]
"""(image name, rows and columns, or None where they are unknown) -> its true masks."""


def score_masks(
    names: Sequence[str],
    classes: Sequence[str],
    ours: ReadMasks,
    theirs: ReadTruth,
    images: KnownImages,
    metric: Metric,
) -> Score:
    """Return the score over all images and classes, by a mask metric with that of its count metric beside it.

    Args:
        names: Of the images that both sides have.
        classes: Of the track.
        ours: Reads the masks of an image of the submission, in the size of its truth.
        theirs: Reads the masks of an image of the truth.
        images: Whose sizes and groups are known.
        metric: Of the track.

    Raises:
        CompetitionError: A mask can't be read or has another size, or the group of an image is unknown.
    """
    counts, values, sizes = [], [], dict[str, tuple[int, int]]()
    for name in shown(names, "scoring"):
        truth = theirs(name, images.size_of(name))
        sizes[name] = (truth.planes.shape[0], truth.planes.shape[1])
        decided = ours(name, sizes[name])
        if isinstance(metric, MaskMetric):
            counted, measured = metric.measure(decided, truth)
            values.append(measured)
        else:
            counted = count_pixels(decided.planes, truth.planes, len(classes))
        counts.append(counted)
    if isinstance(metric, MaskMetric):
        score = _score_measured(metric, Measured(np.stack(counts), np.stack(values)), names, classes, images.groups)
    else:
        score = stack_counts(names, classes, counts).score(metric, images.groups)
    return replace(score, label_sizes=sizes)


def _score_measured(
    metric: MaskMetric, measured: Measured, names: Sequence[str], classes: Sequence[str], groups: Mapping[str, str]
) -> Score:
    group_of = groups_of(names, metric.unit == "group", metric.label, groups)
    values, units = metric.values(measured, group_of), names if metric.unit == "image" else group_of
    counted = stack_counts(names, classes, measured.counts).score(metric.proposer, groups).score
    return replace(
        score_values(metric, values, measured.counts, classes, units),
        beside={"count_score": counted},
        note=f"{metric.proposer.title} {counted:.6f}",
    )


def label_masks(labels: Labels, names: Sequence[str], classes: int, metric: Metric) -> ReadTruth:
    """Return how to read the masks of labels in the track's own form, with objects where the metric compares these.

    Raises:
        CompetitionError: An image has no label, or two.
    """
    read = labels.join(names)
    of_objects = isinstance(metric, MaskMetric) and metric.of_objects
    read_objects = labels.join_objects(names) if of_objects else None

    def masks(name: str, size_hw: tuple[int, int] | None) -> ImageMasks:
        planes = read(name, size_hw)
        if read_objects is None:
            return ImageMasks(planes, classes)
        return ImageMasks(planes, classes, read_objects(name, (planes.shape[0], planes.shape[1])))

    return masks


def given_size(size_hw: tuple[int, int] | None, name: str) -> tuple[int, int]:
    """Return rows and columns of an image whose run lengths are to be drawn.

    Raises:
        CompetitionError: They are unknown.
    """
    if size_hw is None:
        what = "the size of this image is unknown, and run lengths can't be drawn without it"
        raise CompetitionError(what, name, "Run ./run.sh prepare, or give --size ROWSxCOLUMNS")
    return size_hw
