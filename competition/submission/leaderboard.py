"""The leaderboard: one CSV line per submission, appended under a file lock, rewritten only to record a score.

The lock is a sibling ``.lock`` file that is never replaced, which is why the CSV can be. Each line is one ``write`` and
an ``fsync``. A line cut short by a full disk or a kill is moved to ``leaderboard.csv.cut`` with a warning.
"""

import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

import pandas as pd

from competition.console import shout
from competition.errors import CompetitionError
from competition.files import check_file, file_lock, read_text, whole_file
from competition.formats.csv_files import other_encoding
from competition.metrics.metric import Metric
from competition.text import nearest_hint, shortened, shown


@dataclass(frozen=True)
class Row:
    """One submission on the leaderboard; None where a figure is unknown."""

    id: str  # unique; see ``new_submission_id``
    time: str  # when it was made, ISO 8601
    track: str  # "hand_bone"
    phantom: bool  # whether the data is synthetic
    members: str  # runs that voted, joined by "+"
    weights: str  # their weights, joined by "+"
    cv_fold_mean: float | None = None  # mean over the folds at threshold 0.5
    cv_fold_sd: float | None = None  # standard deviation over the folds
    cv_oof: float | None = None  # out-of-fold after tuning (optimistic)
    cv_crossfit: float | None = None  # out-of-fold, tuned on the other folds; submissions are ranked by it
    cv_low: float | None = None  # lower end of the group-bootstrap interval of ``cv_crossfit``
    cv_high: float | None = None  # upper end of it
    # ``cv_crossfit`` with the kinds of pictures weighted by their share in the organiser's test set
    cv_reweighted: float | None = None
    test_score: float | None = None  # score on a test set with known truth (phantoms, or a held-out set)
    public: float | None = None  # the organiser's public score
    private: float | None = None  # the organiser's private score
    git_commit: str = ""  # commit of the code
    config_hash: str = ""  # hash of the decision
    file_sha256: str = ""  # hash of the submission file


COLUMNS = tuple(column.name for column in fields(Row))
EARLIER = tuple(name for name in COLUMNS if name != "cv_reweighted")
"""The columns of the first version: such a file is read, and gets all columns with its next entry."""
RESTORE = "Restore the file from git"
NUMBERS = COLUMNS[COLUMNS.index("cv_fold_mean") : COLUMNS.index("git_commit")]


def new_submission_id(leaderboard: Path, submissions: Path, name: str, moment: datetime) -> str:
    """Return an id that is neither on the leaderboard nor the name of a submission's folder; neither has to exist.

    Returns:
        "20261121-153012-quick" of the name "quick", or the same with "-2", "-3" ... where that is taken.
    """
    taken = set(read(leaderboard)["id"])
    wanted = f"{moment:%Y%m%d-%H%M%S}-{name}"
    candidate, number = wanted, 1
    while candidate in taken or (submissions / candidate).exists():
        number += 1
        candidate = f"{wanted}-{number}"
    return candidate


def append(path: Path, row: Row) -> None:
    """Append a submission: one line, on disk when this returns.

    Raises:
        CompetitionError: The id is taken, or the line can't be written; the file is then unchanged.
    """
    with file_lock(path.with_name(path.name + ".lock")):
        lines = _read_lines(path)
        if row.id in {line[0] for line in lines}:
            raise CompetitionError(f"submission {row.id!r} is on the leaderboard already", path)
        if path.exists() and not read_text(path).startswith(_text([COLUMNS])):
            _rewrite(path, lines)
        header = [] if path.exists() else [COLUMNS]
        content = _text([*header, [_cell(value) for value in asdict(row).values()]]).encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            before = os.fstat(descriptor).st_size
            _write_whole(path, descriptor, content, before)
        finally:
            os.close(descriptor)


def read(path: Path) -> pd.DataFrame:
    """Return all submissions in the order they were entered; none where there is no file.

    Returns:
        One row per submission, columns ``COLUMNS``: figures float64 (NaN if unknown), ``phantom`` bool, else text.

    Raises:
        CompetitionError: The file is not a leaderboard.
    """
    if not path.exists():
        return _frame(path, [])
    with file_lock(path.with_name(path.name + ".lock")):
        return _frame(path, _read_lines(path))


def record(
    path: Path,
    submission_id: str,
    metric_of: Callable[[str], Metric],
    public: float | None = None,
    private: float | None = None,
) -> None:
    """Set the organiser's scores of a submission.

    Args:
        path: The leaderboard.
        submission_id: Of the submission.
        metric_of: Returns the metric of the track of a name.
        public: The public score, that of an error negative; None keeps the recorded one.
        private: The private score, likewise.

    Raises:
        CompetitionError: There is no such submission, no score is given, or one that its metric can't have.
    """
    scores = {name: value for name, value in (("public", public), ("private", private)) if value is not None}
    if not scores:
        raise CompetitionError("no score is given", submission_id, "Give --public SCORE, --private SCORE or both")
    if not path.exists():
        raise CompetitionError("no submission was made yet", path, "Run ./run.sh ensemble")
    with file_lock(path.with_name(path.name + ".lock")):
        lines = _read_lines(path)
        known = [line[0] for line in lines]
        if submission_id not in known:
            what = f"unknown submission {shown(submission_id)}{nearest_hint(submission_id, known)}"
            raise CompetitionError(what, path)
        line = lines[known.index(submission_id)]
        metric = metric_of(line[COLUMNS.index("track")])
        for name, value in scores.items():
            _check_score(name, value, metric, submission_id)
        for name, value in scores.items():
            line[COLUMNS.index(name)] = _cell(value)
        _rewrite(path, lines)


def _check_score(name: str, value: float, metric: Metric, submission_id: str) -> None:
    """Raise CompetitionError if a score is none that its metric can have: a loss without its minus, or a percentage."""
    low, high = metric.bounds
    if low <= value <= high and math.isfinite(value):
        return
    if high == 0 and 0 < value < math.inf:
        what = f"the {name} score {value} is not negative, as those of an error are here ({metric.title})"
        raise CompetitionError(what, submission_id, f"Give --{name} {-value}")
    span = f"between {low:g} and {high:g}" if low > -math.inf else "a number"
    repair = f"If it is a percentage, give --{name} {value / 100:g}" if high == 1 < value <= 100 else None
    raise CompetitionError(f"the {name} score {value} is not {span}, as {metric.title} is", submission_id, repair)


def rankings(path: Path) -> dict[tuple[str, bool], pd.DataFrame]:
    """Return one ranking per track, never with real and synthetic data in the same one.

    Returns:
        (track, phantom) -> its submissions, best cross-fitted score first, those without one last, and among equals
        the earlier first. Real data comes before phantoms.
    """
    frame = read(path).sort_values("cv_crossfit", ascending=False, kind="stable", na_position="last")
    parts = frame.groupby(["phantom", "track"])
    return {(str(name), bool(phantom)): part.reset_index(drop=True) for (phantom, name), part in parts}


def _rewrite(path: Path, lines: Sequence[Sequence[str]]) -> None:
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        file.write(_text([COLUMNS, *lines]))
        file.flush()
        os.fsync(file.fileno())


def _write_whole(path: Path, descriptor: int, content: bytes, before: int) -> None:
    """Append all of ``content`` or nothing."""
    try:
        written = os.write(descriptor, content)
        os.fsync(descriptor)
    except OSError as error:
        os.ftruncate(descriptor, before)
        raise CompetitionError(f"can't write the leaderboard ({error.strerror})", path) from error
    if written != len(content):
        os.ftruncate(descriptor, before)
        raise CompetitionError("can't write the leaderboard (no space left on the disk)", path)


def _read_lines(path: Path) -> list[list[str]]:
    """Return the lines below the header, a text for each of ``COLUMNS``; call it under the lock."""
    if not path.exists():
        return []
    check_file(path)
    try:
        _repair(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except UnicodeDecodeError as error:
        reason = other_encoding(path, error.object).what
        raise CompetitionError(f"can't be read as a leaderboard ({reason})", path, RESTORE) from error
    except (OSError, csv.Error) as error:
        raise CompetitionError(f"can't be read as a leaderboard ({error})", path, RESTORE) from error
    header = tuple(lines[0]) if lines else ()
    if header not in (COLUMNS, EARLIER):
        raise CompetitionError("the first line is not that of a leaderboard", path, RESTORE)
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise CompetitionError(f"line {number} has {len(line)} fields, not {len(header)}", path, RESTORE)
    rows = [dict(zip(header, line, strict=True)) for line in lines[1:]]
    return [[row.get(name, "") for name in COLUMNS] for row in rows]


def _repair(path: Path) -> None:
    """Move an incomplete last line to ``<name>.cut`` with a warning.

    Some editors leave out the last line end: a line that ends in a whole SHA-256 is complete.
    """
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if (whole == len(content) and content) or not _is_ours(content):
        return
    last = next(csv.reader([content[whole:].decode(errors="replace")]), [])
    if len(last) in (len(COLUMNS), len(EARLIER)) and len(last[-1]) == 64:
        path.write_bytes(content + b"\n")
        return
    cut = path.with_name(path.name + ".cut")
    with cut.open("ab") as file:
        file.write(content[whole:] + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if whole:
        os.truncate(path, whole)
    else:
        path.write_text(_text([COLUMNS]), encoding="utf-8")
    entry = last[0] if last else ""
    shout(f"the last line of {path} is incomplete (submission {entry!r}) and was moved to {cut}")


def _is_ours(content: bytes) -> bool:
    """Return whether a file begins with the header of a leaderboard, or is a part of it."""
    first, end, _ = content.decode("utf-8-sig", errors="replace").partition("\n")
    headers = [_text([columns]).rstrip() for columns in (COLUMNS, EARLIER)]
    return first.rstrip("\r") in headers if end else any(header.startswith(first) for header in headers)


def _frame(path: Path, lines: Sequence[Sequence[str]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(lines), columns=list(COLUMNS), dtype=object)
    for column in NUMBERS:
        try:
            frame[column] = frame[column].map(_figure).astype("float64")
        except ValueError as error:
            raise CompetitionError(f"column {column}: {shortened(str(error))}", path, RESTORE) from error
    frame["phantom"] = (frame["phantom"].str.lower() == "true").astype(bool)
    return frame


def _figure(cell: str) -> float:
    figure = float(cell or "nan")
    if math.isinf(figure):
        raise ValueError(f"{shown(cell)} is not a score")
    return figure


def _text(lines: Sequence[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()


def _cell(value: str | bool | float | None) -> str:
    """Return one cell; a line end inside it would look like an incomplete line, so it becomes a space."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6f}" if isinstance(value, float) else " ".join(str(value).split())
