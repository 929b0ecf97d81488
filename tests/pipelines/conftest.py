"""Small data sets with a trained run and another team's predictions of them, in a workspace of each test's own."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import pipelines.context
from competition.data.manifest import Entry
from competition.prediction.probability_maps import MapFolder, write_index, write_map
from competition.runs.fold_training import train_one
from competition.runs.run import Run
from competition.settings import Experiment
from competition.workspace import Workspace


def _train_folds(prepared, experiment: Experiment) -> Path:
    """Trains the run quick of both folds; gives the root of its workspace."""
    run = Run("quick", prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)
    for fold in (0, 1):
        train_one(run, fold, force=False)
    return prepared.workspace.root


@pytest.fixture(scope="session")
def trained_hands(shared_hands, copy_prepared, tiny_experiment, tmp_path_factory) -> Path:
    """The root of a workspace whose run quick has learned something about hands."""
    experiment = tiny_experiment(train={"epochs": 8, "lr": 1e-2}, model={"prior": 0.3})
    return _train_folds(copy_prepared(shared_hands, tmp_path_factory.mktemp("trained") / "hands"), experiment)


@pytest.fixture(scope="session")
def trained_patients(shared_patients, copy_prepared, tiny_experiment, tmp_path_factory) -> Path:
    """Likewise of patients."""
    experiment = tiny_experiment(multiview=True)
    return _train_folds(copy_prepared(shared_patients, tmp_path_factory.mktemp("trained") / "patients"), experiment)


@pytest.fixture
def hands_with_run(trained_hands, shared_hands, tmp_path, monkeypatch) -> Workspace:
    """A workspace of the test's own with the run quick; its track is known to ``stage`` and ``refusal``."""
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: shared_hands.track)
    shutil.copytree(trained_hands, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace", "tiny_hands")


@pytest.fixture
def patients_with_run(trained_patients, shared_patients, tmp_path, monkeypatch) -> Workspace:
    """Likewise of patients."""
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: shared_patients.track)
    shutil.copytree(trained_patients, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace", "tiny_patients")


@pytest.fixture
def hand_entries(shared_hands) -> dict[str, list[Entry]]:
    """Split -> its samples."""
    return {split: shared_hands.manifest.of(split) for split in ("train", "test")}


@pytest.fixture(scope="session")
def noise() -> Callable[[Entry], np.ndarray]:
    """Another team's map of a hand: levels outside of the dead zone, the same at every call."""

    def draw(entry: Entry) -> np.ndarray:
        random = np.random.default_rng([*entry.sample.encode()])
        return random.integers(4, 252, (3, entry.height, entry.width), dtype=np.uint8)

    return draw


@pytest.fixture(scope="session")
def write_maps(shared_hands) -> Callable[..., Path]:
    """Writes maps in our form, by default with the track's classes in their order."""

    def write(
        folder: Path, entries: Sequence[Entry], predict: Callable[[Entry], np.ndarray], order: Sequence[int] = (0, 1, 2)
    ) -> Path:
        for entry in entries:
            write_map(folder, entry.sample, predict(entry)[list(order)])
        classes = tuple(shared_hands.track.classes[index] for index in order)
        write_index(folder, MapFolder(classes, tuple(entry.sample for entry in entries), {}))
        return folder

    return write


@pytest.fixture
def float_arrays(hand_entries, noise, tmp_path) -> tuple[Path, Path]:
    """The folders oof and test with sound float32 predictions of another team's, which a test may break."""
    for name, split in (("oof", "train"), ("test", "test")):
        (tmp_path / name).mkdir()
        for entry in hand_entries[split]:
            np.save(tmp_path / name / f"{entry.sample}.npy", (noise(entry) / 255).astype(np.float32))
    return tmp_path / "oof", tmp_path / "test"


@pytest.fixture
def new_hands(shared_hands, tmp_path):
    """A folder of three pictures, of two sizes."""
    folder = tmp_path / "new"
    folder.mkdir()
    for number in (1, 10, 11):
        shutil.copy(shared_hands.workspace.root / "raw" / f"hand{number}.npy", folder)
    return folder
