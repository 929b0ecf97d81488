"""Parsers of submissions and of the tables that hold the truth."""

import io
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from trust_parser import Parser

from competition.masks.run_length_votes import quorum
from competition.submission.array_zip.form import ArrayZipForm, open_alike, score_planes, vote_on_arrays
from competition.submission.check_result import CheckResult
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns
from competition.submission.run_lengths.files import read_truth_csv
from competition.submission.run_lengths.form import RunLengthForm, read_alike, score_rle, vote_on_masks
from competition.submission.table.files import read_table_csv
from competition.submission.table.form import TableForm, score_table, vote_on_tables
from competition.tracks.aneurysm import track as aneurysm
from competition.tracks.declared.run_length_table import (
    RunLengthTable,
    find_problems,
    find_rows,
    read_run_lengths,
    read_table,
)
from competition.tracks.lumbar.track import LUMBAR

_WEIGHTS = [Fraction(1), Fraction(2)]
_HALF = quorum(_WEIGHTS, Fraction(1, 2))


def submission_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    masks = [parser for form in _FORMS for parser in _mask_parsers(*form)]
    return [*masks, *_table_parsers(), *_aneurysm_tables(), *_plane_parsers()]


_FORMS: tuple[tuple[str, SubmissionColumns, tuple[str, ...], bytes], ...] = (
    (
        "image_name,class,rle",
        IMAGE_CLASS_RLE,
        ("lv", "rv"),
        b"image_name,class,rle\na.png,lv,1 2 8 3\na.png,rv,\nb.png,lv,5 1\nb.png,rv,12 1\n",
    ),
    (
        "column per class",
        SubmissionColumns.model_validate({"image": "id", "start": 0, "relative": True, "ending": False, "empty": -1}),
        ("x", "y"),
        b"id,x,y\na,0 2,-1\nb,4 1 2 3,0 1\n",
    ),
    (
        "several rows",
        SubmissionColumns.model_validate(
            {
                "image": "ImageId",
                "rle": "EncodedPixels",
                "order": "column",
                "ending": False,
                "empty": -1,
                "several_rows": True,
            }
        ),
        ("n",),
        b"ImageId,EncodedPixels,Height,Width,Usage\na,1 2,4,4,Public\na,7 2,4,4,Public\nb,-1,4,4,Private\n",
    ),
)


def _checked(result: CheckResult) -> None:
    assert all(error.isprintable() for error in result.errors), result.errors


def _mask_parsers(title: str, form: SubmissionColumns, classes: tuple[str, ...], valid: bytes) -> list[Parser]:
    sizes = dict.fromkeys(("a", "b", "a.png", "b.png"), (4, 4))
    known = KnownImages(sizes=sizes)
    table_form = {"csv": "a.csv", "image": form.image, "class": form.class_column, "rle": form.rle}
    table = RunLengthTable.model_validate(table_form | {"start": form.start, "relative": form.relative})

    def other(path: Path) -> Path:
        path.with_name("other.csv").write_bytes(valid)
        return path.with_name("other.csv")

    def check(path: Path) -> None:
        for expected in (None, ["a.png", "b.png"]):
            _checked(RunLengthForm(form).check(path, classes, KnownImages(expected, sizes if expected else {})))

    def score(path: Path) -> None:
        truth = read_truth_csv(other(path), classes, form)
        assert 0 <= score_rle(path, truth, classes, known, form).score <= 1

    def score_by_itself(path: Path) -> None:
        truth = read_truth_csv(path, classes, form)
        assert score_rle(path, truth, classes, KnownImages(), form).score == 1

    def vote(path: Path) -> None:
        files = [path, other(path)]
        list(vote_on_masks(files, read_alike(files, classes, form), classes, _HALF, known))

    def prepare(path: Path) -> None:
        rows = read_table(path, table, classes)
        find_problems(rows, {rows.written(f"{key}.png"): key for key in "ab"}, table, classes)
        for image in rows.rows:
            read_run_lengths(Path(f"{path}#{image}"), (4, 4), table, classes)

    def find(path: Path) -> None:
        find_rows(path.parent, table, classes, {".png"})

    doors: dict[str, Callable[[Path], Any]] = {
        "check_rle_submission": check,
        "read_truth_csv, score_rle": score,
        "score_rle by itself": score_by_itself,
        "read_alike, vote_on_masks": vote,
        "compare_masks": lambda path: RunLengthForm(form).compare(path, other(path), classes, known),
        "run_length_table": prepare,
        "find_rows": find,
    }
    return [Parser(f"{name} ({title})", "a.csv", (valid,), read, names_file=False) for name, read in doors.items()]


def _table_parsers() -> list[Parser]:
    classes = ("any", "left", "right")
    valid = b"Index,any,left,right\n0047,0.5,1,0\n3,0.25,0,0\n1001,1.0,0,1\n7,0,0,0\n"
    truth = b"Index,any,left,right,Usage\n0047,1,1,0,Public\n3,0,0,0,a\n1001,1,0,1,a\n7,0,0,0,b\n"

    def other(path: Path, content: bytes) -> Path:
        path.with_name("other.csv").write_bytes(content)
        return path.with_name("other.csv")

    def check(path: Path) -> None:
        for expected in (None, ["0047", "3", "1001", "7"]):
            _checked(TableForm().check(path, classes, KnownImages(expected)))

    def score(path: Path) -> None:
        score_table(path, read_table_csv(other(path, truth), classes), classes)

    def score_against(path: Path) -> None:
        score_table(other(path, valid), read_table_csv(path, classes), classes)

    def vote(path: Path) -> None:
        vote_on_tables([path, other(path, valid)], classes, _HALF)

    return [
        Parser("check_table_submission", "a.csv", (valid,), check, names_file=False),
        Parser("score_table", "a.csv", (valid,), score, names_file=False),
        Parser("read_table_csv, score_table", "a.csv", (truth,), score_against, names_file=False),
        Parser("vote_on_tables", "a.csv", (valid,), vote, names_file=False),
        Parser(
            "compare_tables",
            "a.csv",
            (valid,),
            lambda path: TableForm().compare(path, other(path, valid), classes, NOTHING_KNOWN),
            names_file=False,
        ),
    ]


def _aneurysm_tables() -> list[Parser]:
    header = "Index," + ",".join(aneurysm.CLASSES)
    rows = [f"{index},{','.join(['1'] * positive + ['0'] * (22 - positive))}" for index, positive in ((1, 2), (2, 0))]
    valid = "\n".join([header, *rows, ""]).encode()

    def listed(path: Path) -> None:
        for part in ("train_set", "test_set"):
            (path.parent / part).mkdir(exist_ok=True)
            for index in (1, 2):
                for view in aneurysm.VIEWS:
                    number = index + 10 * (part == "test_set")
                    (path.parent / part / f"{number:04d}{view}.jpg").touch()
        (path.parent / "train_set" / "train.csv").write_bytes(path.read_bytes())
        (path.parent / "test_set" / "test.csv").write_bytes(
            path.read_bytes().replace(b"\n1,", b"\n11,").replace(b"\n2,", b"\n12,")
        )
        aneurysm.list_samples(path.parent)
        aneurysm.list_test_samples(path.parent / "test_set")

    return [Parser("aneurysm.list_samples", "a.csv", (valid,), listed, names_file=False)]


def _plane_parsers() -> list[Parser]:
    def planes(height: int, width: int) -> bytes:
        masks = np.random.default_rng(0).random((height, width, 6)) < 0.2
        file = io.BytesIO()
        np.save(file, np.dstack([masks, ~masks.any(axis=-1)]).astype(np.uint8))
        return file.getvalue()

    arrays = {"7.npy": planes(6, 5), "12.npy": planes(4, 9)}
    sizes = {"7.dcm": (6, 5), "12.dcm": (4, 9)}
    known = KnownImages(sizes=sizes)

    def zipped(content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, array in content.items():
                archive.writestr(name, array)
        return file.getvalue()

    valid = tuple(zipped(arrays, method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))

    def other(path: Path) -> Path:
        path.with_name("other.zip").write_bytes(valid[1])
        return path.with_name("other.zip")

    def check(path: Path) -> None:
        _checked(ArrayZipForm().check(path, LUMBAR.classes, KnownImages(tuple(sizes), sizes)))
        _checked(ArrayZipForm().check(path, LUMBAR.classes))

    def vote(path: Path) -> None:
        with ExitStack() as opened:
            files = open_alike([path, other(path)], opened)
            list(vote_on_arrays(files, len(LUMBAR.classes), _HALF, known))

    def predict(path: Path) -> None:
        stems = {name.removesuffix(".dcm"): size for name, size in sizes.items()}
        maps = ArrayZipForm().read_predictions(path, LUMBAR.classes, lambda name: stems.get(name, (1, 1)))
        for read in maps.values():
            read()

    def check_array(path: Path) -> None:
        content = arrays | {"7.npy": path.read_bytes()}
        path.with_name("a.zip").write_bytes(zipped(content))
        check(path.with_name("a.zip"))

    return [
        Parser("check_planes_submission", "a.zip", valid, check, names_file=False),
        Parser("check_planes_submission (array)", "7.npy", (arrays["7.npy"],), check_array, names_file=False),
        Parser(
            "score_planes",
            "a.zip",
            valid,
            lambda path: score_planes(path, other(path), LUMBAR.classes, known),
            names_file=False,
        ),
        Parser(
            "score_planes (truth)",
            "a.zip",
            valid,
            lambda path: score_planes(other(path), path, LUMBAR.classes, known),
            names_file=False,
        ),
        Parser("vote_on_arrays", "a.zip", valid, vote, names_file=False),
        Parser(
            "compare_arrays",
            "a.zip",
            valid,
            lambda path: ArrayZipForm().compare(other(path), path, LUMBAR.classes, known),
            names_file=False,
        ),
        Parser("read_predictions (zip)", "a.zip", valid, predict, names_file=False),
    ]
