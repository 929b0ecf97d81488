"""submitit's local executor takes the place of Slurm, and small scripts that of an sbatch that refuses."""

import os

import pytest

from competition.errors import CompetitionError
from pipelines.executors.jobs import JobExecutor
from pipelines.executors.slurm import KEYS, Slurm, parse_slurm, reason_of

submitit = pytest.importorskip("submitit")


def test_options_are_read_as_sbatch_takes_them():
    words = ["partition=gpu", "time=90", "mem=64G", "cpus-per-task=12", "gres=gpu:a100:1"]
    assert parse_slurm(words) == {
        "partition": "gpu",
        "time": 90,
        "mem": "64G",
        "cpus_per_task": 12,
        "gres": "gpu:a100:1",
    }
    assert parse_slurm([]) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("partion=gpu", r"--slurm has no key 'partion', did you mean 'partition'\?"),
        ("command=rm", r"--slurm has no key 'command', did you mean 'comment'"),
        ("partition", r"--slurm partition has no value\. Give --slurm partition=VALUE"),
        ("time=1-00:00:00", r"--slurm time takes minutes, such as 1440, not '1-00:00:00'"),
        ("gpus_per_node=all", r"--slurm gpus_per_node takes a whole number, not 'all'"),
    ],
)
def test_other_options_are_rejected(text, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        parse_slurm([text])


def test_submitit_takes_every_option():
    known = submitit.SlurmExecutor._valid_parameters()
    assert set(KEYS) <= known | {"cpus_per_task", "gpus_per_node"}


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Puts a script of a name before all other programs."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    def write(name, text):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    return write


def test_without_slurm_one_sentence_says_so(job_workspace, fold_tasks, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompetitionError, match=r"Slurm is not installed on this machine\. Run this on a machine"):
        JobExecutor(Slurm(), job_workspace).run(fold_tasks(1))


def test_the_first_line_of_a_slurm_that_refuses_is_quoted(job_workspace, fold_tasks, script):
    script("srun", "exit 1")
    script("sbatch", 'echo "sbatch: error: invalid partition specified: gpus" >&2; echo "more" >&2; exit 1')
    with pytest.raises(CompetitionError) as raised:
        JobExecutor(Slurm({"partition": "gpus"}), job_workspace).run(fold_tasks(1))
    assert str(raised.value) == (
        "Slurm refuses: sbatch: error: invalid partition specified: gpus. "
        "Change --slurm KEY=VALUE, or log in to a machine of the Slurm cluster."
    )


def test_sbatch_gets_the_options(job_workspace, fold_tasks, script, tmp_path):
    script("srun", "exit 1")
    script("sbatch", f'cp "$1" {tmp_path}/submitted; exit 1')
    with pytest.raises(CompetitionError):
        JobExecutor(Slurm({"partition": "gpu", "time": 90, "mem": "64G"}), job_workspace).run(fold_tasks(1))
    lines = (tmp_path / "submitted").read_text().splitlines()
    asked = ["partition=gpu", "time=90", "mem=64G", "gpus-per-node=1", "cpus-per-task=8", "job-name='train fold 0'"]
    assert {f"#SBATCH --{option}" for option in (*asked, "no-requeue")} <= set(lines)
    with pytest.raises(CompetitionError):
        JobExecutor(Slurm({"gres": "gpu:a100:2"}), job_workspace).run(fold_tasks(1))
    lines = (tmp_path / "submitted").read_text().splitlines()
    assert "#SBATCH --gres=gpu:a100:2" in lines
    assert "#SBATCH --time=1440" in lines
    assert not any("gpus-per-node" in line for line in lines)


def test_the_reason_of_a_lost_job_is_one_line():
    trace = "Job (task=0) failed with trace:\n---\nTraceback:\n  File x\n{}: {}\n\n---\nYou can check full logs"
    assert reason_of(trace.format("pipelines.executors.job.KilledError", "killed on node7")) == "killed on node7"
    assert reason_of(trace.format("OSError", "[Errno 28] No space left")) == "OSError: [Errno 28] No space left"
    assert reason_of("Job 12 has not produced any output (state: NODE_FAIL)\nlog") == (
        "Job 12 has not produced any output (state: NODE_FAIL)"
    )


@pytest.fixture
def quick_result(monkeypatch):
    """A killed job has no result, for which submitit waits 15 s in case a disk is slow."""
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 0)


@pytest.mark.slow
def test_jobs_that_are_killed_are_finished_once_with_the_same_bytes(
    job_workspace, fold_tasks, trained_here, quick_result, capsys
):
    (job_workspace.root / "ask2.1").write_text("kill")
    (job_workspace.root / "ask3.2").write_text("kill the job")
    JobExecutor(Slurm(cluster="local"), job_workspace).run(fold_tasks(5))
    for fold in range(5):
        assert (job_workspace.root / f"weights{fold}").read_text() == trained_here(fold)
    starts = [len((job_workspace.root / f"starts{fold}").read_text().split()) for fold in range(5)]
    assert starts == [1, 1, 2, 2, 1]
    logs = sorted(path.name for path in job_workspace.root.glob("jobs/knee/*/fold_2.*.log"))
    assert logs == ["fold_2.1.log", "fold_2.2.log"]
    assert "fold 2: finished" in capsys.readouterr().out


@pytest.mark.exhaustive
@pytest.mark.slow
def test_what_is_always_killed_is_given_up(job_workspace, fold_tasks, quick_result):
    (job_workspace.root / "ask0.1").write_text("kill always")
    with pytest.raises(CompetitionError, match=r"fold 0 was lost 3 times \(killed on .*fold_0\.3\.log"):
        JobExecutor(Slurm(cluster="local"), job_workspace).run(fold_tasks(1))
    assert len((job_workspace.root / "starts0").read_text().split()) == 3
