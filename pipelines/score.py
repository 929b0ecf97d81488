"""Scores a submission against a truth with the competition's own metric.

Needs no prepared data: the two files are enough. The truth is a CSV in submission form, or a folder of labels in the
track's own form. A zip of arrays is scored against such labels or another zip.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say, shout, table
from competition.data.manifest import check_namesake, image_sizes, read_columns
from competition.ensembling.selection.bootstrap import auroc_interval, bootstrap_interval
from competition.errors import CompetitionError
from competition.metrics.counts import CountMetric
from competition.metrics.strata import mean_by_stratum
from competition.submission.form import Score
from competition.submission.known_images import KnownImages
from competition.text import few, size_text
from competition.tracks.label_folder import LabelFolder
from competition.tracks.track import Track
from pipelines.context import open_track, prepared_workspaces
from pipelines.typed_options import parse_size

HELP = "The competition's own metric of a submission, overall and per class"
EXAMPLE = "./run.sh score --track cardiac submissions/cardiac/submission.csv data/cardiac/test/labels"

# Run lengths do not say how wide their image is: read at a wrong width they are still valid, and almost disjoint.
SUSPICIOUS_DICE = 0.3

UNKNOWN = "unknown"
KINDS = {
    "stratum": "Put a strata.csv (image_name,stratum) into the data folder and run prepare",
    "side": "prepare knows the side of hands: by names that end in _R or _L, else where a person's folder holds both",
}
"""What of the manifest --by can split a score by, and what makes it known."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this stage takes."""
    parser.add_argument(
        "submission", type=Path, metavar="SUBMISSION", help="the file to score: a CSV, or a zip of .npy"
    )
    parser.add_argument(
        "truth",
        type=Path,
        metavar="TRUTH",
        help="a file in submission form, or a folder of labels in the track's own form",
    )
    parser.add_argument(
        "--size",
        type=parse_size,
        metavar="ROWSxCOLUMNS",
        help="size of every image, where the labels are lists of points and the track's own size is not meant",
    )
    parser.add_argument("--per-class", action="store_true", help="show all classes, not only the worst ten")
    parser.add_argument(
        "--by", choices=list(KINDS), help="also the score of each kind of picture, or of each side, that prepare knows"
    )
    parser.add_argument(
        "--bootstrap", type=int, metavar="N", help="also the 95 %% interval of the score, from N draws of persons"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score and prints.

    Returns:
        metric, score, per_class, rows; for the aneurysm track also accuracy, all_zero_accuracy, cells_gained; for
        arrays plane_accuracy, all_background_accuracy; with --by stratum also per_stratum, with --by side per_side;
        with --bootstrap also interval.
    """
    track = open_track(args)
    if args.bootstrap is not None and args.bootstrap < 1:
        raise CompetitionError(f"--bootstrap takes a number of draws such as 1000, not {args.bootstrap}")
    if not args.truth.exists():
        raise CompetitionError("no such file or folder", args.truth)
    result = _score(args, track)
    _show(result, args.per_class)
    figures = result.figures()
    if args.by is not None:
        figures[f"per_{args.by}"] = _score_by(args, track, result)
    if args.bootstrap is not None:
        figures["interval"] = _interval(args, track, result)
    return figures


def _score(args: argparse.Namespace, track: Track) -> Score:
    known = image_sizes(*prepared_workspaces(args, track))
    groups = _known_to_prepare(args, track, "group") if _pools_groups(track) else {}
    images = KnownImages(sizes={} if args.size else known, size_hw=args.size, groups=groups)
    truth = args.truth if args.truth.is_file() else LabelFolder(track, args.truth, args.size, known)
    result = track.form.score(args.submission, truth, track.classes, images, track.metric)
    if sizes := result.label_sizes:
        used = few(sorted({size_text(size) for size in sizes.values()}))
        say(f"truth: labels of {len(sizes)} images below {args.truth}, {used} pixels (rows x columns)")
        # Label pictures have a size and that of prepared images is known: only a given or assumed one can be wrong.
        assumed = args.size is not None or (track.size_hw is not None and not set(sizes) <= set(known))
        if assumed and result.score < SUSPICIOUS_DICE:
            figure = f"{track.metric.label} {result.score:.3f}"
            shout(f"{figure} is what a wrong image size gives: are the images {used}? See --size")
    return result


def _score_by(args: argparse.Namespace, track: Track, result: Score) -> dict[str, float]:
    """Print and return the score of each stratum or side; images of which none is known are a kind of their own."""
    by = args.by
    if not result.per_image:
        raise CompetitionError(f"--by {by} splits a mean over images, and {track.metric.title} is none")
    known = _known_to_prepare(args, track, by)
    kinds = [known.get(name) or UNKNOWN for name in result.per_image]
    if set(kinds) == {UNKNOWN}:
        raise CompetitionError(f"the {by} of none of these {len(kinds)} images is known", args.submission, KINDS[by])
    means = mean_by_stratum(list(result.per_image.values()), kinds)
    rows = [(kind, kinds.count(kind), f"{mean:.4f}") for kind, mean in means.items()]
    table(f"by {by}", [by, "images", result.metric], rows)
    return means


def _pools_groups(track: Track) -> bool:
    return isinstance(track.metric, CountMetric) and track.metric.unit == "group"


def _known_to_prepare(args: argparse.Namespace, track: Track, column: str) -> dict[str, str]:
    """Return a column of the manifest for every prepared image, by the name it has in a submission of any form."""
    known: dict[str, str] = {}
    for workspace in prepared_workspaces(args, track):
        if workspace.manifest_file().exists():
            check_namesake(workspace, track)
            manifest = read_columns(workspace, ["name", column])
            for name, value in zip(manifest["name"], manifest[column], strict=True):
                known[track.form.name_in_score(name)] = value
    return known


def _interval(args: argparse.Namespace, track: Track, result: Score) -> dict[str, Any]:
    """Print and return the 95 % interval of the score by drawing persons, or images whose person is not known."""
    names = list(result.per_unit or result.ranked)
    known = {name: name for name in names} if _pools_groups(track) else _known_to_prepare(args, track, "group")
    groups = [f"person {known[name]}" if name in known else f"alone {name}" for name in names]
    alone = sum(name not in known for name in names)
    if result.ranked:
        truth, probs = np.array(list(result.ranked.values())).T
        found = auroc_interval(truth.astype(np.int64), probs, groups, seed=0, draws=args.bootstrap)
    else:
        found = bootstrap_interval(np.array(list(result.per_unit.values())), groups, seed=0, draws=args.bootstrap)
    low, high = found or (None, None)
    shown = "can't be had: every draw holds one kind of truth only" if found is None else f"{low:.6f} .. {high:.6f}"
    drawn = f"{args.bootstrap} draws of {len(set(groups))} persons or images"
    say(f"95 % interval of the {result.metric} {shown} ({drawn})")
    if alone:
        say(
            f"of {alone} of {len(names)} images no person is known to prepare, so each of them is drawn alone: that is "
            "too sure of itself where one person has several"
        )
    return {"low": low, "high": high, "draws": args.bootstrap, "groups": len(set(groups)), "alone": alone}


def _show(result: Score, all_classes: bool) -> None:
    scored = sorted(result.per_class.items(), key=lambda item: (item[1] is None, item[1]))
    rows = list(result.per_class.items()) if all_classes else scored[:10]
    title = (
        "per class"
        if len(rows) == len(scored)
        else f"the worst {len(rows)} of {len(scored)} classes (--per-class shows all)"
    )
    table(title, ["class", result.metric], [(name, "-" if value is None else f"{value:.4f}") for name, value in rows])
    say(f"{result.metric} {result.score:.6f} over {result.rows} rows")
    if result.note:
        say(result.note)
