"""What --on and --slurm choose."""

import argparse

import pytest

from competition.errors import CompetitionError
from competition.workspace import Workspace
from pipelines.__main__ import main
from pipelines.executors import add_executor, open_executor
from pipelines.executors.jobs import JobExecutor
from pipelines.executors.local import LocalExecutor
from pipelines.executors.ray import Ray
from pipelines.executors.slurm import Slurm


@pytest.fixture
def chosen(tmp_path):
    """The executor that some words choose."""

    def choose(*words, tasks_per_gpu=1):
        parser = argparse.ArgumentParser()
        add_executor(parser)
        return open_executor(parser.parse_args(words), Workspace(tmp_path, "knee"), tasks_per_gpu)

    return choose


def test_each_place_has_its_executor(chosen, tmp_path):
    workspace = Workspace(tmp_path, "knee")
    assert chosen() == chosen("--on", "local") == LocalExecutor()
    assert chosen(tasks_per_gpu=2) == LocalExecutor(2)
    assert chosen("--on", "slurm") == JobExecutor(Slurm(), workspace)
    slurm = chosen("--on", "slurm", "--slurm", "partition=gpu", "--slurm", "time=60")
    assert slurm == JobExecutor(Slurm({"partition": "gpu", "time": 60}), workspace)
    assert chosen("--on", "ray") == JobExecutor(Ray(), workspace)
    assert chosen("--on", "ray", tasks_per_gpu=2) == JobExecutor(Ray(None, 2), workspace)
    assert chosen("--on", "ray:head:6379") == JobExecutor(Ray("head:6379"), workspace)
    assert chosen("--on", "ray:ray://head:10001") == JobExecutor(Ray("ray://head:10001"), workspace)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--on", "slrum"], r"--on 'slrum': there is no such place to run on, did you mean 'slurm'\?"),
        (["--on", "kubernetes"], r"--on 'kubernetes': there is no such place to run on; known are local, slurm, ray"),
        (["--on", "slurm:head"], r"--on slurm takes no address, only --on ray does\. Give --on slurm"),
        (["--slurm", "partition=gpu"], r"--slurm has no effect with --on local\. Give --on slurm too"),
    ],
)
def test_other_places_are_rejected(chosen, words, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        chosen(*words)


def test_jobs_of_slurm_share_no_gpu(chosen):
    with pytest.raises(CompetitionError, match=r"a job of Slurm has its GPUs to itself.*Leave out --folds-per-gpu"):
        chosen("--on", "slurm", tasks_per_gpu=2)


def test_a_stage_without_tasks_says_where_it_runs(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["tune", "--on", "slurm"])
    assert ended.value.code == 2
    assert "error: this stage runs in this process: --on is an option of train, search and ensemble" in (
        capsys.readouterr().err
    )
