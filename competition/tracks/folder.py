"""Folder tracks: a competition of images with masks as files or as run lengths, declared in a YAML file with no code.

The declaration says where images and masks lie, how the group is read from a file name, and which classes there are;
``knee.yaml`` beside this file is an example. ``--track path/to/mine.yaml`` joins any other.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.imaging.readers import read_grey, read_rgb
from competition.tracks import mask_files, run_length_table
from competition.tracks.folder_declaration import FolderTrack, read_declaration
from competition.tracks.run_length_table import RunLengthTable
from competition.tracks.track import Listing, Mirror, Problem, Sample, Split, Track, check_names, label_files, stem


def load_folder_track(path: Path) -> Track:
    """Makes a track of a declaration; the file's stem is the track's name.

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
        metric="dice",
        submission="rle",
        list_samples=partial(list_folder, declaration=declaration),
        list_test=partial(list_test_folder, declaration=declaration),
        read_image=read_grey if declaration.channels == 1 else read_rgb,
        read_label=partial(read_mask, declaration=declaration),
        layout=f"DIR/{declaration.train}, DIR/{labels} and DIR/{declaration.test}",
        channels=declaration.channels,
        mirror=Mirror(classes=tuple(range(len(classes)))) if declaration.flip else None,
        find_labels=partial(find_labels, declaration=declaration),
        count_between=partial(count_between, declaration=declaration),
        label_key=stem if declaration.submission_form.ending else str,
        rle_form=declaration.submission_form,
        reading=declaration.reading,
        data_form=declaration.data_form,
    )


def list_folder(root: Path, declaration: FolderTrack) -> Listing:
    """Lists the images of both splits, sorted by path.

    Raises:
        CompetitionError: There is no training image, or the CSV of run lengths can't be read.
    """
    images = _list_images(root, declaration)
    if not any(sample.split == "train" for sample in images.samples):
        if refused := [problem for problem in images.problems if problem.split == "train"]:
            what = f"none of the {len(refused)} images of {declaration.train} can be used"
            first = f"{what}; the first: {refused[0].reason}"
            raise CompetitionError(first, root / refused[0].path, "Mend the track's YAML file")
        mend = f"The data folder (--data DIR) is the one that holds {declaration.train}"
        raise CompetitionError("no training image found", root / declaration.train, mend)
    labels, problems = _labels(root, images.samples, declaration)
    samples = [replace(sample, label=labels.get(sample.key)) for sample in images.samples]
    remarks = []
    if "test" not in {sample.split for sample in samples} | {problem.split for problem in images.problems}:
        remarks.append(f"no test image: nothing fits {root / declaration.test} (test: in the track's YAML file)")
    return Listing(samples, images.problems + problems, remarks)


def list_test_folder(folder: Path, declaration: FolderTrack) -> Listing:
    """Lists a test set that came later: every file below ``folder`` named as the declaration's test images are.

    Raises:
        CompetitionError: There is none, or two of one name.
    """
    images = sorted(folder.rglob(Path(declaration.test).name))
    check_names(images, folder)
    samples = []
    for image in images:
        relative = image.relative_to(folder).as_posix()
        person = declaration.find_group(image.name) or image.stem
        samples.append(_sample(image, relative, "test", person, declaration))
    return Listing(samples)


def _list_images(root: Path, declaration: FolderTrack) -> Listing:
    samples: list[Sample] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    patterns: dict[Split, str] = {"train": declaration.train, "test": declaration.test}
    for split, pattern in patterns.items():
        for image in sorted(root.glob(pattern)):
            relative = image.relative_to(root).as_posix()
            if image.stem in seen:
                reason = f"two images share the name {image.stem} (the other is {seen[image.stem]})"
                problems.append(Problem(image.stem, split, relative, reason))
                continue
            seen[image.stem] = relative
            group = declaration.find_group(image.name)
            if group is None:
                reason = f"name does not match the group {declaration.group!r}"
                problems.append(Problem(image.stem, split, relative, reason))
                continue
            samples.append(_sample(image, relative, split, group, declaration))
    return Listing(samples, problems)


def _sample(image: Path, relative: str, split: Split, group: str, declaration: FolderTrack) -> Sample:
    name = image.name if declaration.submission_form.ending else image.stem
    return Sample(key=image.stem, name=name, split=split, group=group, images=(relative,))


def _labels(root: Path, samples: Sequence[Sample], declaration: FolderTrack) -> tuple[dict[str, str], list[Problem]]:
    """Label path below the root of each training sample by its key, and what is missing or too much."""
    classes, masks = tuple(declaration.classes), declaration.masks
    training = [sample for sample in samples if sample.split == "train"]
    if isinstance(masks, RunLengthTable):
        table = run_length_table.read_table(root / masks.csv, masks, classes)
        on_disk = sorted(root.glob(declaration.train))
        labels = {sample.key: f"{masks.csv}#{table.written(Path(str(sample.images[0])).name)}" for sample in training}
        return labels, run_length_table.find_problems(table, on_disk, masks, classes)
    labels = {sample.key: masks.replace("{stem}", sample.key) for sample in training}
    missing = [
        Problem(key, "train", path.relative_to(root).as_posix(), "annotation missing")
        for key, label in labels.items()
        for path in label_files(root / label, classes)
        if not path.exists()
    ]
    known = {image.stem for image in root.glob(declaration.train)}
    unused = [
        Problem(stem, "train", path.relative_to(root).as_posix(), "a mask without training image", note=True)
        for stem, paths in mask_files.find_masks(root, masks, classes).items()
        if stem not in known
        for label in paths
        for path in label_files(label, classes)
        if path.exists() and path.match(masks.replace("{class}", "*").replace("{stem}", "*"))
    ]
    return labels, missing + unused


def read_mask(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> NDArray[np.uint8]:
    """Reads the masks of one image, from files or from run lengths.

    Args:
        path: The mask file (with "{class}" where each class has a file of its own), or "train.csv#image".
        size_hw: Rows and columns of the image.
        declaration: The track.

    Returns:
        Label planes (H, W, ceil(C/8)) uint8.

    Raises:
        CompetitionError: As ``mask_files.read_masks`` or ``run_length_table.read_run_lengths``.
    """
    if isinstance(declaration.masks, RunLengthTable):
        return run_length_table.read_run_lengths(path, size_hw, declaration.masks, tuple(declaration.classes))
    return mask_files.read_masks(
        path, size_hw, declaration.values, declaration.background_values, colours=declaration.in_colour
    )


def count_between(path: Path, declaration: FolderTrack) -> int:
    """Pixels of an image's masks between 0 and their maximum, which are cut at half of it; run lengths have none."""
    return mask_files.count_between(path, declaration.values) if isinstance(declaration.masks, str) else 0


def find_labels(folder: Path, declaration: FolderTrack) -> dict[str, list[Path]]:
    """Labels in the track's own form below a folder: image name without ending -> paths that ``read_mask`` takes."""
    if isinstance(declaration.masks, str):
        return mask_files.find_masks(folder, declaration.masks, tuple(declaration.classes))
    endings = {Path(declaration.train).suffix, Path(declaration.test).suffix}
    return run_length_table.find_rows(folder, declaration.masks, tuple(declaration.classes), endings)
