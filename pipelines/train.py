"""train: one model per fold, its out-of-fold probability maps and their histograms."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from competition.console import say, shout, table
from competition.data.augmentation import check_augmentation
from competition.data.folds import FULL, Fold, check_leaks, find_folds, read_fold_names
from competition.data.manifest import prepare_command, read_manifest
from competition.data.resolution import describe_grid, warn_small_objects
from competition.errors import CompetitionError
from competition.models.layers import STRIDE
from competition.names import check_run_name
from competition.prediction.tta_views import check_views
from competition.runs.fold_training import train_one
from competition.runs.leak_alarm import judge_shuffled, too_good
from competition.runs.out_of_fold_scores import not_measured, out_of_fold_score, ranked, unmeasured_classes
from competition.runs.run import Run, check_fold, check_same_folds, check_settings
from competition.settings import Experiment
from competition.tracks.narrowing import narrow
from competition.tracks.track import Track
from competition.training.losses import get_loss
from competition.workspace import Workspace, out_of_fold_folder
from pipelines.context import choose_experiment, open_track, open_workspace
from pipelines.parallel_folds import announce, slots, train_in_parallel
from pipelines.parent import end_with_parent

HELP = "Trains one model per fold and predicts what it held out. A run that was cut goes on where it was."
EXAMPLE = "./run.sh train --track hand_bone --experiment quick --fold 0..4 --set train.lr=5e-4 --name quick_lr5e-4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("--experiment", metavar="NAME", help="an experiment of the track, or a YAML file")
    parser.add_argument(
        "--fold",
        default="all",
        metavar="F",
        help="0, or 0..4, or 0,2,3, or all (default); full learns from all samples",
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="SECTION.KEY=VALUE",
        help="change a setting of competition/settings.py; repeatable (data.shuffle_labels=true is a leak alarm)",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the run (default: the experiment's)")
    parser.add_argument(
        "--pseudo", metavar="RUN", help="learn from the test images too, as fold k of RUN labels them for fold k"
    )
    parser.add_argument("--force", action="store_true", help="train again over a finished run")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Trains folds; see HELP.

    Returns:
        Scores per fold and the paths that were made.
    """
    if args.pseudo is not None:
        args.set = [*(args.set or []), f"data.pseudo={json.dumps(args.pseudo)}"]
    track, workspace = open_track(args), open_workspace(args)
    experiment_name, experiment = choose_experiment(args, track, workspace)
    run = open_run(experiment_name if args.name is None else args.name, track, workspace, experiment)
    chosen = parse_folds(args.fold, run.folds.count)
    is_child = end_with_parent()
    environments = slots(len(chosen))
    if not is_child:
        _check_trained(run, chosen, args.force)
        _say_grid(run)
    if len(environments) > 1 and not is_child:
        unfinished = [fold for fold in chosen if args.force or not run.is_finished(fold)]
        if unfinished:
            announce(environments)
        resolved = {"experiment": args.experiment or experiment_name, "phantom": workspace.phantom}
        train_in_parallel(argparse.Namespace(**vars(args) | resolved), chosen, unfinished, environments)
    else:
        for fold in chosen:
            train_one(run, fold, args.force)
    scores = {fold: out_of_fold_score(run, fold) for fold in chosen}
    if not is_child:
        _say_scores(track, run.name, scores)
        _say_unmeasured(run, list(scores))
        if FULL in scores:
            say(_how_full_votes(run))
        if track.task == "classification":
            _say_leaks(run, scores)
    return {
        "run": run.name,
        "scores": {str(fold): None if np.isnan(score) else score for fold, score in scores.items()},
        "folder": str(workspace.run_folder(run.name)),
    }


def _say_grid(run: Run) -> None:
    """Says what the network sees of the images, and warns where objects are nearly lost."""
    if run.track.task == "classification" or run.experiment.data.crop_to is not None:
        return
    training, size = run.manifest.of("train"), run.experiment.data.size
    say(describe_grid(training, size, STRIDE))
    if warning := warn_small_objects(training, run.track, size):
        shout(warning)


def _check_trained(run: Run, chosen: Sequence[Fold], force: bool) -> None:
    """Refuses to train beside folds, or to go on with folds, that belong to something else."""
    check_settings(run, chosen if force else [])
    check_same_folds(run, chosen)
    for fold in [] if force else chosen:
        check_fold(run, fold)


def open_run(name: str, track: Track, workspace: Workspace, experiment: Experiment) -> Run:
    """Puts a run together and checks all that can be checked before anything is trained.

    Args:
        name: Of the run.
        track: What is competed in.
        workspace: Of the data set.
        experiment: All settings.

    Raises:
        CompetitionError: The name can't be addressed or is an imported member's, a setting names something unknown, the
            data is not prepared, or its folds leak.
    """
    check_run_name(name)
    if workspace.imported_file(name).exists():
        raise CompetitionError(
            f"the name {name!r} is taken by an imported member", workspace.run_folder(name), "Give another --name"
        )
    if experiment.data.pseudo == name:
        raise CompetitionError(f"run {name!r} can't be its own teacher", None, "Give the student another --name")
    check_augmentation(experiment.data.augmentation, track)
    check_views(experiment.predict.views, track)
    get_loss(experiment.train.loss)
    if experiment.data.shuffle_labels and track.task == "segmentation":
        raise CompetitionError(f"data.shuffle_labels deals out the labels of patients; track {track.name} has masks")
    manifest = read_manifest(workspace, track)
    folds = find_folds(workspace)
    if folds is None:
        raise CompetitionError("no fold file", workspace.fold_file(), f"Run {prepare_command(workspace, track)}")
    check_leaks(folds, manifest.of("train"))
    return Run(name, narrow(track, experiment.data.classes), workspace, experiment, manifest, folds)


def _say_scores(track: Track, name: str, scores: dict[Fold, float]) -> None:
    measure = "Dice" if track.metric == "dice" else "AUROC"
    table(
        f"{name}: {measure} of held-out samples at native size",
        ["fold", measure],
        [[fold, "-" if np.isnan(score) else f"{score:.4f}"] for fold, score in scores.items()],
    )
    one_kind = [str(fold) for fold, score in scores.items() if fold != FULL and np.isnan(score)]
    if one_kind and track.task == "classification":
        say(f"fold {', '.join(one_kind)}: everybody held out is of one kind, so there is no {measure}")
    known = [score for score in scores.values() if not np.isnan(score)]
    if len(known) > 1:
        say(f"mean of {len(known)} folds: {np.mean(known):.4f} +- {np.std(known, ddof=1):.4f}")


def _say_unmeasured(run: Run, folds: Sequence[Fold]) -> None:
    """Names the classes that the Dice leaves out, the folds with the same ones in one line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for fold in folds:
        if unmeasured := unmeasured_classes(run, fold):
            alike.setdefault(tuple(unmeasured), []).append(str(fold))
    for names, of in alike.items():
        shout(not_measured(names, run.track.classes, f"no image held out by fold {', '.join(of)}"))


def _how_full_votes(run: Run) -> str:
    """What lets the model of all samples vote, in terms of the folds that there are."""
    trained = [str(fold) for fold in range(run.folds.count) if run.is_finished(fold)]
    together = f"--members {run.name}:{','.join([*(trained or ['0']), FULL])}"
    how = "as" if trained else "so train a fold too (--fold 0), then"
    return f"{FULL} learned from every sample and has no score; it votes only beside folds of its run, {how} {together}"


def _say_leaks(run: Run, scores: dict[Fold, float]) -> None:
    """Says what the scores of patients tell about a leak: of shuffled labels the verdict, of true ones an alarm."""
    if run.experiment.data.shuffle_labels:
        if numbered := [fold for fold in scores if fold != FULL]:
            pairs = [ranked(run.track, out_of_fold_folder(run.folder(fold)), run.held_out(fold)) for fold in numbered]
            targets, answers = zip(*pairs, strict=True)
            leak, verdict = judge_shuffled(np.concatenate(targets), np.concatenate(answers))
            (shout if leak else say)(verdict)
        return
    known = [score for score in scores.values() if not np.isnan(score)]
    if known and (alarm := too_good(float(np.mean(known)), run.workspace.phantom)):
        shout(alarm)


def parse_folds(text: str, count: int) -> list[Fold]:
    """Reads "all", "3", "0,2", "0..4", "full" or "0..4,full".

    Args:
        text: What the user typed.
        count: Number of folds there are; "all" is these, without "full".

    Raises:
        CompetitionError: It is none of these, or a fold does not exist.
    """
    if text == "all":
        return list(range(count))
    chosen = read_fold_names(text, "--fold")
    for fold in chosen:
        if fold != FULL and not 0 <= fold < count:
            raise CompetitionError(f"there is no fold {fold}; the folds are 0..{count - 1}")
    return chosen
