"""Time and memory of training, loading and validation on a card, as a table in Markdown; see measure.sh."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from competition.background import read_ahead
from competition.data.cache import read_label_planes
from competition.data.datasets import TrainingSet
from competition.data.draw_sampler import fold_sampler
from competition.data.loader import Batch, loading_processes, training_loader
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.files import copy_file
from competition.machine import MB, peak_memory_mb
from competition.masks.bit_planes import class_areas, intersections, pack_masks
from competition.models.factory import build_model, place
from competition.models.gpu import computing_device, gpu_of
from competition.models.layers import stride_of
from competition.planning.devices import CARD_RESERVE, GB, this_machine
from competition.planning.run_cost import cost_of, work_of
from competition.planning.step_timing import open_trial, time_two_sizes
from competition.prediction.predictor import Predictor, make_predictor, predict_counts, predict_map
from competition.prediction.probability_maps import HALF_LEVEL
from competition.settings import Experiment, load_experiment
from competition.tracks.hand_bone.track import HAND_BONE
from competition.training.loop import PLAIN, make_deterministic
from competition.training.losses import Loss, get_loss
from competition.training.precision import AUTOCAST, choose_precision
from competition.training.ranks import Ranks
from competition.training.steps import batch_loss, make_optimizer
from competition.workspace import Workspace
from pipelines.benchmarks.hand_files import prepared_image
from pipelines.benchmarks.synthetic_images import draw_masks

EXPERIMENTS = Path(__file__).parents[2] / "pipelines" / "experiments" / "hand_bone"
TINY = {
    "unet3plus_ds_2048": ["data.size=64", "model.width=4"],
    "strong": [
        *("model.encoder=resnet18", "model.pretrained=false"),
        *("data.size=128", "data.crop=64", "predict.tile=64"),
    ],
}
EVEN = "model.prior=0.5"
"""So that an untrained network calls half of the pixels positive."""
CLASSES, VIEW = len(HAND_BONE.classes), HAND_BONE.views[0]


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    size: int  # rows and columns of the images
    images: int  # in the workspace, all copies of one
    steps: int  # timed, after two to warm up
    loaded: int  # batches
    validated: int  # images


FULL, SMALL = Effort(2048, 20, 5, 30, 20), Effort(128, 4, 1, 3, 2)


@dataclass
class Table:
    """Rows of the result, each with one cell per experiment."""

    experiments: list[str]
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, row: str, experiment: str, cell: str) -> None:
        """Fill a cell, and show it at once."""
        self.rows.setdefault(row, {})[experiment] = cell
        print(f"{experiment}: {row}: {cell}", file=sys.stderr, flush=True)

    def markdown(self, card: str) -> str:
        """Return the table."""
        lines = [f"| {card} | {' | '.join(f'`{name}`' for name in self.experiments)} |", "|---" * 3 + "|"]
        for row, cells in self.rows.items():
            lines.append(f"| {row} | {' | '.join(cells.get(name, '-') for name in self.experiments)} |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Measured:
    """One experiment on prepared images."""

    name: str
    experiment: Experiment
    workspace: Workspace
    entries: list[Entry]
    device: torch.device
    effort: Effort
    table: Table

    @property
    def autocast(self) -> torch.dtype | None:
        """What ``precision: auto`` computes in; on a processor float32."""
        return AUTOCAST[choose_precision("auto", self.device, lambda _: 1.0)[0]]

    def network(self) -> nn.Module:
        """Return an untrained network on the device."""
        return place(build_model(self.experiment, HAND_BONE, pretrained=False), self.device)

    def dataset(self, model: nn.Module) -> TrainingSet:
        """Return the draws for a network."""
        sharers = loading_processes(self.experiment)
        options = {"stride": stride_of(model), "sharers": sharers}
        dataset = TrainingSet(self.entries, self.workspace, HAND_BONE, self.experiment, **options)
        dataset.share(self.entries, self.workspace.grids_folder())
        return dataset

    def loader(self, dataset: TrainingSet) -> Iterator[Batch]:
        """Yield batches without end."""
        sampler = fold_sampler(dataset.canvases, self.experiment.train, 0)
        loader = training_loader(dataset, sampler, self.experiment)
        while True:
            yield from loader


def measure_training(run: Measured) -> float:
    """Time training steps on one batch that was loaded before; return the seconds of the usual one."""
    model = run.network()
    dataset = run.dataset(model)
    batch = next(run.loader(dataset))
    loss = get_loss(run.experiment.train.loss)

    def plain(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return loss(logits, targets)  # another function than the one that has a fused form

    usual = 0.0
    ways: list[tuple[str, Loss, Literal["auto"] | bool]] = [
        ("usual", loss, "auto"),
        ("plain loss", plain, "auto"),
        ("deterministic", loss, True),
    ]
    for way, own_loss, deterministic in ways:
        make_deterministic(deterministic, run.device, fixed_shapes=True)
        step = training_step(run, model, dataset.factor, own_loss)
        row = f"a step of the experiment's batch, {way}"
        try:
            seconds, memory = timed(partial(step, batch), run)
        except torch.OutOfMemoryError:
            run.table.put(row, run.name, "memory is short")
            torch.cuda.empty_cache()
            continue
        usual = usual or seconds
        run.table.put(row, run.name, f"{1000 * seconds:.0f} ms, {memory / 1024:.1f} GB")
    make_deterministic("auto", run.device, fixed_shapes=True)
    return usual


def training_step(run: Measured, model: nn.Module, factor: int, loss: Loss) -> Callable[[Batch], None]:
    """Return a whole step: loss, gradients, weights."""
    model.train()
    optimizer = make_optimizer(model, run.experiment.train)

    def step(batch: Batch) -> None:
        optimizer.zero_grad(set_to_none=True)
        batch_loss(model, batch, factor, CLASSES, loss, run.autocast).backward()
        optimizer.step()

    return step


def timed(step: Callable[[], None], run: Measured) -> tuple[float, float]:
    """Return the mean seconds of a step, and the most memory in MB that was held."""
    for _ in range(2):
        step()
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = now(run.device)
    for _ in range(run.effort.steps):
        step()
    seconds = (now(run.device) - start) / run.effort.steps
    memory = torch.cuda.max_memory_allocated() / MB if run.device.type == "cuda" else peak_memory_mb()
    return seconds, memory


def now(device: torch.device) -> float:
    """Return the time once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure_loading(run: Measured, step_seconds: float) -> None:
    """Time batches alone and with steps, and what share of the time the card computes."""
    model = run.network()
    dataset = run.dataset(model)
    batches = run.loader(dataset)
    next(batches)  # the processes have started
    start = time.perf_counter()
    for _ in islice(batches, run.effort.loaded):
        pass
    alone = (time.perf_counter() - start) / run.effort.loaded
    run.table.put("loading a batch, alone", run.name, f"{1000 * alone:.0f} ms")
    if not step_seconds:
        return
    step = training_step(run, model, dataset.factor, get_loss(run.experiment.train.loss))
    for batch in islice(batches, 2):
        step(batch)
    start = now(run.device)
    for batch in islice(batches, run.effort.loaded):
        step(batch)
    both = (now(run.device) - start) / run.effort.loaded
    run.table.put("a step with loading", run.name, f"{1000 * both:.0f} ms")
    run.table.put("share of the time that the card computes", run.name, f"{min(1.0, step_seconds / both):.0%}")


def measure_validation(run: Measured) -> None:
    """Time the counts of held-out images, on the device and from whole maps packed into bits on the processor."""
    model = run.network().eval()
    predictor = make_predictor([model], run.experiment, HAND_BONE, run.workspace, run.autocast)
    held_out = [run.entries[number % len(run.entries)] for number in range(run.effort.validated)]
    predict_counts(predictor, held_out[0], PLAIN, read_truth(run, held_out[0]))  # warms up
    ways = [("counted on the device", partial(count_ahead, run, predictor, held_out))]
    ways += [("whole maps, packed and counted", partial(count_maps, run, predictor, held_out))]
    found = []
    for way, count in ways:
        start = now(run.device)
        found.append(count())
        seconds = (now(run.device) - start) / len(held_out)
        run.table.put(f"validation of an image, {way}", run.name, f"{1000 * seconds:.0f} ms")
    differing = np.count_nonzero(found[0] != found[1])
    run.table.put("counts that differ", run.name, f"{differing} of {found[0].size}")


def measure_prediction(run: Measured) -> None:
    """Put what ./run.sh doctor says of a step beside the measured ones."""
    machine, draws = this_machine(), work_of(run.experiment, HAND_BONE, run.workspace, None).draws
    cost = cost_of(run.experiment, HAND_BONE, draws, machine)
    timing = time_two_sizes(open_trial(run.experiment, HAND_BONE, machine.precision, run.device), draws)
    # Its reserve is for what the allocator does not count.
    needed = machine.needed(cost) - (CARD_RESERVE if machine.on_cuda else 0)
    cell = f"{1000 * timing.full:.0f} ms, {needed / GB:.1f} GB"
    run.table.put("a step as doctor predicts it, from two smaller ones", run.name, cell)


def measure_nccl(run: Measured) -> None:
    """Time what ranks do with the gradients of a step, here one rank with itself, which must not change them."""
    if run.device.type != "cuda":
        return
    model = run.network()
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    before = [torch.clone(weight.grad) for weight in model.parameters() if weight.grad is not None]
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl", init_method=store, rank=0, world_size=1)
        ranks = Ranks(0, 2)  # it communicates as one of two does
        seconds, _ = timed(lambda: ranks.sum_gradients(model, [1.0]) and None, run)
        torch.distributed.destroy_process_group()
    after = [weight.grad for weight in model.parameters() if weight.grad is not None]
    same = all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    cell = f"{1000 * seconds:.0f} ms, {'unchanged' if same else 'CHANGED'}"
    run.table.put("gradients of a step by NCCL, one rank", run.name, cell)


def read_truth(run: Measured, entry: Entry) -> NDArray[np.uint8]:
    """Return the label planes of an image."""
    return read_label_planes(run.workspace, HAND_BONE, entry.sample)


def count_ahead(run: Measured, predictor: Predictor, held_out: list[Entry]) -> NDArray[np.int64]:
    """Return counts (n, 3, C) as training validates."""
    both = read_ahead(lambda entry: (predictor.reader.read(entry), read_truth(run, entry)), held_out)
    return np.stack([predict_counts(predictor, entry, PLAIN, truth, sample) for entry, (sample, truth) in both])


def count_maps(run: Measured, predictor: Predictor, held_out: list[Entry]) -> NDArray[np.int64]:
    """Return the same counts from maps that come to main memory."""
    counts = []
    for entry in held_out:
        predicted = pack_masks(predict_map(predictor, entry, PLAIN) > HALF_LEVEL)
        truth = read_truth(run, entry)
        overlap = intersections(predicted, truth, CLASSES)
        counts.append(np.stack([overlap, class_areas(predicted, CLASSES), class_areas(truth, CLASSES)]))
    return np.stack(counts)


def main() -> None:
    """Measure both experiments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="try the script with small networks and images")
    tiny = parser.parse_args().tiny
    device, effort = computing_device(), SMALL if tiny else FULL
    if device.type == "cpu" and not tiny:
        raise CompetitionError(
            "this measures a graphics card, and there is none", None, "Give --tiny to try the script"
        )
    table = Table(list(TINY))
    masks = draw_masks(effort.size, seed=0)
    with prepared_image(masks) as (workspace, entry):
        entries = [replace(entry, sample=f"hand{number}") for number in range(effort.images)]
        for each in entries:
            copy_file(workspace.image_file(entry.sample, VIEW), workspace.image_file(each.sample, VIEW))
            copy_file(workspace.label_file(entry.sample), workspace.label_file(each.sample))
        for name in table.experiments:
            experiment = load_experiment(EXPERIMENTS / f"{name}.yaml", [EVEN, *(TINY[name] if tiny else [])])
            run = Measured(name, experiment, workspace, entries, device, effort, table)
            measure_loading(run, measure_training(run))
            measure_validation(run)
            measure_prediction(run)
            measure_nccl(run)
    print(table.markdown(gpu_of(device) or "processor"))


if __name__ == "__main__":
    try:
        main()
    except CompetitionError as error:
        sys.exit(str(error))
