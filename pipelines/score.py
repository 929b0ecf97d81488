"""Scores a submission against a truth with the competition's own metric.

Needs no prepared data: the two files are enough. The truth is a CSV in submission form, or a folder of labels in the
track's own form. A zip of arrays is scored against such labels or another zip.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say, shout, table
from competition.data.manifest import check_namesake, read_columns
from competition.ensembling.selection.bootstrap import auroc_interval, bootstrap_interval
from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.formats.csv_files import read_csv
from competition.metrics.strata import mean_by_stratum
from competition.submission.array_zip.files import list_plane_files, plane_file_name
from competition.submission.array_zip.scoring import score_planes
from competition.submission.scoring import Score, score_rle, score_table
from competition.submission.submission_files import (
    ID_COLUMN,
    check_classes,
    read_rle_csv,
    read_table_csv,
    read_truth_csv,
    without_zeros,
)
from competition.text import few, size_text
from competition.tracks.label_folder import truth_from_folder
from competition.tracks.track import Track
from pipelines.check import image_sizes, parse_size
from pipelines.context import open_track, prepared_workspaces

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
    """Adds what only this stage takes."""
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
    """Scores and prints.

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
    result = SCORES[track.submission](args, track)
    _show(result, args.per_class)
    figures = result.figures()
    if args.by is not None:
        figures[f"per_{args.by}"] = _score_by(args, track, result)
    if args.bootstrap is not None:
        figures["interval"] = _interval(args, track, result)
    return figures


def _score_masks(args: argparse.Namespace, track: Track) -> Score:
    if args.truth.is_file():
        truth = read_truth_csv(args.truth, track.classes, track.rle_form)
        known = image_sizes(*prepared_workspaces(args, track))
        sizes = dict.fromkeys((name for name, _ in truth), args.size) if args.size else known
        return score_rle(args.submission, truth, track.classes, sizes, track.rle_form)
    submitted = read_rle_csv(args.submission, track.classes, track.rle_form)
    check_classes((name for _, name in submitted), track.classes, args.submission)
    names = list(dict.fromkeys(name for name, _ in submitted))
    known = image_sizes(*prepared_workspaces(args, track))
    truth, sizes = truth_from_folder(track, args.truth, names, args.size, known)
    used = few(sorted({size_text(size) for size in sizes.values()}))
    say(f"truth: labels of {len(names)} images below {args.truth}, {used} pixels (rows x columns)")
    result = score_rle(args.submission, truth, track.classes, sizes, track.rle_form)
    # Label pictures have a size and that of prepared images is known: only one that was given or assumed can be wrong.
    assumed = args.size is not None or (track.size_hw is not None and not set(names) <= set(known))
    if assumed and result.score < SUSPICIOUS_DICE:
        shout(f"a Dice of {result.score:.3f} is what a wrong image size gives: are the images {used}? See --size")
    return result


def _score_by(args: argparse.Namespace, track: Track, result: Score) -> dict[str, float]:
    """Prints and gives the score of each stratum or side; images of which none is known are a kind of their own."""
    by = args.by
    if not result.per_image:
        raise CompetitionError(f"--by {by} splits a mean over images, and {result.metric} is none")
    known = _known_to_prepare(args, track, by)
    kinds = [known.get(name) or UNKNOWN for name in result.per_image]
    if set(kinds) == {UNKNOWN}:
        raise CompetitionError(f"the {by} of none of these {len(kinds)} images is known", args.submission, KINDS[by])
    means = mean_by_stratum(list(result.per_image.values()), kinds)
    rows = [(kind, kinds.count(kind), f"{mean:.4f}") for kind, mean in means.items()]
    table(f"by {by}", [by, "images", result.metric], rows)
    return means


def _known_to_prepare(args: argparse.Namespace, track: Track, column: str) -> dict[str, str]:
    """A column of the manifest for every prepared image, by the name it has in a submission of any form."""
    known: dict[str, str] = {}
    for workspace in prepared_workspaces(args, track):
        if workspace.manifest_file().exists():
            check_namesake(workspace, track)
            manifest = read_columns(workspace, ["name", column])
            for name, value in zip(manifest["name"], manifest[column], strict=True):
                known |= {name: value, plane_file_name(name): value}
                known[without_zeros(name)] = value  # a table is scored without them
    return known


def _interval(args: argparse.Namespace, track: Track, result: Score) -> dict[str, Any]:
    """Prints and gives the 95 % interval of the score by drawing persons, or images whose person is not known."""
    names = list(result.per_image or result.ranked)
    known = _known_to_prepare(args, track, "group")
    groups = [f"person {known[name]}" if name in known else f"alone {name}" for name in names]
    alone = sum(name not in known for name in names)
    if result.ranked:
        truth, probs = np.array(list(result.ranked.values())).T
        found = auroc_interval(truth.astype(np.int64), probs, groups, seed=0, draws=args.bootstrap)
    else:
        found = bootstrap_interval(np.array(list(result.per_image.values())), groups, seed=0, draws=args.bootstrap)
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


def _score_table(args: argparse.Namespace, track: Track) -> Score:
    file = args.truth if args.truth.is_file() else _table_in(args.truth, track)
    return score_table(args.submission, read_table_csv(file, ID_COLUMN, track.classes), track.classes)


def _score_arrays(args: argparse.Namespace, track: Track) -> Score:
    sizes = image_sizes(*prepared_workspaces(args, track))
    if args.size is not None:
        sizes = dict.fromkeys(list_plane_files(args.submission), args.size)
    return score_planes(track, args.submission, args.truth, sizes)


SCORES = {"rle": _score_masks, "table": _score_table, "planes": _score_arrays}
"""Form of the submission -> how it is scored."""


def _table_in(folder: Path, track: Track) -> Path:
    """The one CSV of the track's own form below a folder."""
    columns = (ID_COLUMN, *track.classes)
    found = [path for path in find_files(folder, "**/*.csv") if set(columns) <= set(read_csv(path)[0])]
    if len(found) != 1:
        names = ": " + ", ".join(str(path.relative_to(folder)) for path in found) if found else ""
        raise CompetitionError(
            f"{len(found)} files with the columns {ID_COLUMN},{track.classes[0]},...{names}",
            folder,
            "Name the one that is the truth",
        )
    return found[0]


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
    if "plane_accuracy" in result.beside:
        say(
            f"plane accuracy {result.beside['plane_accuracy']:.6f}, all background would give "
            f"{result.beside['all_background_accuracy']:.6f}"
        )
    elif result.beside:
        say(
            f"accuracy of the locations {result.beside['accuracy']:.6f}, all zero would give "
            f"{result.beside['all_zero_accuracy']:.6f}: {result.beside['cells_gained']:+.0f} cells gained"
        )
