"""Folder tracks: a competition of images with masks as files or as run lengths, declared in a YAML file without code.

``tracks/knee.yaml`` is an example. ``--track path/to/mine.yaml`` joins any other competition.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import join_part, stem
from competition.formats.images import read_image, read_spacing
from competition.masks.bit_planes import plane_count
from competition.text import same_spelling
from competition.tracks.declared import label_sources, mask_files, run_length_table
from competition.tracks.declared.declaration import FolderTrack, read_declaration
from competition.tracks.declared.folder_listing import list_folder, list_test_folder
from competition.tracks.declared.image_sources import list_parts
from competition.tracks.declared.label_sources import LabelFiles
from competition.tracks.declared.mask_paths import find_masks
from competition.tracks.declared.object_files import objects_reader
from competition.tracks.declared.places import PathFaultError
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.declared.templates import key_of_part
from competition.tracks.track import Mirror, Track


def load_folder_track(path: Path) -> Track:
    """Make a track of a declaration; the file's stem is the track's name.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    declaration = read_declaration(path)
    classes, masks, images = tuple(declaration.classes), declaration.masks, declaration.images
    index = "" if declaration.index is None else declaration.index.csv
    labels = masks if masks is None or isinstance(masks, str) else masks.places[0]
    places = dict.fromkeys(place for place in (index, declaration.train, labels, declaration.test) if place)
    return Track(
        name=path.stem,
        task="segmentation",
        classes=classes,
        metric=declaration.mask_metric,
        form=declaration.form,
        list_samples=partial(list_folder, declaration=declaration),
        list_test=partial(list_test_folder, declaration=declaration),
        read_image=partial(read_image, channels=declaration.channels, window=images.window, slices=images.slices),
        read_label=partial(read_mask, declaration=declaration),
        read_objects=objects_reader(declaration),
        layout=_listed([f"DIR/{place}" for place in places]),
        channels=3 if declaration.channels == 3 else 1,
        colour=declaration.channels if isinstance(declaration.channels, str) else None,
        exclusive=declaration.exclusive,
        mirror=Mirror(classes=tuple(range(len(classes)))) if declaration.flip else None,
        find_labels=partial(find_labels, declaration=declaration),
        read_spacing=partial(read_spacing, slices=images.slices),
        list_parts=partial(list_parts, reading=images),
        inspect_label=partial(inspect_label, declaration=declaration),
        shared_labels=tuple(filter(None, (getattr(masks, "labelmap", None),))),
        label_key=stem if declaration.names_with_ending and not declaration.own_keys else same_spelling,
        reading=declaration.reading,
        data_form=declaration.data_form,
    )


def _listed(places: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(places[:-1]), places[-1])))


def read_mask(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> NDArray[np.uint8]:
    """Read the label planes of one image by the reader of its source."""
    masks, classes, empty = declaration.masks, tuple(declaration.classes), declaration.missing == "empty"
    background, colours, axis = declaration.background_values, declaration.in_colour, declaration.images.slices
    if isinstance(masks, RunLengthTable):
        return run_length_table.read_run_lengths(path, size_hw, masks, classes, empty)
    if isinstance(masks, LabelFiles):
        if empty and label_sources.is_missing(path, classes):
            return np.zeros((*size_hw, plane_count(len(classes))), np.uint8)
        return label_sources.read_label(path, size_hw, masks, declaration.values, background)
    return mask_files.read_masks(path, size_hw, declaration.values, background, colours, empty, axis)


def inspect_label(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> list[str]:
    """Return remarks on masks with soft edges, and on run lengths that make sense only in the other order."""
    masks, classes = declaration.masks, tuple(declaration.classes)
    if isinstance(masks, LabelFiles):
        return []
    if not isinstance(masks, RunLengthTable):
        between = mask_files.count_between(path, declaration.values, declaration.images.slices)
        return [mask_files.SOFT_EDGES] if between else []
    return [run_length_table.TORN_MASKS] if run_length_table.is_torn(path, size_hw, masks, classes) else []


def find_labels(folder: Path, declaration: FolderTrack) -> dict[str, list[Path]]:
    """Find the labels below a folder: ``label_key`` of an image -> paths for ``read_mask``.

    Raises:
        CompetitionError: The names of masks do not hold what the key of an image is made of.
    """
    masks, classes = declaration.masks, tuple(declaration.classes)
    if isinstance(masks, RunLengthTable):
        patterns = declaration.patterns.values()
        endings = {Path(pattern).suffix.lower() for pattern in patterns} if not declaration.own_keys else set[str]()
        return run_length_table.find_rows(folder, masks, classes, endings)
    if isinstance(masks, LabelFiles) and masks.template is None:
        return label_sources.find_labels(folder, masks)
    template = declaration.mask_template or "{stem}.*"  # the index names masks one by one; here, as their images
    try:
        return _parts_of(find_masks(folder, template, classes, declaration.places.key_of_mask), declaration)
    except PathFaultError as fault:
        repair = "Give the truth as a CSV in the form of the submission, or make key: of fields that masks: holds"
        raise CompetitionError(f"the image of a mask can't be found: {fault.reason}", folder, repair) from fault


def _parts_of(found: Mapping[str, list[Path]], declaration: FolderTrack) -> dict[str, list[Path]]:
    """Return the labels of all slices, if volumes are sliced."""
    parts = defaultdict[str, list[Path]](list)
    for key, paths in found.items():
        for path in paths:
            for part in list_parts(path, declaration.images):
                parts[key_of_part(key, part)].append(Path(join_part(str(path), part)))
    return dict(parts)
