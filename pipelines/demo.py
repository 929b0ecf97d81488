"""demo: run the whole pipeline on synthetic data of two tracks: prepare, train, tune, ensemble, leaderboard."""

import argparse
import time
from typing import Any

from competition.console import say, shout, table
from pipelines.context import call_stage
from pipelines.executors.local import start_importing

HELP = "Run the whole pipeline on synthetic hands and angiograms: no download, no GPU, 4 to 11 minutes on two cores."
EXAMPLE = "./run.sh demo"
FIGURES = {
    "tracks": "Object: track -> oof, oof_crossfit and test (scores), submission and report (paths), and seconds.",
}

# Small enough for two cores: 40 + 12 hands at half the organiser's size, 72 + 24 patients at the organiser's.
OPTIONS = {
    "hand_bone": ["--people", "20", "--test-people", "6", "--size", "1024"],
    "aneurysm": ["--people", "72", "--test-people", "24"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options: there are none."""


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the demo; see HELP.

    Returns:
        ``FIGURES``.
    """
    shout("PHANTOM DATA: all data below is synthetic; the scores show that the pipeline works, not how good a model is")
    start = time.perf_counter()
    start_importing("train")
    tracks = {name: _run_track(args, name, options) for name, options in OPTIONS.items()}
    rows = []
    for name, figures in tracks.items():
        scores = [figures[key] for key in ("oof", "oof_crossfit", "test")]
        cells = ["-" if score is None else f"{score:.4f}" for score in scores]
        rows.append([name, *cells, f"{figures['seconds']:.0f}"])
    columns = ["track", "out-of-fold", "cross-fitted", "test", "seconds"]
    table("synthetic data, scored at native size", columns, rows)
    call_stage("leaderboard", args, [], track="hand_bone", phantom=True)
    seconds = round(time.perf_counter() - start, 1)
    say(f"done in {seconds:.0f} s; open the reports in a browser:")
    for figures in tracks.values():
        say(f"  {figures['report']}")
    return {"tracks": tracks, "seconds": seconds}


def _run_track(args: argparse.Namespace, name: str, options: list[str]) -> dict[str, Any]:
    start = time.perf_counter()
    figures: dict[str, Any] = {}
    steps = {"prepare": options, "train": [], "tune": ["--members", "quick"], "ensemble": ["--decision", "quick"]}
    for stage, words in steps.items():
        say(f"\n== {name}: {stage} ==")
        figures = call_stage(stage, args, words, track=name, phantom=True)
    kept = {key: figures[key] for key in ("oof", "oof_crossfit", "test", "submission", "report")}
    return kept | {"seconds": round(time.perf_counter() - start, 1)}
