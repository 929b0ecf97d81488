"""The single objects of a declared track's labels, where these hold more than masks."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from competition.file_listing import class_files, is_wild
from competition.masks.bit_planes import unpack_class
from competition.masks.objects import Objects, Pixels, component_pixels, join_classes, no_objects
from competition.tracks.declared import label_sources, run_length_table
from competition.tracks.declared.declaration import FolderTrack
from competition.tracks.declared.label_sources import LabelFiles
from competition.tracks.declared.mask_files import read_masks
from competition.tracks.declared.run_length_table import RunLengthTable


def objects_reader(declaration: FolderTrack) -> Callable[[Path, tuple[int, int]], Objects] | None:
    """Return how the objects of a label are read; None where they are the components of its masks."""
    masks, classes, empty = declaration.masks, tuple(declaration.classes), declaration.missing == "empty"
    if isinstance(masks, RunLengthTable):
        return partial(run_length_table.read_objects, form=masks, classes=classes, missing_is_empty=empty)
    if isinstance(masks, LabelFiles) and label_sources.has_objects(masks):
        return partial(_objects_of_source, form=masks, classes=classes, missing_is_empty=empty)
    if isinstance(masks, str) and is_wild(masks):
        background, colours, axis = declaration.background_values, declaration.in_colour, declaration.images.slices
        return partial(objects_of_masks, classes=declaration.values, background=background, colours=colours, axis=axis)
    return None


def _objects_of_source(
    path: Path, size_hw: tuple[int, int], form: LabelFiles, classes: Sequence[str], missing_is_empty: bool
) -> Objects:
    if missing_is_empty and label_sources.is_missing(path, classes):
        return no_objects(size_hw)
    return label_sources.read_objects(path, size_hw, form, classes)


def objects_of_masks(
    path: Path,
    size_hw: tuple[int, int],
    classes: dict[str, int] | list[str],
    background: Sequence[int] = (0,),
    colours: bool = False,
    axis: int | None = None,
) -> Objects:
    """Read the objects of one image: each of several files of a class is one; of a single file, its components.

    Arguments and errors as ``mask_files.read_masks``. Objects may overlap; an empty file is none.
    """
    names, files = list(classes), class_files(path, list(classes))
    by_class: list[list[Pixels]] = [[] for _ in names]
    for index, of_class in enumerate(files):
        here = names if len(files) == 1 else names[index : index + 1]
        read = here if isinstance(classes, list) else {name: classes[name] for name in here}
        for file in of_class:
            planes = read_masks(file, size_hw, read, background, colours, axis=axis)
            for place, name in enumerate(here):
                mask = unpack_class(planes, place)
                whole = [np.flatnonzero(mask)] if mask.any() else []
                by_class[names.index(name)] += whole if len(of_class) > 1 else component_pixels(mask)
    return join_classes(size_hw, by_class)
