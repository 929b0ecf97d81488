"""Implausible images and masks: classes that are empty or cover the image in all masks, images nearly in one grey.

A wrong folder, pixel value or column reads without an error. A network then learns nothing, and the Dice of two empty
masks is 1, so that nothing looks wrong until a submission is scored.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.formats.pictures import has_wide_grey

FULL_SHARE = 0.995
"""Of an image's pixels; a mask of more covers all of it. A mask painted in full often lacks its last row."""

LARGE_SHARE = 0.5
"""Of an image's pixels; a class of more may be the background: few organs cover half of an image."""

NARROW_SHARE, NARROW_LEVELS = 0.99, 26
"""Nearly all pixels, and a tenth of the 256 levels."""
NARROW = (
    "images: in {count} of {samples}, 99 % of the pixels fall into a tenth of the grey range, which a few very bright "
    "or dark pixels decide ({names}): look at the contact sheet"
)
"""The remark on such images, to be filled in for all of them."""


def implausible_classes(entries: Sequence[Entry], classes: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Return a sentence for the classes that are empty, and one for those that are full, in every mask.

    Args:
        entries: All samples; those without masks do not count.
        classes: Of the track.
        labels: Sample -> its label as the track lists it, "{class}" in it for a file of each class.
    """
    masks = [entry for entry in entries if entry.areas]
    if not masks:
        return []
    areas = np.array([entry.areas for entry in masks], dtype=np.int64)
    example = labels.get(masks[0].sample, "")
    sentences = []
    empty = [name for name, seen in zip(classes, areas.sum(axis=0).tolist(), strict=True) if not seen]
    if empty:
        which = "no class has" if len(empty) == len(classes) > 1 else f"class {', '.join(empty)} has no pixel in any of"
        which = f"{which} a pixel in any of" if which.endswith("has") else which
        sentences.append(f"{which} the {len(masks)} training masks: {_cause(example, empty[0])}")
    full = _full(masks)
    if everywhere := [name for name, seen in zip(classes, full.min(axis=0).tolist(), strict=True) if seen]:
        sentences.append(
            f"class {', '.join(everywhere)} covers the whole image in all {len(masks)} training masks: "
            f"{_cause(example, everywhere[0])}, and whether background and class are exchanged"
        )
    return sentences


def large_classes(entries: Sequence[Entry], classes: Sequence[str]) -> list[str]:
    """Return a sentence on the classes that cover most of every image without covering all of it, or none."""
    masks = [entry for entry in entries if entry.areas]
    if not masks:
        return []
    smallest = _shares(masks).min(axis=0)
    large = (smallest > LARGE_SHARE) & ~_full(masks).all(axis=0)
    if not large.any():
        return []
    found = zip(classes, smallest.tolist(), large.tolist(), strict=True)
    which = ", ".join(f"{name} (at least {int(100 * share)} %)" for name, share, is_large in found if is_large)
    verb = "covers" if large.sum() == 1 else "cover"
    return [f"labels: {which} {verb} more than half of every image; are background and class exchanged?"]


def full_masks(entries: Sequence[Entry], classes: Sequence[str]) -> list[str]:
    """Return a sentence on masks that cover their whole image, of classes of which only some do, or none."""
    masks = [entry for entry in entries if entry.areas]
    if not masks:
        return []
    full = _full(masks)
    full &= ~full.all(axis=0)  # those are reported as implausible
    if not full.any():
        return []
    row, column = np.argwhere(full)[0].tolist()
    first = f"{masks[row].name}, class {classes[column]}"
    return [
        f"labels: masks that cover their whole image: {np.count_nonzero(full)} (the first: {first}); is that meant?"
    ]


def _full(masks: Sequence[Entry]) -> NDArray[np.bool_]:
    """Return which masks cover their image: (n, C) bool."""
    return np.asarray(_shares(masks) >= FULL_SHARE)


def _shares(masks: Sequence[Entry]) -> NDArray[np.float64]:
    """Return the share of its image that each mask covers: (n, C)."""
    pixels = np.array([entry.height * entry.width for entry in masks], dtype=np.int64)
    areas = np.array([entry.areas for entry in masks], dtype=np.int64)
    return np.asarray(areas / pixels[:, None])


def _cause(label: str, name: str) -> str:
    """Return where to look first, by the form of the labels."""
    if "#" in label:
        return f"check the columns and the class names of {label.partition('#')[0]}"
    if "{class}" in label:
        return f"check that the files of the class hold its masks, for example {label.replace('{class}', name)}"
    return f"check the class's pixel value and the folder, for example {label}"


def is_narrow(path: Path, image: NDArray[np.uint8]) -> bool:
    """Return whether a stretched image has 99 % of its pixels within a tenth of the grey levels.

    Args:
        path: Its file, or record of a file; the range of DICOM and of grey of more than 8 bits was stretched.
        image: (H, W) or (H, W, 3) uint8 as read.
    """
    counts = np.bincount(image.reshape(-1), minlength=256)
    if np.count_nonzero(counts) < 2:
        return False
    within = np.convolve(counts, np.ones(NARROW_LEVELS, np.int64), mode="valid").max()
    return bool(within >= NARROW_SHARE * image.size) and _was_stretched(path, counts)


def _was_stretched(path: Path, counts: NDArray[np.intp]) -> bool:
    # The pixels of a record have 1 or more bytes; of those that are stretched, the darkest is 0 and the brightest 255.
    if ".tfrecord" in path.name.lower():
        return bool(counts[0] and counts[255])
    return path.suffix.lower() == ".dcm" or has_wide_grey(path)
