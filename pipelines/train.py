"""train: train one model per fold, and write its out-of-fold probability maps and their histograms."""

import argparse
import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from competition.console import say
from competition.data.folds import Fold
from competition.errors import CompetitionError
from competition.plugins import registered
from competition.runs.fold_training import train_one
from competition.runs.out_of_fold_scores import out_of_fold_score
from competition.runs.run import Run, check_folds, open_run, parse_folds
from competition.text import shown
from competition.training.ranks import Ranks, join_ranks, leave_ranks
from competition.training.tracking import TRACKERS, check_tracker
from pipelines.batch_split import with_fitting_batch
from pipelines.context import choose_experiment, open_track, open_workspace
from pipelines.executors import LOCAL, add_executor, open_executor
from pipelines.executors.local import slots, visible_gpus
from pipelines.executors.rank_processes import run_ranks
from pipelines.executors.task import Task, end_with_starter
from pipelines.reports.training_report import report_training, say_grid

HELP = "Train one model per fold and predict its held-out samples. An interrupted run resumes."
EXAMPLE = "./run.sh train --track hand_bone --experiment quick --fold 0..4 --set train.lr=5e-4 --name quick_lr5e-4"
FIGURES = {
    "run": "Text: the run's name.",
    "scores": "Object: fold -> score of its held-out samples; null where it is undefined.",
    "folder": "Path of the run.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--experiment", metavar="NAME", help="an experiment of the track, or a YAML file")
    help_text = "train folds 0, or 0..4, or 0,2,3, or all (default); full trains on all samples"
    parser.add_argument("--fold", default="all", metavar="F", help=help_text)
    help_text = "change a setting of competition/settings.py; repeatable (data.shuffle_labels=true tests for leaks)"
    parser.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE", help=help_text)
    parser.add_argument("--name", metavar="NAME", help="name the run (default: the experiment's name)")
    help_text = "train on the test images too: fold k takes the labels that fold k of RUN predicts"
    parser.add_argument("--pseudo", metavar="RUN", help=help_text)
    help_text = "auto: the largest batch that fits; batch_size and accumulate change, their product does not"
    parser.add_argument("--batch", metavar="auto", help=help_text)
    parser.add_argument("--force", action="store_true", help="replace a finished run")
    help_text = "train each fold on so many GPUs at once (without GPUs: in so many processes); the batch stays as set"
    parser.add_argument("--gpus-per-fold", type=int, default=1, metavar="N", help=help_text)
    help_text = "log curves and settings to W&B (offline unless WANDB_MODE=online) or MLflow, in the workspace"
    parser.add_argument("--tracker", choices=list(TRACKERS), help=help_text)
    add_executor(parser)
    help_text = "train N folds at once on each GPU, which must have the memory for them (default: 1)"
    parser.add_argument("--folds-per-gpu", type=int, default=1, metavar="N", help=help_text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train folds; see HELP.

    Returns:
        ``FIGURES``.
    """
    if args.tracker is not None:
        check_tracker(args.tracker)
    ranks = join_ranks()
    if not ranks.first:
        args.json = None  # the first rank writes it
    _check_counts(args)
    track, workspace = open_track(args), open_workspace(args)
    executor = open_executor(args, workspace, args.folds_per_gpu)
    teacher = [] if args.pseudo is None else [f"data.pseudo={json.dumps(args.pseudo)}"]
    chosen = choose_experiment(track, workspace, args.experiment, [*(args.set or []), *teacher])
    run = open_run(chosen.name if args.name is None else args.name, track, workspace, chosen.experiment)
    folds = parse_folds(args.fold, run.folds.count)
    if args.batch is not None:
        chosen = with_fitting_batch(chosen, run, _sharers(args, len(folds), ranks))
        run = replace(run, experiment=chosen.experiment)
    worker = end_with_starter()
    if not worker:
        if added := registered():
            say(f"added by plugins: {', '.join(added)}")
        check_folds(run, folds, args.force)
        say_grid(run)
    resolved = {"experiment": args.experiment or chosen.name, "phantom": workspace.phantom, "set": chosen.settings}
    each = argparse.Namespace(**vars(args) | resolved)
    tasks = [_task(each, run, fold, ranks) for fold in folds]
    if ranks.count > 1:
        for task in tasks:  # one after the other, all ranks at once
            task.here()
        leave_ranks()
    else:
        executor.run(tasks)
    scores = {fold: out_of_fold_score(run, fold) for fold in folds}
    if not worker:
        report_training(run, track, scores)
    return {
        "run": run.name,
        "scores": {str(fold): None if np.isnan(score) else score for fold, score in scores.items()},
        "folder": str(workspace.run_folder(run.name)),
    }


def _check_counts(args: argparse.Namespace) -> None:
    for option in ("gpus-per-fold", "folds-per-gpu"):
        count = getattr(args, option.replace("-", "_"))
        if count < 1:
            raise CompetitionError(f"--{option} {count}: at least one is required")


def _sharers(args: argparse.Namespace, folds: int, ranks: Ranks) -> int:
    """Return how many folds share the memory of a card or, without one, of this machine."""
    if args.batch != "auto":
        what = f"--batch takes only auto, not {shown(args.batch)}"
        raise CompetitionError(what, None, "For a batch of your own give --set train.batch_size=N")
    if args.on != LOCAL or max(args.gpus_per_fold, ranks.count) > 1:
        what = "--batch auto asks for the memory of one card of this machine"
        raise CompetitionError(what, None, "Leave it out, and give --set train.batch_size=N --set train.accumulate=N")
    return args.folds_per_gpu if visible_gpus() else len(slots(folds))


def _task(args: argparse.Namespace, run: Run, fold: Fold, ranks: Ranks) -> Task:
    """Return what trains a fold: in one process, in this one as one of several ranks, or in ranks that it starts."""
    name, command, finished = f"fold {fold}", fold_command(args, fold), run.is_finished(fold) and not args.force
    here = partial(train_one, run, fold, args.force, args.tracker, ranks)
    if args.gpus_per_fold > 1 and ranks.count == 1 and not finished:
        here = partial(run_ranks, name, command, args.gpus_per_fold)
        command = [*command, "--gpus-per-fold", str(args.gpus_per_fold)]
    return Task(name, command, here, finished, args.gpus_per_fold)


def fold_command(args: argparse.Namespace, fold: Fold) -> list[str]:
    """Return what a user would type after ./run.sh to train this fold alone, given the stage's options."""
    words = ["train", "--track", args.track, "--fold", str(fold)]
    for option in ("experiment", "name", "workspace", "tracker"):
        if getattr(args, option) is not None:
            words += [f"--{option}", str(getattr(args, option))]
    for setting in args.set or []:
        words += ["--set", setting]
    return [*words, *(f"--{flag}" for flag in ("phantom", "force", "debug") if getattr(args, flag))]
