"""A stage that is killed at any moment and started again ends as if it had not been killed."""

import contextlib
import hashlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from trust_table import TrustTable

from competition.training.checkpoints import load_trained, state_hash
from pipelines.__main__ import main

DATA = ("--track", "cardiac", "--phantom")
DRAWN = ("--people", "5", "--test-people", "1", "--size", "64")
SETTINGS = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8]}
data: {size: 64, augmentation: none, workers: 0}
train: {epochs: 3, batch_size: 4, lr: 1.0e-2, precision: fp32, validate_every: 1}
"""
# What holds the time of day, of a file's last change, or how long something took.
TIMED = (
    *("events.out.", "history.csv", "last.pt", ".lock", "leaderboard.csv", "decision.json", "manifest.parquet"),
    *("prepared.json", "decoded.parquet"),
)


def run_stage(words: Sequence[str]) -> None:
    """Runs a stage in a process group of its own, silently."""
    os.setsid()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(list(words))
    if code:
        Path(os.environ["TRUST_LOG"]).write_text(said.getvalue())
    raise SystemExit(code)


def start(words: Sequence[str]) -> BaseProcess:
    # A process that has imported the program forks the stages: they begin in milliseconds instead of seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.train", "pipelines.ensemble", "pipelines.report"])
    process = context.Process(target=run_stage, args=(words,))
    process.start()
    return process


def finish(words: Sequence[str]) -> float:
    """Runs a stage to its end; returns the seconds that it took."""
    begin = time.perf_counter()
    process = start(words)
    process.join()
    assert process.exitcode == 0, f"{words[0]}: {Path(os.environ['TRUST_LOG']).read_text()}"
    return time.perf_counter() - begin


def outcome(workspace: Path) -> dict[str, str]:
    """Path -> hash of all files but submissions, which are in ``submitted``, and all that depends on their time."""
    return {
        str(path.relative_to(workspace)): content_hash(path)
        for path in sorted(workspace.rglob("*"))
        if path.is_file()
        and not {"submissions", "reports"} & {*path.parts}
        and not any(mark in path.name for mark in TIMED)
    }


def content_hash(path: Path) -> str:
    if path.name == "weights.pt":  # torch.save writes the name of the file into it, and that was a process's own
        return state_hash(load_trained(path).weights)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def submitted(workspace: Path) -> list[str]:
    """The SHA-256 of all submissions that were entered."""
    entered = (workspace / "submissions" / "leaderboard.csv").read_text().splitlines()[1:]
    return [line.rsplit(",", 1)[-1] for line in entered]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_every_stage_survives_being_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int, trust_table: TrustTable
) -> None:
    workspace, before, experiment = tmp_path / "workspace", tmp_path / "before", tmp_path / "tiny.yaml"
    monkeypatch.setenv("TRUST_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    experiment.write_text(SETTINGS)
    given = tmp_path / "given.csv"
    workspace.mkdir()
    stages: dict[str, tuple[str, ...]] = {
        "prepare": ("prepare", *DRAWN),
        "train": ("train", "--experiment", str(experiment), "--name", "tiny", "--fold", "0..1"),
        "tune": ("tune",),
        "ensemble": ("ensemble",),
        "import": ("import", "--name", "theirs", "--test", str(given)),
        "leaderboard": ("leaderboard", "record", "ID", "--public", "0.5"),
    }
    draw = random.Random(0)
    for name, words in stages.items():
        place = ("--workspace", str(workspace), *DATA)
        if name == "leaderboard":
            board = (workspace / "submissions" / "leaderboard.csv").read_text().splitlines()
            words = tuple(board[1].split(",")[0] if word == "ID" else word for word in words)
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(workspace, before)
        seconds = finish([*words, *place])
        wanted = outcome(workspace)
        files = submitted(workspace) if name in ("ensemble", "leaderboard") else []
        for _ in range(kills):
            shutil.rmtree(workspace)
            shutil.copytree(before, workspace)
            process = start([*words, *place])
            time.sleep(draw.uniform(0, seconds))
            if process.pid is not None and process.is_alive():
                # Memory that runs out ends one process, a terminal that is closed all of them.
                with contextlib.suppress(ProcessLookupError):  # its group begins a moment after it does
                    draw.choice((os.kill, os.killpg))(process.pid, signal.SIGKILL)
            process.join()
            finish([*words, *place])
            assert outcome(workspace) == wanted, f"{name} differs after a kill"
            assert not list(workspace.rglob("*.part*")), f"{name} left unfinished files"
            if files:
                # The kill may come after the entry: the second run then enters the same file once more.
                assert set(submitted(workspace)) == set(files)
        if name == "ensemble":
            shutil.copy(next((workspace / "submissions").rglob("submission.csv")), given)
        trust_table.add(f"`{name}` killed at a random moment and started again, {kills} times", "as if it had not been")
