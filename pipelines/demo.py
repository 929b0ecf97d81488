"""demo: the whole pipeline on drawn data, for both leading tracks: prepare, train, tune, ensemble, leaderboard."""

import argparse
import time
from typing import Any

from competition.console import say, shout, table
from pipelines.context import open_workspace, run_on_phantom
from pipelines.executors.local import start_importing

HELP = "The whole pipeline on drawn hands and drawn angiograms: no download, no GPU, about five minutes on two cores."
EXAMPLE = "./run.sh demo"

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
        Scores and seconds per track.
    """
    shout("PHANTOM DATA: everything below is drawn; the scores say that the pipeline works, not how good a model is")
    start = time.perf_counter()
    start_importing("train")
    tracks = {name: _run_track(args, name, options) for name, options in OPTIONS.items()}
    rows = [
        [name, *(_shown(figures[key]) for key in ("oof", "oof_crossfit", "test")), f"{figures['seconds']:.0f}"]
        for name, figures in tracks.items()
    ]
    table("drawn data, scored at native size", ["track", "out-of-fold", "cross-fitted", "test", "seconds"], rows)
    run_on_phantom("leaderboard", args, "hand_bone", [])
    seconds = round(time.perf_counter() - start, 1)
    workspace = open_workspace(argparse.Namespace(**vars(args) | {"track": "hand_bone", "phantom": True}))
    say(f"look at {workspace.contact_sheet_file()}; done in {seconds:.0f} s")
    return {"tracks": tracks, "seconds": seconds}


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"


def _run_track(args: argparse.Namespace, name: str, options: list[str]) -> dict[str, Any]:
    start = time.perf_counter()
    say(f"\n== {name}: prepare ==")
    run_on_phantom("prepare", args, name, options)
    say(f"\n== {name}: train ==")
    run_on_phantom("train", args, name, [])
    say(f"\n== {name}: tune ==")
    run_on_phantom("tune", args, name, ["--members", "quick"])
    say(f"\n== {name}: ensemble ==")
    figures = run_on_phantom("ensemble", args, name, ["--decision", "quick"])
    kept = {key: figures[key] for key in ("oof", "oof_crossfit", "test", "submission")}
    return kept | {"seconds": round(time.perf_counter() - start, 1)}
