"""bench: time each step from predictions to a submission beside the usual way of doing it, in one run."""

import argparse
import os
import platform
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from competition.console import duration, say, table
from competition.errors import CompetitionError
from pipelines.benchmarks.last_mile import measure_ensemble, measure_tune
from pipelines.benchmarks.mask_losses import measure_loss
from pipelines.benchmarks.probability_maps import measure_objective, measure_store, measure_thresholds
from pipelines.benchmarks.run_lengths import (
    measure_decode,
    measure_encode,
    measure_score,
    measure_submissions,
    measure_vote,
)
from pipelines.benchmarks.synthetic_images import draw_masks
from pipelines.benchmarks.timed_pairs import FULL, QUICK, Row, Scale
from pipelines.benchmarks.training_draws import measure_draws
from pipelines.benchmarks.validation import measure_validation

HELP = (
    "Time encoding, voting, scoring, storing, tuning and losses on full-size synthetic data, each beside its rival.\n"
    "Both sides take turns, figures are medians, and nothing is timed unless both results are equal (of random draws,\n"
    "their sizes)."
)
EXAMPLE = "./run.sh bench --only vote --json bench.json"
FIGURES = {
    "rows": "List of objects: work, unit (s or mb), ours_<unit>, rival_<unit>, ratio, target, target_of, ok, note ...",
    "quick": "Whether the data was small; then targets are not evaluated and ok is null.",
    "machine": "Text: cores, processor and versions.",
}


class Benchmark(NamedTuple):
    """Something to measure, given the scale and the masks of a synthetic image (29, H, W); minutes on two cores."""

    name: str
    measure: Callable[[Scale, NDArray[np.bool_]], list[Row]]
    minutes: float


BENCHMARKS = (
    Benchmark("encode", measure_encode, 0.5),
    Benchmark("decode", measure_decode, 0.1),
    Benchmark("vote", measure_vote, 0.2),
    Benchmark("score", measure_score, 0.1),
    Benchmark("submissions", measure_submissions, 0.5),
    Benchmark("store", measure_store, 1.0),
    Benchmark("objective", measure_objective, 0.7),
    Benchmark("thresholds", measure_thresholds, 0.5),
    Benchmark("draws", measure_draws, 0.5),
    Benchmark("loss", measure_loss, 1.0),
    Benchmark("validation", measure_validation, 0.5),
    Benchmark("ensemble", measure_ensemble, 1.5),
    Benchmark("tune", measure_tune, 6.0),
)
NAMES = ", ".join(benchmark.name for benchmark in BENCHMARKS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--quick", action="store_true", help="take seconds; targets are not evaluated at this size")
    parser.add_argument("--only", metavar="NAME", help=f"run only benchmarks whose name contains NAME, of {NAMES}")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; see HELP.

    Returns:
        ``FIGURES``; rows are those of ``Row.figures``.
    """
    chosen = choose_benchmarks(args.only)
    scale = QUICK if args.quick else FULL
    host = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"
    say(f"synthetic hands of {scale.size}x{scale.size} pixels; {host}")
    if args.quick:
        say("--quick: targets are not evaluated at this size")
    masks = draw_masks(scale.size, seed=0)
    rows: list[Row] = []
    for position, benchmark in enumerate(chosen):
        left = sum(other.minutes for other in chosen[position:])
        about = f", about {duration(60 * left)} left" if scale.full else ""
        say(f"{benchmark.name} ({position + 1} of {len(chosen)}{about})")
        rows += benchmark.measure(scale, masks)
    columns = ["work", "ours", "rival", "ratio", "target", "reached"]
    title = "bench: medians of turns, in processor seconds of all threads"
    table(title, columns, [_cells(row, scale.full) for row in rows])
    for row in rows:
        if row.note:
            say(f"{row.work}: {row.note}")
    return {"rows": [row.figures(scale.full) for row in rows], "quick": args.quick, "machine": host}


def choose_benchmarks(only: str | None) -> Sequence[Benchmark]:
    """Return the benchmarks whose name contains a text, or all of them.

    Raises:
        CompetitionError: There is none.
    """
    chosen = [benchmark for benchmark in BENCHMARKS if only is None or only in benchmark.name]
    if not chosen:
        raise CompetitionError(f"no benchmark is called {only!r}", None, f"Give one of {NAMES}")
    return chosen


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
    """Return a number with its unit: "3.1 ms", "8.40 s", "25 min 10 s", "1.11 MB", "2.4 GB"."""
    if unit == "mb":
        return f"{value / 1024:.2f} GB" if abs(value) >= 1024 else f"{value:.2f} MB"
    if value >= 60:
        return duration(value)
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.2f} ms"
