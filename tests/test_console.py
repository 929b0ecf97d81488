import io
import re

import pytest
from rich.console import Console

from competition import console
from competition.console import duration, progress, say, shout, status_table, table, track


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (48.4, "48 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (7559, "2 h 05 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_a_duration_is_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("text", ["a[bold]b.png", "^(SC-[a-z]+) [/x]", ":smile: {x}", "x" * 300])
def test_a_line_is_printed_as_it_is(capsys: pytest.CaptureFixture[str], text: str) -> None:
    say(text)
    assert capsys.readouterr().out == text + "\n"


def test_what_nobody_should_miss_stands_out(capsys: pytest.CaptureFixture[str]) -> None:
    shout("PHANTOM [DATA]")
    assert capsys.readouterr().out == "*** PHANTOM [DATA] ***\n"


def test_a_table_shows_every_cell_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table("folds [x]", ["fold", "file", "rate"], [[0, "a[red].png", 0.5], ["[/x]", ":smile:", None]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].rstrip() == "folds [x]"
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert cells == [["0", "a[red].png", "0.5"], ["[/x]", ":smile:", "None"]]


def test_a_table_aligns_numbers_to_the_right_and_names_to_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    table("t", ["name", "score"], [["a", "1"], ["long name", "0.25"]])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("│ a "))
    assert row == "│ a         │     1 │"


def test_a_table_without_rows_still_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    table("empty", ["name"], [])
    assert "name" in capsys.readouterr().out


def test_track_gives_every_item_in_order_and_nothing_for_nothing() -> None:
    assert list(track(["a", "b", "c"], "reading")) == ["a", "b", "c"]
    assert list(track([], "reading")) == []


def test_a_log_gets_a_line_of_progress_only_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, *(5.0 * step for step in range(1, 11))])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with progress("reading", 10) as ticker:
        for step in range(10):
            ticker.advance(f"at [{step}]")
    # 20 and 40 seconds after the start; 5 seconds a step, so 6 and 2 steps of 5 seconds are left.
    assert capsys.readouterr().out.splitlines() == [
        "reading: 4/10, ETA 30 s, at [3]",
        "reading: 8/10, ETA 10 s, at [7]",
    ]


def test_steps_that_nobody_expected_are_added(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LOG_LINE_SECONDS", 0)
    with progress("searching", 1) as ticker:
        ticker.advance()
        ticker.advance("best 0.9")
    assert capsys.readouterr().out.splitlines() == ["searching: 1/1, ETA 0 s", "searching: 2/2, ETA 0 s, best 0.9"]


def test_progress_ends_when_the_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with progress("reading", 3) as ticker:
            ticker.advance()
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        work()
    say("next")
    assert capsys.readouterr().out == "next\n"


def test_a_log_gets_a_line_for_each_state_that_changes(capsys: pytest.CaptureFixture[str]) -> None:
    with status_table("jobs", ["task", "state", "newest line"]) as show:
        show([["fold 0", "waiting", ""], ["fold 1", "running", "epoch 1"]])
        show([["fold 0", "running", "[bold]"], ["fold 1", "running", "epoch 2"]])
    assert capsys.readouterr().out.splitlines() == ["fold 0: waiting", "fold 1: running", "fold 0: running"]


def test_a_terminal_shows_one_table_of_the_newest_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROGRESS", raising=False)
    terminal = Console(force_terminal=True, width=40, file=io.StringIO(), markup=False)
    monkeypatch.setattr(console, "_stdout", terminal)
    with status_table("jobs", ["task", "state", "newest line"]) as show:
        show([["fold 0", "waiting", ""]])
        show([["fold 0", "running", "epoch 2 [bold] " + "x" * 50]])
    shown = terminal.file.getvalue()
    last = shown[shown.rindex("newest line") :]
    assert "running" in last
    assert "epoch 2 [bo" in last
    assert "waiting" not in last
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last).splitlines()) <= 40
