import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from competition import installation
from competition.errors import CompetitionError
from pipelines.executors import ray as ray_tasks
from pipelines.executors.jobs import JobExecutor
from pipelines.executors.ray import HELLO, Ray, Share, check_answer, running_here, share_of_machine


@contextmanager
def server(answer: bytes | None) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each connection; None is silent. Yields its port and what it was sent."""
    heard, listening = [], socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            heard.append(connection.recv(100))
            if answer is not None:
                connection.sendall(answer)
                connection.close()
            else:
                heard.append(connection)  # open, or the silence would be an answer

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1], heard
    listening.close()


SETTINGS = bytes(3) + b"\x04" + bytes(5)


def test_an_address_that_answers_like_ray_is_taken():
    with server(SETTINGS) as (port, heard):
        check_answer(f"127.0.0.1:{port}")
        check_answer(f"ray://127.0.0.1:{port}")
    assert heard == [HELLO, HELLO]
    check_answer("auto")


def test_the_cluster_of_this_machine_is_found_unless_it_was_killed(tmp_path):
    assert running_here(tmp_path) is None
    with server(SETTINGS) as (port, _):
        (tmp_path / "ray_current_cluster").write_text(f"127.0.0.1:{port}")
        assert running_here(tmp_path) == f"127.0.0.1:{port}"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        (tmp_path / "ray_current_cluster").write_text(f"127.0.0.1:{closed.getsockname()[1]}")
    assert running_here(tmp_path) is None


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_addresses_that_do_not_answer_are_one_sentence_and_not_waited_for(scheme, monkeypatch):
    monkeypatch.setattr(ray_tasks, "ANSWER_SECONDS", 0.2)
    repair = r"Start Ray there \(ray start --head\); "
    repair += "for a cluster" if scheme else "from a machine outside the cluster give --on ray:ray://HOST:10001"
    other = server(b"HTTP/1.1 400 Bad Request")
    with other as (port, _), pytest.raises(CompetitionError, match=rf"else than Ray answers\): .*:{port}\. {repair}"):
        check_answer(f"{scheme}127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CompetitionError, match=rf"no Ray cluster answers \(Connection refused\): .*:{port}\. {repair}"):
        check_answer(f"{scheme}127.0.0.1:{port}")
    start = time.monotonic()
    with server(None) as (port, _), pytest.raises(CompetitionError, match=r"no Ray cluster answers \(timed out\)"):
        check_answer(f"{scheme}127.0.0.1:{port}")
    assert time.monotonic() - start < 5
    with pytest.raises(CompetitionError, match="no Ray cluster answers"):
        check_answer(f"{scheme}no.such.host.invalid:6379")


@pytest.mark.parametrize("address", ["cluster", "http://head:8265", "ray://", ":6379", "head:port"])
def test_what_is_no_address_is_rejected(address):
    with pytest.raises(
        CompetitionError, match=r"--on ray:\S* is not a valid address\. Give ray:HOST:6379 or ray:ray://HOST"
    ):
        check_answer(address)


def test_a_task_gets_its_share_of_a_machine_with_gpus():
    machines = [{"CPU": 32, "GPU": 4}, {"CPU": 12, "GPU": 2}, {"CPU": 64}]
    assert share_of_machine(machines, 1, 5) == Share(1, 6, 4)
    assert share_of_machine(machines, 2, 5) == Share(2, 12, 2)
    assert share_of_machine(machines, 4, 5) == Share(4, 32, 1)
    assert share_of_machine(machines, 0.5, 5) == Share(0.5, 3, 8)
    with pytest.raises(CompetitionError, match="a task needs 8 GPUs, and no machine of the Ray cluster has more"):
        share_of_machine(machines, 8, 5)


def test_without_a_gpu_the_cores_are_divided_and_it_is_said(capsys):
    assert share_of_machine([{"CPU": 2}], 1, 5) == Share(0, 1, 2)
    assert share_of_machine([{"CPU": 16}, {"CPU": 4}], 1, 2) == Share(0, 10, 1)
    assert share_of_machine([{"CPU": 16}], 1, 5) == Share(0, 3, 5)
    assert "the Ray cluster has no GPU: tasks run on its cores" in capsys.readouterr().out


def test_without_ray_the_command_that_installs_it_is_given(job_workspace, fold_tasks, monkeypatch):
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompetitionError) as raised:
        JobExecutor(Ray(), job_workspace).run(fold_tasks(1))
    assert str(raised.value) == (
        f"--on ray needs the package ray, which is not installed. Run {sys.executable} -m pip install ray."
    )


@pytest.fixture(scope="module")
def two_cores() -> Iterator[str]:
    """The address of a Ray of two cores, which --on ray then finds; ends with the tests of this file."""
    ray = pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one to the home folder
        patch.setattr(ray, "shutdown", lambda: None)  # of the executor: a start takes 5 s
        original = ray.init
        original("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        patch.setattr(ray, "init", lambda *_, **options: original(ignore_reinit_error=True, **options))
        yield "auto"
    ray.shutdown()


@pytest.mark.slow
def test_tasks_whose_workers_are_killed_are_finished_once_with_the_same_bytes(
    two_cores, job_workspace, fold_tasks, trained_here
):
    handler = signal.getsignal(signal.SIGTERM)
    (job_workspace.root / "ask2.1").write_text("kill")
    (job_workspace.root / "ask3.2").write_text("kill the job")
    JobExecutor(Ray(), job_workspace).run(fold_tasks(5))
    for fold in range(5):
        assert (job_workspace.root / f"weights{fold}").read_text() == trained_here(fold)
    starts = [len((job_workspace.root / f"starts{fold}").read_text().split()) for fold in range(5)]
    assert starts == [1, 1, 2, 2, 1]
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.slow
def test_what_is_always_killed_is_given_up(two_cores, job_workspace, fold_tasks):
    (job_workspace.root / "ask0.1").write_text("kill always")
    with pytest.raises(CompetitionError, match=r"fold 0 was lost 3 times \(killed on .*fold_0\.3\.log"):
        JobExecutor(Ray(), job_workspace).run(fold_tasks(1))
    assert len((job_workspace.root / "starts0").read_text().split()) == 3


@pytest.mark.slow
def test_when_one_fails_the_others_are_cancelled(two_cores, job_workspace, fold_tasks, capsys):
    (job_workspace.root / "ask0.0").write_text("wait")
    (job_workspace.root / "ask1.2").write_text("fail")
    with pytest.raises(CompetitionError, match=r"fold 1 failed"):
        JobExecutor(Ray(), job_workspace).run(fold_tasks(2))
    assert "the learning rate is too large" in capsys.readouterr().out
    process, end = int((job_workspace.root / "starts0").read_text()), time.monotonic() + 30
    while _runs(process):
        assert time.monotonic() < end, "a cancelled task goes on"
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
