"""train: one model per fold, its out-of-fold probability maps and their histograms."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.config import Experiment
from competition.console import progress, say, table
from competition.data.cache import read_cached_planes
from competition.data.folds import Folds, check_leaks, find_folds
from competition.data.manifest import Entry, Manifest, data_hash, prepare_command, read_manifest
from competition.ensembling.histograms import dice_curves, image_histogram, load_histograms, save_histograms
from competition.ensembling.leak_alarm import learned_entries
from competition.errors import CompetitionError
from competition.metrics import auroc
from competition.prediction.predictor import make_predictor, predict_map, predict_scores
from competition.prediction.probability_maps import (
    CUT_OF_HALF,
    MapFolder,
    read_scores,
    write_index,
    write_map,
    write_scores,
)
from competition.prediction.views import check_views
from competition.tracks.track import Track
from competition.training.checkpoints import (
    Identity,
    check_identity,
    code_hash,
    fold_lock,
    load_best,
    load_checkpoint,
    load_network,
    stored_identity,
)
from competition.training.loop import train_fold
from competition.training.losses import get_loss
from competition.training.precision import AUTOCAST
from competition.training.state import FoldJob
from competition.workspace import Workspace, whole_folder, write_json, write_text
from pipelines.context import choose_experiment, open_track, open_workspace
from pipelines.parallel_folds import announce, end_with_parent, slots, train_in_parallel

FINISHED = "finished.json"

HELP = "Trains one model per fold and predicts what it held out. A run that was cut goes on where it was."
EXAMPLE = "./run.sh train --track hand_bone --experiment quick --fold 0..4 --set train.lr=5e-4 --name quick_lr5e-4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("--experiment", metavar="NAME", help="an experiment of the track, or a YAML file")
    parser.add_argument("--fold", default="all", metavar="F", help="0, or 0..4, or 0,2,3, or all (default)")
    parser.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument("--name", metavar="NAME", help="name of the run (default: the experiment's)")
    parser.add_argument("--force", action="store_true", help="train again over a finished run")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Trains folds; see HELP.

    Returns:
        Scores per fold and the paths that were made.
    """
    track, workspace = open_track(args), open_workspace(args)
    experiment_name, experiment = choose_experiment(args, track, workspace)
    name = args.name or experiment_name
    check_views(experiment.predict.views, track)
    get_loss(experiment.train.loss)
    if experiment.data.shuffle_labels and track.task == "segmentation":
        raise CompetitionError(f"data.shuffle_labels deals out the labels of patients; track {track.name} has masks")
    manifest = read_manifest(workspace, track)
    folds = find_folds(workspace)
    if folds is None:
        raise CompetitionError("no fold file", workspace.fold_file(), f"Run {prepare_command(workspace, track)}")
    check_leaks(folds, manifest.of("train"))
    chosen = parse_folds(args.fold, folds.count)
    is_child = end_with_parent()
    environments = slots(len(chosen))
    for fold in chosen:
        _check_run(workspace, name, fold, _identity(track, manifest, workspace, experiment, folds, fold), args.force)
    if len(environments) > 1 and not is_child:
        unfinished = [fold for fold in chosen if args.force or not _is_finished(workspace, name, fold)]
        if unfinished:
            announce(environments)
        resolved = {"experiment": args.experiment or experiment_name, "phantom": workspace.phantom}
        train_in_parallel(argparse.Namespace(**vars(args) | resolved), chosen, unfinished, environments)
    else:
        for fold in chosen:
            _train_one(track, workspace, name, experiment, manifest, folds, fold, args.force)
    entries, scores = learned_entries(manifest.of("train"), experiment), {}
    for fold in chosen:
        held_out = folds.held_out(entries, fold)
        scores[fold] = _held_out_score(track, workspace.fold_folder(name, fold) / "oof", held_out)
    if not is_child:
        _say_scores(track, name, scores)
    return {
        "run": name,
        "scores": {str(fold): None if np.isnan(score) else score for fold, score in scores.items()},
        "folder": str(workspace.run_folder(name)),
    }


def _say_scores(track: Track, name: str, scores: dict[int, float]) -> None:
    measure = "Dice" if track.metric == "dice" else "AUROC"
    table(
        f"{name}: {measure} of held-out samples at native size",
        ["fold", measure],
        [[f, f"{s:.4f}"] for f, s in scores.items()],
    )
    known = [score for score in scores.values() if not np.isnan(score)]
    if len(known) > 1:
        say(f"mean of {len(known)} folds: {np.mean(known):.4f} +- {np.std(known, ddof=1):.4f}")


def parse_folds(text: str, count: int) -> list[int]:
    """Reads "all", "3", "0,2" or "0..4".

    Args:
        text: What the user typed.
        count: Number of folds there are.

    Raises:
        CompetitionError: It is none of these, or a fold does not exist.
    """
    try:
        if text == "all":
            return list(range(count))
        first, dots, last = text.partition("..")
        chosen = list(range(int(first), int(last) + 1)) if dots else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise CompetitionError(f"--fold takes 0, or 0..4, or 0,2,3, or all, not {text!r}") from error
    for fold in chosen:
        if not 0 <= fold < count:
            raise CompetitionError(f"there is no fold {fold}; the folds are 0..{count - 1}")
    if not chosen:
        raise CompetitionError(f"--fold {text} names no fold")
    return list(dict.fromkeys(chosen))


def _train_one(
    track: Track,
    workspace: Workspace,
    name: str,
    experiment: Experiment,
    manifest: Manifest,
    folds: Folds,
    fold: int,
    force: bool,
) -> None:
    folder = workspace.fold_folder(name, fold)
    if _is_finished(workspace, name, fold) and not force:
        say(f"fold {fold}: finished before (--force trains it again)")
        return
    with fold_lock(folder, fold):
        if force:
            _remove_run(folder)
        entries = learned_entries(manifest.of("train"), experiment)
        training, held_out = folds.training(entries, fold), folds.held_out(entries, fold)
        identity = _identity(track, manifest, workspace, experiment, folds, fold)
        write_text(folder / "config.yaml", experiment.to_yaml())
        train_fold(FoldJob(experiment, track, workspace, folder, identity, training, held_out))
        _predict_held_out(track, workspace, folder, experiment, held_out)
        write_json(folder / FINISHED, {"identity": vars(identity) | {"classes": list(identity.classes)}})


def _identity(
    track: Track, manifest: Manifest, workspace: Workspace, experiment: Experiment, folds: Folds, fold: int
) -> Identity:
    data = data_hash(manifest.of("train"))
    return Identity(workspace.dataset, track.classes, experiment.hash(), folds.hash(), data, fold)


def _is_finished(workspace: Workspace, name: str, fold: int) -> bool:
    return (workspace.fold_folder(name, fold) / FINISHED).exists()


def _check_run(workspace: Workspace, name: str, fold: int, identity: Identity, force: bool) -> None:
    """Refuses to go on where other settings, folds or data were trained, unless it is to be trained over."""
    if force:
        return
    for file in ("best.pt", "last.pt"):
        path = workspace.fold_folder(name, fold) / file
        if path.exists():
            found = load_checkpoint(path)
            check_identity(stored_identity(found, path), identity, path)
            if found.get("code_hash") != code_hash():
                say(f"fold {fold}: the program has changed since {path.name} was made; it is kept as it is")
                break


def _remove_run(folder: Path) -> None:
    # The mark of a finished fold goes first: a removal that is cut must not leave one without its predictions.
    for name in (FINISHED, "last.pt", "best.pt", "history.csv"):
        (folder / name).unlink(missing_ok=True)


def _predict_held_out(
    track: Track, workspace: Workspace, folder: Path, experiment: Experiment, held_out: Sequence[Entry]
) -> None:
    """Writes oof/: what the fold's best weights say about the samples they never saw."""
    best = load_best(folder / "best.pt")
    predictor = make_predictor([load_network(best, track)], experiment, track, workspace, AUTOCAST[best.precision])
    views = experiment.predict.views
    samples = [entry.sample for entry in held_out]
    made_by = {"config_hash": best.identity.config_hash, "fold_hash": best.identity.fold_hash, "epoch": best.epoch}
    with (
        whole_folder(folder / "oof") as part,
        progress(f"fold {best.identity.fold}: held out", len(held_out)) as ticker,
    ):
        if track.task == "classification":
            scores = []
            for entry in held_out:
                scores.append(predict_scores(predictor, entry, views))
                ticker.advance(entry.sample)
            write_scores(part, samples, track.classes, np.stack(scores))
        else:
            histograms = []
            for entry in held_out:
                values = predict_map(predictor, entry, views)
                write_map(part, entry.sample, values)
                histograms.append(image_histogram(values, read_cached_planes(workspace, entry.sample)))
                ticker.advance(entry.sample)
            save_histograms(part / "histograms.npz", samples, np.stack(histograms))
        write_index(part, MapFolder(track.classes, tuple(samples), made_by))


def _held_out_score(track: Track, folder: Path, held_out: Sequence[Entry]) -> float:
    """The score of stored out-of-fold predictions at threshold 0.5."""
    samples = [entry.sample for entry in held_out]
    if track.task == "classification":
        scores = read_scores(folder, samples, track.classes)
        return auroc(np.array([entry.targets[0] for entry in held_out]), scores[:, 0])
    stored = load_histograms(folder / "histograms.npz")
    curves = dice_curves(np.stack([stored[sample] for sample in samples]))
    return float(curves[:, :, CUT_OF_HALF].mean())
