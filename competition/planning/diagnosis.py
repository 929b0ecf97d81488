"""An experiment's needs in one object: what doctor prints, and what all shipped experiments are compared by."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass

from competition.machine import cores
from competition.planning.devices import Machine
from competition.planning.fitting import room
from competition.planning.run_cost import Work, checkpoint_bytes, cost_of
from competition.planning.step_cost import StepCost
from competition.settings import Experiment
from competition.tracks import get_track
from competition.tracks.track import Track, narrow


@dataclass(frozen=True)
class Diagnosis:
    """What an experiment needs on a machine; without a cost where its network can't be traced."""

    track: str
    experiment: str
    work: Work
    cost: StepCost | None
    settings: Experiment
    machine: Machine

    @property
    def batch_room(self) -> int:
        """Return about how many samples of a batch fit."""
        return 0 if self.cost is None else int(self.work.draws.samples * room(self.cost, self.machine))

    def written_bytes(self) -> int:
        """Return what all folds write on the disk."""
        own = 0 if self.cost is None else checkpoint_bytes(self.cost, self.settings, self.work.folds)
        return own + self.work.written_bytes

    def hours(self, seconds: float) -> float | None:
        """Return the hours of training all folds one after the other; None where the images are not prepared."""
        if self.work.batches is None:
            return None
        return self.work.folds * self.settings.train.epochs * self.work.batches * seconds / 3600


def diagnose(track: Track, name: str, experiment: Experiment, work: Work, machine: Machine) -> Diagnosis:
    """Trace a step of an experiment."""
    cost: StepCost | None
    try:
        cost = cost_of(experiment, narrow(track, experiment.data.classes), work.draws, machine)
    except NotImplementedError:  # it finds its answer in numbers, not by a network
        cost = None
    return Diagnosis(track.name, name, work, cost, experiment, machine)


Question = tuple[str, str, Experiment, Work, Machine]
"""Track as --track takes it, name of an experiment, its settings, its work, and a machine."""


def diagnose_all(questions: Sequence[Question]) -> list[Diagnosis]:
    """Trace many experiments, one process per core: a tenth of a second to three each."""
    context = multiprocessing.get_context("forkserver")
    with context.Pool(min(cores(), len(questions))) as pool:
        return pool.map(_answer, questions, chunksize=1)


def _answer(question: Question) -> Diagnosis:
    track, name, experiment, work, machine = question
    return diagnose(get_track(track), name, experiment, work, machine)
