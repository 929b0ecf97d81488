"""The time of real training steps, measured at two sizes and extrapolated to the full one."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from competition.data.loader import Batch
from competition.masks.bit_planes import plane_count
from competition.models.factory import build_model, place
from competition.models.gradient_checkpointing import checkpoint_gradients
from competition.models.layers import stride_of
from competition.planning.step_cost import Draws
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.training.losses import get_loss
from competition.training.precision import AUTOCAST
from competition.training.steps import batch_loss, make_optimizer

from timm.utils import ModelEmaV3  # isort: skip  (after competition.models, which makes timm importable)


@dataclass(frozen=True)
class Trial:
    """A network that trains on random pictures."""

    network: nn.Module
    average: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    experiment: Experiment
    track: Track
    autocast: torch.dtype | None

    def step(self, draws: Draws) -> float:
        """Take a whole step on one batch; return its seconds."""
        device = next(self.network.parameters()).device
        batch, started = random_batch(self.track, draws), time.perf_counter()
        loss = get_loss(self.experiment.train.loss)
        value = batch_loss(self.network, batch, draws.factor, len(self.track.classes), loss, self.autocast)
        value.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network, step=1)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def open_trial(experiment: Experiment, track: Track, precision: str, device: torch.device) -> Trial:
    """Build the network of an experiment from random weights, ready to train on a device."""
    network = place(build_model(experiment, track, pretrained=False), device).train()
    average = ModelEmaV3(network, decay=0.9) if experiment.train.ema else None
    if experiment.train.gradient_checkpointing:
        checkpoint_gradients(network, experiment.model.architecture)
    return Trial(network, average, make_optimizer(network, experiment.train), experiment, track, AUTOCAST[precision])


def random_batch(track: Track, draws: Draws) -> Batch:
    """Return a batch of noise, with every class in every sample."""
    random = np.random.default_rng(0)
    samples, views, masks = draws.samples, len(track.views), track.task == "segmentation"
    rows, columns = (side * draws.factor for side in draws.size_hw)
    images = random.integers(256, size=(samples, views, track.channels, rows, columns), dtype=np.uint8)
    planes = random.integers(256, size=(samples, rows, columns, plane_count(len(track.classes))), dtype=np.uint8)
    targets = random.integers(2, size=(samples, len(track.classes))).astype(np.float32)
    return Batch(
        samples=[""] * samples,
        images=torch.from_numpy(images),
        planes=torch.from_numpy(planes) if masks else None,
        targets=None if masks else torch.from_numpy(targets),
        present=torch.ones((samples, views), dtype=torch.bool),
        mean=torch.full((samples, views), 127.0),
        std=torch.full((samples, views), 74.0),
        whole=samples,
    )


@dataclass(frozen=True)
class Timing:
    """The seconds of a step.

    Attributes:
        measured: (samples times pixels, seconds) of two smaller steps.
        full: Of the full step: on the line through the two.
    """

    measured: tuple[tuple[int, float], tuple[int, float]]
    full: float


def time_two_sizes(trial: Trial, draws: Draws, steps: int = 3) -> Timing:
    """Measure steps of about a quarter and half of the work, and extrapolate; the fastest of ``steps`` counts."""
    measured = []
    for smaller in smaller_draws(draws, stride_of(trial.network)):
        trial.step(smaller)  # the first sets up what later ones use again
        measured.append((work_of_step(smaller), min(trial.step(smaller) for _ in range(steps))))
    (less, fast), (more, slow) = measured
    if more == less:  # the picture is as small as the network takes
        return Timing((measured[0], measured[1]), fast * work_of_step(draws) / less)
    slope = max(0.0, slow - fast) / (more - less)
    return Timing((measured[0], measured[1]), fast + slope * (work_of_step(draws) - less))


def work_of_step(draws: Draws) -> int:
    """Return samples times pixels on the training grid."""
    return draws.samples * draws.size_hw[0] * draws.size_hw[1]


def smaller_draws(draws: Draws, stride: int) -> tuple[Draws, Draws]:
    """Return about a quarter and half of a batch: fewer samples, or smaller ones where there are fewer than four."""
    if draws.samples >= 4:
        return replace(draws, samples=draws.samples // 4), replace(draws, samples=draws.samples // 2)

    def shrunk(share: float) -> Draws:
        rows, columns = (max(stride, round(side * share / stride) * stride) for side in draws.size_hw)
        return replace(draws, size_hw=(rows, columns))

    return shrunk(0.5), shrunk(0.5**0.5)
