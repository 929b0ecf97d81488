"""The keys of the YAML file of a folder track, and what is wrong with an invalid one."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from competition.errors import CompetitionError
from competition.formats.images import Channels
from competition.formats.yaml_files import read_yaml
from competition.metrics.counts import CountMetric
from competition.metrics.masks import MaskMetric
from competition.metrics.metric import make_metric, of_masks
from competition.names import label_fault
from competition.plugins import absolute_plugins, load_plugins
from competition.settings import Section
from competition.submission.form import Form
from competition.submission.png.files import PngMasks
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.text import nearest_hint, shortened, shown
from competition.tracks.declared.contradictions import contradiction
from competition.tracks.declared.image_sources import PLAIN, ImageReading
from competition.tracks.declared.index_table import IndexTable
from competition.tracks.declared.label_sources import LabelFiles, Masks
from competition.tracks.declared.mask_submission import KINDS, Submission, make_form, with_counting, with_sample
from competition.tracks.declared.places import DEFAULT_KEY, Places, pattern_fault
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.declared.templates import is_template
from competition.tracks.track import Split

SECTIONS: dict[tuple[str, ...], type[Section]] = {
    ("index",): IndexTable,
    ("masks", LabelFiles.__name__): LabelFiles,
    ("masks", RunLengthTable.__name__): RunLengthTable,
    **{("submission", kind): section for kind, section in KINDS.items()},
}
"""Where Pydantic locates the sections of a declaration."""

_LATER_KEYS = {"path", "key", "stratum", "missing", "exclude", "index"}
"""Keys of which ``data_form`` has nothing where they are left out: it is the text of versions before they existed."""


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
    train: str | None = None
    """Training images: a glob pattern below the data folder, for example "train/images/*.png"; "**" stands for any
    number of folders, and capitals of the ending don't matter. Masks that it fits too are left out."""
    masks: Masks | None = None
    """The mask of a training image: "train/labels/{stem}.png", or "train/masks/{class}/{stem}.png", with the fields of
    templates (``templates.py``) and of ``path``; "{dir}/{stem}_mask*.png" joins the files that fit. Or a CSV of run
    lengths: {csv: train.csv, image: id, class: class, rle: rle, order: row} (``run_length_table.py`` explains its
    keys); or files of an annotation tool or arrays, {coco: annotations.json} (``label_sources.py`` explains its
    keys)."""
    images: ImageReading = ImageReading()
    """How DICOM, NIfTI and arrays become pictures: {window: voi, slices: 2} (see ``image_sources.py``)."""
    test: str | None = None
    """Test images: a glob pattern."""
    group: str | None = None
    """The person, of whom all images are in one fold: a template such as "{parent}", or a regular expression searched
    in the file name (in the whole path, if it holds a slash), whose first bracket is the group. "(.+)" where every
    image is a group of its own."""
    path: str | None = None
    """A regular expression searched in the path of an image below the data folder. Its named brackets become fields of
    templates: '(?P<case>case\\d+)/' gives {case}."""
    key: str | None = None
    """What a sample is called, also in the submission: a template such as "{case}_{stem}". Left out: the file name,
    which then has to be unique without its ending."""
    stratum: str | None = None
    """The kind of image, which ``prepare --stratified`` balances over the folds; written as ``group``."""
    missing: Literal["error", "empty"] = "error"
    """Whether a training image without mask file or row is an error or has no object."""
    exclude: tuple[str, ...] = ()
    """Images that are left out: glob patterns."""
    index: IndexTable | None = None
    """A CSV with a row per image: {csv: index.csv, image: file, mask: mask, key: id, group: patient, stratum: view,
    split: split}. Each column but ``image`` may be left out and replaces the key of its name."""
    task: Literal["segmentation"] = "segmentation"
    """Masks; labels of whole images (multilabel, multiclass, ordinal) are declared by ``table_track.TableTrack``."""
    exclusive: bool = False
    """Whether a pixel belongs to one class at most: the network then chooses between the classes and the background."""
    channels: Channels = 1
    """Read as grey (1), as RGB (3), or as one channel of colour images: red, green or blue."""
    flip: bool = False
    """Whether a mirrored image is as plausible as the image itself."""
    metric: str | dict[str, Any] = "dice"
    """The metric for scoring and ranking: dice, iou, f_beta, mask_ap, hausdorff, hausdorff95, surface_dice, object_ap,
    or a mapping with options: {name: f_beta, beta: 2, unit: group, empty: skip, weights: {disc: 2}}, or a sum {sum:
    [{name: dice, weight: 0.4}, {name: hausdorff, weight: 0.6}]}. ``unit`` is what is scored before the mean is taken:
    image, group (the images of a person pooled) or all; ``empty`` is the score if neither truth nor prediction has a
    pixel: 1, 0 or skip; ``weights`` count classes in the mean."""
    submission: Submission | None = None
    """The organiser's columns of run lengths (``SubmissionColumns`` explains the keys), for example {image: id, class:
    class, rle: rle, order: column, ending: false, empty: -1}; {kind: objects, ...} with a row per object; {kind: png}
    for PNG masks; or the name of another form, such as array_zip. Left out: image_name,class,rle with pixels row by row
    from 1; where masks come as run lengths it must be given."""
    sample: str | None = None
    """The organiser's sample submission, a path relative to this YAML: columns, ids and their order are those in it."""

    @model_validator(mode="before")
    @classmethod
    def _volume_is_the_group(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and "group" not in keys and isinstance(images := keys.get("images"), dict):
            return keys | ({} if images.get("slices") is None else {"group": "(.+)"})
        return keys

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, plugins: tuple[str, ...]) -> tuple[str, ...]:
        load_plugins(plugins)  # first of all, because other keys may name what a plugin adds
        return plugins

    @field_validator("metric")
    @classmethod
    def _scores_masks(cls, metric: str | dict[str, Any]) -> str | dict[str, Any]:
        try:
            if not of_masks(make_metric(metric)):
                raise ValueError(f"must score masks, which {metric} does not")
        except CompetitionError as error:
            raise ValueError(error.what) from error
        return metric

    @property
    def places(self) -> Places:
        """Return what the path of an image says."""
        return Places(self.path, self.key or DEFAULT_KEY, self.group, self.stratum)

    @property
    def patterns(self) -> dict[Split, str]:
        """Return the patterns of the images of each split that has one."""
        patterns: dict[Split, str | None] = {"train": self.train, "test": self.test}
        return {split: pattern for split, pattern in patterns.items() if pattern is not None}

    @property
    def mask_template(self) -> str | None:
        """Return the template of the mask files of an image; None where one table or file holds all masks."""
        return self.masks if self.masks is None or isinstance(self.masks, str) else self.masks.template

    @property
    def own_keys(self) -> bool:
        """Return whether samples are called by declared keys, also in the submission, and not by their files."""
        return self.key is not None or (self.index is not None and self.index.key is not None)

    @property
    def mask_metric(self) -> CountMetric | MaskMetric:
        """Return the declared metric, whose weights are in the order of the classes."""
        metric = make_metric(self.metric)
        assert isinstance(metric, CountMetric | MaskMetric)  # validated above
        return metric.for_classes(tuple(self.classes))

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
        """Return the form of the submission."""
        return make_form(self.submission, self.sample)

    @property
    def names_with_ending(self) -> bool:
        """Return whether a submission names images with their ending; PNG masks have theirs, slices none."""
        if isinstance(self.submission, PngMasks) or self.images.slices is not None:
            return False
        return self.submission.ending if isinstance(self.submission, SubmissionColumns) else True

    @property
    def reading(self) -> str:
        """Return how images and labels are read, as text."""
        empty = " missing empty" if self.missing == "empty" else ""
        return self.model_dump_json(include={"classes", "masks", "channels"}) + self._written_options + empty

    @property
    def data_form(self) -> str:
        """Return all that ``prepare`` depends on, as text."""
        text = self.model_dump_json(include={"classes", "train", "masks", "test", "group", "channels"})
        later = self.model_dump_json(include=_LATER_KEYS, exclude_defaults=True).removeprefix("{}")
        return f"{text} {self.names_with_ending}{self._written_options}{later}"

    @property
    def _written_options(self) -> str:
        """Return the keys that later versions added, where they are given; without them the text is the earlier one."""
        background = f" background {list(self.background)}" if self.background else ""
        images = f" images {self.images.model_dump_json()}" if self.images != PLAIN else ""
        return background + images

    @field_validator("train", "test", "masks", "exclude", "index")
    @classmethod
    def _below_the_data_folder(cls, place: Any) -> Any:
        if place is None:
            return None
        patterns = [place] if isinstance(place, str) else place if isinstance(place, tuple) else place.places
        for pattern in patterns:
            check_file_pattern(pattern)
        return place

    @field_validator("classes")
    @classmethod
    def _are_labels(cls, classes: dict[str, int] | list[str]) -> dict[str, int] | list[str]:
        for name in classes:
            if fault := label_fault(name):
                raise ValueError(f"the name {name!r} {fault}")
        return classes

    @field_validator("group", "stratum", "path")
    @classmethod
    def _with_brackets(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        return checked_place(pattern, info.field_name)


def check_file_pattern(pattern: str) -> None:
    """Raise ValueError if a text is no glob pattern or path below the data folder."""
    if not pattern.strip("./ ") or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise ValueError(f"must be a path below the data folder, not '{pattern}'")
    if "\0" in pattern:
        raise ValueError("contains a character that no file name can contain")
    try:
        list(Path("a folder that does not exist").glob(pattern))
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"is no pattern of files ({error})") from error


def checked_place(pattern: str | None, key: str | None) -> str | None:
    """Return ``path``, ``group`` or ``stratum``; raise ValueError for a regular expression without brackets."""
    if pattern is None:  # written as "group:" with nothing behind it
        return None
    if key == "path" or not is_template(pattern):
        fault = pattern_fault(pattern, "named" if key == "path" else "one")
        if fault is not None:
            raise ValueError(fault)
    return pattern


def read_declaration(path: Path) -> FolderTrack:
    """Read the YAML file of a folder track.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    content = absolute_plugins(read_yaml(path, "no such track declaration"), path.parent)
    content = with_sample(with_counting(content), path.parent)
    try:
        declaration = FolderTrack.model_validate(content)
    except ValidationError as error:
        raise CompetitionError(explain(error, FolderTrack), path) from error
    if (fault := contradiction(declaration)) is not None:
        raise CompetitionError(fault, path)
    declaration.mask_metric  # noqa: B018  a weight of no class
    return declaration


MEANINGS = {
    "classes": ", the names of what is outlined or, with the pixel values of masks, {name: value}",
    "ending": ": true if the names of images end in .png or the like, else false",
}
"""What a key says that has no default, for the message where it is missing."""


def explain(error: ValidationError, declaration: type[Section]) -> str:
    """Return the first thing that is wrong with a declaration, with the keys that are known there."""
    errors: list[Any] = error.errors()
    # Masks and submission are a text or a section. Pydantic reports the errors of both; only one of them was meant.
    within = [problem for problem in errors if problem["loc"][:2] in SECTIONS and len(problem["loc"]) > 2]
    # A misspelt key is missing too; the user looks for what was typed.
    first = min(within or errors, key=lambda problem: problem["type"] != "extra_forbidden")
    section, form, key = _place(first["loc"], declaration)
    known = [field.alias or name for name, field in form.model_fields.items()]
    if section + key == "ignore":
        reason = "pixels can't be left out of training and score, so there is no key 'ignore'"
        return f"{reason}; background: [255] counts them as background"
    if first["type"] == "extra_forbidden":
        return f"unknown key {shown(section + key)}{nearest_hint(key, known, section)}"
    if first["type"] == "missing":
        return f"{section + key} is missing{MEANINGS.get(key, '')} (keys are {', '.join(known)})"
    reason = shortened(first["msg"].removeprefix("Value error, "), 500)
    return f"{section + key}: {reason.removeprefix(f'{section + key}: ')}"


def _place(place: Sequence[Any], declaration: type[Section]) -> tuple[str, type[Section], str]:
    """Return the place of an error: the section and a dot ("" for none), the class of the section, the key."""
    for depth in (1, 2):
        section = SECTIONS.get(tuple(place[:depth]))
        if section is not None and len(place) > depth:
            return f"{place[0]}.", section, str(place[depth])
    field = declaration.model_fields.get(str(place[0])) if len(place) > 1 else None
    if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, Section):
        return f"{place[0]}.", field.annotation, str(place[1])
    return "", declaration, ".".join(map(str, place[:1])) or "declaration"
