"""The study of a search: a journal file that processes share, also those of other machines on a shared disk.

A process holds a lock while it trains a trial. The lock ends with the process, so a trial that is running while its
lock is free was killed, and another process continues it under the same number. Optuna's own sign of life, the
heartbeat, works only in ``Study.optimize``.
"""

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from competition.console import say
from competition.errors import CompetitionError
from competition.files import make_folder, whole_file, writing
from competition.training.search_space import Space, settings_of
from competition.workspace import search_lock_file, trial_lock_file

# Trials that are always trained to their end, because a median of fewer means little.
TRIALS_BEFORE_PRUNING = 4
# Share of the epochs before which nothing is pruned: a high rate looks bad at first and may win in the end.
UNPRUNED_SHARE = 1 / 3
# The attribute of a trial that failed by itself instead of being interrupted; its value is the reason.
FAILED = "failed"
# How often a process that has nothing left to train looks whether another was killed.
POLL_SECONDS = 2.0

_STUDY = "search"
_DAMAGED = "Delete it or give another --name"


@dataclass(frozen=True)
class SharedStudy:
    """A study and its journal.

    Attributes:
        study: In Optuna's terms.
        path: The journal.
        lock: Held while the journal is written and while a trial is taken. Optuna's locks for shared disks are files
            that outlive a killed process and are removed by force after 30 s; this one ends with its process, and works
            on the same disks as those of the trials.
    """

    study: optuna.Study
    path: Path
    lock: FileLock


def open_study(path: Path, made_for: Mapping[str, str], epochs: int, first: Mapping[str, Any]) -> SharedStudy:
    """Open or create the study of a search; one in SQLite, as it was kept before, becomes a journal.

    It maximises and prunes below the median of the scores at the same epoch.

    Args:
        path: The journal.
        made_for: What the scores belong to: scores of other data or settings are never compared.
        epochs: Of a trial.
        first: The values of the first trial.

    Raises:
        CompetitionError: The file is damaged or was made for something else, or can't be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # Optuna 4 calls constant_liar experimental
    make_folder(path.with_suffix(""))
    few, unpruned = TRIALS_BEFORE_PRUNING, int(epochs * UNPRUNED_SHARE)
    pruner = optuna.pruners.MedianPruner(few, n_warmup_steps=unpruned, interval_steps=1, n_min_trials=few)
    lock = FileLock(search_lock_file(path))
    with writing(path), lock:
        try:
            _copy_from_sqlite(path)
            _remove_torn_line(path)
            storage = JournalStorage(JournalFileBackend(str(path), lock))
            if _STUDY in optuna.get_all_study_names(storage):
                study = optuna.load_study(study_name=_STUDY, storage=storage, pruner=pruner)
            else:
                study = optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize", pruner=pruner)
            _check_made_for(study, path, made_for)
            if not study.get_trials(deepcopy=False):
                study.enqueue_trial(first)
        except (CompetitionError, OSError):
            raise
        except Exception as error:  # Optuna and SQLAlchemy raise many kinds for damaged files
            reason = " ".join(str(error).split())[:200]
            what, where = f"the search can't be read ({reason})", path if path.exists() else path.with_suffix(".db")
            raise CompetitionError(what, where, _DAMAGED) from error
    return SharedStudy(study, path, lock)


def _check_made_for(study: optuna.Study, path: Path, made_for: Mapping[str, str]) -> None:
    """Reject a study that was made for something else, and note what a new one is made for."""
    found = study.user_attrs
    for name, value in made_for.items():
        if found.get(name, value) != value:
            what = f"this search was made for another {name} ({found[name]}, now {value})"
            raise CompetitionError(what, path, "Give another --name")
        if name not in found:
            study.set_user_attr(name, value)


def _copy_from_sqlite(path: Path) -> None:
    older = path.with_suffix(".db")
    if older.exists() and not path.exists():
        with whole_file(path) as part:
            storage = JournalStorage(JournalFileBackend(str(part)))
            optuna.copy_study(
                from_study_name=_STUDY, from_storage=f"sqlite:///{older}", to_storage=storage, to_study_name=_STUDY
            )


def _remove_torn_line(path: Path) -> None:
    """Remove a last line that a full disk cut off: Optuna would append to it, and could read nothing behind it.

    Raises:
        CompetitionError: The file does not end like a journal.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            if content[whole : whole + 1] != b"{":
                raise CompetitionError("the search can't be read (not a journal of Optuna)", path, _DAMAGED)
            file.truncate(whole)


def finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that were trained to their end, pruned, or failed by themselves, without interrupted ones.

    Searches of older versions ended interrupted trials as failed ones, without a reason, and queued them again.
    """
    ended: list[optuna.trial.FrozenTrial] = study.get_trials(
        deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    return [trial for trial in ended if trial.state != TrialState.FAIL or FAILED in trial.user_attrs]


def tell_failed(study: optuna.Study, trial: optuna.Trial, reason: str) -> None:
    """End a trial that can't be trained, for good: it is not run again."""
    trial.set_user_attr(FAILED, reason)
    study.tell(trial, state=TrialState.FAIL)


def known_score(study: optuna.Study, params: Mapping[str, Any]) -> float | None:
    """Return the score of a complete trial with the same settings; None where there is none."""
    complete: list[optuna.trial.FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((trial.value for trial in complete if settings_of(trial.params) == settings_of(params)), None)


def reported_epochs(trial: optuna.Trial) -> set[int]:
    """Return the epochs whose scores the study has."""
    return set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)


@contextmanager
def next_trial(shared: SharedStudy, space: Space, total: int) -> Iterator[optuna.Trial | None]:
    """Yield a trial that belongs to this process until the block ends, or None once ``total`` have ended.

    While other processes train the last trials it waits, and continues what they leave behind if they are killed.
    """
    with ExitStack() as held:
        waiting = False
        while (trial := _take(shared, space, total, held)) is None and len(finished_trials(shared.study)) < total:
            if not waiting:
                say("waiting for other processes, which train the last trials")
            waiting = True
            time.sleep(POLL_SECONDS)
        yield trial


def _take(shared: SharedStudy, space: Space, total: int, held: ExitStack) -> optuna.Trial | None:
    """Return a trial whose process was killed, else a new one, and hold its lock; None where others train the last."""
    study = shared.study
    with writing(shared.path), shared.lock:
        _remove_torn_line(shared.path)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        killed = [trial for trial in running if not is_held(trial_lock_file(shared.path, trial.number))]
        if len(finished_trials(study)) + len(running) - len(killed) >= total:
            return None
        begun = sum(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))
        # All options, because Optuna 5 has other defaults than 4; a seed for each trial, because a sampler that starts
        # anew after an interruption would draw the first trials once more. Trials that run elsewhere count as poor
        # ones, so that two processes don't draw the same.
        study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=10,
            n_ei_candidates=24,
            multivariate=False,
            group=False,
            constant_liar=True,
            seed=killed[0].number if killed else begun,
        )
        if killed:
            say(f"trial {killed[0].number + 1} was interrupted and is continued")
        trial = _continued(study, killed[0], space) if killed else study.ask(fixed_distributions=space)
        held.enter_context(FileLock(trial_lock_file(shared.path, trial.number)))
    return trial


def _continued(study: optuna.Study, killed: optuna.trial.FrozenTrial, space: Space) -> optuna.Trial:
    """Return a running trial under its number, with its values and reported scores; draw the values that it lacks.

    Its id is private, and Optuna advises against making a ``Trial``, but nothing public returns a running one. Queueing
    its values again would make a trial of another number, with another seed and without the reported scores.
    """
    trial = optuna.Trial(study, killed._trial_id)
    for name, values in space.items():
        if isinstance(values, CategoricalDistribution):
            trial.suggest_categorical(name, values.choices)
        else:
            suggest = trial.suggest_int if isinstance(values, IntDistribution) else trial.suggest_float
            suggest(name, values.low, values.high, step=values.step, log=values.log)
    return trial


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock file."""
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True
