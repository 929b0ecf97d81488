"""Experiment trackers: the settings, the curves and the scores of a fold, in W&B or MLflow; off by default.

Neither gets images, names of samples or printed lines. MLflow writes to a file in the workspace. W&B writes there too
and sends nothing, unless WANDB_MODE=online is set.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from competition.console import say
from competition.errors import CompetitionError
from competition.files import file_lock
from competition.installation import needs_package
from competition.text import shortened, shown

Row = Mapping[str, float]
"""A row of figures per epoch, as ``FoldState.history``."""

WANDB_MODES = ("offline", "online")
"""What WANDB_MODE may be, the default first: data leaves the disk only where the user says so."""

Log = Callable[[int, dict[str, float]], None]
"""Stores the figures of one epoch."""


@dataclass(frozen=True)
class Tracked:
    """What is said about a fold before it trains."""

    project: str  # the data set
    name: str  # "quick/fold0"
    facts: dict[str, Any]  # settings and identity, nested
    folder: Path  # where the tracker writes


@contextmanager
def track(tracker: str | None, tracked: Tracked) -> Iterator[Callable[[Row], None]]:
    """Open a tracker for a fold; None tracks nothing.

    Yields:
        A function that logs an epoch: all columns of its row in history.csv.

    Raises:
        CompetitionError: The tracker is not installed, can't start or can't write.
    """
    if tracker is None:
        yield lambda row: None
        return
    check_tracker(tracker)
    tracked.folder.mkdir(parents=True, exist_ok=True)
    with TRACKERS[tracker](tracked) as log:
        yield lambda row: log(int(row["epoch"]), figures_of(row))


def check_tracker(tracker: str) -> None:
    """Make sure that a tracker can be opened, without importing it.

    Raises:
        CompetitionError: Its package is not installed, or WANDB_MODE is unknown.
    """
    needs_package(tracker, f"--tracker {tracker}")
    if tracker == "wandb" and _wandb_mode() not in WANDB_MODES:
        raise CompetitionError(f"WANDB_MODE is {shown(_wandb_mode())}", None, f"Set it to {' or '.join(WANDB_MODES)}")


def figures_of(row: Row) -> dict[str, float]:
    """Return an epoch's figures that are numbers."""
    return {name: value for name, value in row.items() if name != "epoch" and not math.isnan(value)}


def _wandb_mode() -> str:
    return os.environ.get("WANDB_MODE", WANDB_MODES[0])


@contextmanager
def _wandb(tracked: Tracked) -> Iterator[Log]:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it would send its own errors, with paths, to Sentry
    import wandb

    # No printed lines (they may hold names of samples), no code, host, user or load of the machine.
    settings = wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
        host="",
    )
    with _sentences("wandb", (wandb.Error,), tracked.folder, "Unset WANDB_MODE to stay offline, or run wandb login"):
        run = wandb.init(
            project=tracked.project,
            name=tracked.name,
            config=tracked.facts,
            dir=tracked.folder,
            mode=_wandb_mode(),
            settings=settings,
            reinit="create_new",
        )
        where = Path(run.dir).parent
        upload = f"; to upload it: wandb sync {where}" if _wandb_mode() == "offline" else ""
        say(f"{tracked.name}: tracked by W&B ({_wandb_mode()}) in {where}{upload}")
        status = 1
        try:
            yield lambda epoch, figures: run.log(figures, step=epoch)
            status = 0
        finally:
            run.finish(exit_code=status)


@contextmanager
def _mlflow(tracked: Tracked) -> Iterator[Log]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # data may not leave the disk
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    path = tracked.folder / "mlflow.db"
    uri = f"sqlite:///{path}"
    with _sentences(
        "mlflow",
        (MlflowException, SQLAlchemyError),
        path,
        f"Move {path.name} away if it is of another version of MLflow",
    ):
        # Folds that start at once would all make the tables.
        with file_lock(tracked.folder / ".lock"):
            client = MlflowClient(tracking_uri=uri)
            known = client.get_experiment_by_name(tracked.project)
            artifacts = (tracked.folder / "mlflow_artifacts").as_uri()
            experiment = known.experiment_id if known else client.create_experiment(tracked.project, artifacts)
        run = client.create_run(experiment, run_name=tracked.name).info.run_id
        client.log_batch(run, params=[Param(key, str(value)) for key, value in flat(tracked.facts).items()])
        say(f"{tracked.name}: tracked by MLflow in {path}; to look at it: mlflow ui --backend-store-uri {uri}")

        def log(epoch: int, figures: dict[str, float]) -> None:
            client.log_batch(run, [Metric(name, value, 0, epoch) for name, value in figures.items()])

        status = "FAILED"
        try:
            yield log
            status = "FINISHED"
        finally:
            client.set_terminated(run, status)


@contextmanager
def _sentences(tracker: str, kinds: tuple[type[Exception], ...], where: Path, repair: str) -> Iterator[None]:
    """Turn the errors of a tracker into one sentence."""
    try:
        yield
    except kinds as error:
        reason = shortened(" ".join(str(error).split()))
        repair = f"{repair}, or train without --tracker"
        raise CompetitionError(f"{tracker} can't track the training ({reason})", where, repair) from error


def flat(facts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested facts as "train.lr" -> value."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, Mapping) and value else {f"{above}{name}": value}
    return found


TRACKERS: dict[str, Callable[[Tracked], AbstractContextManager[Log]]] = {"wandb": _wandb, "mlflow": _mlflow}
"""Name of a tracker, and of its package -> what opens it."""
