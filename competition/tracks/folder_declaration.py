"""What the YAML file of a folder track may say, and what is wrong with one that says something else."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from competition.config import Section, nearest_hint, read_yaml
from competition.errors import CompetitionError
from competition.tracks.run_length_table import RunLengthTable


class FolderTrack(Section):
    """The declaration of a folder track."""

    classes: Annotated[dict[str, int] | list[str], Field(min_length=1)]
    """A list of names: each class has mask files of its own, positive at half of their maximum (with one class,
    "{class}" may be left out of ``masks``). A mapping name -> value: one label picture holds all classes by value."""
    train: str
    """Training images: a glob pattern below the data folder, for example "train/images/*.png"."""
    masks: str | RunLengthTable
    """The mask of a training image: "train/labels/{stem}.png", or "train/masks/{class}/{stem}.png"; or a CSV of run
    lengths: {csv: train.csv, image: id, class: class, rle: rle} (``run_length_table.py`` explains its keys)."""
    test: str
    """Test images: a glob pattern."""
    group: str
    """A regular expression searched in the file name; what its first bracket matches is the group (the person).
    "(.+)" where every image is a group of its own."""
    channels: Literal[1, 3] = 1
    """Read as grey or as RGB."""
    flip: bool = False
    """Whether a mirrored image is as plausible as the image itself."""

    @field_validator("train", "test", "masks")
    @classmethod
    def _below_the_data_folder(cls, place: str | RunLengthTable) -> str | RunLengthTable:
        pattern = place if isinstance(place, str) else place.csv
        if not pattern.strip("./ ") or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise ValueError(f"must be a path below the data folder, not {pattern!r}")
        try:
            list(Path("a folder that does not exist").glob(pattern))
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"is no pattern of files ({error})") from error
        return place

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


def read_declaration(path: Path) -> FolderTrack:
    """Reads the YAML file of a folder track.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    try:
        declaration = FolderTrack.model_validate(read_yaml(path, "no such track declaration"))
    except ValidationError as error:
        raise CompetitionError(_explain(error), path) from error
    contradiction = _contradiction(declaration)
    if contradiction is not None:
        raise CompetitionError(contradiction, path)
    return declaration


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, with the keys that are known there."""
    errors: list[Any] = error.errors()
    # Masks are a text or a table. Pydantic says what speaks against each, but only one of them was meant.
    table = ("masks", RunLengthTable.__name__)
    within = [problem for problem in errors if problem["loc"][:2] == table and len(problem["loc"]) > 2]
    # A misspelt key is one that is missing too; what was typed is what the user looks for.
    first = min(within or errors, key=lambda problem: problem["type"] != "extra_forbidden")
    form: type[Section] = RunLengthTable if within else FolderTrack
    known = [field.alias or name for name, field in form.model_fields.items()]
    key = f"masks.{first['loc'][2]}" if within else ".".join(map(str, first["loc"][:1])) or "declaration"
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest_hint(str(first['loc'][-1]), known, 'masks.' if within else '')}"
    return f"{key}: {first['msg']} (keys are {', '.join(known)})"


def _contradiction(declaration: FolderTrack) -> str | None:
    """Why classes and masks don't fit together; None where they do."""
    classes, masks = declaration.classes, declaration.masks
    by_value, several = isinstance(classes, dict), len(classes) > 1
    if isinstance(masks, RunLengthTable):
        if by_value:
            return "classes with pixel values lie in pictures; with run lengths, classes is a list of names"
        if masks.class_column and not masks.rle:
            return "masks names a class column, so it needs an rle column too"
        if several and masks.rle and not masks.class_column:
            return "several classes need a class column in masks, or a column of run lengths each (leave out rle)"
        return None
    if "{stem}" not in masks:
        return "masks needs {stem}, the image's name without its ending"
    if "{class}" not in masks and not by_value and several:
        return "several classes need {class} in masks, or a pixel value for each class"
    if "{class}" in masks and by_value:
        return "classes with pixel values lie in one picture, so masks can't hold {class}"
    return None
