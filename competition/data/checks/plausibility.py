"""Implausible images and masks: classes that are empty or cover the image in all masks, images nearly in one grey.

A wrong folder, pixel value or column reads without an error. A network then learns nothing, and the Dice of two empty
masks is 1, so that nothing looks wrong until a submission is scored.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.formats.images import is_stretched
from competition.formats.nifti import is_nifti

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
    shares, sentences = _shares(masks), []
    example = labels.get(masks[0].sample, "")
    if empty := [name for name, seen in zip(classes, shares.max(axis=0).tolist(), strict=True) if not seen]:
        every = len(empty) == len(classes) > 1
        which = "no class has a pixel" if every else f"class {', '.join(empty)} has no pixel"
        sentences.append(f"{which} in any of the {len(masks)} training masks: {_cause(example, empty[0])}")
    if full := [name for name, share in zip(classes, shares.min(axis=0).tolist(), strict=True) if share >= FULL_SHARE]:
        sentences.append(
            f"class {', '.join(full)} covers the whole image in all {len(masks)} training masks: "
            f"{_cause(example, full[0])}, and whether background and class are swapped"
        )
    return sentences


def questionable_masks(entries: Sequence[Entry], classes: Sequence[str]) -> list[str]:
    """Return a sentence on masks that cover their whole image, and one on classes that cover most of every image.

    Classes that cover every image as a whole are left out, because they are reported as implausible.
    """
    masks = [entry for entry in entries if entry.areas]
    if not masks:
        return []
    shares, sentences = _shares(masks), []
    smallest = shares.min(axis=0)
    full = (shares >= FULL_SHARE) & (smallest < FULL_SHARE)
    if full.any():
        row, column = np.argwhere(full)[0].tolist()
        first = f"{np.count_nonzero(full)} (the first: {masks[row].name}, class {classes[column]})"
        sentences.append(f"labels: masks that cover their whole image: {first}; is that meant?")
    found = zip(classes, smallest.tolist(), strict=True)
    large = {name: share for name, share in found if LARGE_SHARE < share < FULL_SHARE}
    if large:
        which = ", ".join(f"{name} (at least {int(100 * share)} %)" for name, share in large.items())
        verb = "covers" if len(large) == 1 else "cover"
        sentences.append(f"labels: {which} {verb} more than half of every image; are background and class swapped?")
    return sentences


def _shares(masks: Sequence[Entry]) -> NDArray[np.float64]:
    """Return the share of its image that each mask covers: (n, C)."""
    pixels = np.array([entry.height * entry.width for entry in masks], dtype=np.int64)
    areas = np.array([entry.areas for entry in masks], dtype=np.int64)
    return np.asarray(areas / pixels[:, None])


def _cause(label: str, name: str) -> str:
    """Return where to look first, by the form of the labels."""
    if "#" in label and not is_nifti(Path(label.partition("#")[0])):
        return f"check the columns and the class names of {label.partition('#')[0]}"
    if "{class}" in label:
        return f"check that the files of the class hold its masks, for example {label.replace('{class}', name)}"
    return f"check the class's pixel value and the folder, for example {label}"


def is_narrow(path: Path, image: NDArray[np.uint8]) -> bool:
    """Return whether a stretched image has 99 % of its pixels within a tenth of the grey levels.

    Args:
        path: Its file, or part of a file; where ``is_stretched``, its range was stretched.
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
    return is_stretched(path)
