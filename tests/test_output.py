"""Standard output that is closed, full or no UTF-8 never stops the work and is never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from competition import console
from pipelines.__main__ import main

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "pipelines", "leaderboard", "--workspace"]


def test_nobody_reads_on(tmp_path: Path) -> None:
    """As ``| true`` does: the reading end is closed before anything is written."""
    figures = tmp_path / "figures.json"
    process = subprocess.Popen(
        [*COMMAND, str(tmp_path), "--json", str(figures)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 0
    assert json.loads(figures.read_text())["rankings"] == []  # the work went on


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_the_disk_of_the_log_is_full(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, str(tmp_path)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: the output can't be written (No space left on device).\n")


def test_names_that_are_not_utf8_can_be_said(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import sys; from pipelines.__main__ import main; main(sys.argv[1:])"]
    words += ["check", "--track", "knee", b"/tmp/\xff\xe9.csv"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert b"\\udcff\\udce9.csv" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_what_was_lost_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(console._stdout, "print", fail)
    monkeypatch.setattr(sys, "stdout", None)
    console.say("one")
    console.shout("two")
    lost = console.finish_output()
    assert lost is not None
    assert lost.errno == 28
    assert console.finish_output() is None


def test_an_error_of_the_system_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "--track", "knee", "--data", "x" * 300, "--workspace", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "File name too long" in said
    assert said.count("\n") == 1
