"""Keys of a declaration that contradict each other, or that another key needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from competition.names import file_fault
from competition.submission.run_lengths.columns import COUNTED, RunLengthColumns, SubmissionColumns
from competition.text import same_spelling
from competition.tracks.declared import mask_submission
from competition.tracks.declared.label_sources import LabelFiles
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.declared.templates import CLASS, SLICE, fields_in, is_template, unknown_field

if TYPE_CHECKING:  # it imports this module
    from competition.tracks.declared.declaration import FolderTrack
    from competition.tracks.declared.table_declaration import TableTrack

_NO_GROUP = (
    "group is missing, the person whose images stay together: '^(\\d+)_' finds 012 in 012_a.png, '{parent}' is the "
    "folder of an image where each person has one, and '(.+)' makes each image its own group"
)


def contradiction(declaration: FolderTrack) -> str | None:
    """Return why classes, masks and submission contradict each other; None if they don't."""
    classes, masks, submission = declaration.classes, declaration.masks, declaration.submission
    checks = (_missing_key, _uncounted, bad_places, _file_name)
    if fault := next(filter(None, (check(declaration) for check in checks)), None):
        return fault
    if fault := _equal_names(list(classes), files="{class}" in (declaration.mask_template or "")):
        return fault
    if fault := _clashing_values(declaration):
        return fault
    if fault := mask_submission.contradiction(submission, list(classes), declaration.sample):
        return fault
    if isinstance(masks, RunLengthTable):
        if isinstance(classes, dict):
            return "classes with pixel values lie in pictures; with run lengths, classes is a list of names"
        if fault := masks.contradiction("masks", len(classes)):
            return fault
        return _no_submission(masks) if submission is None else None
    if isinstance(masks, LabelFiles) and (fault := masks.contradiction(classes)):
        return fault
    return _bad_masks(declaration)


def _missing_key(declaration: FolderTrack) -> str | None:
    """Return which key is missing, or is given beside the column of the index that replaces it; None if neither."""
    columns = () if declaration.index is None else declaration.index.columns
    if declaration.index is not None and "mask" in columns and declaration.masks is not None:
        return "masks and index.mask both say where masks are: leave one out"
    for key, column in (("key", "key"), ("group", "group"), ("stratum", "stratum")):
        if column in columns and getattr(declaration, key) is not None:
            return f"{key} and index.{column} both say what the {key} of an image is: leave one out"
    if declaration.masks is None and "mask" not in columns:
        return "masks is missing: where the masks of training images are"
    if declaration.index is None and declaration.train is None:
        return "train is missing: the pattern of training images"
    if declaration.index is None and declaration.test is None:
        return "test is missing: the pattern of test images"
    return _NO_GROUP if declaration.group is None and "group" not in columns else None


def _uncounted(declaration: FolderTrack) -> str | None:
    """Return which run lengths do not say how pixels are counted: transposed masks look like masks."""
    for key, form in (("masks", declaration.masks), ("submission", declaration.submission)):
        if isinstance(form, RunLengthColumns) and "order" not in form.model_fields_set:
            return f"{key}.order is missing: {COUNTED}"
    return None


def bad_places(declaration: FolderTrack | TableTrack) -> str | None:
    """Return which template of key, group or stratum has an unknown field or none; None if all are valid."""
    common = declaration.places.known_fields
    for name in ("key", "group", "stratum"):
        template = getattr(declaration, name)
        known = (*common, SLICE) if name == "key" and declaration.images.slices is not None else common
        if template is None or (name != "key" and not is_template(template)):
            continue
        if fault := unknown_field(template, known):
            return f"{name} {fault}"
        if not is_template(template):
            return f"key needs a field, or all images have one key; the fields are {_listed(known)}"
    return None


def _file_name(declaration: FolderTrack) -> str | None:
    """Return that images with keys of their own would be called by their files; None if not."""
    columns = declaration.submission
    if declaration.own_keys and isinstance(columns, SubmissionColumns) and columns.ending:
        return "with a key of its own, a submission calls an image by it: write ending: false under submission"
    return None


def _bad_masks(declaration: FolderTrack) -> str | None:
    """Return why paths of mask files are invalid for these classes; None if they are valid."""
    masks, classes, known = declaration.mask_template, declaration.classes, declaration.places.known_fields
    named = isinstance(declaration.masks, LabelFiles)  # whatever a file of them holds, each class has its name there
    if masks is None:
        if len(classes) > 1 and isinstance(classes, list) and not named:
            return "with masks in a column of the index, several classes need a pixel value each"
        return None
    if fault := unknown_field(masks, (*known, CLASS)):
        return f"masks {fault}"
    if not set(fields_in(masks)) & set(known):
        return f"masks needs {{stem}}, the image's name without its ending, or another of {_listed(known)}"
    if "{class}" not in masks and isinstance(classes, list) and len(classes) > 1 and not named:
        return "several classes need {class} in masks, or a pixel value for each class"
    for name in classes if "{class}" in masks else ():
        if fault := file_fault(name):
            return f"masks are files named after their class, and the name {name!r} {fault}"
    return None


def _listed(fields: Sequence[str]) -> str:
    return ", ".join(f"{{{field}}}" for field in fields)


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
