"""What the loader makes of draws: batches, and the processes and memory it takes."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import blosc2
import numpy as np
import pytest
import torch
from mixed_samples import KNEE, VESSELS, entries, epochs, experiment, patients, write_samples

from competition.data.datasets import Drawn, TrainingSet
from competition.data.draw_sampler import DrawSampler
from competition.data.loader import fitting_processes, loading_processes, training_loader
from competition.machine import AT_ONCE, MB
from competition.masks.stored_arrays import write_array
from competition.settings import Experiment
from competition.tracks.hand_bone.track import HAND_BONE
from competition.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_samples(tmp_path)


def test_a_batch_stacks_its_draws_in_order(workspace: Workspace) -> None:
    batch = epochs(workspace, experiment(), [0])[0]
    assert batch.planes is not None
    assert batch.targets is None
    assert (batch.images.shape, batch.images.dtype) == ((2, 1, 1, 40, 30), torch.uint8)
    assert (batch.planes.shape, batch.planes.dtype) == ((2, 40, 30, 1), torch.uint8)
    assert batch.present.tolist() == [[True]] * 2
    assert (batch.mean.tolist(), batch.std.tolist()) == ([[80.5]] * 2, [[60.25]] * 2)
    settings = experiment(augmentation="none", size=16)
    dataset = TrainingSet(patients(), workspace, VESSELS, settings)
    loader = training_loader(dataset, DrawSampler(dataset.canvases, 2, 1, 0), settings)
    batch = next(iter(loader))
    assert batch.planes is None
    assert batch.targets is not None
    assert (batch.images.shape, batch.targets.shape, batch.targets.dtype) == ((2, 8, 1, 16, 16), (2, 22), torch.float32)
    assert (batch.mean.shape, batch.std.shape, batch.mean.dtype) == ((2, 8), (2, 8), torch.float32)


def test_the_number_of_loading_processes_is_the_one_asked_for() -> None:
    assert [loading_processes(experiment(workers)) for workers in (0, 3)] == [0, 3]
    if not torch.cuda.is_available():
        assert loading_processes(Experiment()) == 0  # loading would only take cores from the training


def test_folds_that_train_at_once_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("competition.machine.cores", lambda: 16)
    assert loading_processes(Experiment()) == 8
    for folds, processes in (("2", 7), ("4", 3), ("16", 0), ("64", 0)):
        monkeypatch.setenv(AT_ONCE, folds)
        assert loading_processes(Experiment()) == processes
    monkeypatch.setenv(AT_ONCE, "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # torchrun's, of each fold
    assert loading_processes(Experiment()) == 3


def test_loading_processes_fit_into_the_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=64 * MB))  # a container's
    assert fitting_processes(8, 2 * MB, tmp_path) == 8
    assert not capsys.readouterr().out
    assert fitting_processes(8, 5 * MB, tmp_path) == 4
    assert "holds batches of 5 MB for 4 of 8 loading processes; in Docker give --shm-size 1g" in capsys.readouterr().out
    assert fitting_processes(8, 500 * MB, tmp_path) == 0
    assert "--shm-size 12g" in capsys.readouterr().out
    assert fitting_processes(8, 500 * MB, tmp_path / "none") == 8  # not Linux
    assert fitting_processes(0, 500 * MB, tmp_path) == 0


def test_the_bytes_of_a_draw_are_those_of_its_arrays(workspace: Workspace) -> None:
    for settings in (experiment(), experiment(crop=16), experiment(augmentation="none", size=16)):
        dataset = TrainingSet(entries(), workspace, KNEE, settings)
        draws = [dataset[index, 7] for index in range(len(dataset))]
        assert dataset.draw_bytes() == max(draw.images.nbytes + draw.planes.nbytes for draw in draws)


def test_all_tensors_of_a_batch_are_pinned(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = epochs(workspace, experiment(), [0])[0]
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    assert vars(batch.pin_memory()) == vars(batch)
    assert len(pinned) == 5  # images, planes, present, mean and std


class Threads(TrainingSet):
    """Draws whose mean is the number of threads that decompress a large array."""

    def __getitem__(self, draw: tuple[int, int]) -> Drawn:
        path = self._reader.workspace.root / "large.b2"
        threads = blosc2.open(str(path), mode="r").schunk.dparams.nthreads
        drawn = super().__getitem__(draw)
        return replace(drawn, mean=np.full_like(drawn.mean, threads))


def test_loading_processes_use_one_thread(workspace: Workspace) -> None:
    settings = experiment(2)
    write_array(workspace.root / "large.b2", np.zeros((6 << 20,), np.uint8))
    assert blosc2.open(str(workspace.root / "large.b2"), mode="r").schunk.dparams.nthreads == blosc2.nthreads
    dataset = Threads(entries(), workspace, KNEE, settings)
    loader = training_loader(dataset, DrawSampler(dataset.canvases, 2, 1, 0), settings)
    assert all(batch.mean.unique().tolist() == [1.0] for batch in loader)


def test_a_batch_of_two_crops_of_full_size_hands_takes_11_mb(tmp_path: Path) -> None:
    """As 29 float masks it would take 243 MB."""
    hands = Workspace(tmp_path, "hand_bone")
    for sample in ("one", "other"):
        write_array(hands.image_file(sample, HAND_BONE.views[0]), np.zeros((2048, 2048), np.uint8))
        write_array(hands.label_file(sample), np.zeros((2048, 2048, 4), np.uint8))
    base = replace(entries()[0], height=2048, width=2048, targets=(1,) * 29)
    both = [replace(base, sample=sample) for sample in ("one", "other")]
    data = {"size": 2048, "crop": 1024, "oversample": 1, "augmentation": "none", "workers": 0}
    settings = Experiment.model_validate({"data": data, "train": {"batch_size": 2}})
    dataset = TrainingSet(both, hands, HAND_BONE, settings)
    (batch,) = training_loader(dataset, DrawSampler(dataset.canvases, 2, 1, 0), settings)
    held = sum(value.nbytes for value in vars(batch).values() if isinstance(value, torch.Tensor))
    assert batch.planes.shape == (2, 1024, 1024, 4)
    assert 10 * MB < held < 11 * MB
