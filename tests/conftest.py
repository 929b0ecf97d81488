"""Two data sets small enough to train on in a second: images with three classes, and patients with four views."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from documented_figures import check_keys
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as run.sh does, before torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a process per core already: with two threads each, the tests of the tutorial took 113 s instead of 63 s.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from competition.data.cache import cache_sample
from competition.data.folds import Folds, read_folds, write_folds
from competition.data.manifest import Entry, Manifest, data_hash, read_manifest, write_manifest
from competition.masks.bit_planes import pack_masks
from competition.metrics.counts import DICE
from competition.metrics.tables import AUROC
from competition.settings import Experiment
from competition.submission.run_lengths.form import RunLengthForm
from competition.submission.table.form import TableForm
from competition.tracks.track import Listing, Mirror, Sample, Track
from competition.workspace import Workspace
from pipelines import context
from pipelines.__main__ import build_parser
from pipelines.executors import local

if TYPE_CHECKING:
    from competition.training.state import FoldJob


pytest_plugins = ["stage_fixtures", "reporting_fixtures", "stand_in_fixtures"]

# Files of some 25 seconds and more, longest first: with several processes the rest fills the gaps behind them.
LONG = (
    "test_parsers.py",
    "test_hand_bone.py",
    "test_readme_tutorial.py",
    "test_kills.py",
    "test_experiments.py",
    "test_bench.py",
    "test_shortcuts.py",
    "test_search_stage.py",
    "test_fold_training.py",
    "test_other_tracks.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin first; whatever is in end_to_end is marked so."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent / "end_to_end"):
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was imported and collected, a gigabyte: 330 tests took 42 s instead of 54."""
    gc.collect()
    gc.freeze()


COMMITTED_FOLD_FILE = Workspace.committed_fold_file


@pytest.fixture(scope="session", autouse=True)
def no_committed_folds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A team commits the folds of its data to folds/, where every workspace finds them; tests draw other data."""
    empty = tmp_path_factory.mktemp("uncommitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workspace, "committed_fold_file", lambda workspace: empty / f"{workspace.dataset}.csv")
        yield


@pytest.fixture
def committed_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the tests of committed folds: they are looked for where the program looks."""
    monkeypatch.setattr(Workspace, "committed_fold_file", COMMITTED_FOLD_FILE)


@dataclass(frozen=True)
class Prepared:
    """A data set as prepare leaves it.

    Attributes:
        workspace: Holds the cache and a fold file of two folds.
        track: How it was made.
        manifest: As read back.
        folds: As read back.
    """

    workspace: Workspace
    track: Track
    manifest: Manifest
    folds: Folds

    def train(self) -> list[Entry]:
        return self.manifest.of("train")

    def job(self, experiment: Experiment, folder: Path, fold: int = 0) -> "FoldJob":
        """What trains one fold in a folder."""
        # Here, because tests that need no network should not wait for torch.
        from competition.training.checkpoints import Identity
        from competition.training.state import FoldJob

        data = data_hash(self.train())
        identity = Identity(
            self.workspace.dataset, self.track.classes, experiment.hash(), self.folds.hash(), data, fold
        )
        training, held_out = self.folds.training(self.train(), fold), self.folds.held_out(self.train(), fold)
        return FoldJob(experiment, self.track, self.workspace, folder, identity, training, held_out)


def _nothing(_: Path) -> Listing:
    return Listing([])


def _hands_track() -> Track:
    return Track(
        name="tiny_hands",
        task="segmentation",
        classes=("disc", "square", "bar"),
        metric=DICE,
        form=RunLengthForm(),
        list_samples=_nothing,
        list_test=_nothing,
        read_image=np.load,
        read_label=lambda path, size_hw: pack_masks(np.load(path)),
        layout="DIR/*.npy",
        mirror=Mirror(classes=(0, 1, 2)),
    )


def _patients_track() -> Track:
    return Track(
        name="tiny_patients",
        task="classification",
        classes=("any", "left", "right"),
        metric=AUROC,
        form=TableForm(),
        list_samples=_nothing,
        list_test=_nothing,
        read_image=np.load,
        read_label=None,
        layout="DIR/*.npy",
        views=("L-A", "L-B", "R-A", "R-B"),
        mirror=Mirror(classes=(0, 2, 1), views=(2, 3, 0, 1), flipped_views=(True, False, True, False)),
        visible=((True, True, False), (True, True, False), (True, False, True), (True, False, True)),
    )


def _draw_hand(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its masks (3, H, W); every second one is smaller than 64x64 and has no bar."""
    random = np.random.default_rng(number)
    height, width = (64, 64) if number % 2 == 0 else (61, 47)
    rows, columns = np.mgrid[:height, :width]
    top, left = random.integers(4, 12, 2)
    masks = np.zeros((3, height, width), bool)
    masks[0] = np.hypot(rows - height * 0.6, columns - width * 0.5) < random.uniform(9, 14)
    masks[1, top : top + 12, left : left + 12] = True
    masks[2, 56:60, 10:54] = number % 2 == 0
    grey = 30 + 120 * masks[0] + 60 * masks[1] + 40 * masks[2] + random.normal(0, 6, (height, width))
    return np.clip(grey, 0, 255).astype(np.uint8), masks


def _draw_patient(number: int, targets: tuple[int, ...]) -> list[np.ndarray]:
    """Four views, with a bright spot in those of an affected side."""
    random = np.random.default_rng(100 + number)
    views = [random.normal(60, 10, (64, 64)) for _ in range(4)]
    for view, image in enumerate(views):
        if targets[1 + view // 2]:
            row, column = random.integers(10, 40, 2)
            image[row : row + 14, column : column + 14] += 120
    return [np.clip(image, 0, 255).astype(np.uint8) for image in views]


def _finish(root: Path, track: Track, samples: list[Sample]) -> Prepared:
    workspace = Workspace(root, track.name)
    entries = [cache_sample(workspace, track, root / "raw", sample)[0] for sample in samples]
    write_manifest(workspace, track, Manifest(root / "raw", tuple(entries)))
    groups = sorted({sample.group for sample in samples if sample.split == "train"})
    write_folds(workspace.fold_file(), {group: number % 2 for number, group in enumerate(groups)}, "made for a test")
    return Prepared(workspace, track, read_manifest(workspace, track), read_folds(workspace.fold_file()))


def _prepare_hands(root: Path) -> Prepared:
    """Ten training images of five people (folds of 6 and 4 images) and two test images."""
    (root / "raw").mkdir(parents=True)
    samples = []
    for number in range(12):
        image, masks = _draw_hand(number)
        np.save(root / "raw" / f"hand{number}.npy", image)
        train = number < 10
        if train:
            np.save(root / "raw" / f"mask{number}.npy", masks)
        samples.append(
            Sample(
                key=f"hand{number}",
                name=f"hand{number}.npy",
                split="train" if train else "test",
                group=f"person{number // 2}",
                images=(f"hand{number}.npy",),
                label=f"mask{number}.npy" if train else None,
            )
        )
    return _finish(root, _hands_track(), samples)


def _prepare_patients(root: Path) -> Prepared:
    """Eight training patients, half of them affected, and one test patient; patient 3 lacks two views."""
    (root / "raw").mkdir(parents=True)
    samples = []
    for number in range(9):
        targets = ((0, 0, 0), (0, 0, 0), (1, 1, 0), (1, 0, 1))[number % 4]
        names: list[str | None] = [f"{number}-{view}.npy" for view in _patients_track().views]
        if number == 3:
            names[0] = names[2] = None
        for name, image in zip(names, _draw_patient(number, targets), strict=True):
            if name is not None:
                np.save(root / "raw" / name, image)
        split = "train" if number < 8 else "test"
        answer = targets if split == "train" else None
        samples.append(Sample(str(number), str(number), split, str(number), tuple(names), targets=answer))
    return _finish(root, _patients_track(), samples)


@pytest.fixture
def tiny_hands(tmp_path: Path) -> Prepared:
    """Images of a segmentation track, in a workspace of the test's own."""
    return _prepare_hands(tmp_path / "hands")


@pytest.fixture
def tiny_patients(tmp_path: Path) -> Prepared:
    """Patients of a multi-view track, in a workspace of the test's own."""
    return _prepare_patients(tmp_path / "patients")


@pytest.fixture(scope="session")
def shared_hands(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Like ``tiny_hands``, shared by tests that only read it."""
    return _prepare_hands(tmp_path_factory.mktemp("shared") / "hands")


@pytest.fixture(scope="session")
def shared_patients(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Like ``tiny_patients``, shared by tests that only read it."""
    return _prepare_patients(tmp_path_factory.mktemp("shared") / "patients")


@pytest.fixture(scope="session")
def copy_prepared() -> Callable[..., Prepared]:
    """Copies a data set, with ``runs=True`` also what was trained on it, so that a test may change it."""

    def copy(prepared: Prepared, folder: Path, runs: bool = False) -> Prepared:
        shutil.copytree(prepared.workspace.root, folder, ignore=None if runs else shutil.ignore_patterns("runs"))
        workspace = Workspace(folder, prepared.workspace.dataset)
        manifest = read_manifest(workspace, prepared.track)
        return Prepared(workspace, prepared.track, manifest, read_folds(workspace.fold_file()))

    return copy


@pytest.fixture(scope="session")
def tiny_experiment() -> Callable[..., Experiment]:
    """Makes settings that train in a second; keyword arguments replace keys of the sections model, data, ...

    ``tiny_experiment(train={"epochs": 3})`` is for ``tiny_hands``, with ``multiview=True`` for ``tiny_patients``.
    """

    def make(multiview: bool = False, **sections: dict[str, object]) -> Experiment:
        model = {"architecture": "Unet", "encoder": "tu-test_resnet", "pretrained": False, "decoder_channels": [16, 8]}
        if multiview:
            model = {"architecture": "multiview", "encoder": "test_resnet", "pretrained": False}
        settings: dict[str, dict[str, object]] = {
            "model": model,
            "data": {"size": 32, "augmentation": "none", "workers": 0},
            "train": {"epochs": 2, "batch_size": 2, "precision": "fp32", "loss": "bce" if multiview else "bce_dice"},
            "predict": {},
        }
        return Experiment.model_validate({name: part | sections.get(name, {}) for name, part in settings.items()})

    return make


@pytest.fixture(scope="session")
def write_dicom() -> Callable[..., Path]:
    """Writes stored values (H, W), uint16 or int16, as a plain DICOM; keyword arguments set or replace attributes."""

    def write(path: Path, stored: np.ndarray, **attributes: object) -> Path:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
        meta.MediaStorageSOPInstanceUID = "1.2.3.4"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *stored.shape, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.PixelData = stored.tobytes()
        for name, value in attributes.items():
            setattr(dataset, name, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def stage_on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    """Runs a stage on a prepared data set, whose track is none of the tracks that are known by name."""
    monkeypatch.setattr(local, "slots", lambda *_: [{}])  # in this process, where the track is known

    def run(module: ModuleType, prepared: Prepared, *words: object, **options: object) -> dict[str, object]:
        name = module.__name__.removeprefix("pipelines.")
        monkeypatch.setattr(context, "get_track", lambda name: prepared.track)
        common = ["--workspace", str(prepared.workspace.root)]
        common += ["--no-report"] if name == "ensemble" else []  # it takes seconds, and has tests of its own
        for option, value in options.items():
            given = value if isinstance(value, list) else [value]
            common += [word for each in given for word in (f"--{option}", *([] if each is True else [str(each)]))]
        figures = module.run(build_parser(name, module).parse_args([*map(str, words), *common]))
        check_keys(name, figures, written=False)
        return figures

    return run
