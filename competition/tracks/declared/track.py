"""Folder tracks: a competition of images with masks as files or as run lengths, declared in a YAML file without code.

``tracks/knee.yaml`` is an example. ``--track path/to/mine.yaml`` joins any other competition.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.formats.pictures import read_grey, read_rgb
from competition.text import same_spelling
from competition.tracks.declared import mask_files, run_length_table
from competition.tracks.declared.declaration import FolderTrack, read_declaration
from competition.tracks.declared.folder_listing import list_folder, list_test_folder
from competition.tracks.declared.mask_paths import find_masks
from competition.tracks.declared.places import PathFaultError
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.track import Mirror, Track


def load_folder_track(path: Path) -> Track:
    """Make a track of a declaration; the file's stem is the track's name.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    declaration = read_declaration(path)
    classes, masks = tuple(declaration.classes), declaration.masks
    index = "" if declaration.index is None else declaration.index.csv
    labels = masks.csv if isinstance(masks, RunLengthTable) else masks
    places = dict.fromkeys(place for place in (index, declaration.train, labels, declaration.test) if place)
    return Track(
        name=path.stem,
        task="segmentation",
        classes=classes,
        metric=declaration.count_metric,
        form=declaration.form,
        list_samples=partial(list_folder, declaration=declaration),
        list_test=partial(list_test_folder, declaration=declaration),
        read_image=read_grey if declaration.channels == 1 else read_rgb,
        read_label=partial(read_mask, declaration=declaration),
        layout=_listed([f"DIR/{place}" for place in places]),
        channels=declaration.channels,
        mirror=Mirror(classes=tuple(range(len(classes)))) if declaration.flip else None,
        find_labels=partial(find_labels, declaration=declaration),
        inspect_label=partial(inspect_label, declaration=declaration),
        label_key=stem if declaration.names_with_ending and not declaration.own_keys else same_spelling,
        reading=declaration.reading,
        data_form=declaration.data_form,
    )


def _listed(places: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(places[:-1]), places[-1])))


def read_mask(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> NDArray[np.uint8]:
    """Read the label planes of one image, by ``read_masks`` or, from "train.csv#image", by ``read_run_lengths``."""
    empty = declaration.missing == "empty"
    if isinstance(declaration.masks, RunLengthTable):
        classes = tuple(declaration.classes)
        return run_length_table.read_run_lengths(path, size_hw, declaration.masks, classes, empty)
    background, colours = declaration.background_values, declaration.in_colour
    return mask_files.read_masks(path, size_hw, declaration.values, background, colours, empty)


def inspect_label(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> list[str]:
    """Return remarks on masks with soft edges, and on run lengths that make sense only in the other order."""
    masks = declaration.masks
    if not isinstance(masks, RunLengthTable):
        return [mask_files.SOFT_EDGES] if mask_files.count_between(path, declaration.values) else []
    classes = tuple(declaration.classes)
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
    template = masks if masks is not None else "{stem}.*"  # the index names masks one by one; here, as their images
    try:
        return find_masks(folder, template, classes, declaration.places.key_of_mask)
    except PathFaultError as fault:
        repair = "Give the truth as a CSV in the form of the submission, or make key: of fields that masks: holds"
        raise CompetitionError(f"the image of a mask can't be found: {fault.reason}", folder, repair) from fault
