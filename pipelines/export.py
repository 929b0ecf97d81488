"""export: the whole ensemble as one file, which predict runs without torch."""

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from competition.console import say
from competition.data.manifest import read_manifest
from competition.ensembling.current_decision import check_training_data
from competition.errors import CompetitionError
from competition.export.faster import make_faster
from competition.export.package import read_package
from competition.export.packages import EXPORTING, needed
from competition.export.writing import write_model
from competition.text import counted
from pipelines.choose_decision import choose_decision, warn_of_changed_data
from pipelines.context import open_track, open_workspace
from pipelines.options import typed_options

HELP = """\
Write the whole ensemble as one file: every network as ONNX and safetensors, preprocessing, test-time views, weights,
thresholds, post-processing and a model card. predict runs it with onnxruntime, without torch and without this
workspace. Needs the packages of the extra [export]."""
EXAMPLE = "./run.sh export --track hand_bone --out hands.zip"
FIGURES = {
    "out": "Path of the model file.",
    "decision": "Text: the decision that was exported.",
    "networks": "Whole number: networks in the file.",
    "bytes": "Whole number: size of the file in bytes.",
    "fast": "Only with --fast. Object: what was dropped, and what it costs.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="write the model file there")
    parser.add_argument("--decision", metavar="NAME", help="use this decision (default: the newest, else tune)")
    help_text = "drop views, members and folds to at most this share of the time, and print the score that this costs"
    parser.add_argument("--fast", type=float, metavar="RATIO", help=help_text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the model file and read it back; see HELP.

    Returns:
        ``FIGURES``.

    Raises:
        CompetitionError: A package is missing, a member can't be exported, or --fast asks for too little time.
    """
    if args.out.suffix.lower() != ".zip":
        raise CompetitionError("a model file ends in .zip", args.out, "Give --out NAME.zip")
    if args.fast is not None and not 0 < args.fast < 1:
        raise CompetitionError(f"--fast takes a share of the time between 0 and 1, not {args.fast:g}")
    for package in EXPORTING:
        needed(package)
    track, workspace = open_track(args), open_workspace(args)
    path, decision = choose_decision(track, workspace, args.decision, None, typed_options(args))
    figures: dict[str, Any] = {"out": str(args.out), "decision": path.parent.name}
    remarks = ""
    if args.fast is None:
        warn_of_changed_data(track, workspace, decision, path)
    else:
        check_training_data(track, workspace, decision, path, read_manifest(workspace, track).of("train"))
        faster = make_faster(track, workspace, decision, args.fast)
        decision, remarks = faster.decision, faster.sentence
        say(remarks)
        figures["fast"] = faster.figures()
    start = time.perf_counter()
    write_model(args.out, track, workspace, decision, path.parent.name, remarks)
    model = read_package(args.out).model
    networks = sum(name.endswith(".onnx") for name in model.files)
    size = args.out.stat().st_size
    say(f"{args.out}: {counted(networks, 'network')}, {size / 2**20:.0f} MB, {time.perf_counter() - start:.0f} s")
    say(f"to run it: ./run.sh predict {shlex.quote(str(args.out))} IMAGE... --out DIR")
    return figures | {"networks": networks, "bytes": size}
