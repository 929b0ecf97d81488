"""Processes that run one search: a stand-in trains, real locks and kills; and once a real training."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from competition.runs import search as search_run
from competition.runs.search import Search, run_search
from competition.training import shared_study
from competition.training.checkpoints import load_trained
from competition.training.search_space import parse_space
from competition.training.shared_study import finished_trials
from competition.workspace import last_checkpoint_file

pytestmark = pytest.mark.slow

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def search(tiny_hands, tiny_experiment, tmp_path, monkeypatch):
    """A search over the rate, in a workspace of its own."""
    monkeypatch.setattr(shared_study, "POLL_SECONDS", 0.05)
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_experiment(train={"epochs": 4, "validate_every": 1, "lr": 1e-3}).to_yaml())
    space = parse_space(["train.lr=log:1e-4:1e-2"])
    return Search("shared", tiny_hands.track, tiny_hands.workspace, path, [], space, 0)


class Trained:
    """Notes who trains what in a file, instead of training; P hangs in its second epoch while hangP is a file."""

    def __init__(self, file):
        self.file = file

    def rows(self):
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def train_fold(self, job, on_score):
        with self.file.open("a") as file:
            file.write(json.dumps([os.getpid(), job.folder.name, job.experiment.train.lr]) + "\n")
        job.folder.mkdir(parents=True, exist_ok=True)
        for epoch in range(1, 5):
            time.sleep(0.01)
            on_score(epoch, job.experiment.train.lr * epoch)
            while epoch == 2 and (self.file.parent / f"hang{os.getpid()}").exists():
                (self.file.parent / "hanging").touch()
                time.sleep(0.01)
        last_checkpoint_file(job.folder).touch()
        (job.folder / "weights.pt").touch()
        return SimpleNamespace(score=4 * job.experiment.train.lr)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    trained = Trained(tmp_path / "trained.txt")
    monkeypatch.setattr(search_run, "train_fold", trained.train_fold)
    return trained


def started(search, trials):
    process = FORK.Process(target=run_search, args=(search, trials))
    process.start()
    return process


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def study_of(search):
    """Open the study of a search that runs."""
    path = search.workspace.search_file(search.name)
    base = search.run_with([])
    return shared_study.open_study(path, search_run._made_for(search, base), 4, {}).study


def test_what_a_killed_process_trained_is_continued_once_by_another(search, trained, tmp_path):
    first = started(search, 8)
    (tmp_path / f"hang{first.pid}").touch()
    wait_for((tmp_path / "hanging").exists)
    (number,) = (trial.number for trial in study_of(search).trials if trial.state.name == "RUNNING")
    second = started(search, 8)
    wait_for(lambda: len(finished_trials(study_of(search))) == 7)
    assert second.is_alive()
    os.kill(first.pid, signal.SIGKILL)
    second.join(30)
    first.join(30)
    assert second.exitcode == 0
    rows = trained.rows()
    killed = [row for row in rows if row[0] == first.pid][-1]
    assert [row[0] for row in rows if row[1] == killed[1]] == [first.pid, second.pid]
    folders = [row[1] for row in rows]
    assert len(folders) - 1 == len(set(folders)) == 8
    trials = study_of(search).trials
    assert [trial.number for trial in trials] == list(range(8))
    assert f"{trials[number].params['train.lr']:.3g}" == f"{killed[2]:.3g}"
    # Its scores of the first two epochs were reported before.
    assert len(trials[number].intermediate_values) >= 2
    result = run_search(search, 8)
    assert len(result.ended) == 8
    assert len(trained.rows()) == 9


def test_settings_that_two_processes_draw_are_trained_by_one(search, trained, tmp_path, capfd):
    search = replace(search, space=parse_space(["train.batch_size=2|4"]))
    first = started(search, 4)
    (tmp_path / f"hang{first.pid}").touch()
    wait_for((tmp_path / "hanging").exists)
    second = started(search, 4)
    wait_for(lambda: len(study_of(search).trials) >= 2)
    said = ""
    # Within four trials of two settings the second draws what the first trains.
    for _ in range(200):
        said += capfd.readouterr().out
        if "another process trains the same settings: waiting for its score" in said or not second.is_alive():
            break
        time.sleep(0.05)
    (tmp_path / f"hang{first.pid}").unlink()
    first.join(30)
    second.join(30)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert "another process trains the same settings: waiting for its score" in said
    folders = [row[1] for row in trained.rows()]
    assert len(folders) == len(set(folders)) == 2
    assert len(finished_trials(study_of(search))) == 4


def test_a_training_that_was_interrupted_ends_with_the_same_weights(search, monkeypatch):
    monkeypatch.setattr("competition.training.loop.CHECKPOINT_SECONDS", 0.0)
    whole = replace(search, name="whole")
    expected = run_search(whole, 1)
    original = search_run.train_fold

    def interrupted(job, on_score):
        def scored(epoch, score):
            on_score(epoch, score)
            if epoch == 3:
                raise KeyboardInterrupt

        return original(job, scored)

    with monkeypatch.context() as patch:
        patch.setattr(search_run, "train_fold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_search(search, 1)
    result = run_search(search, 1)
    assert result.best.params == expected.best.params
    assert result.best.intermediate_values == expected.best.intermediate_values
    folders = [
        next(search.workspace.trial_folder(name, "x").parent.glob("*/weights.pt")) for name in ("whole", "shared")
    ]
    first, second = (load_trained(path) for path in folders)
    assert first.score == second.score == result.best.value
    assert all((first.weights[name] == second.weights[name]).all() for name in first.weights)
