"""Folder tracks: a competition of images with masks as files or as run lengths, declared in a YAML file without code.

``tracks/knee.yaml`` is an example. ``--track path/to/mine.yaml`` joins any other competition.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files, find_pictures_beside, label_files, stem
from competition.formats.pictures import read_grey, read_rgb
from competition.text import difference, same_spelling
from competition.tracks.declared import mask_files, run_length_table
from competition.tracks.declared.declaration import FolderTrack, read_declaration
from competition.tracks.declared.mask_files import list_masks, mask_pattern, near_masks
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.listing import NamesInUse, find_late_images, skipped_pictures
from competition.tracks.track import Listing, Mirror, Problem, Sample, Split, Track


def load_folder_track(path: Path) -> Track:
    """Make a track of a declaration; the file's stem is the track's name.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    declaration = read_declaration(path)
    classes, masks = tuple(declaration.classes), declaration.masks
    labels = masks if isinstance(masks, str) else masks.csv
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
        layout=f"DIR/{declaration.train}, DIR/{labels} and DIR/{declaration.test}",
        channels=declaration.channels,
        mirror=Mirror(classes=tuple(range(len(classes)))) if declaration.flip else None,
        find_labels=partial(find_labels, declaration=declaration),
        inspect_label=partial(inspect_label, declaration=declaration),
        label_key=stem if declaration.names_with_ending else same_spelling,
        reading=declaration.reading,
        data_form=declaration.data_form,
    )


@dataclass(frozen=True)
class Masks:
    """All masks, whether an image belongs to them or not: the keys of their images, and the mask files."""

    keys: frozenset[str]
    files: frozenset[Path] = frozenset()


def list_folder(root: Path, declaration: FolderTrack) -> Listing:
    """List the images of both splits, sorted by path.

    Raises:
        CompetitionError: There is no training image, the CSV of run lengths can't be read, or masks are among the
            training images.
    """
    images = _list_images(root, declaration)
    if not any(sample.split == "train" for sample in images.samples):
        raise _no_training_image(root, images.problems, declaration)
    labels, problems, masks = _list_labels(root, images.samples, declaration)
    samples = [replace(sample, label=labels.get(sample.key)) for sample in images.samples]
    problems = [*images.problems, *problems, *_skipped(root, samples, masks, declaration)]
    remarks = []
    if "test" not in {sample.split for sample in samples} | {problem.split for problem in problems}:
        remarks.append(f"no test image: nothing fits {root / declaration.test} (test: in the track's YAML file)")
    return Listing(samples, problems, remarks)


def list_test_folder(folder: Path, declaration: FolderTrack) -> Listing:
    """List a late test set: every file below ``folder`` that is named as the declaration's test images are.

    Raises:
        CompetitionError: There is none, two have one name, or an image has another ending than the test images.
    """
    images, remarks = find_late_images(folder, [f"**/{Path(declaration.test).name}"])
    samples = []
    for image in images:
        person = declaration.find_group(same_spelling(image.name)) or stem(image.name)
        samples.append(_sample(image, image.relative_to(folder).as_posix(), "test", person, declaration))
    return Listing(samples, remarks=remarks)


def _list_images(root: Path, declaration: FolderTrack) -> Listing:
    samples, problems, names = list[Sample](), list[Problem](), NamesInUse("images")
    for split, pattern in _patterns(declaration).items():
        for image in find_files(root, pattern):
            relative, key = image.relative_to(root).as_posix(), stem(image.name)
            if clash := names.clash(image.name, relative):
                repair = "Give the images names that differ without their folder and ending"
                problems.append(Problem(key, split, relative, clash, kind="names", repair=repair))
                continue
            group = declaration.find_group(same_spelling(image.name))
            if group is None:
                reason = f"name does not match the group '{declaration.group}'"
                if declaration.find_group(same_spelling(relative)):
                    reason += ", which is searched in the file name only and would match the path"
                problems.append(Problem(key, split, relative, reason))
                continue
            samples.append(_sample(image, relative, split, group, declaration))
    return Listing(samples, problems)


def _patterns(declaration: FolderTrack) -> dict[Split, str]:
    return {"train": declaration.train, "test": declaration.test}


def _no_training_image(root: Path, problems: Sequence[Problem], declaration: FolderTrack) -> CompetitionError:
    if refused := [problem for problem in problems if problem.split == "train"]:
        what = f"none of the {len(refused)} images of {declaration.train} can be used"
        first = f"{what}; the first: {refused[0].reason}"
        repair = "Fix group: in the track's YAML file, or put the group into the names of the images"
        return CompetitionError(first, root / refused[0].path, repair)
    if beside := find_pictures_beside(root, [declaration.train]):
        what = f"no training image found, but {len(beside)} other pictures lie there, for example {beside[0].name}"
        return CompetitionError(what, root / declaration.train, "Fix train: in the track's YAML file")
    repair = f"The data folder (--data DIR) is the one that holds {declaration.train}"
    return CompetitionError("no training image found", root / declaration.train, repair)


def _skipped(root: Path, samples: Sequence[Sample], masks: Masks, declaration: FolderTrack) -> list[Problem]:
    """Return the pictures beside the images of each split that belong to neither split and are no masks."""
    used = {root / str(sample.images[0]) for sample in samples} | masks.files
    problems, patterns = [], _patterns(declaration)
    for split, pattern in patterns.items():
        keys = {sample.key for sample in samples if sample.split == split}
        every = PurePosixPath(pattern).with_name("*.*")
        repair = f"Let {split}: in the track's YAML file take them ({every}), convert them, or move them away"
        taken = used | set(find_files(root, patterns["test" if split == "train" else "train"]))
        problems += skipped_pictures(
            root, split, [pattern], keys, taken=taken, labelled=masks.keys if split == "train" else (), repair=repair
        )
    return problems


def _sample(image: Path, relative: str, split: Split, group: str, declaration: FolderTrack) -> Sample:
    name = same_spelling(image.name) if declaration.names_with_ending else stem(image.name)
    return Sample(stem(image.name), name, split, group, images=(relative,))


def _list_labels(
    root: Path, samples: Sequence[Sample], declaration: FolderTrack
) -> tuple[dict[str, str], list[Problem], Masks]:
    """Join training images and their masks; errors as ``list_folder``.

    Return the label path below the root of each training sample by its key, missing and unused masks, and all masks.
    """
    classes, masks = tuple(declaration.classes), declaration.masks
    training = [sample for sample in samples if sample.split == "train"]
    images = find_files(root, declaration.train)
    if isinstance(masks, RunLengthTable):
        table = run_length_table.read_table(root / masks.csv, masks, classes)
        labels = {sample.key: f"{masks.csv}#{table.written(Path(str(sample.images[0])).name)}" for sample in training}
        problems = run_length_table.find_problems(table, images, masks, classes)
        return labels, problems, Masks(frozenset(map(stem, table.rows)))
    found = list_masks(root, masks, classes)
    labels = {}
    for sample in training:
        label = found.get(sample.key, [root / masks.replace("{stem}", sample.key)])[0]
        labels[sample.key] = label.relative_to(root).as_posix()
    _refuse_masks_as_images(root, training, labels, declaration)
    problems = _missing_and_unused(root, labels, found, {stem(image.name) for image in images}, masks, classes)
    files = {file for paths in found.values() for path in paths for file in label_files(path, classes)}
    return labels, problems, Masks(frozenset(found), frozenset(files))


def _refuse_masks_as_images(
    root: Path, training: Sequence[Sample], labels: dict[str, str], declaration: FolderTrack
) -> None:
    """Raise CompetitionError if the pattern of training images fits their masks too."""
    image_of = {root / str(sample.images[0]): sample for sample in training}
    for sample in training:
        for file in label_files(root / labels[sample.key], tuple(declaration.classes)):
            if file in image_of:
                mask, image = (str(taken.images[0]) for taken in (image_of[file], sample))
                reason = f"train: {declaration.train} fits masks too: {mask} is the mask of {image}"
                raise CompetitionError(reason, root, "Write train: so that it fits images only")


def _missing_and_unused(
    root: Path,
    labels: dict[str, str],
    found: dict[str, list[Path]],
    known: Collection[str],
    template: str,
    classes: Sequence[str],
) -> list[Problem]:
    """Return missing masks, each with the file that was probably meant, and masks without image."""
    missing = {
        path: key for key, label in labels.items() for path in label_files(root / label, classes) if not path.exists()
    }
    strays = {
        file: key
        for key, paths in found.items()
        if key not in known
        for path in paths
        for file in label_files(path, classes)
        if file.exists()
    }
    meant = near_masks(list(missing), [*strays, *find_pictures_beside(root, [mask_pattern(template)])])
    problems = []
    for path, key in missing.items():
        reason, kind = "annotation missing", ""
        if path in meant:
            kind = f"annotation missing: {difference(meant[path].name, path.name)}"
            reason += f", did you mean {meant[path].name}, which differs in its {kind.partition(': ')[2]}?"
        problems.append(Problem(key, "train", path.relative_to(root).as_posix(), reason, kind=kind))
    for path, key in strays.items():
        if path not in meant.values():
            where = path.relative_to(root).as_posix()
            problems.append(Problem(key, "train", where, "a mask without training image", note=True))
    return problems


def read_mask(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> NDArray[np.uint8]:
    """Read the label planes of one image, by ``read_masks`` or, from "train.csv#image", by ``read_run_lengths``."""
    if isinstance(declaration.masks, RunLengthTable):
        return run_length_table.read_run_lengths(path, size_hw, declaration.masks, tuple(declaration.classes))
    background, colours = declaration.background_values, declaration.in_colour
    return mask_files.read_masks(path, size_hw, declaration.values, background, colours)


def inspect_label(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> list[str]:
    """Return remarks on masks with soft edges, and on run lengths that make sense only in the other order."""
    masks = declaration.masks
    if isinstance(masks, str):
        return [mask_files.SOFT_EDGES] if mask_files.count_between(path, declaration.values) else []
    classes = tuple(declaration.classes)
    return [run_length_table.TORN_MASKS] if run_length_table.is_torn(path, size_hw, masks, classes) else []


def find_labels(folder: Path, declaration: FolderTrack) -> dict[str, list[Path]]:
    """Find the labels below a folder: image name without ending -> paths for ``read_mask``."""
    if isinstance(declaration.masks, str):
        return mask_files.find_masks(folder, declaration.masks, tuple(declaration.classes))
    endings = {Path(declaration.train).suffix.lower(), Path(declaration.test).suffix.lower()}
    return run_length_table.find_rows(folder, declaration.masks, tuple(declaration.classes), endings)
