"""The work of a run: the draws of an epoch, the cost of a step, and what is written on the disk."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from competition.data.datasets import TrainingSet
from competition.data.draw_sampler import fold_sampler
from competition.data.folds import Folds, find_folds
from competition.data.grid import MEMORY_BUDGET_BYTES, canvas_size, grid_size
from competition.data.manifest import Entry, Manifest
from competition.models.layers import STRIDE
from competition.planning.devices import SUPPOSED_RATES, Machine
from competition.planning.step_cost import Draws, StepCost, step_cost
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.training.checkpoints import kept_epochs
from competition.workspace import Workspace

SHARE_OF_MAP = 0.02
"""Bytes of a stored probability map per class and pixel: a noisy one of 29 x 2048 x 2048 takes 1.25 MB of 122 in
``./run.sh bench``, and real ones may have more soft edges."""


@dataclass(frozen=True)
class Work:
    """The work of training a fold.

    Attributes:
        draws: The largest batch.
        batches: In an epoch; None where the data is not prepared.
        folds: How many there are; 5 where the data is not prepared.
        written_bytes: On disk, by all folds together; without maps and the grid where the data is not prepared.
    """

    draws: Draws
    batches: int | None
    folds: int
    written_bytes: int


def work_of(experiment: Experiment, track: Track, workspace: Workspace, manifest: Manifest | None) -> Work:
    """Return the work of a fold: of the prepared data, else of one image of the size that the track declares."""
    folds = find_folds(workspace) if manifest is not None else None
    if manifest is None or folds is None:
        return Work(_declared_draws(experiment, track), None, 5, 0)
    entries = manifest.of("train")
    if experiment.data.crop_to is not None:  # the boxes are known after the first run
        return Work(_declared_draws(experiment, track), _batches(entries, folds, experiment), folds.count, 0)
    dataset = TrainingSet(folds.training(entries, 0), workspace, track, experiment, stride=STRIDE)
    side = experiment.data.crop
    sizes = [(min(side or rows, rows), min(side or columns, columns)) for rows, columns in dataset.canvases]
    draws = Draws(experiment.train.batch_size, max(sizes, key=math.prod), dataset.factor)
    sampler = fold_sampler(dataset.canvases, experiment.train, 0)
    grid = sum(math.prod(canvas) for canvas in dataset.canvases) * dataset.factor**2
    shared = dataset.draw_bytes() / (math.prod(draws.size_hw) * dataset.factor**2) * grid
    maps = sum(entry.height * entry.width for entry in entries) * len(track.classes) * SHARE_OF_MAP
    kept = maps if track.task == "segmentation" else 0
    return Work(draws, len(sampler), folds.count, round(kept + (shared if shared > MEMORY_BUDGET_BYTES else 0)))


TIMED_DRAWS = 4


def draw_seconds(experiment: Experiment, track: Track, workspace: Workspace, manifest: Manifest) -> float:
    """Return the processor seconds of one draw whose sample lies in memory or in the mapped file, as all do later on.

    Raises:
        CompetitionError: A cached image or label is missing or damaged.
    """
    entries = manifest.of("train")[:TIMED_DRAWS]
    dataset = TrainingSet(entries, workspace, track, experiment, stride=STRIDE)
    for number in range(len(entries)):
        dataset[number, 0]  # reads the sample
    started = time.process_time()
    for number in range(len(entries)):
        dataset[number, 1]
    return (time.process_time() - started) / len(entries)


def _batches(entries: Sequence[Entry], folds: Folds, experiment: Experiment) -> int:
    drawn = len(folds.training(entries, 0)) * experiment.train.repeats
    return -(-drawn // experiment.train.batch_size)


def _declared_draws(experiment: Experiment, track: Track) -> Draws:
    data = experiment.data
    native = track.size_hw or (data.size, data.size)
    rows, columns = canvas_size(grid_size(native, data.size), STRIDE)
    if track.task == "classification" or data.crop_to is not None:
        rows = columns = data.size
    side = data.crop or max(rows, columns)
    factor = min(data.oversample, -(-max(native) // data.size)) if track.size_hw else data.oversample
    if track.task == "classification":
        factor = 1
    return Draws(experiment.train.batch_size, (min(side, rows), min(side, columns)), factor)


def cost_of(experiment: Experiment, track: Track, draws: Draws, machine: Machine) -> StepCost:
    """Trace a step on a machine."""
    precision = machine.precision if experiment.train.precision == "auto" else experiment.train.precision
    return step_cost(experiment, track, draws, precision, machine.on_cuda, SUPPOSED_RATES)


def checkpoint_bytes(cost: StepCost, experiment: Experiment, folds: int) -> int:
    """Return what the checkpoints of all folds take on the disk, with the copy that replaces one of them."""
    weights = (1 + len(kept_epochs(experiment.train))) * 4 * cost.weights
    return folds * (cost.held_bytes + weights) + cost.held_bytes
