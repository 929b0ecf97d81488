"""The labels of a declared track's training images: mask files, rows of run lengths, or columns of the index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from competition.errors import CompetitionError
from competition.file_listing import find_pictures_beside, join_part, stem, without_picture_ending
from competition.text import counted, difference
from competition.tracks.declared import run_length_table
from competition.tracks.declared.declaration import FolderTrack
from competition.tracks.declared.found_images import FoundImage, FoundImages, key_of
from competition.tracks.declared.index_table import path_below
from competition.tracks.declared.label_sources import LabelFiles, list_labels
from competition.tracks.declared.mask_paths import MaskFiles, near_masks, search_pattern
from competition.tracks.declared.places import PathFaultError
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.track import Problem


@dataclass(frozen=True)
class Labels:
    """Labels of training samples by key, what is wrong with them, and all masks: their images' stems, their files."""

    of_sample: Mapping[str, str]
    problems: list[Problem]
    stems: frozenset[str] = frozenset()
    files: frozenset[Path] = frozenset()
    remarks: list[str] = field(default_factory=list)


def labels_in_files(
    root: Path,
    training: Mapping[str, FoundImage],
    found: FoundImages,
    masks: MaskFiles,
    declaration: FolderTrack,
) -> Labels:
    """Join training images and the files of their masks.

    Args:
        root: The data folder.
        training: Key -> image of the samples.
        found: All images: also those that are excluded or can't be used have masks.
        masks: All mask files.
        declaration: The track.

    Raises:
        CompetitionError: A mask is that of two images.
    """
    owner: dict[Path, str] = {}
    for image in [*found.images, *found.excluded]:
        for file in (file for files in masks.files_of(image.fields or {}) for file in files):
            if image.split == "train" and (other := owner.setdefault(file, image.relative)) != image.relative:
                what = f"this is the mask of {other} and of {image.relative}"
                raise CompetitionError(what, file, "Write masks: in the YAML so that each image has its own")
    images = {image.file for image in [*found.images, *found.excluded]}
    strays = [file for file in masks.fields_of if file not in owner and file not in images]
    template = str(declaration.mask_template)
    missing = [(root / path, key) for key, image in training.items() for path in masks.missing_of(image.fields or {})]
    meant = near_masks(
        [path for path, _ in missing],
        [*strays, *find_pictures_beside(root, [search_pattern(template)])],
    )
    problems, lacking = [], set[str]()
    for path, key in missing:
        reason, kind = "annotation missing", ""
        if path in meant:
            kind = f"annotation missing: {difference(meant[path].name, path.name)}"
            reason += f", did you mean {meant[path].name}, which differs in its {kind.partition(': ')[2]}?"
        elif declaration.missing == "empty":
            lacking.add(key)
            continue
        where = path.relative_to(root).as_posix()
        problems.append(Problem(key, "train", where, reason, kind=kind, repair=_repair(template)))
    for path in strays:
        if path not in meant.values():
            key, where = masks.fields_of[path].get("stem", path.stem), path.relative_to(root).as_posix()
            problems.append(Problem(key, "train", where, "a mask without a training image", note=True))
    of_sample = {key: join_part(masks.label_of(image.fields or {}), image.part) for key, image in training.items()}
    if declaration.missing == "empty" and training and not owner:
        what = f"none of the {counted(len(training), 'training image')} has a mask of this name"
        raise CompetitionError(what, root / next(iter(of_sample.values())), "Fix masks: in the track's YAML file")
    stems = frozenset(fields["stem"] for fields in masks.fields_of.values() if "stem" in fields)
    remarks = [_empty_remark(len(lacking), len(training), "mask file")] if lacking else []
    return Labels(of_sample, problems, stems, frozenset(masks.fields_of) - images, remarks)


def _repair(masks: str) -> str:
    """Return how to write a template that repeats folders, "" if it does not."""
    before, field, after = masks.partition("{dir}")
    if not before or not field:
        return ""
    return f"Write masks: {field}{after}, because {field} holds all folders below the data folder"


def labels_in_table(
    root: Path,
    training: Mapping[str, FoundImage],
    found: FoundImages,
    form: RunLengthTable,
    declaration: FolderTrack,
) -> Labels:
    """Join training images and the rows of their run lengths; arguments as ``labels_in_files``.

    Raises:
        CompetitionError: The table can't be read.
    """
    empty = declaration.missing == "empty"
    table = run_length_table.read_table(root / form.csv, form, tuple(declaration.classes))

    def row_name(image: FoundImage) -> str:
        if not declaration.own_keys:
            return table.written(image.file.name)
        try:
            return key_of(image, declaration)
        except PathFaultError:
            return ""

    names = {row_name(image): image for image in found.images if image.split == "train"}
    keys = {name: name if declaration.own_keys else stem(image.file.name) for name, image in names.items() if name}
    excluded = {row_name(image) for image in found.excluded}
    problems = run_length_table.find_problems(table, keys, form, list(declaration.classes), empty, excluded)
    lacking = sum(name not in table.rows for name in keys)
    remarks = [_empty_remark(lacking, len(keys), f"row in {form.csv}")] if empty and lacking else []
    of_sample = {key: f"{form.csv}#{row_name(image)}" for key, image in training.items()}
    return Labels(of_sample, problems, frozenset(map(without_picture_ending, table.rows)), remarks=remarks)


def labels_in_export(
    root: Path,
    training: Mapping[str, FoundImage],
    form: LabelFiles,
    declaration: FolderTrack,
    tests: Sequence[str],
) -> Labels:
    """Join training images and their names in the one file of ``form``; ``tests`` are images that it may list too.

    Raises:
        CompetitionError: The file can't be read, or has objects of an unknown class.
    """
    images = {key: image.path for key, image in training.items()}
    listed = list_labels(root, images, form, tuple(declaration.classes), tests)
    return Labels(listed.labels, listed.problems, frozenset(listed.labels), remarks=list(listed.remarks))


def labels_in_index(root: Path, training: Mapping[str, FoundImage], declaration: FolderTrack) -> Labels:
    """Take the masks that the rows of the index name; arguments and errors as ``labels_in_files``."""
    of_sample, problems, owner, empty = dict[str, str](), list[Problem](), dict[str, str](), 0
    assert declaration.index is not None
    for key, image in training.items():
        assert image.row is not None
        cell, where = image.row.cells["mask"], f"row {image.row.line}"
        file = path_below(root, cell) if cell else None
        if not cell and declaration.missing == "empty":
            of_sample[key], empty = f"no mask/{key}", empty + 1  # the path of no file, which is empty
            continue
        if file is None or not file.is_file():
            reason = f"{where}: there is no mask {cell!r}" if cell else f"{where}: no mask"
            problems.append(Problem(key, "train", declaration.index.csv, reason, kind="no mask"))
            continue
        of_sample[key] = label = file.relative_to(root).as_posix()
        if (other := owner.setdefault(label, image.relative)) != image.relative:
            what = f"{where}: {label} is the mask of {other} and of {image.relative}"
            problems.append(Problem(key, "train", declaration.index.csv, what, kind="mask of two images"))
    remarks = [_empty_remark(empty, len(training), f"mask in {declaration.index.csv}")] if empty else []
    return Labels(of_sample, problems, files=frozenset(root / label for label in of_sample.values()), remarks=remarks)


def _empty_remark(number: int, of: int, lacking: str) -> str:
    return f"missing: empty: {number} of {counted(of, 'training image')} have no {lacking}, so no object"
