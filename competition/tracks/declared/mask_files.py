"""Masks as pictures: files of an image, or of an image and class, read as a folder track declares them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import class_files, label_files, split_part
from competition.formats.array_images import is_array, read_label_array, whole_numbers
from competition.formats.label_values import SHOWN, check_one_class, describe_values, show_value
from competition.formats.nifti import is_nifti
from competition.formats.nifti import read_values as read_nifti_values
from competition.formats.pictures import read_colours, read_ordered_values, read_values
from competition.masks.bit_planes import pack_masks
from competition.text import size_text

SOFT_EDGES = (
    "labels: {count} of {labelled} have pixels between 0 and their maximum (soft or compressed edges), which were "
    "thresholded at half of it ({names})"
)


def read_masks(
    path: Path,
    size_hw: tuple[int, int],
    classes: dict[str, int] | list[str],
    background: Sequence[int] = (0,),
    colours: bool = False,
    missing_is_empty: bool = False,
    axis: int | None = None,
) -> NDArray[np.uint8]:
    """Read the mask of one image into label planes; of several files of a mask, a pixel of any counts.

    Args:
        path: The mask, as ``file_listing.class_files`` finds its files.
        size_hw: Rows and columns of the image.
        classes: Names, or names and pixel values.
        background: Pixel values that belong to no class.
        colours: Whether values are colours, 0xRRGGBB.
        missing_is_empty: Whether a file that is missing holds no object.
        axis: Of the slices of a NIfTI volume, whose number follows a "#" in the path.

    Returns:
        Label planes (H, W, ceil(C/8)) uint8.

    Raises:
        CompetitionError: A file is missing or damaged, its size is not the image's, a value belongs to no class, a mask
            of one class holds other labels, or a palette has no index that is clearly the class.
    """
    names = list(classes)
    masks, files = np.zeros((len(names), *size_hw), np.bool_), class_files(path, names)
    for index, of_class in enumerate(files):
        here = names if len(files) == 1 else names[index : index + 1]
        if not of_class and not missing_is_empty:
            raise CompetitionError("no file fits this mask", path)
        for file in of_class:
            if missing_is_empty and not os.path.lexists(split_part(file)[0]):  # a broken link is reported by its reader
                continue
            values = _read_file(file, isinstance(classes, list), colours, axis)
            if values.shape != size_hw:
                found, wanted = size_text(values.shape), size_text(size_hw)
                raise CompetitionError(f"mask is {found} pixels, its image {wanted} (rows x columns)", file)
            if isinstance(classes, list):
                masks[index] |= binarise(values, file)
                continue
            _refuse_strange(values, {name: classes[name] for name in here}, background, colours, file)
            for name in here:
                masks[names.index(name)] |= values == classes[name]
    return pack_masks(masks)


def _read_file(file: Path, one_class: bool, colours: bool, axis: int | None) -> NDArray[np.integer]:
    """Return the values of a picture, NIfTI file or array."""
    volume, number = split_part(file)
    if is_nifti(volume):
        return whole_numbers(read_nifti_values(volume, axis, number), volume)
    if is_array(file):
        return read_label_array(file)
    read = read_ordered_values if one_class else read_colours if colours else read_values
    return read(file)


def _refuse_strange(
    stored: NDArray[np.integer], classes: dict[str, int], background: Sequence[int], colours: bool, file: Path
) -> None:
    """Raise CompetitionError if a pixel value belongs to neither a class nor the background."""
    known = np.isin(stored, [*background, *classes.values()])
    if known.all():
        return
    strange = stored[~known]
    values, kind = np.unique(strange), "colour" if colours else "value"
    which = ", ".join(f"{name} {show_value(value, colours)}" for name, value in classes.items())
    listed = ", ".join(f'"{show_value(value, True)}"' if colours else str(value) for value in values[:SHOWN].tolist())
    repair = f"If they are background, add to the track's YAML: background: [{listed}]"
    if file.suffix.lower() in (".jpg", ".jpeg"):
        repair = "Save labels as PNG, because JPG changes their values (with one class, classes: [name] thresholds it)"
    what = f"pixel {kind} that belongs to no class ({which}): {describe_values(strange, colours)}"
    raise CompetitionError(what, file, repair)


def binarise(values: NDArray[np.integer], where: Path | str) -> NDArray[np.bool_]:
    """Threshold a mask (H, W) at half of its maximum, which suits {0, 1}, {0, 255} and soft edges; all zero is empty.

    Raises:
        CompetitionError: The values are several labels instead of one class with soft edges.
    """
    check_one_class(values, str(where))
    return values.astype(np.int64) * 2 > int(values.max(initial=0))


def count_between(path: Path, classes: dict[str, int] | list[str], axis: int | None = None) -> int:
    """Count the pixels between 0 and a picture's maximum, which ``binarise`` decides; 0 if classes have values."""
    if isinstance(classes, dict):
        return 0
    masks = [_read_file(file, True, False, axis) for file in label_files(path, classes) if split_part(file)[0].exists()]
    return sum(int(np.count_nonzero((mask > 0) & (mask < mask.max()))) for mask in masks)
