"""Output of a stage: rich progress and tables on a terminal, plain lines in a log."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from competition.installation import typed

T = TypeVar("T")


class _Output(Console):
    """Standard output."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would end the program before its work is done


# A log has no width of its own; 160 keeps a table of ten columns on one line.
# File names and regular expressions hold brackets and colons, which are neither markup nor emoji here.
_stdout = _Output(
    highlight=False,
    markup=False,
    emoji=False,
    soft_wrap=True,
    width=None if sys.stdout is not None and sys.stdout.isatty() else 160,
)

# In a log a progress line is written at most this often, so that a long run stays readable.
LOG_LINE_SECONDS = 20.0


def be_quiet() -> None:
    """Print no more lines, tables and bars, because another process prints the same."""
    _stdout.quiet = True


_lost: list[OSError] = []
"""Why standard output could not be written, the first reason first."""


def finish_output() -> OSError | None:
    """Flush standard output; return why some of it was lost: BrokenPipeError where a reader has ended (``| head``)."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _lose_output(error)
    first = _lost[0] if _lost else None
    _lost.clear()
    return first


def _lose_output(error: OSError) -> None:
    """Redirect standard output to nowhere, so that the work goes on and nothing fails again at the end."""
    _lost.append(error)
    if sys.stdout is None:
        return
    with suppress(OSError, ValueError):  # it may be no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _print(output: RenderableType, style: str | None = None) -> None:
    try:
        _stdout.print(output, markup=False, style=style)
    except OSError as error:
        _lose_output(error)


def say(text: str) -> None:
    """Print one line of plain text (square brackets are not markup)."""
    _print(typed(text))


def shout(text: str) -> None:
    """Print a warning, for example that the data is synthetic and not real."""
    _print(typed(f"*** {text} ***"), style="bold yellow")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; the first column is left-aligned, the others right-aligned."""
    grid = Table(title=typed(title), title_justify="left", title_style="bold")
    for position, column in enumerate(columns):
        grid.add_column(column, justify="left" if position == 0 else "right", no_wrap=position == 0)
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    _print(grid)


@contextmanager
def status_table(title: str, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Sequence[str]]], None]]:
    """Show rows that change: yield a function that takes all of them, each with its name and its state first.

    A terminal shows one table, which is redrawn, with the last column as long as there is room; a log gets a line
    wherever a state has changed.
    """
    if _on_terminal():
        with Live(console=_stdout, refresh_per_second=2) as live:

            def redraw(rows: Sequence[Sequence[str]]) -> None:
                grid = Table(title=typed(title), title_justify="left", title_style="bold", width=_stdout.width)
                for place, column in enumerate(columns):
                    least = 0 if place == len(columns) - 1 else max(len(row[place]) for row in rows)
                    grid.add_column(column, no_wrap=True, overflow="ellipsis", min_width=least)
                for row in rows:
                    grid.add_row(*row)
                live.update(grid)

            yield redraw
        return
    states: dict[str, str] = {}

    def list_changes(rows: Sequence[Sequence[str]]) -> None:
        for name, state, *_ in rows:
            if states.get(name) != state:
                states[name] = state
                say(f"{name}: {state}")

    yield list_changes


def _on_terminal() -> bool:
    return _stdout.is_terminal and "NO_PROGRESS" not in os.environ


class Ticker:
    """One line of progress with the newest metric."""

    def __init__(self, title: str, total: int) -> None:
        """Start the clock; ``total`` is the number of steps."""
        self.title = title
        self.total = total
        self.done = 0
        self._start = time.monotonic()
        self._last_line = self._start
        self._bar: Progress | None = None
        if _on_terminal():
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[metric]}", markup=False),
                console=_stdout,
                transient=True,
            )
            self._task = self._bar.add_task(title, total=total, metric="")
            self._bar.start()

    def advance(self, metric: str = "") -> None:
        """Count one step, with a ``metric`` to show beside the bar; steps beyond the total extend it."""
        if self.done == self.total:
            self.extend(1)
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, metric=metric)
            return
        now = time.monotonic()
        if now - self._last_line >= LOG_LINE_SECONDS:
            self._last_line = now
            left = (now - self._start) / self.done * (self.total - self.done)
            say(f"{self.title}: {self.done}/{self.total}, ETA {duration(left)}{', ' if metric else ''}{metric}")

    def extend(self, steps: int) -> None:
        """Add steps to the total."""
        self.total += steps
        if self._bar is not None:
            self._bar.update(self._task, total=self.total)

    def ticking(self, rows: Iterable[T], rows_per_step: int) -> Iterator[T]:
        """Pass rows on and advance after every ``rows_per_step`` of them."""
        for number, row in enumerate(rows, start=1):
            yield row
            if number % rows_per_step == 0:
                self.advance()

    def close(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress(title: str, total: int) -> Iterator[Ticker]:
    """Show progress with ETA while the block runs; yield the ticker to advance ``total`` times."""
    ticker = Ticker(title, total)
    try:
        yield ticker
    finally:
        ticker.close()


def track(items: Sequence[T], title: str) -> Iterator[T]:
    """Iterate over ``items`` with progress."""
    with progress(title, len(items)) as ticker:
        for item in items:
            yield item
            ticker.advance()


def duration(seconds: float) -> str:
    """Return a number of seconds for readers: "48 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
