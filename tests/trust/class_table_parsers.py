"""Parsers of tables of labels: the declaration, the training table, and submissions of each layout."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from trust_parser import Parser

from competition.masks.run_length_votes import quorum
from competition.metrics.metric import make_table_metric
from competition.metrics.tables import Targets
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.sample import read_sample
from competition.submission.table.truth import TruthTable
from competition.tracks.declared.table import ImageTable, find_row_problems, read_label_table
from competition.tracks.declared.table_declaration import read_table_declaration
from competition.tracks.declared.table_submission import TableSubmission

_LAYOUTS = Path(__file__).resolve().parents[2] / "docs" / "layouts"
_DECLARATIONS = tuple(path.read_bytes() for path in sorted(_LAYOUTS.glob("blood_cells_*.yaml")))
_HALF = quorum([Fraction(1), Fraction(2)], Fraction(1, 2))
_NAMES = ("a", "b", "c.1")


def class_table_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    declaration = Parser("read_table_declaration", "own.yaml", _DECLARATIONS, read_table_declaration)
    return [declaration, *_training_tables(), *_submissions()]


def _training_tables() -> list[Parser]:
    kinds: tuple[tuple[str, Targets, dict[str, Any], tuple[str, ...], bytes], ...] = (
        ("columns", "multilabel", {"targets": ["x", "y"]}, ("x", "y"), b"id,x,y,who\na,1,0,p\nb.png,0.0,1,q\n"),
        (
            *("names", "multilabel", {"target": "found", "split": "|", "empty": "No"}, ("x", "y")),
            b'id,found,who\na,x|y,p\nb,No,q\n"c.1", y ,p\n',
        ),
        ("grade", "ordinal", {"target": "grade"}, ("0", "1", "2"), b"id,grade,who\na,2.0,p\nb,0,q\na,1,q\n"),
    )
    parsers = []
    for kind, task, keys, classes, valid in kinds:
        form = ImageTable.model_validate({"csv": "a.csv", "image": "id", "group": "who"} | keys)

        def read(path: Path, form: ImageTable = form, classes: tuple[str, ...] = classes, task: Targets = task) -> None:
            table = read_label_table(path, form, classes, task)
            problems = find_row_problems(table, {table.written(name): name for name in ("a.png", "b.png")}, form)
            assert all(problem.reason.isprintable() for problem in problems)

        parsers.append(Parser(f"read_label_table ({kind})", "a.csv", (valid,), read, names_file=False))
    return parsers


def _submissions() -> list[Parser]:
    long = "row_id,found\n" + "".join(f"{name}_{of},0.25\n" for name in _NAMES for of in ("x", "x_y"))
    kinds: tuple[tuple[str, Targets, str, tuple[str, ...], dict[str, Any], bytes, bytes], ...] = (
        (
            *("long", "multilabel", "auroc", ("x", "x_y"), {"shape": "long", "id": "{key}_{class}", "column": "found"}),
            *(long.encode(), b"id,x,x_y\na,1,0\nb,0,1\nc.1,1,1\n"),
        ),
        (
            *("grade", "ordinal", "kappa", ("0", "1", "2"), {"column": "grade"}),
            *(b"id,grade\na,0\nb,2\nc.1,1\n", b"id,grade\na,0\nb,2.0\nc.1,1\n"),
        ),
    )
    parsers = []
    for kind, targets, name, classes, keys, valid, right in kinds:
        metric = make_table_metric(name, targets, classes)
        truth = TruthTable("id", "grade" if kind == "grade" else None)
        form = TableSubmission.model_validate(keys).form(metric, classes, truth)

        def other(path: Path, content: bytes) -> Path:
            path.with_name("other.csv").write_bytes(content)
            return path.with_name("other.csv")

        def read(path: Path, form=form, classes=classes, metric=metric, valid=valid, right=right) -> None:
            result = form.check(path, classes, KnownImages(_NAMES))
            assert all(error.isprintable() for error in result.errors), result.errors
            read_sample(path).check_columns(form.layout.header(classes))
            form.score(path, other(path, right), classes, NOTHING_KNOWN, metric)

        def join(path: Path, form=form, classes=classes, valid=valid) -> None:
            files = [path, other(path, valid)]
            form.vote(files, _HALF, classes, NOTHING_KNOWN, path.with_name("voted.csv"))
            form.compare(*files, classes, NOTHING_KNOWN)

        def as_truth(path: Path, form=form, classes=classes, metric=metric, valid=valid) -> None:
            form.score(other(path, valid), path, classes, NOTHING_KNOWN, metric)

        parsers += [
            Parser(f"ClassTableForm.check, score ({kind})", "a.csv", (valid,), read, names_file=False),
            Parser(f"ClassTableForm.vote, compare ({kind})", "a.csv", (valid,), join, names_file=False),
            Parser(f"ClassTableForm.score, truth ({kind})", "a.csv", (right,), as_truth, names_file=False),
        ]
    return parsers
