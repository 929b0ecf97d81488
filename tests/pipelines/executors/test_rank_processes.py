"""Processes that torch's launcher starts on this machine end together, and their end is one sentence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from competition.errors import CompetitionError
from pipelines import train
from pipelines.executors import rank_processes
from pipelines.executors.local import slots
from pipelines.executors.rank_processes import run_ranks

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Lets the launcher start a stand-in for ``python -m pipelines``, in the folder of the test."""

    def write(body):
        script = tmp_path / "python"
        script.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\nrank = os.environ['RANK']\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setattr(rank_processes.sys, "executable", str(script))
        monkeypatch.chdir(tmp_path)

    return write


@pytest.mark.slow
def test_each_rank_gets_the_command_its_number_and_its_threads(program, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    names = ("WORLD_SIZE", "LOCAL_RANK", "COMPETITION_WORKER", "OMP_NUM_THREADS")
    program(f"open('rank' + rank, 'w').write(' '.join([*sys.argv[1:], *(os.environ[n] for n in {names})]))")
    before, handler = dict(os.environ), signal.getsignal(signal.SIGINT)
    run_ranks("fold 3", ["train", "--fold", "3"], 2)
    for rank in "01":
        assert (tmp_path / f"rank{rank}").read_text() == f"-m pipelines train --fold 3 2 {rank} 1 2"
    assert (dict(os.environ), signal.getsignal(signal.SIGINT)) == (before, handler)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "error", "sentence"),
    [
        ("sys.exit(1)", CompetitionError, r"^fold 3 failed \(its message is above\)\. Run the same command again"),
        ("os.kill(os.getpid(), signal.SIGKILL)", CompetitionError, "fold 3 failed: its process 1 was ended by SIGKILL"),
        ("sys.exit(130)", KeyboardInterrupt, None),
    ],
)
def test_where_one_ends_the_others_are_ended(program, capfd, end, error, sentence):
    program(f"if rank == '1': {end}\nopen(rank, 'w').write(str(os.getpid())); time.sleep(60)")
    with pytest.raises(error, match=sentence):
        run_ranks("fold 3", ["train"], 2)
    if Path("0").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(Path("0").read_text()), 0)
    assert capfd.readouterr() == ("", "")


def test_ranks_end_when_their_launcher_is_killed():
    rank = "import time; from pipelines.executors.task import *; print(end_with_starter(), flush=True); time.sleep(60)"
    names = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {rank!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", launcher], cwd=REPOSITORY, env=os.environ | names, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "False\n"  # it prints for itself, because torchrun does not
    process.kill()
    assert process.stdout.read() == ""  # until all that could write have ended
    process.wait(20)


@pytest.mark.parametrize(
    ("devices", "visible", "expected"),
    [(2, None, ["0,1", "2,3"]), (3, None, ["0,1,2"]), (4, "7,5,3,1,0", ["7,5,3,1"]), (1, "7,5", ["7", "5"])],
)
def test_each_fold_gets_so_many_gpus(monkeypatch, devices, visible, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert slots(5, devices) == [{"CUDA_VISIBLE_DEVICES": names} for names in expected]
    assert len(slots(1, devices)) == 1


def test_more_gpus_than_there_are_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(CompetitionError, match=r"--gpus-per-fold 2: this machine has 1 GPU\. Give --gpus-per-fold 1"):
        slots(1, 2)


def test_without_a_gpu_a_fold_takes_so_many_cores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr("pipelines.executors.local.cores", lambda: 4)
    assert [len(slots(5, devices)) for devices in (1, 2, 3, 8)] == [4, 2, 1, 1]


@pytest.mark.slow
def test_train_starts_ranks_for_each_fold_that_is_not_finished(
    tiny_hands, tiny_experiment, stage_on, tmp_path, monkeypatch
):
    settings = tmp_path / "tiny.yaml"
    settings.write_text(tiny_experiment(train={"epochs": 1}).to_yaml())
    stage_on(train, tiny_hands, experiment=settings, fold=0)
    started = []

    def run_ranks(name, command, count):
        started.append((name, command, count))
        stage_on(train, tiny_hands, experiment=settings, fold=name.removeprefix("fold "))

    with monkeypatch.context() as patch:
        patch.setattr(train, "run_ranks", run_ranks)
        figures = stage_on(train, tiny_hands, "--gpus-per-fold", 2, experiment=settings)
    assert [(name, count) for name, _, count in started] == [("fold 1", 2)]
    assert started[0][1][:5] == ["train", "--track", "hand_bone", "--fold", "1"]
    assert "--gpus-per-fold" not in started[0][1]
    assert len(figures["scores"]) == 2
    with pytest.raises(CompetitionError, match="--gpus-per-fold 0: at least one"):
        stage_on(train, tiny_hands, "--gpus-per-fold", 0, experiment=settings)
