"""explain: show which places of an image a class depends on, by Grad-CAM and by occlusion."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from competition.console import say, shout, table
from competition.data.folds import find_folds
from competition.data.manifest import Manifest, prepare_command, read_manifest
from competition.drawing.outlines import write_png
from competition.ensembling.current_decision import named_decision, newest_decision
from competition.ensembling.decision import load_decision
from competition.errors import CompetitionError
from competition.explanation.explain import explain_sample
from competition.explanation.occlusion import advice
from competition.explanation.picture import draw_explanations
from competition.explanation.samples import find_samples
from competition.explanation.table import TABLE, row_of
from competition.files import keep_out_of_git, whole_folder, write_csv
from competition.runs.members import Member, check_same_data, is_imported, load_run_plugins, open_member, parse_members
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.context import open_track, open_workspace

HELP = "Show which places of an image a class depends on, by Grad-CAM and by occlusion, beside truth and prediction."
EXAMPLE = "./run.sh explain --track aneurysm --phantom 1001 --out why"
FIGURES = {
    "member": "Text: the member that was explained, with its folds.",
    "rows": "List of objects: the rows of explanations.csv.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument(
        "samples", nargs="+", metavar="FILE_OR_SAMPLE", help="prepared samples by name, or image files of one view"
    )
    member = parser.add_mutually_exclusive_group()
    member.add_argument(
        "--decision", metavar="NAME", help="explain the member of most weight of this decision (default: the newest)"
    )
    member.add_argument("--run", metavar="RUN", help="explain this run instead; RUN:FOLD,... some folds")
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="CLASS",
        action="append",
        help="explain this class, can be repeated (default: the largest mask; of a table the first class and the most "
        "probable other one)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help=f"write a picture of each sample and {TABLE} there"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Explain; see HELP.

    Returns:
        ``FIGURES``.
    """
    track, workspace = open_track(args), open_workspace(args)
    load_run_plugins(workspace)
    manifest = read_manifest(workspace, track)
    member = choose_member(track, workspace, manifest, args.decision, args.run)
    say(f"member: {member.with_folds()}; a training sample is explained by the fold that held it out")
    rows = []
    with TemporaryDirectory() as folder, whole_folder(args.out, TABLE) as part:
        keep_out_of_git(part)
        new = Workspace(Path(folder), workspace.dataset)
        for sample in find_samples(track, workspace, manifest, args.samples, new):
            found = explain_sample(track, workspace, member, sample.entry, args.classes, sample.images)
            write_png(part / f"{sample.entry.sample}.png", draw_explanations(found))
            rows += [row_of(explanation) for explanation in found]
            for one in found:
                if warning := advice(one.rank_correlation):
                    shout(f"{one.name}, {one.class_name}: {warning}")
        write_csv(part / TABLE, rows)
    columns = (
        "sample",
        "class",
        "probability",
        "truth",
        "rank_correlation",
        "target_ratio",
        "text_ratio",
        "margin_ratio",
    )
    table(
        "Grad-CAM: energy in a region over that of a uniform map",
        [name.replace("_", " ") for name in columns],
        [["-" if row[name] is None else row[name] for name in columns] for row in rows],
    )
    say(f"pictures and {TABLE}: {args.out}")
    return {"member": member.with_folds(), "rows": rows}


def choose_member(
    track: Track, workspace: Workspace, manifest: Manifest, decision: str | None, run: str | None
) -> Member:
    """Return the named run, or the trained member of most weight of the named or newest decision.

    Raises:
        CompetitionError: There is none, all were imported, or it was trained on other data than is prepared now.
    """
    training = manifest.of("train")
    if run is not None:
        folds = find_folds(workspace)
        if folds is None:
            command = prepare_command(workspace, track)
            raise CompetitionError("no fold file", workspace.fold_file(), f"Run {command}")
        members = parse_members(run)
        if len(members) != 1:
            raise CompetitionError(f"--run takes one run, not {len(members)}", None, "Explain them one after the other")
        ((name, wanted),) = members.items()
        return open_member(workspace, folds, training, name, wanted)
    path = newest_decision(workspace) if decision is None else named_decision(workspace, decision)
    if path is None:
        raise CompetitionError(
            "nothing is tuned yet", workspace.ensembles_folder(), "Run ./run.sh tune, or name a run with --run"
        )
    trained = [member for member in load_decision(path).members if not is_imported(workspace, member.name)]
    if not trained:
        raise CompetitionError(
            "all members of the decision were imported and have no network that could be explained",
            path,
            "Name a trained run with --run",
        )
    heaviest = max(trained, key=lambda member: member.weight)
    check_same_data(workspace, heaviest.name, heaviest.folds, training)
    return heaviest
