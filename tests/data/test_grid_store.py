"""Samples in a mapped file are those that the reader brings to the grid, for all processes that share it."""

import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mixed_samples import KNEE, VESSELS, entries, epochs, experiment, patients, write_samples

from competition import plugins
from competition.data import datasets, grid_store
from competition.data.boxes import Box
from competition.data.datasets import TrainingSet
from competition.data.grid import GridReader
from competition.data.grid_store import ENDING, share_grids
from competition.data.preprocessing import PREPROCESSINGS
from competition.errors import CompetitionError
from competition.settings import Experiment
from competition.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_samples(tmp_path)


def files(workspace: Workspace) -> list[Path]:
    return sorted(workspace.grids_folder().glob(f"*{ENDING}"))


def assert_same_draws(one: TrainingSet, other: TrainingSet) -> None:
    for index in range(len(one)):
        first, second = one[index, 7], other[index, 7]
        assert first.images.tobytes() == second.images.tobytes()
        assert (first.planes is None) == (second.planes is None)
        assert first.planes is None or first.planes.tobytes() == second.planes.tobytes()  # type: ignore[union-attr]
        assert (first.mean.tolist(), first.std.tolist()) == (second.mean.tolist(), second.std.tolist())


@pytest.mark.parametrize("crop", [None, 16])
def test_draws_are_those_without_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, crop: int | None) -> None:
    settings = experiment(augmentation="strong", crop=crop, copy_paste=0.5)
    plain, shared = (TrainingSet(entries(), workspace, KNEE, settings) for _ in range(2))
    shared.share(entries(), workspace.grids_folder())
    assert not files(workspace)  # all of it fits into memory
    monkeypatch.setattr(datasets, "MEMORY_BUDGET_BYTES", 0)
    shared = TrainingSet(entries(), workspace, KNEE, settings)
    shared.share(entries(), workspace.grids_folder())
    assert len(files(workspace)) == 1
    assert_same_draws(plain, shared)


def test_views_of_patients_too(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = experiment(augmentation="none", size=16)
    plain = TrainingSet(patients(), workspace, VESSELS, settings)
    monkeypatch.setattr(datasets, "MEMORY_BUDGET_BYTES", 0)
    shared = TrainingSet(patients(), workspace, VESSELS, settings)
    shared.share(patients(), workspace.grids_folder())
    assert_same_draws(plain, shared)


def test_loading_processes_draw_from_one_file(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [batch.images.numpy().tobytes() for batch in epochs(workspace, experiment(0), [0])]
    original = TrainingSet.__init__

    def sharing(self: TrainingSet, *words: object, **named: object) -> None:
        original(self, *words, **named)  # type: ignore[arg-type]
        self.share(entries(), workspace.grids_folder())

    monkeypatch.setattr(datasets, "MEMORY_BUDGET_BYTES", 0)
    monkeypatch.setattr(TrainingSet, "__init__", sharing)
    assert [batch.images.numpy().tobytes() for batch in epochs(workspace, experiment(2), [0])] == alone
    assert len(files(workspace)) == 1


def reader(workspace: Workspace, **options: object) -> GridReader:
    return GridReader(workspace, KNEE, 20, **options)  # type: ignore[arg-type]


def test_every_grid_has_a_file_and_earlier_data_none(workspace: Workspace) -> None:
    share_grids(reader(workspace), entries(), workspace.grids_folder())
    (first,) = files(workspace)
    written = first.stat().st_mtime_ns
    share_grids(reader(workspace), entries(), workspace.grids_folder())
    assert first.stat().st_mtime_ns == written
    boxes = dict.fromkeys((entry.sample for entry in entries()), Box(2, 3, 12, 23))
    for options in ({"finer": 2}, {"preprocessing": ("clahe",)}, {"boxes": boxes}):
        share_grids(reader(workspace, **options), entries(), workspace.grids_folder())
    assert len(files(workspace)) == 4
    changed = [replace(entry, pixels="changed") for entry in entries()]
    share_grids(reader(workspace), changed, workspace.grids_folder())
    assert len(files(workspace)) == 1
    assert first not in files(workspace)


@pytest.mark.parametrize("preprocess", [(), ("shifted",)])
def test_a_changed_plugin_counts_where_it_can_change_pixels(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preprocess: tuple[str, ...]
) -> None:
    plugin = tmp_path / "mine.py"
    for shift in (10, 100):  # texts of different length, because Python keeps compiled files of a second
        plugin.write_text(
            f"from competition.data.preprocessing import PREPROCESSINGS\n"
            f"PREPROCESSINGS['shifted'] = lambda picture: picture // 2 + {shift}\n"
        )
        monkeypatch.setattr(plugins, "_LOADED", {})  # as a new process has it
        monkeypatch.setitem(PREPROCESSINGS, "shifted", np.copy)
        data = {"size": 20, "augmentation": "none", "preprocess": preprocess}
        settings = Experiment.model_validate({"plugins": [str(plugin)], "data": data})
        plain, shared = (TrainingSet(entries(), workspace, KNEE, settings) for _ in range(2))
        monkeypatch.setattr(shared._reader, "budget_bytes", 0)
        shared.share(entries(), workspace.grids_folder())
        assert_same_draws(plain, shared)
    assert len(files(workspace)) == 1 + len(preprocess)


def test_pixels_of_other_code_are_made_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    share_grids(reader(workspace), entries(), workspace.grids_folder())
    (first,) = files(workspace)
    monkeypatch.setattr(grid_store, "source_hash", lambda *folders: "another")
    share_grids(reader(workspace), entries(), workspace.grids_folder())
    (second,) = files(workspace)
    assert second != first


def _share(root: Path, found: "multiprocessing.Queue[bytes]") -> None:
    workspace = Workspace(root, "mixed")
    store = share_grids(reader(workspace), entries(), workspace.grids_folder())
    assert store is not None
    found.put(store.pixels.tobytes())


def test_processes_that_start_at_once_write_one_file(workspace: Workspace) -> None:
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[bytes] = context.Queue()
    started = [context.Process(target=_share, args=(workspace.root, found)) for _ in range(3)]
    for process in started:
        process.start()
    contents = {found.get(timeout=60) for _ in started}
    for process in started:
        process.join()
    assert len(contents) == 1
    assert len(files(workspace)) == 1


def test_the_size_is_known_before(workspace: Workspace) -> None:
    for entry in entries():
        for finer in (1, 2):
            of_grid = reader(workspace, finer=finer)
            assert of_grid.sample_bytes(entry) == of_grid.load(entry).nbytes()
    vessels = GridReader(workspace, VESSELS, 16)
    assert vessels.sample_bytes(patients()[0]) == vessels.load(patients()[0]).nbytes()


def test_on_a_full_disk_samples_are_read_as_before(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    assert share_grids(reader(workspace), entries(), workspace.grids_folder()) is None
    assert "training grid (0 MB): decoding samples in every epoch" in capsys.readouterr().out
    assert not files(workspace)


def test_a_changed_byte_is_noticed(workspace: Workspace) -> None:
    share_grids(reader(workspace), entries(), workspace.grids_folder())
    (path,) = files(workspace)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match=r"damaged .*\.grids\. Delete it; it is made again"):
        share_grids(reader(workspace), entries(), workspace.grids_folder())


def test_arrays_are_parts_of_the_file_and_read_only(workspace: Workspace) -> None:
    store = share_grids(reader(workspace), entries(), workspace.grids_folder())
    assert store is not None
    sample = store.read("s0")
    assert sample is not None
    assert sample.planes is not None
    for array in (*sample.images, sample.planes):
        assert np.shares_memory(array, store.pixels)
        assert not array.flags.writeable
    assert store.read("unknown") is None


def test_an_experiment_that_fits_needs_no_file(workspace: Workspace) -> None:
    dataset = TrainingSet(entries(), workspace, KNEE, Experiment.model_validate({"data": {"size": 20}}), sharers=8)
    dataset.share(entries(), workspace.grids_folder())
    assert not files(workspace)
