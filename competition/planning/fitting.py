"""The largest batch and crop that fit a machine, and the split of the effective batch."""

import math
from dataclasses import replace

from competition.errors import CompetitionError
from competition.models.layers import STRIDE, stride_of
from competition.planning.devices import GB, Machine
from competition.planning.run_cost import cost_of
from competition.planning.shapes import network_of_shapes
from competition.planning.step_cost import Draws, StepCost
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.training.steps import fewest_samples


def room(cost: StepCost, machine: Machine) -> float:
    """Return how many times a step fits a machine beside what is held, if a larger step needs proportionally more."""
    return max(0.0, machine.memory_of_step(cost) / (cost.peak_bytes - cost.held_bytes))


def largest_batch(experiment: Experiment, track: Track, draws: Draws, cost: StepCost, machine: Machine) -> int:
    """Return the most samples of a batch that fit, 0 where not one does; ``cost`` is that of ``draws``."""

    def of(samples: int) -> StepCost:
        return cost_of(experiment, track, replace(draws, samples=samples), machine)

    samples = int(draws.samples * room(cost, machine))
    if samples:
        samples = int(samples * room(of(samples), machine))  # nearer, because not all of a step grows with the batch
    while samples and not machine.fits(of(samples)):
        samples -= max(1, samples // 16)
    return samples


def largest_side(experiment: Experiment, track: Track, draws: Draws, cost: StepCost, machine: Machine) -> int:
    """Return the longest side of a square, as the network takes it, of which a batch fits; 0 where none does.

    It is the side of a crop (``data.crop``), or of the whole image where there are no crops.
    """

    def of(side: int) -> StepCost:
        # Some networks are built for one size.
        data = experiment.data.model_copy(update={"size": side, "crop": None})
        predict = experiment.predict.model_copy(update={"tile": None})
        of_side = experiment.model_copy(update={"data": data, "predict": predict})
        return cost_of(of_side, track, replace(draws, size_hw=(side, side)), machine)

    stride = max(STRIDE, stride_of(network_of_shapes(experiment, track)))
    side = _multiple(math.sqrt(draws.size_hw[0] * draws.size_hw[1] * room(cost, machine)), stride)
    if side:
        side = _multiple(side * math.sqrt(room(of(side), machine)), stride)
    while side and not machine.fits(of(side)):
        side -= max(stride, _multiple(side / 16, stride))
    return side


def _multiple(side: float, stride: int) -> int:
    return int(side / stride) * stride


def split_batch(experiment: Experiment, track: Track, draws: Draws, machine: Machine) -> int:
    """Return the largest ``batch_size`` that fits and divides the effective batch, so that ``accumulate`` follows.

    Raises:
        CompetitionError: Not even the smallest batch fits.
    """
    settings = experiment.train
    effective = settings.batch_size * settings.accumulate
    fewest = fewest_samples(network_of_shapes(experiment, track), track, max(draws.size_hw))
    sizes = [size for size in range(effective, 0, -1) if effective % size == 0 and size >= fewest] or [effective]
    cost = None
    for size in sizes:
        train = settings.model_copy(update={"batch_size": size, "accumulate": effective // size})
        if cost is not None and size > 2 * draws.samples * room(cost, machine):
            continue  # far too large, by the cost of another batch
        cost = cost_of(experiment.model_copy(update={"train": train}), track, replace(draws, samples=size), machine)
        draws = replace(draws, samples=size)
        if machine.fits(cost):
            return size
    assert cost is not None
    needed, there = machine.needed(cost) / GB, machine.memory / GB
    what = f"a batch of {sizes[-1]} needs {needed:.1f} GB, and {machine.name} has {there:.1f} GB free"
    repair = "Use --set train.gradient_checkpointing=true, smaller crops (--set data.crop=512) or another experiment"
    raise CompetitionError(what, None, repair)
