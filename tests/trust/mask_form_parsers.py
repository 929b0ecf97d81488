"""Parsers of objects, PNG masks, ids and the official sample."""

import io
import zipfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from trust_parser import Parser

from competition.masks.run_length_votes import quorum
from competition.metrics.metric import make_metric
from competition.submission.check_result import CheckResult
from competition.submission.form import Form
from competition.submission.known_images import KnownImages
from competition.submission.objects.files import ObjectColumns
from competition.submission.objects.form import ObjectForm
from competition.submission.png.files import PngMasks
from competition.submission.png.form import PngForm
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.form import RunLengthForm
from competition.submission.sample import read_sample

_HALF = quorum([Fraction(1), Fraction(2)], Fraction(1, 2))
_KNOWN = KnownImages(("a", "b"), {"a": (3, 4), "b": (3, 4)})
_CLASSES = ("x", "y")


def mask_form_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    objects = ObjectColumns.model_validate(
        {"kind": "objects", "image": "id", "class": "kind", "rle": "rle", "order": "column", "ending": False}
    )
    ids = {"image": "id", "rle": "rle", "id": "{image}_{class}", "ending": False, "empty": "-"}
    masks = PngMasks.model_validate({"kind": "png", "values": {"x": 1, "y": 2}})
    rows = b"id,kind,rle\na,x,1 2\na,x,3 2 8 1\na,y,\nb,x,12 1\nb,y,1 12\n"
    by_id = b"id,rle\na_x,1 2\na_y,-\nb_x,12 1\nb_y,1 12\n"
    return [
        *_form_parsers("objects", ObjectForm(objects), "a.csv", rows),
        *_form_parsers("ids", RunLengthForm(SubmissionColumns.model_validate(ids)), "a.csv", by_id),
        *_form_parsers("PNG masks", PngForm(masks), "a.zip", _png_zip()),
        Parser("read_sample", "sample.csv", (rows, by_id), read_sample),
    ]


def _png_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate(("a", "b")):
            picture = (np.arange(12, dtype=np.uint8).reshape(3, 4) + number) % 3
            archive.writestr(f"{name}.png", cv2.imencode(".png", picture)[1].tobytes())
    return file.getvalue()


def _form_parsers(name: str, form: Form, file: str, valid: bytes) -> list[Parser]:
    """Returns what reads a submission of one form."""

    def other(path: Path) -> Path:
        sound = path.with_name(f"other{path.suffix}")
        sound.write_bytes(valid)
        return sound

    def check(path: Path) -> None:
        result: CheckResult = form.check(path, _CLASSES, _KNOWN)
        assert result.ok or all(error.isprintable() for error in result.errors)

    def score(path: Path) -> None:
        for metric in ("dice", "object_ap", "hausdorff"):
            form.score(path, other(path), _CLASSES, _KNOWN, make_metric(metric))

    def vote(path: Path) -> None:
        form.vote([path, other(path)], _HALF, _CLASSES, _KNOWN, path.with_name(f"out{path.suffix}"))

    def predict(path: Path) -> None:
        for read in form.read_predictions(path, _CLASSES, lambda _: (3, 4)).values():
            read()

    def compare(path: Path) -> None:
        form.compare(other(path), path, _CLASSES, _KNOWN)

    doors = {"check": check, "score": score, "vote": vote, "compare": compare, "read_predictions": predict}
    return [Parser(f"{door} ({name})", file, (valid,), read, names_file=False) for door, read in doors.items()]
