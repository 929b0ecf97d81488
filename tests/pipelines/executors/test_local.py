"""Real processes throughout: a small function takes the place of the training, the rest is the pipeline's own."""

import argparse
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from competition.errors import CompetitionError
from competition.machine import AT_ONCE
from competition.workspace import REPOSITORY
from pipelines.executors import local
from pipelines.executors.local import at_once, run_in_processes, slots, threads
from pipelines.executors.task import WORKER, Task, end_with_starter
from pipelines.train import fold_command

pytestmark = pytest.mark.slow


def tasks(folder, folds, finished=(), **changes):
    options = {
        "track": "knee",
        "experiment": None,
        "name": None,
        "tracker": None,
        "workspace": str(folder),
        "set": None,
    }
    args = argparse.Namespace(**options | {"phantom": False, "force": False, "debug": False} | changes)
    return [
        Task(f"fold {fold}", fold_command(args, fold), lambda: pytest.fail("in this process"), fold in finished)
        for fold in folds
    ]


@pytest.mark.parametrize(
    ("folds", "cores", "places", "share"),
    [(1, 2, 1, 2), (2, 2, 2, 1), (5, 2, 2, 1), (5, 4, 4, 1), (5, 16, 5, 3), (2, 1, 1, 1)],
)
def test_cores_are_shared_out_where_there_is_no_gpu(monkeypatch, folds, cores, places, share):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    assert slots(folds) == [{}] * places
    assert threads(folds) == share


def test_the_last_folds_share_the_cores_but_no_gpu():
    cores, gpus = [{}, {}], [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert [at_once(unfinished, cores) for unfinished in (5, 4, 3, 2, 1)] == [2, 2, 3, 2, 1]
    assert [at_once(unfinished, gpus) for unfinished in (5, 4, 3, 2)] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("folds", "visible", "expected"),
    [(1, None, ["0"]), (2, None, ["0", "1"]), (5, None, ["0", "1"]), (5, "3,7", ["3", "7"]), (1, "3,7", ["3"])],
)
def test_each_fold_gets_a_gpu_of_its_own(monkeypatch, folds, visible, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert slots(folds) == [{"CUDA_VISIBLE_DEVICES": name} for name in expected]


@pytest.mark.parametrize(
    ("visible", "found", "expected"),
    [("3,7", 2, ["3", "7"]), ("0,1,2,3", 2, ["0", "1"]), ("1,-1,0", 1, ["1"]), ("5", 0, [])],
)
def test_gpus_that_cuda_does_not_find_are_left_out(monkeypatch, capsys, visible, found, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local.visible_gpus() == expected
    places = slots(5)
    assert [place.get("CUDA_VISIBLE_DEVICES") for place in places] == (expected or [None] * len(places))
    warned = f"CUDA_VISIBLE_DEVICES={visible}: CUDA finds only {', '.join(expected)}, so" in capsys.readouterr().out
    assert warned == (0 < found < len(visible.split(",")))


@pytest.mark.parametrize(
    ("tasks", "devices", "per_gpu", "expected"),
    [
        (5, 1, 2, ["0", "1", "2", "0", "1"]),  # the first three have a GPU to themselves
        (2, 1, 2, ["0", "1"]),
        (9, 1, 2, ["0", "1", "2"] * 2),
        (5, 2, 1, ["0,1"]),
        (5, 3, 1, ["0,1,2"]),
        (5, 3, 2, ["0,1,2"] * 2),
    ],
)
def test_tasks_share_gpus_or_take_several(monkeypatch, tasks, devices, per_gpu, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert slots(tasks, devices, per_gpu) == [{"CUDA_VISIBLE_DEVICES": names} for names in expected]


def test_gpus_that_are_not_there_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(CompetitionError, match=r"--gpus-per-fold 2: this machine has 1 GPU\. Give --gpus-per-fold 1"):
        slots(5, 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(CompetitionError, match=r"--folds-per-gpu 2: there is no GPU.*Leave it out"):
        slots(5, 1, 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    assert slots(5, 2) == [{}] * 2
    assert slots(5, 8) == [{}]


def test_folds_that_share_a_gpu_share_the_cores_too(notes, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    local.LocalExecutor(2).run(tasks(notes, range(3)))
    assert [(notes / f"environment{fold}").read_text() for fold in range(3)] == ["0 2"] * 3
    assert "training 2 folds at once, up to 2 per GPU\n" in capsys.readouterr().out


def stand_in(words, environment, thread_count):
    """Replaces the training: records its arguments, then waits, succeeds or fails, depending on the fold."""
    os.environ.update(environment | {WORKER: "1"})
    fold = words[words.index("--fold") + 1]
    folder = Path(words[words.index("--workspace") + 1])
    assert end_with_starter()
    (folder / f"arguments{fold}").write_text(" ".join(words))
    (folder / f"threads{fold}").write_text(str(thread_count))
    places = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ[AT_ONCE]
    (folder / f"environment{fold}").write_text(" ".join(map(str, places)))
    part = folder / f"part{fold}"
    part.write_text(str(os.getpid()))
    part.rename(folder / f"started{fold}")
    if (folder / f"wait{fold}").exists():
        time.sleep(60)
    if (folder / f"fail{fold}").exists():
        while not all((folder / name).exists() for name in (folder / f"fail{fold}").read_text().split()):
            time.sleep(0.01)
        sys.exit(3)
    (folder / f"done{fold}").touch()


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """A folder of notes, which the stand-in writes."""
    monkeypatch.setattr(local, "_run_command", stand_in)
    return tmp_path


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def is_running(process):
    """Whether it runs; one that ended and was not waited for (a zombie) does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second, if it ends while the file is read
        return False


def test_all_folds_are_trained_with_the_options_that_were_given(notes, monkeypatch):
    options = {"experiment": "quick", "name": "mine", "set": ["train.lr=1e-3", "data.size=64"], "force": True}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    run_in_processes(tasks(notes, range(5), finished=(1, 3), **options, phantom=True), [{}, {}])
    assert [(notes / f"done{fold}").exists() for fold in range(5)] == [True, False, True, False, True]
    assert (notes / "arguments2").read_text() == (
        f"train --track knee --fold 2 --experiment quick --name mine --workspace {notes} "
        "--set train.lr=1e-3 --set data.size=64 --phantom --force"
    )
    # As many threads as if all five were trained.
    assert [(notes / f"threads{fold}").read_text() for fold in (0, 2, 4)] == ["1"] * 3


def test_a_fold_that_fails_is_named_and_stops_the_others(notes):
    (notes / "wait0").touch()
    (notes / "fail1").write_text("started0")
    with pytest.raises(CompetitionError, match=r"fold 1 failed .*run the same command again to resume"):
        run_in_processes(tasks(notes, range(4)), [{}, {}])
    process = int((notes / "started0").read_text())
    wait_for(lambda: not is_running(process))
    assert not (notes / "done0").exists()
    assert not (notes / "started2").exists()


def test_the_last_three_folds_of_two_cores_run_at_once(notes):
    (notes / "fail0").write_text("started1 started2")  # ends only when both others have begun
    (notes / "wait1").touch()
    (notes / "wait2").touch()
    with pytest.raises(CompetitionError, match="fold 0 failed"):
        run_in_processes(tasks(notes, range(3)), [{}, {}])


@pytest.mark.exhaustive
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
def test_children_end_when_their_parent_is_killed(notes):
    program = (
        "import sys; from pipelines.executors import local\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_local; local._run_command = test_local.stand_in\n"
        f"local.run_in_processes(test_local.tasks({str(notes)!r}, [0, 1]), [{{}}, {{}}])"
    )
    for fold in (0, 1):
        (notes / f"wait{fold}").touch()
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    try:
        wait_for(lambda: all((notes / f"started{fold}").exists() for fold in (0, 1)))
        children = [int((notes / f"started{fold}").read_text()) for fold in (0, 1)]
        assert all(map(is_running, children))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(20)
    wait_for(lambda: not any(map(is_running, children)))
    assert not list(notes.glob("done*"))


def test_a_process_without_a_parent_of_this_kind_is_not_watched(monkeypatch):
    monkeypatch.delenv(WORKER, raising=False)
    assert not end_with_starter()


def test_where_only_one_task_runs_at_a_time_all_run_here_in_order(monkeypatch):
    monkeypatch.setattr(local, "slots", lambda *_: [{}])
    done = []
    local.LocalExecutor().run([Task(name, (), partial(done.append, name), name == "b") for name in "abc"])
    assert done == ["a", "b", "c"]


def test_a_process_gets_the_tracker_that_was_typed(tmp_path):
    (task,) = tasks(tmp_path, [0], tracker="wandb")
    assert task.command[task.command.index("--tracker") + 1] == "wandb"
    (task,) = tasks(tmp_path, [0])
    assert "--tracker" not in task.command
