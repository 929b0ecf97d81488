"""A search over training settings on one fold: each trial is trained, or stopped where it falls behind.

Any number of processes run one search: each takes the next trial, until so many in all have ended.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from competition.console import say
from competition.data.manifest import target_matrix
from competition.errors import CompetitionError
from competition.files import file_lock, remove_folder
from competition.metrics.tables import TableMetric
from competition.models.gpu import gpu_answers
from competition.names import check_run_name
from competition.runs.fold_training import fold_job
from competition.runs.run import Run, fold_identity, open_run
from competition.settings import load_experiment
from competition.tracks.track import Track
from competition.training import search_space, shared_study
from competition.training.loop import DivergedError, train_fold
from competition.training.shared_study import SharedStudy
from competition.workspace import Workspace, history_file, last_checkpoint_file, settings_lock_file

# Scores a trial has at least, unless it has fewer epochs: what falls behind is seen early.
SCORES_PER_TRIAL = 8


@dataclass(frozen=True)
class Search:
    """What is searched: settings that vary (``space``), scored on one fold; ``given`` are --set options of all."""

    name: str
    track: Track
    workspace: Workspace
    experiment_path: Path
    given: list[str]
    space: search_space.Space
    fold: int

    def run_with(self, settings: list[str]) -> Run:
        """Return the run of a trial, scored often enough to be pruned."""
        experiment = load_experiment(self.experiment_path, [*self.given, *settings])
        often = min(experiment.train.validate_every, max(1, experiment.train.epochs // SCORES_PER_TRIAL))
        scored = experiment.train.model_copy(update={"validate_every": often})
        return open_run(self.name, self.track, self.workspace, experiment.model_copy(update={"train": scored}))


@dataclass(frozen=True)
class SearchResult:
    """How the trials of a search ended; complete ones are sorted, the best first, and failures are reasons."""

    ended: list[FrozenTrial]
    complete: list[FrozenTrial]
    failed: list[str]
    best: FrozenTrial

    @property
    def pruned(self) -> int:
        """Return how many trials were stopped."""
        return len(self.ended) - len(self.complete) - len(self.failed)


def run_search(search: Search, trials: int) -> SearchResult:
    """Run a search of so many trials in all, continue an interrupted one, or take part in one that others run.

    Raises:
        CompetitionError: A setting at an end of the space can't be used, the search was made for other data or
            settings, or no trial was trained to its end.
    """
    check_run_name(search.name)
    path = search.workspace.search_file(search.name)
    base, experiment = _check(search), load_experiment(search.experiment_path, search.given)
    first = search_space.own_values(search.space, experiment)
    shared = shared_study.open_study(path, _made_for(search, base), experiment.train.epochs, first)
    _run_trials(search, shared, trials)
    study = shared.study
    ended = shared_study.finished_trials(study)
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    failed = [trial.user_attrs[shared_study.FAILED] for trial in ended if trial.state == TrialState.FAIL]
    if not complete:
        reason = f" (the last failed: {failed[-1]})" if failed else ""
        repair = "Search smaller learning rates (--space train.lr=log:1e-5:1e-3) under another --name"
        raise CompetitionError(f"none of {len(ended)} trials was trained to its end{reason}", path, repair)
    return SearchResult(ended, sorted(complete, key=lambda trial: -(trial.value or 0.0)), failed, study.best_trial)


def _check(search: Search) -> Run:
    """Check the settings at all ends of the space before anything is trained; return the experiment itself as a run."""
    base = search.run_with([])
    if not 0 <= search.fold < base.folds.count:
        raise CompetitionError(f"there is no fold {search.fold}; the folds are 0..{base.folds.count - 1}")
    metric = search.track.metric
    if isinstance(metric, TableMetric):
        truth = target_matrix(base.held_out(search.fold))
        if not len(truth) or np.isnan(metric.score_table(truth, truth.astype(np.float64))):
            what = f"fold {search.fold} holds out samples of one kind only, which have no {metric.label}"
            raise CompetitionError(what)
    places = [search.track.classes.index(name) for name in base.track.classes]
    if search.track.task == "segmentation" and not any(
        entry.areas[place] for entry in base.held_out(search.fold) for place in places
    ):
        raise CompetitionError(f"fold {search.fold} holds out images without any class, which have no Dice")
    for setting in search_space.ends(search.space):
        try:
            search.run_with([setting])
        except CompetitionError as error:
            raise CompetitionError(error.what, f"--space, at its end {setting}", error.repair or None) from error
    return base


def _made_for(search: Search, base: Run) -> dict[str, str]:
    identity, _ = fold_identity(base, search.fold)
    return {
        "experiment": f"{identity.config_hash}, scored after its last epoch",
        "fold": str(search.fold),
        "fold file": identity.fold_hash,
        "data": identity.data_hash,
        "teacher": identity.pseudo_hash,
        "start": identity.init_hash,
        "space": " ".join(f"{name}={values}" for name, values in search.space.items()),
    }


def _run_trials(search: Search, shared: SharedStudy, trials: int) -> None:
    if 0 < (done := len(shared_study.finished_trials(shared.study))) < trials:
        say(f"search {search.name}: resumed after {done} trials")
    while True:
        with shared_study.next_trial(shared, search.space, trials) as trial:
            if trial is None:
                return
            say(f"trial {trial.number + 1} of {trials}: {' '.join(search_space.settings_of(trial.params))}")
            score = _run_trial(search, shared.study, trial)
            if score is not None:
                say(f"trial {trial.number + 1}: {score:.4f} (best {shared.study.best_value:.4f})")


def _run_trial(search: Search, study: optuna.Study, trial: optuna.Trial) -> float | None:
    """Train a trial and record how it ended; return its score, or None where it was not trained to its end.

    Only what was interrupted stays open, and is continued later: a trial that fails by itself would fail again.
    """
    try:
        run = search.run_with(search_space.settings_of(trial.params))
    except CompetitionError as error:
        _fail(study, trial, error)
        return None
    folder = search.workspace.trial_folder(search.name, run.experiment.hash())
    lock = settings_lock_file(folder)
    if shared_study.is_held(lock):
        say("another process trains the same settings: waiting for its score")
    with file_lock(lock):
        score = shared_study.known_score(study, trial.params)
        if score is None:
            return _train_and_tell(run, search.fold, folder, study, trial)
        study.tell(trial, score)
        return score


def _train_and_tell(run: Run, fold: int, folder: Path, study: optuna.Study, trial: optuna.Trial) -> float | None:
    try:
        score = _train(run, fold, folder, trial)
    except (optuna.TrialPruned, DivergedError) as reason:
        say(f"stopped: {reason}")
        study.tell(trial, state=TrialState.PRUNED)
    except (CompetitionError, ValueError, RuntimeError) as error:  # torch raises the last two for shapes and memory
        if isinstance(error.__cause__, OSError):
            raise  # a full disk is not the trial's fault
        if not gpu_answers():
            repair = "Run the same command again, which continues this trial; if that fails too, restart the machine"
            raise CompetitionError("the GPU does not answer any more", None, repair) from error
        _fail(study, trial, error)
    else:
        study.tell(trial, score)
        # It holds the optimizer too, twice the weights, and is no longer needed; weights.pt stays.
        last_checkpoint_file(folder).unlink(missing_ok=True)
        return score
    remove_folder(folder, "*.pt", history_file(folder).name, "tensorboard", "pseudo")
    return None


def _fail(study: optuna.Study, trial: optuna.Trial, error: Exception) -> None:
    reason = " ".join(str(error).split())
    say(f"failed: {reason}")
    shared_study.tell_failed(study, trial, reason)


def _train(run: Run, fold: int, folder: Path, trial: optuna.Trial) -> float:
    """Return the score of a trial after its last epoch.

    Raises:
        TrialPruned: It is below the median.
        CompetitionError: It can't be trained, or its loss diverged (``DivergedError``).
    """
    reported = shared_study.reported_epochs(trial)  # before a process was killed that trained it

    def on_score(epoch: int, score: float) -> None:
        if epoch not in reported:
            trial.report(score, epoch)
        if epoch < run.experiment.train.epochs and trial.should_prune():
            raise optuna.TrialPruned(f"{score:.4f} after epoch {epoch} is below the median of the trials before")

    # Trials are compared, so all of them compute in one precision, whatever timing would choose for each.
    return train_fold(replace(fold_job(run, fold, folder), precision_of="search"), on_score).score
