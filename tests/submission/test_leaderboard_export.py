"""Exported rankings, read back with pandas and with a Markdown parser that knows nothing of this program."""

from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from competition.submission.leaderboard import COLUMNS as STORED
from competition.submission.leaderboard import Row, append, rankings
from competition.submission.leaderboard_export import COLUMNS, export_rankings

HOSTILE = "a|b_c_*d*`e`[f](g)<h>&lt;\\|~~i~~$j$"


def row(submission_id: str, crossfit: float | None, track: str = "hand_bone", phantom: bool = False) -> Row:
    members = "quick:0,1,2+strong@20"
    return Row(
        submission_id,
        "2026-11-21T15:30:12",
        track,
        phantom,
        members,
        "0.5+0.5",
        cv_fold_mean=0.91234567,
        cv_fold_sd=0.0123,
        cv_crossfit=crossfit,
        public=0.975,
        file_sha256="0123456789abcdef" * 4,
    )


@pytest.fixture
def leaderboard(tmp_path: Path) -> Path:
    """Three real hands, the last without a score, synthetic hands, and a track whose names hold Markdown."""
    path = tmp_path / "workspace" / "submissions" / "leaderboard.csv"
    path.parent.mkdir(parents=True)
    for entry in (
        row("worse", 0.9),
        row("unscored", None),
        row("better", 0.95),
        row("drawn", 0.8, phantom=True),
        row(HOSTILE, 0.7, track="a*b*_c_"),
    ):
        append(path, entry)
    return path


def read_tables(text: str) -> dict[str, list[list[str]]]:
    """Heading -> rows of cells as a browser would show them."""
    tables: dict[str, list[list[str]]] = {}
    heading, wanted = "", ""
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type in ("heading_open", "th_open", "td_open"):
            wanted = token.type
        elif token.type == "tr_open":
            tables.setdefault(heading, []).append([])
        elif token.type == "inline" and token.children is not None:
            assert {child.type for child in token.children} <= {"text", "text_special"}, token.content
            plain = unescape("".join(child.content for child in token.children)) if wanted else ""
            if wanted == "heading_open":
                heading = plain
            else:
                tables[heading][-1].append(plain)
    return tables


def test_markdown_shows_each_ranking_as_it_is_printed(leaderboard: Path, tmp_path: Path) -> None:
    export_rankings(tmp_path / "ranking.md", rankings(leaderboard))
    tables = read_tables((tmp_path / "ranking.md").read_text())
    assert list(tables) == ["a*b*_c_", "hand_bone", "hand_bone, synthetic data (PHANTOM)"]
    assert all(rows[0] == list(COLUMNS) for rows in tables.values())
    better = ["better", "quick x3+strong@20", "0.9123 ±0.0123", "-", "0.9500", "---", "-", "-", "0.9750", "-"]
    assert tables["hand_bone"][1] == better
    assert [cells[0] for cells in tables["hand_bone"][1:]] == ["better", "worse", "unscored"]
    assert tables["hand_bone"][3][4] == "-"
    assert tables["a*b*_c_"][1][0] == HOSTILE.replace("&lt;", "<")


def test_csv_has_the_rows_in_the_same_order_with_all_digits(leaderboard: Path, tmp_path: Path) -> None:
    export_rankings(tmp_path / "ranking.CSV", rankings(leaderboard))
    frame = pd.read_csv(tmp_path / "ranking.CSV")
    assert list(frame.columns) == list(STORED)
    assert list(frame["id"]) == [HOSTILE, "better", "worse", "unscored", "drawn"]
    assert list(frame["phantom"]) == [False] * 4 + [True]
    assert frame["cv_fold_mean"][1] == 0.912346  # as it was stored
    assert frame["cv_crossfit"].isna().tolist() == [False, False, False, True, False]


def test_without_submissions_the_file_says_so(tmp_path: Path) -> None:
    export_rankings(tmp_path / "none.csv", {})
    export_rankings(tmp_path / "none.md", {})
    assert list(pd.read_csv(tmp_path / "none.csv").columns) == list(STORED)
    assert (tmp_path / "none.md").read_text() == "# Leaderboard\n\nThere are no submissions yet.\n"


@pytest.mark.parametrize("name", ["ranking.html", "ranking", "md"])
def test_another_ending_is_one_sentence_and_records_nothing(leaderboard, tmp_path, refusal, name) -> None:
    before = leaderboard.read_bytes()
    words = ("leaderboard", "record", "better", "--public", "0.5", "--out", tmp_path / name)
    said, _ = refusal(*words)
    assert f"--out takes a file that ends in .csv or .md, not '{name}'" in said
    assert leaderboard.read_bytes() == before


def test_the_leaderboard_itself_is_not_replaced(leaderboard, tmp_path, refusal, monkeypatch) -> None:
    before = leaderboard.read_bytes()
    monkeypatch.chdir(leaderboard.parent)
    said, _ = refusal("leaderboard", "--track", "hand_bone", "--out", "leaderboard.csv")
    assert "--out is the leaderboard itself" in said
    assert leaderboard.read_bytes() == before


def test_the_stage_writes_only_the_rankings_that_it_prints(leaderboard, tmp_path, stage) -> None:
    figures, said = stage("leaderboard", "--track", "hand_bone", "--out", tmp_path / "ranking.md")
    assert figures["file"] == str(tmp_path / "ranking.md")
    tables = read_tables((tmp_path / "ranking.md").read_text())
    assert list(tables) == ["hand_bone", "hand_bone, synthetic data (PHANTOM)"]
    for rows in tables.values():
        assert all(cells[0] in said for cells in rows[1:])
