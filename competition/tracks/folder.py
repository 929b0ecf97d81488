"""Folder tracks: a competition of image and mask files, declared in a YAML file with no code.

The declaration says where images and masks lie, how the group is read from a file name, and which classes there are;
``knee.yaml`` beside this file is an example. ``--track path/to/mine.yaml`` joins any other.
"""

import re
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from competition.config import Section
from competition.errors import CompetitionError
from competition.imaging.planes import pack_masks
from competition.imaging.readers import read_grey, read_rgb, read_values
from competition.tracks.track import Listing, Mirror, Problem, Sample, Split, Track, check_names, label_files


class FolderTrack(Section):
    """The declaration of a folder track."""

    classes: Annotated[dict[str, int] | list[str], Field(min_length=1)]
    """A list of names: each class has mask files of its own, positive at half of their maximum (with one class,
    "{class}" may be left out of ``masks``). A mapping name -> value: one label picture holds all classes by value."""
    train: str
    """Training images: a glob pattern below the data folder, for example "train/images/*.png"."""
    masks: str
    """The mask of a training image: "train/labels/{stem}.png", or "train/masks/{class}/{stem}.png"."""
    test: str
    """Test images: a glob pattern."""
    group: str
    """A regular expression searched in the file name; what its first bracket matches is the group (the person).
    "(.+)" where every image is a group of its own."""
    channels: Literal[1, 3] = 1
    """Read as grey or as RGB."""
    flip: bool = False
    """Whether a mirrored image is as plausible as the image itself."""

    @field_validator("group")
    @classmethod
    def _one_bracket(cls, pattern: str) -> str:
        try:
            brackets = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from error
        if brackets < 1:
            raise ValueError("needs a bracket around the part that names the group, for example '^(\\d+)_'")
        return pattern


def load_folder_track(path: Path) -> Track:
    """Makes a track of a declaration; the file's stem is the track's name.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    try:
        declaration = FolderTrack.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CompetitionError("no such track declaration", path) from error
    except yaml.YAMLError as error:
        raise CompetitionError(f"not valid YAML ({' '.join(str(error).split())})", path) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:1]) or "declaration"
        known = ", ".join(FolderTrack.model_fields)
        raise CompetitionError(f"{key}: {first['msg']} (keys are {known})", path) from error
    classes = tuple(declaration.classes)
    if "{stem}" not in declaration.masks:
        raise CompetitionError("masks needs {stem}, the image's name without its ending", path)
    by_value = isinstance(declaration.classes, dict)
    if "{class}" not in declaration.masks and not by_value and len(classes) > 1:
        raise CompetitionError("several classes need {class} in masks, or a pixel value for each class", path)
    if "{class}" in declaration.masks and by_value:
        raise CompetitionError("classes with pixel values lie in one picture, so masks can't hold {class}", path)
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
        layout=f"DIR/{declaration.train}, DIR/{declaration.masks} and DIR/{declaration.test}",
        channels=declaration.channels,
        mirror=Mirror(classes=tuple(range(len(classes)))) if declaration.flip else None,
    )


def list_folder(root: Path, declaration: FolderTrack) -> Listing:
    """Lists the images of both splits, sorted by path.

    Raises:
        CompetitionError: There is no training image.
    """
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
            group = re.search(declaration.group, image.name)
            if group is None or not group.group(1):
                reason = f"name does not match the group {declaration.group!r}"
                problems.append(Problem(image.stem, split, relative, reason))
                continue
            samples.append(_sample(image, relative, split, group.group(1), declaration))
    if not any(sample.split == "train" for sample in samples):
        raise CompetitionError("no training image found", root / declaration.train)
    problems += _missing_masks(root, samples, declaration)
    return Listing(samples, problems)


def list_test_folder(folder: Path, declaration: FolderTrack) -> Listing:
    """Lists a test set that came later: every file below ``folder`` named as the declaration's test images are.

    Raises:
        CompetitionError: There is none, or two of one name.
    """
    images = sorted(folder.rglob(Path(declaration.test).name))
    check_names(images, folder)
    samples = []
    for image in images:
        group = re.search(declaration.group, image.name)
        relative = image.relative_to(folder).as_posix()
        samples.append(_sample(image, relative, "test", (group and group.group(1)) or image.stem, declaration))
    return Listing(samples)


def _sample(image: Path, relative: str, split: Split, group: str, declaration: FolderTrack) -> Sample:
    label = declaration.masks.replace("{stem}", image.stem) if split == "train" else None
    return Sample(key=image.stem, name=image.name, split=split, group=group, images=(relative,), label=label)


def _missing_masks(root: Path, samples: list[Sample], declaration: FolderTrack) -> list[Problem]:
    return [
        Problem(sample.key, sample.split, path.relative_to(root).as_posix(), "annotation missing")
        for sample in samples
        if sample.label is not None
        for path in label_files(root / sample.label, tuple(declaration.classes))
        if not path.exists()
    ]


def read_mask(path: Path, size_hw: tuple[int, int], declaration: FolderTrack) -> NDArray[np.uint8]:
    """Reads the mask of one image into label planes.

    Args:
        path: The mask file (with "{class}" where each class has a file of its own).
        size_hw: Rows and columns of the image.
        declaration: The track.

    Returns:
        Label planes (H, W, ceil(C/8)) uint8.

    Raises:
        CompetitionError: A file is missing or damaged, its size is not the image's, or a value belongs to no class.
    """
    values = []
    for file in label_files(path, tuple(declaration.classes)):
        stored = read_values(file)
        if stored.shape != size_hw:
            found, wanted = f"{stored.shape[1]}x{stored.shape[0]}", f"{size_hw[1]}x{size_hw[0]}"
            raise CompetitionError(f"mask is {found} pixels, its image {wanted}", file)
        values.append(stored)
    if isinstance(declaration.classes, list):
        return pack_masks(np.stack([binarise(mask) for mask in values]))
    known = declaration.classes
    strange = np.setdiff1d(np.unique(values[0]), [0, *known.values()])
    if strange.size:
        raise CompetitionError(f"pixel value {int(strange[0])} belongs to no class ({known})", path)
    return pack_masks(np.stack([values[0] == value for value in known.values()]))


def binarise(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Cuts a mask at half of its maximum: {0, 1}, {0, 255} and soft edges all come out right; all zero is empty."""
    return values.astype(np.int64) * 2 > int(values.max())
