"""Real processes: a job starts a stand-in for the training, which ends when the job ends, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from competition.installation import REPOSITORY
from pipelines.executors.job import TAIL_BYTES, KilledError, log_files, run_job
from pipelines.executors.jobs import job_of

pytestmark = pytest.mark.slow


@pytest.fixture
def job(job_workspace, fold_tasks):
    """The job of fold 0."""
    (task,) = fold_tasks(1)
    return job_of(task, job_workspace, job_workspace.job_logs_folder("now"))


def test_a_job_returns_the_status_and_the_end_of_the_log(job, job_workspace, trained_here):
    status, text = run_job(job)
    assert (status, text.splitlines()[1:]) == (0, ["fold 0: from epoch 0"])
    assert text.startswith(socket.gethostname())
    assert (job_workspace.root / "weights0").read_text() == trained_here(0)
    (log,) = log_files(job.logs, "fold_0")
    assert log.read_text() == text
    assert log.name == "fold_0.1.log"


def test_a_command_that_fails_is_no_job_that_was_killed(job, job_workspace):
    (job_workspace.root / "ask0.1").write_text("fail")
    status, text = run_job(job)
    assert status == 1
    assert text.endswith("the learning rate is too large\n")
    assert len(text) <= TAIL_BYTES


def test_each_start_has_a_log_and_continues_where_the_last_one_was_killed(job, job_workspace, trained_here):
    (job_workspace.root / "ask0.1").write_text("kill")
    with pytest.raises(KilledError, match=f"killed on {socket.gethostname()}"):
        run_job(job)
    assert not (job_workspace.root / "weights0").exists()
    assert run_job(job)[0] == 0
    assert [path.read_text().splitlines()[1] for path in log_files(job.logs, "fold_0")] == [
        "fold 0: from epoch 0",
        "fold 0: from epoch 1",
    ]
    assert (job_workspace.root / "weights0").read_text() == trained_here(0)


def test_logs_are_in_the_order_of_their_numbers(tmp_path):
    for number in (2, 10, 1):
        (tmp_path / f"fold_1.{number}.log").touch()
    (tmp_path / "fold_10.1.log").touch()
    assert [path.name for path in log_files(str(tmp_path), "fold_1")] == [f"fold_1.{n}.log" for n in (1, 2, 10)]


def test_a_machine_that_does_not_see_the_workspace_is_named(job, tmp_path):
    status, text = run_job(replace(job, workspace=str(tmp_path / "not_here"), logs=str(tmp_path / "logs")))
    assert (status, text) == (1, f"the machine {socket.gethostname()} has no folder {tmp_path / 'not_here'}")
    assert not (tmp_path / "logs").exists()


def test_without_the_folder_where_it_was_typed_a_job_runs_in_the_workspace(job, job_workspace):
    for folder, expected in ((job.folder, "typed_here"), ("/not/on/this/machine", "workspace")):
        assert run_job(replace(job, folder=folder))[0] == 0
        assert Path((job_workspace.root / "folder0").read_text()).name == expected


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
def test_the_command_ends_when_its_job_is_killed(job, job_workspace):
    (job_workspace.root / "ask0.1").write_text("wait")
    program = f"from pipelines.executors.job import Job, run_job; run_job({job!r})"
    starter = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    starts, end = job_workspace.root / "starts0", time.monotonic() + 60
    while not starts.exists() or not starts.read_text().endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.02)
    command = int(starts.read_text())
    starter.send_signal(signal.SIGKILL)
    starter.wait(20)
    while _runs(command):
        assert time.monotonic() < end, "the command goes on without its job"
        time.sleep(0.02)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second, if it ends while the file is read
        return False
