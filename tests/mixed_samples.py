"""Small samples of two kinds to draw from: images with a label, and patients of several views."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from competition.data.datasets import TrainingSet
from competition.data.draw_sampler import DrawSampler
from competition.data.loader import Batch, training_loader
from competition.data.manifest import Entry
from competition.masks.bit_planes import pack_masks
from competition.masks.stored_arrays import write_array
from competition.settings import Experiment
from competition.tracks import get_track
from competition.workspace import Workspace

KNEE, VESSELS = get_track("knee"), get_track("aneurysm")
SAMPLES = 5


def write_samples(folder: Path) -> Workspace:
    """Five images of 40x30 whose label is what is brighter than 127, and two patients of eight 16x16 views."""
    workspace = Workspace(folder, "mixed")
    random = np.random.default_rng(0)
    for number in range(SAMPLES):
        mask = np.zeros((40, 30), bool)
        top, left = random.integers(2, 15, 2)
        mask[top : top + 18, left : left + 12] = True
        write_array(workspace.image_file(f"s{number}", "image"), np.where(mask, 230, 20 + number).astype(np.uint8))
        write_array(workspace.label_file(f"s{number}"), pack_masks(mask[None]))
    for patient in range(2):
        for number, view in enumerate(VESSELS.views):
            image = np.full((16, 16), 10 * number + 100 * patient, np.uint8)
            image[:, 0] = 255
            write_array(workspace.image_file(f"p{patient}", view), image)
    return workspace


def entries() -> list[Entry]:
    first = Entry("s0", "s0.png", "train", "g", "", (True,), 40, 30, (80.5,), (60.25,), (1,), "", "", "")
    return [replace(first, sample=f"s{number}") for number in range(SAMPLES)]


def patients() -> list[Entry]:
    targets = (1, *[number % 2 for number in range(21)])
    mean, std = tuple(float(view) for view in range(8)), tuple(view + 0.5 for view in range(8))
    first = Entry("p0", "0", "train", "0", "", (True,) * 7 + (False,), 16, 16, mean, std, targets, "", "", "")
    return [first, replace(first, sample="p1")]


def experiment(workers: int = 0, **data: object) -> Experiment:
    train = {"batch_size": 2, "repeats": 2}
    return Experiment.model_validate(
        {"data": {"size": 20, "oversample": 2, "flip": True, "workers": workers} | data, "train": train}
    )


def epochs(workspace: Workspace, settings: Experiment, numbers: list[int]) -> list[Batch]:
    """All batches of these epochs, from one loader as the training loop has it."""
    dataset = TrainingSet(entries(), workspace, KNEE, settings)
    sampler = DrawSampler(dataset.canvases, settings.train.batch_size, settings.train.repeats, seed=3)
    loader = training_loader(dataset, sampler, settings)
    batches = []
    for number in numbers:
        sampler.set_epoch(number)
        batches += list(loader)
    return batches
