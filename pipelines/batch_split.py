"""train --batch auto: the batch that fits this machine, while the effective batch stays what the settings say."""

from dataclasses import replace

from competition.console import say
from competition.errors import CompetitionError
from competition.runs.run import Run
from competition.settings import load_experiment
from competition.text import counted
from pipelines.context import ChosenExperiment


def with_fitting_batch(chosen: ChosenExperiment, run: Run, sharers: int) -> ChosenExperiment:
    """Return an experiment whose batches fit; only ``train.batch_size`` and ``train.accumulate`` change.

    A run that has trained folds keeps their batches, because all its folds must have the same settings.

    Args:
        chosen: The experiment.
        run: That it trains.
        sharers: Folds that train at once and share the memory of a card or, without one, of the machine.

    Raises:
        CompetitionError: Not even the smallest batch fits.
    """
    from competition.planning.devices import GB, this_machine  # here, because --help should not wait for torch
    from competition.planning.fitting import split_batch
    from competition.planning.run_cost import work_of

    settings = chosen.experiment.train
    if (known := _trained_batch(run)) is not None:
        size, why = known, "as in the folds that are trained"
    else:
        machine = this_machine()
        machine = replace(machine, memory=machine.memory // sharers)
        draws = work_of(chosen.experiment, run.track, run.workspace, run.manifest).draws
        size = split_batch(chosen.experiment, run.track, draws, machine)
        why = f"the largest that fits {machine.memory / GB:.1f} GB of {machine.name}"
    times = settings.batch_size * settings.accumulate // size
    split = f"{counted(size, 'sample')}, accumulated {counted(times, 'time')}"
    say(f"batch: {split} ({why}); the effective batch stays {size * times}")
    changed = [*chosen.settings, f"train.batch_size={size}", f"train.accumulate={times}"]
    return replace(chosen, settings=changed, experiment=load_experiment(chosen.path, changed))


def _trained_batch(run: Run) -> int | None:
    """Return the batch of a run's trained folds if it divides the effective batch that is wanted; else None."""
    wanted = run.experiment.train
    for file in run.workspace.settings_files(run.name):
        try:
            trained = load_experiment(file).train
        except CompetitionError:  # written by a version that had other settings
            continue
        if trained.batch_size * trained.accumulate == wanted.batch_size * wanted.accumulate:
            return trained.batch_size
    return None
