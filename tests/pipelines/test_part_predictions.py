"""The parts of a test set give the same bytes as the whole: as processes of their own, one by one, and as tables."""

import os
from pathlib import Path

import pytest
import torch

import competition.prediction.store as store
import pipelines.ensemble
from competition.data.manifest import read_manifest, write_manifest
from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_scores
from competition.tracks import get_track
from pipelines import part_predictions
from pipelines.executors.local import LocalExecutor
from pipelines.executors.task import Task

pytestmark = pytest.mark.slow


@pytest.fixture
def one_thread():
    """As the processes of parts have on two cores: the number of threads changes the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stored_maps(workspace) -> dict[str, bytes]:
    """Sample -> bytes of its map in the folder of the whole test set, which is the largest."""
    folders = workspace.run_folder("quick").glob("test/*/")
    return max(({path.name: path.read_bytes() for path in folder.glob("*.b2")} for folder in folders), key=len)


def forget_predictions(workspace) -> None:
    workspace.run_folder("quick").joinpath("test").rename(workspace.root / "kept")


@pytest.fixture
def whole(stage, hands_with_run, one_thread) -> dict[str, bytes]:
    """The maps of an ensemble without parts, which are no longer there; the decision is."""
    stage("tune", "--members", "quick", "--name", "quick")
    stage("ensemble", "--decision", "quick")
    maps = stored_maps(hands_with_run)
    assert len(maps) == 2
    forget_predictions(hands_with_run)
    return maps


@pytest.fixture
def track_file(tmp_path, hands_with_run) -> Path:
    """A file that makes the track known to processes that are started; the data is prepared for it."""
    tests = Path(__file__).parent.parent
    path = tmp_path / "tiny_hands.py"
    lines = ("import sys", f"sys.path.append({str(tests)!r})", "import conftest", "TRACK = conftest._hands_track()")
    path.write_text("\n".join(lines))
    prepared = read_manifest(hands_with_run, pipelines.context.get_track(""))
    write_manifest(hands_with_run, get_track(str(path)), prepared)
    return path


def test_two_processes_predict_the_same_bytes(whole, track_file, stage, hands_with_run, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setattr(store, "predict_map", lambda *_: pytest.fail("in this process"))
    monkeypatch.setattr(pipelines.context, "get_track", get_track)
    figures, said = stage("ensemble", "--decision", "quick", "--track", track_file, "--parts", "2")
    assert "running 2 tasks at once, one per core" in said
    assert "2 of 2 test samples were predicted before, with the same pictures" in said
    assert stored_maps(hands_with_run) == whole
    assert figures["samples"] == 2


def test_parts_that_are_predicted_one_by_one_are_taken_over(whole, stage, hands_with_run, monkeypatch):
    for part in ("1/2", "2/2"):
        figures, said = stage("ensemble", "--decision", "quick", "--part", part)
        assert (figures["samples"], figures["submission"]) == (1, None)
        assert f"part {part}: 1 test sample predicted" in said
    monkeypatch.setattr(store, "predict_map", lambda *_: pytest.fail("it is there"))
    stage("ensemble", "--decision", "quick")
    assert stored_maps(hands_with_run) == whole
    monkeypatch.setattr(LocalExecutor, "run", lambda *_: pytest.fail("nothing is left to predict"))
    stage("ensemble", "--decision", "quick", "--parts", "2")


def test_parts_of_a_table_give_the_same_scores(stage, patients_with_run, shared_patients, one_thread, monkeypatch):
    entries = read_manifest(patients_with_run, shared_patients.track).of("train")[:3]  # the test has one patient
    monkeypatch.setattr(pipelines.ensemble, "find_test_samples", lambda *given: (patients_with_run, entries[given[4]]))
    stage("tune", "--members", "quick", "--name", "quick")
    runs, classes = patients_with_run.run_folder("quick") / "test", shared_patients.track.classes

    def scores(samples):
        folders = [path.parent for path in runs.glob("*/scores.parquet")]
        found = max(folders, key=lambda folder: (folder / "index.json").stat().st_size)
        return read_scores(found, samples, classes).tobytes()

    def predict():
        stage("ensemble", "--decision", "quick", "--part", "1/1")
        return scores([entry.sample for entry in entries])

    alone = predict()
    runs.rename(patients_with_run.root / "kept")
    for part in ("1/2", "2/2"):
        stage("ensemble", "--decision", "quick", "--part", part)
    monkeypatch.setattr(store, "predict_scores", lambda *_: pytest.fail("it is there"))
    assert predict() == alone


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--part", "3/2"], "--part takes K/N with K of 1..N, such as 2/4, not '3/2'"),
        (["--part", "0/2"], "--part takes K/N"),
        (["--part", "2"], "--part takes K/N"),
        (["--part", "1/2", "--parts", "2"], "--part 1/2 is predicted in this process. Leave out --parts and --on"),
        (["--part", "1/2", "--on", "ray"], "--part 1/2 is predicted in this process"),
        (["--parts", "0"], "--parts 0: a test set has at least one part"),
        (["--on", "slrum"], "--on 'slrum': there is no such place to run on, did you mean 'slurm'?"),
    ],
)
def test_wrong_parts_are_rejected(stage, refusal, hands_with_run, words, sentence):
    if not hands_with_run.decision_file("quick").exists():
        stage("tune", "--members", "quick", "--name", "quick")
    assert sentence in refusal("ensemble", "--decision", "quick", *words)[0]


def test_there_are_as_many_parts_as_gpus_and_eight_jobs(stage, hands_with_run, monkeypatch):
    stage("tune", "--members", "quick", "--name", "quick")
    asked: list[list[Task]] = []

    class Recorder:
        def run(self, tasks):
            asked.append(list(tasks))
            raise CompetitionError("that is all")

    monkeypatch.setattr(part_predictions, "open_executor", lambda *_: Recorder())
    hands = read_manifest(hands_with_run, pipelines.context.get_track("")).of("train")  # ten of them
    monkeypatch.setattr(pipelines.ensemble, "find_test_samples", lambda *_: (hands_with_run, hands))

    def parts(*words, gpus=0):
        monkeypatch.setattr(part_predictions, "visible_gpus", lambda: [str(number) for number in range(gpus)])
        with pytest.raises(AssertionError):
            stage("ensemble", "--decision", "quick", "--folds", "0", *words)
        return asked.pop()

    assert len(parts(gpus=3)) == 3
    assert len(parts("--on", "ray")) == 8
    assert len(parts("--on", "slurm", "--parts", "20")) == 10
    tasks = parts("--parts", "2", "--test", "later", "--fill-bad")
    assert [task.name for task in tasks] == ["part 1 of 2", "part 2 of 2"]
    root = hands_with_run.root
    assert " ".join(tasks[1].command) == (
        f"ensemble --track hand_bone --decision quick --part 2/2 --folds 0 --test later --workspace {root} --fill-bad"
    )
