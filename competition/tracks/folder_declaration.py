"""What the YAML file of a folder track may say, and what is wrong with one that says something else."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from competition.config import Section, nearest_hint, read_yaml
from competition.errors import CompetitionError
from competition.tracks.run_length_form import IMAGE_CLASS_RLE, RunLengthSubmission
from competition.tracks.run_length_table import RunLengthTable

FIELDS = ("stem", "class")
"""What ``masks`` may hold in curly brackets."""


class FolderTrack(Section):
    """The declaration of a folder track."""

    classes: Annotated[dict[str, int] | list[str], Field(min_length=1)]
    """A list of names: each class has mask files of its own, positive at half of their maximum (with one class,
    "{class}" may be left out of ``masks``). A mapping name -> value: one label picture holds all classes by value."""
    train: str
    """Training images: a glob pattern below the data folder, for example "train/images/*.png"; "**" stands for any
    number of folders, and capitals of the ending don't matter."""
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
    submission: RunLengthSubmission | None = None
    """The organiser's form (``run_length_form.py`` explains its keys), for example {image: id, class: class, rle: rle,
    order: column, ending: false, empty: -1}. Left out: image_name,class,rle with pixels row by row from 1; where masks
    come as run lengths it must be said."""

    @property
    def submission_form(self) -> RunLengthSubmission:
        """The form that is said, or else that of the built-in tracks."""
        return self.submission or IMAGE_CLASS_RLE

    @property
    def reading(self) -> str:
        """How images and labels are read, as text."""
        return self.model_dump_json(include={"classes", "masks", "channels"})

    @property
    def data_form(self) -> str:
        """All that ``prepare`` goes by, as text."""
        text = self.model_dump_json(include={"classes", "train", "masks", "test", "group", "channels"})
        return f"{text} {self.submission_form.ending}"

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
    section, form, key = _place(first["loc"])
    known = [field.alias or name for name, field in form.model_fields.items()]
    if first["type"] == "extra_forbidden":
        return f"unknown key {section + key!r}{nearest_hint(key, known, section)}"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{section + key}: {reason} (keys are {', '.join(known)})"


def _place(place: Sequence[Any]) -> tuple[str, type[Section], str]:
    """Where in the declaration something is: the section with a dot behind it ("" for none), its form, the key."""
    if place[:2] == ("masks", RunLengthTable.__name__) and len(place) > 2:
        return "masks.", RunLengthTable, str(place[2])
    if place[:1] == ("submission",) and len(place) > 1:
        return "submission.", RunLengthSubmission, str(place[1])
    return "", FolderTrack, ".".join(map(str, place[:1])) or "declaration"


def _contradiction(declaration: FolderTrack) -> str | None:
    """Why classes, masks and submission don't fit together; None where they do."""
    classes, masks, submission = declaration.classes, declaration.masks, declaration.submission
    by_value, several = isinstance(classes, dict), len(classes) > 1
    if submission is not None and (contradiction := submission.contradiction("submission", len(classes))):
        return contradiction
    if isinstance(masks, RunLengthTable):
        if by_value:
            return "classes with pixel values lie in pictures; with run lengths, classes is a list of names"
        if contradiction := masks.contradiction("masks", len(classes)):
            return contradiction
        return _no_submission(masks) if submission is None else None
    if unknown := [field for field in re.findall(r"\{([^{}]*)\}", masks) if field not in FIELDS]:
        return f"masks holds {{{unknown[0]}}}, which is unknown; the fields are {{stem}} and {{class}}"
    if wild := re.search(r"[*?]", masks):
        return f"masks is the one path of an image's mask, not a pattern, so it can't hold {wild[0]}"
    if "{stem}" not in masks:
        return "masks needs {stem}, the image's name without its ending"
    if "{class}" not in masks and not by_value and several:
        return "several classes need {class} in masks, or a pixel value for each class"
    if "{class}" in masks and by_value:
        return "classes with pixel values lie in one picture, so masks can't hold {class}"
    return None


def _no_submission(masks: RunLengthTable) -> str:
    """A form of its own is what an organiser has who hands out run lengths; it is asked for, never guessed."""
    columns = {"image": masks.image, "class": masks.class_column, "rle": masks.rle}
    likely = ", ".join(f"{key}: {name}" for key, name in columns.items() if name is not None)
    counted = f"order: {masks.order}, start: {masks.start}" + ", relative: true" * masks.relative
    line = f"submission: {{{likely}, {counted}, ending: ENDING, empty: EMPTY}}"
    return (
        f"masks are run lengths, so say how the organiser wants them back; likely {line}, where ENDING is true if "
        'names end in .png, else false, and EMPTY is -1 or "", as an empty mask is written'
    )
