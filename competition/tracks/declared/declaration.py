"""The keys of the YAML file of a folder track, and what is wrong with an invalid one."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from competition.errors import CompetitionError
from competition.formats.yaml_files import read_yaml
from competition.metrics.counts import CountMetric
from competition.metrics.metric import make_metric
from competition.names import file_fault, label_fault
from competition.plugins import absolute_plugins, load_plugins
from competition.settings import Section
from competition.submission import FORMS
from competition.submission.form import Form
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.form import RunLengthForm
from competition.text import nearest_hint, same_spelling, shortened, shown
from competition.tracks.declared.patterns import find_group
from competition.tracks.declared.run_length_table import RunLengthTable

SECTIONS: dict[tuple[str, ...], type[Section]] = {
    ("masks", RunLengthTable.__name__): RunLengthTable,
    ("submission", SubmissionColumns.__name__): SubmissionColumns,
}
"""Where Pydantic locates the sections of a declaration."""

FIELDS = ("stem", "class")
"""What ``masks`` may contain in curly brackets."""


def _check_value(value: object) -> object:
    """Return a pixel value, or a colour in small letters."""
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return value.lower()
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    quotes = " (a colour needs quotes, YAML takes # for a comment)" if value is None else ""
    raise ValueError(f"must be a pixel value such as 1 or a colour such as '#ff0000', not {value!r}{quotes}")


Value = Annotated[int | str, BeforeValidator(_check_value)]
"""A class in a label picture: a pixel value, or a colour "#rrggbb"."""


def _pixel_value(value: int | str) -> int:
    return value if isinstance(value, int) else int(value[1:], 16)


class FolderTrack(Section):
    """The declaration of a folder track."""

    plugins: tuple[str, ...] = ()
    """Python files that add metrics, forms and more (competition/plugins.py), relative to this YAML."""
    classes: Annotated[dict[str, Value] | list[str], Field(min_length=1)]
    """A list of names: each class has mask files of its own, positive at half of their maximum (with one class,
    "{class}" may be left out of ``masks``). A mapping name -> value: a label picture holds the classes by pixel value,
    {femur: 1, tibia: 2}, or by colour, {femur: "#ff0000", tibia: "#00ff00"}; with "{class}" in ``masks``, each class by
    its value in a file of its own. A value of neither class nor background is an error."""
    background: tuple[Value, ...] = ()
    """Pixel values or colours of a label picture that belong to no class, beside 0 or black. Where 255 marks pixels
    that the organiser ignores, [255] makes them background: they are trained on and scored as background."""
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
    metric: str | dict[str, Any] = "dice"
    """The metric for scoring and ranking: dice, iou or f_beta, or a mapping with options: {name: f_beta, beta: 2, unit:
    group, empty: skip}. ``unit`` is what is scored before the mean is taken: image, group (the images of a person
    pooled) or all; ``empty`` is the score if neither truth nor prediction has a pixel: 1, 0 or skip."""
    submission: SubmissionColumns | str | None = None
    """The organiser's columns of run lengths (``SubmissionColumns`` explains the keys), for example {image: id, class:
    class, rle: rle, order: column, ending: false, empty: -1}, or the name of another form, such as array_zip. Left out:
    image_name,class,rle with pixels row by row from 1; where masks come as run lengths it must be given."""

    def find_group(self, file_name: str) -> str | None:
        """Return the group in a file name; None if ``group`` does not match."""
        return find_group(self.group, file_name)

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, plugins: tuple[str, ...]) -> tuple[str, ...]:
        load_plugins(plugins)  # first of all, because other keys may name what a plugin adds
        return plugins

    @field_validator("metric")
    @classmethod
    def _is_a_count_metric(cls, metric: str | dict[str, Any]) -> str | dict[str, Any]:
        try:
            if not isinstance(make_metric(metric), CountMetric):
                raise ValueError(f"must score masks, which {metric} does not")
        except CompetitionError as error:
            raise ValueError(error.what) from error
        return metric

    @property
    def count_metric(self) -> CountMetric:
        """Return the declared metric."""
        metric = make_metric(self.metric)
        assert isinstance(metric, CountMetric)  # validated above
        return metric

    @property
    def in_colour(self) -> bool:
        """Return whether the classes of a label picture are colours."""
        return isinstance(self.classes, dict) and isinstance(next(iter(self.classes.values())), str)

    @property
    def values(self) -> dict[str, int] | list[str]:
        """Return the classes with their pixel values, 0xRRGGBB of colours; only names if each class is a mask."""
        if isinstance(self.classes, list):
            return self.classes
        return {name: _pixel_value(value) for name, value in self.classes.items()}

    @property
    def background_values(self) -> tuple[int, ...]:
        """Return the pixel values of the background, 0xRRGGBB of colours; 0 is always among them."""
        return (0, *map(_pixel_value, self.background))

    @property
    def form(self) -> Form:
        """Return the form of the submission: run lengths with the given columns, or a form by its name."""
        if isinstance(self.submission, str):
            return FORMS[self.submission]
        return RunLengthForm() if self.submission is None else RunLengthForm(self.submission)

    @property
    def names_with_ending(self) -> bool:
        """Return whether a submission names images with their ending."""
        return self.submission.ending if isinstance(self.submission, SubmissionColumns) else True

    @property
    def reading(self) -> str:
        """Return how images and labels are read, as text."""
        return self.model_dump_json(include={"classes", "masks", "channels"}) + self._written_background

    @property
    def data_form(self) -> str:
        """Return all that ``prepare`` depends on, as text."""
        text = self.model_dump_json(include={"classes", "train", "masks", "test", "group", "channels"})
        return f"{text} {self.names_with_ending}{self._written_background}"

    @property
    def _written_background(self) -> str:
        """Return the background if there is one; without it, the text is that of versions before the key existed."""
        return f" background {list(self.background)}" if self.background else ""

    @field_validator("train", "test", "masks")
    @classmethod
    def _below_the_data_folder(cls, place: str | RunLengthTable) -> str | RunLengthTable:
        pattern = place if isinstance(place, str) else place.csv
        if not pattern.strip("./ ") or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise ValueError(f"must be a path below the data folder, not '{pattern}'")
        if "\0" in pattern:
            raise ValueError("contains a character that no file name can contain")
        try:
            list(Path("a folder that does not exist").glob(pattern))
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"is no pattern of files ({error})") from error
        return place

    @field_validator("classes")
    @classmethod
    def _are_labels(cls, classes: dict[str, int] | list[str]) -> dict[str, int] | list[str]:
        for name in classes:
            if fault := label_fault(name):
                raise ValueError(f"the name {name!r} {fault}")
        return classes

    @field_validator("submission")
    @classmethod
    def _known_form(cls, form: SubmissionColumns | str | None) -> SubmissionColumns | str | None:
        names = [name for name, one in FORMS.items() if one.of_masks]
        if isinstance(form, str) and form not in names:
            raise ValueError(f"Input should be columns of run lengths or one of {', '.join(names)}, not {shown(form)}")
        return form

    @field_validator("group")
    @classmethod
    def _one_bracket(cls, pattern: str) -> str:
        try:
            with warnings.catch_warnings(action="ignore"):  # of what a later Python may read otherwise
                brackets = re.compile(pattern).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"is no regular expression ({error})") from error
        if brackets < 1:
            raise ValueError("needs a bracket around the part that names the group, for example '^(\\d+)_'")
        return pattern


def read_declaration(path: Path) -> FolderTrack:
    """Read the YAML file of a folder track.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    content = absolute_plugins(read_yaml(path, "no such track declaration"), path.parent)
    try:
        declaration = FolderTrack.model_validate(content)
    except ValidationError as error:
        raise CompetitionError(_explain(error), path) from error
    if (contradiction := _contradiction(declaration)) is not None:
        raise CompetitionError(contradiction, path)
    return declaration


def _explain(error: ValidationError) -> str:
    """Return the first thing that is wrong, with the keys that are known there."""
    errors: list[Any] = error.errors()
    # Masks and submission are a text or a section. Pydantic reports the errors of both; only one of them was meant.
    within = [problem for problem in errors if problem["loc"][:2] in SECTIONS and len(problem["loc"]) > 2]
    # A misspelt key is missing too; the user looks for what was typed.
    first = min(within or errors, key=lambda problem: problem["type"] != "extra_forbidden")
    section, form, key = _place(first["loc"])
    known = [field.alias or name for name, field in form.model_fields.items()]
    if section + key == "ignore":
        reason = "pixels can't be left out of training and score, so there is no key 'ignore'"
        return f"{reason}; background: [255] counts them as background"
    if first["type"] == "extra_forbidden":
        return f"unknown key {shown(section + key)}{nearest_hint(key, known, section)}"
    if first["type"] == "missing" and key == "group":
        return "group is missing: '^(\\d+)_' finds the person in 012_a.png, '(.+)' makes each image its own group"
    reason = shortened(first["msg"].removeprefix("Value error, "), 500)
    return f"{section + key}: {reason} (keys are {', '.join(known)})"


def _place(place: Sequence[Any]) -> tuple[str, type[Section], str]:
    """Return the place of an error: the section and a dot ("" for none), the class of the section, the key."""
    section = SECTIONS.get(tuple(place[:2]))
    if section is not None and len(place) > 2:
        return f"{place[0]}.", section, str(place[2])
    return "", FolderTrack, ".".join(map(str, place[:1])) or "declaration"


def _contradiction(declaration: FolderTrack) -> str | None:
    """Return why classes, masks and submission contradict each other; None if they don't."""
    classes, masks, submission = declaration.classes, declaration.masks, declaration.submission
    if contradiction := _equal_names(list(classes), files=isinstance(masks, str) and "{class}" in masks):
        return contradiction
    if contradiction := _clashing_values(declaration):
        return contradiction
    columns = submission if isinstance(submission, SubmissionColumns) else None
    if columns is not None and (contradiction := columns.contradiction("submission", len(classes))):
        return contradiction
    if isinstance(masks, RunLengthTable):
        if isinstance(classes, dict):
            return "classes with pixel values lie in pictures; with run lengths, classes is a list of names"
        if contradiction := masks.contradiction("masks", len(classes)):
            return contradiction
        return _no_submission(masks) if submission is None else None
    return _bad_template(masks, classes)


def _bad_template(masks: str, classes: dict[str, int | str] | list[str]) -> str | None:
    """Return why a path of mask files is invalid for these classes; None if it is valid."""
    if unknown := [field for field in re.findall(r"\{([^{}]*)\}", masks) if field not in FIELDS]:
        return f"masks holds {{{unknown[0]}}}, which is unknown; the fields are {{stem}} and {{class}}"
    if wild := re.search(r"[*?]", masks):
        return f"masks is the one path of an image's mask, not a pattern, so it can't hold {wild[0]}"
    if "{stem}" not in masks:
        return "masks needs {stem}, the image's name without its ending"
    if "{class}" not in masks and isinstance(classes, list) and len(classes) > 1:
        return "several classes need {class} in masks, or a pixel value for each class"
    for name in classes if "{class}" in masks else ():
        if fault := file_fault(name):
            return f"masks are files named after their class, and the name {name!r} {fault}"
    return None


def _equal_names(names: Sequence[str], files: bool) -> str | None:
    """Return which two classes are equal in Unicode's composed form, in file names also without regard to case."""
    first: dict[str, str] = {}
    for name in names:
        key = same_spelling(name)
        other = first.setdefault(key.casefold() if files else key, name)
        if other is not name:
            why = "" if key == same_spelling(other) else ", which are one file on a case-insensitive disk"
            return f"classes holds {name!r} twice" if other == name else f"classes holds {other!r} and {name!r}{why}"
    return None


def _clashing_values(declaration: FolderTrack) -> str | None:
    """Return which values of classes and background clash; None if none do."""
    if isinstance(declaration.classes, list):
        return "background needs classes with pixel values, {name: value}" if declaration.background else None
    owner: dict[int | str, str] = {}
    for name, value in declaration.classes.items():
        if (other := owner.setdefault(value, name)) != name:
            return f"classes {other!r} and {name!r} have the same value {value!r}"
    if both := [value for value in declaration.background if value in owner]:
        return f"{both[0]!r} is the class {owner[both[0]]!r} and in background"
    if len({isinstance(value, str) for value in [*owner, *declaration.background]}) > 1:
        return "classes and background mix pixel values and colours"
    return None


def _no_submission(masks: RunLengthTable) -> str:
    """Return a request for the submission form, with a likely one: it can't be guessed from training run lengths."""
    columns = {"image": masks.image, "class": masks.class_column, "rle": masks.rle}
    likely = ", ".join(f"{key}: {name}" for key, name in columns.items() if name is not None)
    counted = f"order: {masks.order}, start: {masks.start}" + ", relative: true" * masks.relative
    line = f"submission: {{{likely}, {counted}, ending: ENDING, empty: EMPTY}}"
    return (
        f"masks are run lengths, so declare the submission form; likely {line}, where ENDING is true if "
        'names end in .png, else false, and EMPTY is -1 or "", as an empty mask is written'
    )
