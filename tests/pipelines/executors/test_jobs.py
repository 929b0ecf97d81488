"""A cluster of a few lines takes the place of Slurm and Ray: its jobs end as a test asks."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from pipelines.executors import jobs
from pipelines.executors.job import log_files
from pipelines.executors.jobs import Ending, JobExecutor, job_of
from pipelines.executors.task import OF_JOB, WORKER

DONE = Ending(0, "")


class Handle:
    def __init__(self, endings):
        self.endings, self.cancelled = [*endings], False

    def ending(self):
        found = self.endings.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    def cancel(self):
        self.cancelled = True


class FakeCluster:
    """Each job ends as listed: None while it runs."""

    def __init__(self, **endings):
        self.handles = {name.replace("_", " "): Handle(each) for name, each in endings.items()}
        self.submitted, self.logs, self.closed = [], None, False

    @contextmanager
    def connect(self, tasks, logs):
        self.logs = logs

        def submit(task, job):
            self.submitted.append(job)
            return self.handles[task.name]

        yield submit
        self.closed = True


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0)


def test_unfinished_tasks_are_run_and_finished_ones_are_not(job_workspace, fold_tasks, capsys):
    cluster = FakeCluster(fold_0=[None, DONE], fold_2=[None, None, DONE])
    JobExecutor(cluster, job_workspace).run(fold_tasks(3, finished=(1,)))
    assert [job.words[-1] for job in cluster.submitted] == ["0", "2"]
    assert not any(handle.cancelled for handle in cluster.handles.values())
    assert cluster.closed
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["fold 0: waiting", "fold 2: waiting", "fold 0: finished", "fold 2: finished"]
    JobExecutor(FakeCluster(), job_workspace).run(fold_tasks(2, finished=(0, 1)))  # connects to nothing


def test_a_job_knows_the_workspace_and_that_it_is_a_worker(job_workspace, fold_tasks, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("HF_HOME", "/shared/weights")
    monkeypatch.setenv("PASSWORD", "secret")
    job = job_of(*fold_tasks(1), job_workspace, Path("/logs"))
    assert (job.workspace, job.logs, job.folder) == (str(job_workspace.root), "/logs", str(Path.cwd()))
    assert job.environment[WORKER] == OF_JOB
    assert job.environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert job.environment["HF_HOME"] == "/shared/weights"
    assert "PASSWORD" not in job.environment


def test_a_start_after_a_kill_is_shown(job_workspace, fold_tasks, capsys):
    cluster = FakeCluster(fold_0=[None, None, DONE])
    original = Handle.ending

    def ending(handle):
        number = len(log_files(str(cluster.logs), "fold_0")) + 1
        (cluster.logs / f"fold_0.{number}.log").write_text("epoch 1\n\n")
        return original(handle)

    cluster.handles["fold 0"].ending = lambda: ending(cluster.handles["fold 0"])
    JobExecutor(cluster, job_workspace).run(fold_tasks(1))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["fold 0: running", "fold 0: running, started 2 times", "fold 0: finished"]


def test_one_that_fails_shows_its_log_and_command_and_cancels_the_others(job_workspace, fold_tasks, capsys):
    cluster = FakeCluster(fold_0=[None, None], fold_1=[None, Ending(1, "error: no such loss.\n")], fold_2=[DONE])
    original = cluster.connect

    @contextmanager
    def connect(tasks, logs):
        (logs / "fold_1.1.log").write_text("error: no such loss.\n")
        with original(tasks, logs) as submit:
            yield submit

    cluster.connect = connect
    sentence = r"fold 1 failed \(the end of its log is above\): .*fold_1\.1\.log\. Run the same command again to resume"
    with pytest.raises(CompetitionError, match=sentence):
        JobExecutor(cluster, job_workspace).run(fold_tasks(3))
    said = capsys.readouterr().out
    assert "end of the log of fold 1:\nerror: no such loss.\n" in said
    assert "its command: ./run.sh train --fold 1\n" in said
    assert {name: handle.cancelled for name, handle in cluster.handles.items()} == {
        "fold 0": True,
        "fold 1": False,
        "fold 2": False,
    }


def test_a_machine_without_the_workspace_is_one_sentence(job_workspace, fold_tasks, capsys):
    cluster = FakeCluster(fold_0=[Ending(1, "the machine node7 has no folder /home/me")])
    with pytest.raises(CompetitionError) as raised:
        JobExecutor(cluster, job_workspace).run(fold_tasks(1))
    assert str(raised.value) == (
        "fold 0 failed: the machine node7 has no folder /home/me. "
        "Give a --workspace on a folder that all machines share under the same path."
    )
    assert "end of the log" not in capsys.readouterr().out


def test_a_job_that_was_lost_too_often_is_no_failure_of_the_command(job_workspace, fold_tasks):
    cluster = FakeCluster(fold_0=[Ending(None, "killed on node7")])
    with pytest.raises(CompetitionError, match=r"fold 0 was lost 3 times \(killed on node7\): .*to resume"):
        JobExecutor(cluster, job_workspace).run(fold_tasks(1))


def test_an_interruption_cancels_all(job_workspace, fold_tasks):
    cluster = FakeCluster(fold_0=[None, None], fold_1=[None, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        JobExecutor(cluster, job_workspace).run(fold_tasks(2))
    assert all(handle.cancelled for handle in cluster.handles.values())


def test_an_interruption_between_two_submissions_cancels_the_first(job_workspace, fold_tasks):
    cluster = FakeCluster(fold_0=[None])  # fold 1 can't be submitted
    with pytest.raises(KeyError):
        JobExecutor(cluster, job_workspace).run(fold_tasks(2))
    assert cluster.handles["fold 0"].cancelled


def test_a_cluster_that_refuses_leaves_no_folder_of_logs(job_workspace, fold_tasks):
    class Refusing:
        @contextmanager
        def connect(self, tasks, logs):
            raise CompetitionError("nothing answers")
            yield

    with pytest.raises(CompetitionError, match="nothing answers"):
        JobExecutor(Refusing(), job_workspace).run(fold_tasks(2))
    assert not list(job_workspace.root.rglob("*train*"))
