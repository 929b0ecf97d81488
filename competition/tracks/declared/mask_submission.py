"""The key ``submission`` of a declared segmentation, and what is taken from the organiser's sample submission."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from competition.errors import CompetitionError
from competition.metrics.masks import MaskMetric
from competition.metrics.metric import Metric
from competition.settings import Section
from competition.submission import FORMS
from competition.submission.form import Form
from competition.submission.objects.files import ObjectColumns
from competition.submission.objects.form import ObjectForm
from competition.submission.png.files import PngMasks
from competition.submission.png.form import PngForm
from competition.submission.run_lengths.columns import COUNTED, SubmissionColumns
from competition.submission.run_lengths.form import RunLengthForm
from competition.submission.run_lengths.id_template import possible_splits
from competition.submission.sample import OfficialSample, other_test_images, read_sample
from competition.text import nearest_hint, shown
from competition.tracks.declared.run_length_table import RunLengthTable

KINDS: dict[str, type[Section]] = {"run_lengths": SubmissionColumns, "objects": ObjectColumns, "png": PngMasks}
"""``kind`` of a submission -> its keys; run lengths where it is left out."""


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "name"
    if isinstance(value, Section):
        return next(kind for kind, section in KINDS.items() if type(value) is section)
    return str(value.get("kind", "run_lengths")) if isinstance(value, dict) else "run_lengths"


def _known_kind(value: Any) -> Any:
    """Return a declared submission of a known kind; the kind of run lengths needs no name."""
    if isinstance(value, str):
        names = [name for name, one in FORMS.items() if one.of_masks]
        if value not in names:
            raise ValueError(f"Input should be columns of run lengths or one of {', '.join(names)}, not {shown(value)}")
    if isinstance(value, dict) and "kind" in value:
        if not isinstance(value["kind"], str) or value["kind"] not in KINDS:
            hint = nearest_hint(str(value["kind"]), list(KINDS))
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {shown(value['kind'])}{hint}")
        if value["kind"] == "run_lengths":
            return {key: one for key, one in value.items() if key != "kind"}
    return value


Submission = Annotated[
    Annotated[SubmissionColumns, Tag("run_lengths")]
    | Annotated[ObjectColumns, Tag("objects")]
    | Annotated[PngMasks, Tag("png")]
    | Annotated[str, Tag("name")],
    Discriminator(_kind),
    BeforeValidator(_known_kind),
]
"""Columns of run lengths, of objects, PNG masks, or the name of a form."""


def make_form(submission: Section | str | None, sample: str | None) -> Form:
    """Return the form of a declaration, with the sample submission where one is named."""
    if isinstance(submission, str):
        return FORMS[submission]
    official = None if sample is None else read_sample(Path(sample))
    if isinstance(submission, ObjectColumns):
        return ObjectForm(submission, sample=official)
    if isinstance(submission, PngMasks):
        return PngForm(submission)
    if isinstance(submission, SubmissionColumns):
        return RunLengthForm(submission, official)
    return RunLengthForm()


def contradiction(submission: Section | str | None, classes: Sequence[str], sample: str | None) -> str | None:
    """Return why the submission contradicts the classes or the sample; None if it does not.

    Raises:
        CompetitionError: The sample can't be read, or has a column that can't be copied.
    """
    if isinstance(submission, PngMasks):
        return submission.contradiction(classes) or ("sample is a CSV, and PNG masks have none" if sample else None)
    if isinstance(submission, SubmissionColumns):
        if fault := submission.contradiction("submission", len(classes)):
            return fault
        if sample is not None:
            official, header = read_sample(Path(sample)), submission.header(classes)
            if odd := set(header) - set(official.columns):
                return f"submission writes the columns {', '.join(sorted(odd))}, which {Path(sample).name} lacks"
            official.check_copied(header, submission.id_columns(classes), isinstance(submission, ObjectColumns))
        return None
    return "sample needs columns of run lengths in submission" if sample else None


def check_test_names(
    names: Sequence[str], submission: Section | str | None, classes: Sequence[str], sample: str | None
) -> None:
    """Reject test images, by their names in the submission, whose rows are not those of the sample submission.

    Raises:
        CompetitionError: A row is missing in either, with the nearest id.
    """
    if not names or sample is None or not isinstance(submission, SubmissionColumns):
        return
    official = read_sample(Path(sample))
    ids = official.ids(submission.id_columns(classes))
    if (error := other_test_images(submission.row_ids(names, classes), ids, official)) is not None:
        raise error


def copied_columns_remark(submission: Section | str | None, classes: Sequence[str], sample: str | None) -> list[str]:
    """Return which columns are copied from the sample submission, because no key names them."""
    if sample is None or not isinstance(submission, SubmissionColumns):
        return []
    copied = read_sample(Path(sample)).copied_columns(submission.header(classes))
    return [f"columns copied from {Path(sample).name}: {', '.join(copied)}"] * bool(copied)


def submission_remarks(submission: Section | str | None, masks: object, metric: Metric) -> list[str]:
    """Return what is possible and yet probably wrong: a valid file that scores near 0.

    Args:
        submission: As declared.
        masks: As declared.
        metric: Of the track.
    """
    remarks = []
    if isinstance(masks, RunLengthTable) and isinstance(submission, SubmissionColumns):
        read, written = masks.order, submission.order
        question = f"masks: counts pixels {read} by {read}, submission: {written} by {written}; is that right?"
        remarks += [question] * (read != written)
    of_objects = isinstance(metric, MaskMetric) and metric.of_objects
    if metric.name == "mask_ap" and isinstance(submission, ObjectColumns):
        remarks.append("the metric mask_ap scores all objects of an image as one; object_ap scores each row by itself")
    if of_objects and not isinstance(submission, ObjectColumns):
        form = "submission: {kind: objects, ...} writes a row for each"
        remarks.append(f"the metric scores single objects, and touching ones become one in this submission; {form}")
    return remarks


def with_sample(content: Any, folder: Path) -> Any:
    """Return the content of a YAML file with what its sample submission adds.

    The path of the sample becomes absolute. Of a submission by columns the names of those that are left out are taken
    from it, and whether names have endings; how pixels are counted can't be seen in a sample.

    Raises:
        CompetitionError: The sample can't be read, or a column can't be identified.
    """
    if not isinstance(content, dict) or not isinstance(content.get("sample"), str):
        return content
    path = (folder / content["sample"]).resolve()
    if not path.exists():
        raise CompetitionError("no such sample submission", path, "sample: is a path relative to the YAML file")
    sample, declared, classes = read_sample(path), content.get("submission"), content.get("classes")
    if declared is not None and (not isinstance(declared, dict) or declared.get("kind") == "png"):
        return content | {"sample": str(path)}
    submission, masks = dict(declared or {}), content.get("masks")
    if isinstance(masks, dict) and "csv" in masks:
        columns = {key: masks[key] for key in ("image", "class", "rle") if masks.get(key) in sample.columns}
        submission = columns | submission
    if "order" not in submission:
        what = "submission needs order, because a sample does not show how pixels are counted"
        raise CompetitionError(what, path, f"Write order: {COUNTED}")
    names = [str(name) for name in classes] if isinstance(classes, list | dict) else []
    return content | {"sample": str(path), "submission": _columns(submission, sample, names)}


def with_counting(content: Any) -> Any:
    """Return the content of a YAML file whose submission counts pixels as its masks do, where it does not say how."""
    if not isinstance(content, dict):
        return content
    masks, submission = content.get("masks"), content.get("submission", {} if "sample" in content else None)
    if not isinstance(masks, dict) or not isinstance(submission, dict) or "csv" not in masks or "order" in submission:
        return content
    if submission.get("kind", "run_lengths") not in ("run_lengths", "objects"):
        return content
    counting = {key: masks[key] for key in ("order", "start", "relative") if key in masks}
    return content | {"submission": counting | submission}


def _columns(submission: dict[str, Any], sample: OfficialSample, classes: Sequence[str]) -> dict[str, Any]:
    """Return the keys of a submission with those that follow from the sample."""
    for key in ("image", "class", "rle"):
        if isinstance(name := submission.get(key), str) and name not in sample.columns:
            hint = nearest_hint(name, sample.columns)
            raise CompetitionError(f"submission.{key}: the sample submission has no column {name!r}{hint}", sample.path)
    found = submission | _free_columns(submission, sample, classes)
    if (image := found.get("image")) is None:
        return found
    template = "{image}_{class}"
    if len(classes) > 1 and "class" not in found and "rle" in found and "id" not in found:
        if not all(possible_splits(template, cell, classes) for cell in sample.column(image)):
            what = f"the ids in column {image!r} don't end in _ and a class, so submission needs id"
            raise CompetitionError(what, sample.path, 'Give submission: {id: "..."} with {image} and {class}')
        found["id"] = template
    if "ending" not in found:
        found["ending"] = "id" not in found and sample.has_endings(str(image))
    return found


def _free_columns(submission: dict[str, Any], sample: OfficialSample, classes: Sequence[str]) -> dict[str, str]:
    """Return which columns that no key names are those of the image (the first one), the class and the run lengths."""
    of_classes = len(classes) > 1 and set(classes) <= set(sample.columns)  # each has a column of its own
    named = ["", *submission.values(), *(classes if of_classes else ())]
    found, free = dict[str, str](), [name for name in sample.columns if name not in named]
    if "image" not in submission and free:
        found["image"] = free.pop(0)
    wants_rle = "rle" not in submission and not of_classes
    if "class" not in submission and len(free) > wants_rle and (of := _class_column(free, sample, classes)):
        found["class"] = of
        free.remove(of)
    if wants_rle and len(free) > 1:
        what = f"the run lengths may be in any of the columns {', '.join(free)}"
        raise CompetitionError(
            what, sample.path, "Name it as rle: under submission: in the YAML file; the other columns are copied"
        )
    return found | ({"rle": free[0]} if wants_rle and free else {})


def _class_column(columns: Sequence[str], sample: OfficialSample, classes: Sequence[str]) -> str | None:
    """Return the column that holds classes, None if none does; raise CompetitionError for one misspelt in a cell."""
    for name in columns:
        cells = set(sample.column(name))
        odd = sorted(cells - set(classes))
        if not odd:
            return name
        if len(cells) == len(classes) > 1 and "did you mean" in (hint := nearest_hint(odd[0], classes)):
            what = f"column {name!r} of the sample submission holds {odd[0]!r}, which is no class{hint}"
            raise CompetitionError(what, sample.path, "Write classes: as the organiser does")
    return None
