"""search: an Optuna study over training settings, on one fold."""

import argparse
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from competition.console import say, table
from competition.errors import CompetitionError
from competition.files import remove_folder
from competition.names import check_run_name
from competition.runs.fold_training import fold_job
from competition.runs.run import Run, fold_identity
from competition.settings import Experiment, load_experiment
from competition.tracks.track import Track
from competition.training.checkpoints import folder_lock
from competition.training.loop import DivergedError, train_fold
from competition.training.search import (
    FAILED,
    Space,
    default_space,
    ends,
    finished_trials,
    known_score,
    next_trial,
    open_study,
    own_values,
    parse_space,
    settings_of,
    tell_failed,
)
from competition.workspace import Workspace
from pipelines.context import choose_experiment, experiment_file, open_track, open_workspace
from pipelines.train import open_run

HELP = (
    "Tries training settings on one fold with Optuna, stops what falls behind, and prints the best as --set options.\n"
    "A search that was cut goes on where it was; a larger --trials goes on with a finished one."
)
EXAMPLE = "./run.sh search --track hand_bone --experiment quick --trials 30 --space train.lr=log:1e-4:1e-2"

# Scores a trial has at least, unless it has fewer epochs: what falls behind is seen early.
SCORES_PER_TRIAL = 8
SHOWN = 5


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes:
        name: Of the study.
        track: What is competed in.
        workspace: Of the data set.
        experiment_path: The YAML of the experiment.
        given: Settings that hold for all trials, as --set options.
        space: Settings that vary.
        fold: What the trials are scored on.
    """

    name: str
    track: Track
    workspace: Workspace
    experiment_path: Path
    given: list[str]
    space: Space
    fold: int

    def run_with(self, settings: list[str]) -> Run:
        """The run of a trial, scored often enough to be pruned."""
        experiment = _scored_often(load_experiment(self.experiment_path, [*self.given, *settings]))
        return open_run(self.name, self.track, self.workspace, experiment)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("--experiment", metavar="NAME", help="an experiment of the track, or a YAML file")
    parser.add_argument("--trials", type=int, default=20, help="how many settings are tried in all (default: 20)")
    parser.add_argument("--fold", type=int, default=0, help="the fold they are scored on (default: 0)")
    parser.add_argument(
        "--space",
        action="append",
        metavar="SECTION.KEY=VALUES",
        help="what may vary: log:1e-4:1e-2, 0.8:0.99, int:10:40 or bce|bce_dice; repeatable (default: learning rate, "
        "weight decay, batch size and loss around the experiment's own)",
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="SECTION.KEY=VALUE",
        help="change a setting of competition/settings.py; repeatable",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the search (default: the experiment's)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Searches; see HELP.

    Returns:
        The best settings with their score, all trials, and the command that trains them.
    """
    if args.trials < 1:
        raise CompetitionError(f"--trials {args.trials} tries nothing")
    track, workspace, typed = open_track(args), open_workspace(args), list(args.set or [])
    experiment_name, experiment = choose_experiment(args, track, workspace)
    search = Search(
        name=experiment_name if args.name is None else args.name,
        track=track,
        workspace=workspace,
        experiment_path=experiment_file(track, args.experiment or experiment_name),
        given=args.set or [],
        space=_space(args.space, typed, experiment, track),
        fold=args.fold,
    )
    check_run_name(search.name)
    path = workspace.search_file(search.name)
    base = _check(search)
    with folder_lock(path.with_suffix(""), f"search {search.name!r} is being run by another process"):
        study = open_study(path, _made_for(search, base), experiment.train.epochs)
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(own_values(search.space, experiment))
        _run_trials(search, study, args.trials)
    return _report(args, search, study)


def _space(asked: list[str] | None, typed: list[str], experiment: Experiment, track: Track) -> Space:
    given = [setting.partition("=")[0] for setting in typed]
    if asked is None:
        space = default_space(experiment, track.task, given)
        say(f"searched: {', '.join(space)} around the experiment's own values (--space chooses)")
        return space
    space = parse_space(asked)
    if both := sorted(set(space) & set(given)):
        raise CompetitionError(f"{both[0]} is given by --set and searched by --space", None, "Leave out one of them")
    return space


def _check(search: Search) -> Run:
    """Checks the settings at all ends of the space before anything is trained; gives the experiment itself as a run."""
    base = search.run_with([])
    if not 0 <= search.fold < base.folds.count:
        raise CompetitionError(f"there is no fold {search.fold}; the folds are 0..{base.folds.count - 1}")
    if search.track.task == "classification" and len({entry.targets[0] for entry in base.held_out(search.fold)}) < 2:
        raise CompetitionError(f"fold {search.fold} holds out samples of one kind only, which have no AUROC")
    places = [search.track.classes.index(name) for name in base.track.classes]
    if search.track.task == "segmentation" and not any(
        entry.areas[place] for entry in base.held_out(search.fold) for place in places
    ):
        raise CompetitionError(f"fold {search.fold} holds out images without any class, which have no Dice")
    for setting in ends(search.space):
        try:
            search.run_with([setting])
        except CompetitionError as error:
            raise CompetitionError(error.what, f"--space, at its end {setting}", error.repair or None) from error
    return base


def _made_for(search: Search, base: Run) -> dict[str, str]:
    identity, _ = fold_identity(base, search.fold)
    return {
        "experiment": identity.config_hash,
        "fold": str(search.fold),
        "fold file": identity.fold_hash,
        "data": identity.data_hash,
        "teacher": identity.pseudo_hash,
        "start": identity.init_hash,
        "space": " ".join(f"{name}={values}" for name, values in search.space.items()),
    }


def _run_trials(search: Search, study: optuna.Study, trials: int) -> None:
    done = len(finished_trials(study))
    if done:
        say(f"search {search.name}: goes on after {done} trials")
    for number in range(done, trials):
        trial = next_trial(study, search.space)
        say(f"trial {number + 1} of {trials}: {' '.join(settings_of(trial.params))}")
        score = known_score(study, trial.params)
        if score is not None:
            study.tell(trial, score)
        else:
            score = _run_trial(search, study, trial)
        if score is not None:
            say(f"trial {number + 1}: {score:.4f} (best {study.best_value:.4f})")


def _run_trial(search: Search, study: optuna.Study, trial: optuna.Trial) -> float | None:
    """Trains a trial and tells the study how it ended; its score, or None where it was not trained to its end.

    Only what was interrupted stays open, and is run again: a trial that fails by itself would fail again for ever.
    """
    try:
        run = search.run_with(settings_of(trial.params))
    except CompetitionError as error:
        _fail(study, trial, error)
        return None
    folder = search.workspace.trial_folder(search.name, run.experiment.hash())
    try:
        score = _train(run, search.fold, folder, trial)
    except (optuna.TrialPruned, DivergedError) as reason:
        say(f"stopped: {reason}")
        study.tell(trial, state=TrialState.PRUNED)
    except (CompetitionError, ValueError, RuntimeError) as error:  # torch raises the last two for shapes and memory
        if isinstance(error.__cause__, OSError):
            raise  # a full disk is not the trial's fault
        _fail(study, trial, error)
    else:
        study.tell(trial, score)
        # It holds the optimizer too, twice the weights, and nothing goes on from it; best.pt stays.
        (folder / "last.pt").unlink(missing_ok=True)
        return score
    remove_folder(folder, "*.pt", "history.csv", "tensorboard", "pseudo")
    return None


def _fail(study: optuna.Study, trial: optuna.Trial, error: Exception) -> None:
    reason = " ".join(str(error).split())
    say(f"failed: {reason}")
    tell_failed(study, trial, reason)


def _train(run: Run, fold: int, folder: Path, trial: optuna.Trial) -> float:
    """The best score of a trial.

    Raises:
        TrialPruned: It fell behind the median.
        CompetitionError: It can't be trained, or its loss left the numbers (``DivergedError``).
    """

    def on_score(epoch: int, score: float) -> None:
        trial.report(score, epoch)
        if epoch < run.experiment.train.epochs and trial.should_prune():
            raise optuna.TrialPruned(f"{score:.4f} after epoch {epoch} is below the median of the trials before")

    # Trials are compared, so all of them compute in one precision, whatever a timing would say of each.
    return train_fold(replace(fold_job(run, fold, folder), precision_of="search"), on_score).best_score


def _scored_often(experiment: Experiment) -> Experiment:
    train = experiment.train
    often = min(train.validate_every, max(1, train.epochs // SCORES_PER_TRIAL))
    return experiment.model_copy(update={"train": train.model_copy(update={"validate_every": often})})


def _report(args: argparse.Namespace, search: Search, study: optuna.Study) -> dict[str, Any]:
    ended = finished_trials(study)
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    failed = [trial.user_attrs[FAILED] for trial in ended if trial.state == TrialState.FAIL]
    if not complete:
        reason = f" (the last failed: {failed[-1]})" if failed else ""
        raise CompetitionError(
            f"none of {len(ended)} trials was trained to its end{reason}",
            search.workspace.search_file(search.name),
            "Search smaller learning rates (--space train.lr=log:1e-5:1e-3) under another --name",
        )
    best = study.best_trial
    ranked = sorted(complete, key=lambda trial: -(trial.value or 0.0))[:SHOWN]
    measure = "Dice" if search.track.metric == "dice" else "AUROC"
    table(
        f"{search.name}: best of {len(ended)} trials on fold {search.fold} "
        f"({len(ended) - len(complete) - len(failed)} were stopped, {len(failed)} failed)",
        [measure, "settings"],
        [[f"{trial.value:.4f}", " ".join(settings_of(trial.params))] for trial in ranked],
    )
    command = _train_command(args, search, settings_of(best.params))
    say(f"train the best: {command}")
    return {
        "search": search.name,
        "file": str(search.workspace.search_file(search.name)),
        "fold": search.fold,
        "trials": len(ended),
        "pruned": len(ended) - len(complete) - len(failed),
        "failed": len(failed),
        "best": {"score": best.value, "settings": settings_of(best.params)},
        "all": [
            {"settings": settings_of(trial.params), "score": trial.value if trial in complete else None}
            for trial in ended
        ],
        "command": command,
    }


def _train_command(args: argparse.Namespace, search: Search, settings: list[str]) -> str:
    words = ["./run.sh", "train", "--track", args.track]
    words += ["--phantom"] if search.workspace.phantom else []
    words += ["--workspace", args.workspace] if args.workspace else []
    words += ["--experiment", args.experiment or search.experiment_path.stem]
    for setting in (*search.given, *settings):
        words += ["--set", setting]
    return shlex.join([*words, "--name", f"{search.name}_best"])
