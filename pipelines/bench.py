"""bench: what the last mile takes, side by side with how it is done elsewhere, measured in one run."""

import argparse
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import duration, say, table
from competition.errors import CompetitionError
from pipelines.benchmarks.drawn_maps import draw_masks
from pipelines.benchmarks.duels import FULL, QUICK, Row, Scale
from pipelines.benchmarks.ensemble_work import measure_ensemble
from pipelines.benchmarks.map_works import measure_objective, measure_store, measure_thresholds
from pipelines.benchmarks.run_length_works import measure_decode, measure_encode, measure_score, measure_vote
from pipelines.benchmarks.submission_work import measure_submissions
from pipelines.benchmarks.tune_work import measure_tune

HELP = (
    "Measures encoding, voting, scoring, storing and tuning at full size, each beside its rival, on drawn data.\n"
    "Ours and the rival's turns alternate, figures are medians, and nothing is timed before both results agree."
)
EXAMPLE = "./run.sh bench --only vote --json bench.json"


@dataclass(frozen=True)
class Work:
    """Something to measure.

    Attributes:
        name: For --only.
        measure: Takes the scale and the masks of a drawn image (29, H, W).
        minutes: What it takes at full size on two cores, for the estimate of the time left.
    """

    name: str
    measure: Callable[[Scale, NDArray[np.bool_]], list[Row]]
    minutes: float


WORKS = (
    Work("encode", measure_encode, 0.5),
    Work("decode", measure_decode, 0.1),
    Work("vote", measure_vote, 0.2),
    Work("score", measure_score, 0.1),
    Work("submissions", measure_submissions, 0.5),
    Work("store", measure_store, 1.0),
    Work("objective", measure_objective, 0.7),
    Work("thresholds", measure_thresholds, 0.5),
    Work("ensemble", measure_ensemble, 1.5),
    Work("tune", measure_tune, 6.0),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--quick", action="store_true", help="everything in seconds, at a size that no target is for")
    parser.add_argument(
        "--only", metavar="WORK", help=f"works whose name holds this, of {', '.join(work.name for work in WORKS)}"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; see HELP.

    Returns:
        rows (of ``Row.figures``), quick, machine.
    """
    works = choose_works(args.only)
    scale = QUICK if args.quick else FULL
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"
    )
    say(f"drawn hands of {scale.size}x{scale.size} pixels; {machine}")
    if args.quick:
        say("--quick: the ratios at this size are not those the targets are meant for, so none is judged")
    masks = draw_masks(scale.size, seed=0)
    rows: list[Row] = []
    for position, work in enumerate(works):
        left = sum(other.minutes for other in works[position:])
        about = f", about {duration(60 * left)} left" if scale.full else ""
        say(f"{work.name} ({position + 1} of {len(works)}{about})")
        rows += work.measure(scale, masks)
    _show(rows, scale)
    return {"rows": [row.figures(scale.full) for row in rows], "quick": args.quick, "machine": machine}


def choose_works(only: str | None) -> Sequence[Work]:
    """Return the works whose name holds a text, all of them without one.

    Raises:
        CompetitionError: There is none.
    """
    chosen = [work for work in WORKS if only is None or only in work.name]
    if not chosen:
        raise CompetitionError(f"no work is called {only!r}", repair=f"Take one of {', '.join(w.name for w in WORKS)}")
    return chosen


def _show(rows: Sequence[Row], scale: Scale) -> None:
    columns = ["work", "ours", "rival", "ratio", "target", "reached"]
    table(
        "bench: medians of turns, in processor seconds of all threads",
        columns,
        [_cells(row, scale.full) for row in rows],
    )
    for row in rows:
        if row.note:
            say(f"{row.work}: {row.note}")


def _cells(row: Row, full: bool) -> list[str]:
    ok = row.ok(full)
    target = "-"
    if row.target is not None:
        target = f"{row.target:g}x" if row.target_of == "ratio" else f"<= {_amount(row.target, row.unit)}"
    return [
        row.work,
        _amount(row.ours, row.unit),
        "-" if row.rival is None else _amount(row.rival, row.unit),
        "-" if row.ratio is None else f"{row.ratio:,.0f}x" if row.ratio >= 10 else f"{row.ratio:.1f}x",
        target,
        "-" if ok is None else "yes" if ok else "NO",
    ]


def _amount(value: float, unit: str) -> str:
    """Return a number with its unit as one reads it: "3.1 ms", "8.40 s", "25 min 10 s", "1.11 MB", "2.4 GB"."""
    if unit == "mb":
        return f"{value / 1024:.2f} GB" if abs(value) >= 1024 else f"{value:.2f} MB"
    if value >= 60:
        return duration(value)
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.2f} ms"
