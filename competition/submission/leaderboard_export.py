"""The rankings of the leaderboard as they are printed, and as a CSV or Markdown file for a report or a pull request."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from competition.errors import CompetitionError
from competition.files import write_text
from competition.submission.leaderboard import COLUMNS as STORED
from competition.text import shown

COLUMNS = (
    *("id", "members x folds", "fold mean", "tuned", "cross-fitted", "95 %"),
    *("re-weighted", "test", "public", "private"),
)
"""Columns of a printed ranking."""

REPAIR = "For example: ./run.sh leaderboard --out ranking.md"

Rankings = Mapping[tuple[str, bool], pd.DataFrame]
"""As ``leaderboard.rankings`` returns them."""

# The signs to which CommonMark and GitHub give a meaning within a line; a backslash takes it away.
_SIGNS = re.compile(r"([\\`*_\[\]<|~&$])")


def check_export(path: Path, leaderboard: Path) -> None:
    """Make sure that a ranking can be written to a path.

    Raises:
        CompetitionError: Its ending is neither .csv nor .md, or it is the leaderboard itself.
    """
    if path.suffix.lower() not in WRITERS:
        what = f"--out takes a file that ends in .csv or .md, not {shown(path.name)}"
        raise CompetitionError(what, None, REPAIR)
    if path.resolve() == leaderboard.resolve():
        raise CompetitionError("--out is the leaderboard itself, which would be lost", path, REPAIR)


def export_rankings(path: Path, rankings: Rankings) -> None:
    """Write rankings in the order in which they are printed; the ending of a checked path chooses the form.

    A CSV holds the columns of the leaderboard with all digits, a Markdown file a table like the printed one for each
    ranking.
    """
    write_text(path, WRITERS[path.suffix.lower()](rankings))


def title_of(track: str, phantom: bool) -> str:
    """Return the title of a ranking."""
    return f"{track}, synthetic data (PHANTOM)" if phantom else track


def printed_row(row: Mapping[Any, Any]) -> list[str]:
    """Return the cells of ``COLUMNS`` of one submission."""

    def number(name: str) -> str:
        return "-" if pd.isna(row[name]) else f"{row[name]:.4f}"

    # "quick:0,1,2" is exact, and too wide for a table
    members = re.sub(r":([\d,]+)", lambda folds: f" x{folds[1].count(',') + 1}", str(row["members"]))
    mean = number("cv_fold_mean") + ("" if pd.isna(row["cv_fold_sd"]) else f" ±{row['cv_fold_sd']:.4f}")
    interval = f"{number('cv_low')}-{number('cv_high')}"
    others = map(number, ("cv_reweighted", "test_score", "public", "private"))
    return [str(row["id"]), members, mean, number("cv_oof"), number("cv_crossfit"), interval, *others]


def _csv(rankings: Rankings) -> str:
    frame = pd.concat(list(rankings.values())) if rankings else pd.DataFrame(columns=list(STORED))
    return frame.to_csv(index=False, lineterminator="\n")


def _markdown(rankings: Rankings) -> str:
    parts = ["# Leaderboard\n"]
    for (track, phantom), ranking in rankings.items():
        rows = [printed_row(row) for row in ranking.to_dict("records")]
        lines = [_line(COLUMNS), f"|---{'|--:' * (len(COLUMNS) - 1)}|", *map(_line, rows)]
        parts.append(f"## {_plain(title_of(track, phantom))}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts if rankings else [*parts, "There are no submissions yet.\n"])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))


WRITERS = {".csv": _csv, ".md": _markdown}
