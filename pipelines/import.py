"""import: another team's predictions join as a member of tune and ensemble. Runs no network."""  # noqa: N999

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import Ticker, progress, say, table
from competition.data.cache import read_cached_planes
from competition.data.folds import FULL, Fold, Folds, find_folds
from competition.data.manifest import Entry, data_hash, read_manifest
from competition.errors import CompetitionError
from competition.files import whole_folder
from competition.masks.bit_planes import select_classes
from competition.names import check_run_name
from competition.prediction.histograms import histograms_file, image_histogram, save_histograms
from competition.prediction.probability_maps import MapFolder, write_index, write_map, write_scores
from competition.runs.finished import write_finished
from competition.runs.imported import Imported, read_imported, write_imported
from competition.runs.imported_folds import match_folds, read_foreign_folds
from competition.runs.imported_predictions import (
    ForeignMaps,
    ForeignScores,
    content_hash,
    open_foreign_maps,
    read_foreign_scores,
)
from competition.runs.out_of_fold_scores import stored_score
from competition.text import nearest_hint
from competition.tracks.track import Track
from competition.training.checkpoints import Identity
from competition.workspace import Workspace, out_of_fold_folder
from pipelines.context import open_track, open_workspace

HELP = "Takes another team's predictions as a member: maps, arrays or a CSV. Without --oof it joins by given weight."
EXAMPLE = "./run.sh import --track hand_bone --name theirs --oof their/oof --folds their_folds.csv --test their/test"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("--name", required=True, metavar="NAME", help="what the member is called in --members of tune")
    parser.add_argument(
        "--oof",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="out-of-fold predictions: a folder of .npy or .npz, one per image, a folder of our own maps, or a CSV in "
        "submission form; several where each fold has its own",
    )
    parser.add_argument("--folds", type=Path, metavar="FILE", help="CSV of group,fold or image,fold that --oof is of")
    parser.add_argument("--test", type=Path, metavar="PATH", help="predictions of the test images, in any of the forms")
    parser.add_argument("--classes", metavar="A,B,...", help="classes of the arrays, in order (default: the track's)")
    parser.add_argument("--force", action="store_true", help="replace an earlier import of this name")


@dataclass(frozen=True)
class Guest:
    """Predictions on their way to become a member.

    Attributes:
        name: Of the member.
        track: What is competed in.
        workspace: Of the data set.
        folds: The current fold file.
        classes: Of their arrays, in their order.
        training: The prepared training samples.
        held_out: Our fold -> the samples it holds out, which theirs held out too; empty without --oof.
        test: The test samples they predicted.
        oof: What they say about the samples that they held out.
        late: What they say about the test samples.
    """

    name: str
    track: Track
    workspace: Workspace
    folds: Folds
    classes: tuple[str, ...]
    training: list[Entry]
    held_out: dict[int, list[Entry]]
    test: list[Entry]
    oof: ForeignMaps | ForeignScores
    late: ForeignMaps | ForeignScores

    def kept_classes(self) -> tuple[str, ...]:
        """Their classes in the track's order, in which they are kept."""
        return tuple(name for name in self.track.classes if name in self.classes)

    def voting(self) -> tuple[Fold, ...]:
        """Our folds that they stand for; without out-of-fold predictions they vote as one that is never scored."""
        return tuple(self.held_out) or (FULL,)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Imports; see HELP.

    Returns:
        name, folder, classes, folds, scores (fold -> Dice or AUROC at threshold 0.5), samples (out-of-fold and test).
    """
    track, workspace = open_track(args), open_workspace(args)
    check_run_name(args.name)
    folder = workspace.run_folder(args.name)
    if folder.exists() and not workspace.imported_file(args.name).exists():
        raise CompetitionError(f"the name {args.name!r} is taken by a trained run", folder, "Give another --name")
    guest = _open(args, track, workspace)
    imported = Imported(
        content_hash=content_hash([*guest.oof.files, *guest.late.files], ",".join(guest.classes)),
        folds=guest.voting(),
        fold_hash=guest.folds.hash(),
        data_hash=data_hash(guest.training),
        pictures={entry.sample: entry.pixels for entry in guest.test},
    )
    if not args.force and folder.exists():
        if read_imported(workspace, args.name) != imported:
            raise CompetitionError(
                f"{args.name!r} was imported before from other files or for other folds", folder, "--force replaces it"
            )
        say(f"{args.name}: imported before, and nothing has changed since (--force imports it again)")
    else:
        _import(guest, imported)
    scores = _scores(guest)
    _say_member(guest, scores)
    return {
        "name": args.name,
        "folder": str(folder),
        "classes": list(guest.kept_classes()),
        "folds": list(imported.folds),
        "scores": {str(fold): None if np.isnan(score) else score for fold, score in scores.items()},
        "samples": {"oof": sum(map(len, guest.held_out.values())), "test": len(guest.test)},
    }


def _open(args: argparse.Namespace, track: Track, workspace: Workspace) -> Guest:
    """Finds all predictions and checks all that can be checked before a map is read."""
    if not args.oof and not args.test:
        raise CompetitionError("nothing to import: neither --oof nor --test is given")
    if bool(args.oof) != bool(args.folds):
        raise CompetitionError("--oof and --folds go together: without their folds nobody knows what each model saw")
    manifest = read_manifest(workspace, track)
    training, test = manifest.of("train"), manifest.of("test") if args.test else []
    if args.test and not test:
        raise CompetitionError("the prepared data has no test images", workspace.manifest_file(), "Leave out --test")
    folds = find_folds(workspace)
    assert folds is not None  # a prepared data set has a fold file
    matched = []
    if args.folds:
        matched = match_folds(read_foreign_folds(args.folds, training), args.folds, folds, training)
    held_out = {fold: folds.held_out(training, fold) for fold in matched}
    classes = _classes(track, args.classes)
    read = read_foreign_scores if track.task == "classification" else open_foreign_maps
    open_predictions = partial(read, form=track.form)
    return Guest(
        name=args.name,
        track=track,
        workspace=workspace,
        folds=folds,
        classes=classes,
        training=training,
        held_out=held_out,
        test=test,
        oof=open_predictions(args.oof or [], classes, [entry for entries in held_out.values() for entry in entries]),
        late=open_predictions([args.test] if args.test else [], classes, test),
    )


def _classes(track: Track, text: str | None) -> tuple[str, ...]:
    if text is None:
        return track.classes
    names = tuple(text.split(","))
    for name in names:
        if name not in track.classes or names.count(name) > 1:
            what = "appears twice" if name in track.classes else f"is unknown{nearest_hint(name, track.classes)}"
            raise CompetitionError(f"--classes: {name!r} {what}")
    if track.task == "classification" and len(names) < len(track.classes):
        raise CompetitionError(f"--classes: a member of a classification predicts all {len(track.classes)} classes")
    return names


def _import(guest: Guest, imported: Imported) -> None:
    """Writes the member, whole or not at all."""
    workspace = guest.workspace
    samples = sum(map(len, guest.held_out.values())) + len(guest.test)
    made_by = {"imported": imported.content_hash}
    with (
        whole_folder(workspace.run_folder(guest.name), "imported.json") as part,
        progress(f"importing {guest.name}", samples) as ticker,
    ):
        for fold, entries in guest.held_out.items():
            folder = out_of_fold_folder(workspace.fold_folder(part.name, fold))
            _write(guest, folder, entries, guest.oof, made_by, ticker)
        if guest.test:
            _write(guest, workspace.imported_test_folder(part.name), guest.test, guest.late, made_by, ticker)
        # The marks of finished folds come last: what is cut before that is no run for anybody.
        write_imported(workspace.imported_file(part.name), imported)
        for voting in imported.folds:
            identity = Identity(
                dataset=workspace.dataset,
                classes=guest.kept_classes(),
                config_hash=imported.content_hash,
                fold_hash=imported.fold_hash,
                data_hash=imported.data_hash,
                fold=voting,
            )
            write_finished(workspace.fold_folder(part.name, voting), identity)


def _write(
    guest: Guest,
    folder: Path,
    entries: Sequence[Entry],
    predictions: ForeignMaps | ForeignScores,
    made_by: dict[str, Any],
    ticker: Ticker,
) -> None:
    """Writes predictions in our form, one image in memory at a time, with histograms where the truth is known."""
    kept, samples = guest.kept_classes(), [entry.sample for entry in entries]
    if isinstance(predictions, ForeignScores):
        write_scores(folder, samples, guest.classes, np.stack([predictions.probs[sample] for sample in samples]))
    else:
        order = [guest.classes.index(name) for name in kept]
        bits = [guest.track.classes.index(name) for name in kept]
        histograms = []
        for entry in entries:
            values = predictions.read[entry.sample]()[order]
            write_map(folder, entry.sample, values)
            if entry.split == "train":
                truth = select_classes(read_cached_planes(guest.workspace, entry.sample), bits)
                histograms.append(image_histogram(values, truth))
            ticker.advance(entry.sample)
        if histograms:
            save_histograms(histograms_file(folder), samples, np.stack(histograms))
    write_index(folder, MapFolder(kept, tuple(samples), made_by))


def _scores(guest: Guest) -> dict[int, float]:
    """Fold -> score of what was imported, at threshold 0.5."""
    track = replace(guest.track, classes=guest.kept_classes())
    folders = {fold: guest.workspace.fold_folder(guest.name, fold) for fold in guest.held_out}
    return {fold: stored_score(track, out_of_fold_folder(folders[fold]), guest.held_out[fold]) for fold in folders}


def _say_member(guest: Guest, scores: dict[int, float]) -> None:
    if not scores:
        say(f"{guest.name} has no out-of-fold predictions, so it joins by given weight alone: tune --weights")
        return
    measure = "Dice" if guest.track.metric == "dice" else "AUROC"
    rows = [[fold, f"{score:.4f}"] for fold, score in scores.items()]
    table(f"{guest.name}: {measure} of held-out samples at native size", ["fold", measure], rows)
    if not guest.test:
        say(f"{guest.name} has no test predictions yet: tune takes it, ensemble will not")
