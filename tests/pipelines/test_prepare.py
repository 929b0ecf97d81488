"""Samples are read in threads, and nothing of the result shows it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from competition.data.manifest import read_manifest
from competition.tracks import get_track
from competition.workspace import Workspace
from pipelines import prepare
from pipelines.__main__ import main


@pytest.mark.parametrize("threads", [2, 9])
def test_any_number_of_threads_prepares_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], threads: int
) -> None:
    def prepared(count: int, *words: str) -> tuple[int, str]:
        monkeypatch.setattr(prepare, "cores", lambda: count)
        status = main(["prepare", "--track", "knee", "--workspace", str(tmp_path), *words])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    cache = Workspace(tmp_path, "knee").cache_folder()
    assert prepared(1, "--phantom", "--people", "6", "--size", "64")[0] == 0
    data = ("--data", str(tmp_path / "data" / "phantom_knee"), "--folds", "2")
    results = []
    for count in (1, threads):
        shutil.rmtree(cache, ignore_errors=True)
        assert prepared(count, *data)[0] == 0
        entries = read_manifest(Workspace(tmp_path, "knee"), get_track("knee")).entries
        files = {path.name: path.read_bytes() for path in cache.rglob("*.b2")}
        results.append(([replace(entry, sources=()) for entry in entries], files))
    assert results[0] == results[1]

    broken = sorted((tmp_path / "data" / "phantom_knee").glob("train/images/*"))[3:9:2]
    for path in broken:
        path.write_bytes(b"no picture")
    shutil.rmtree(cache)
    alone, together = prepared(1, *data), prepared(threads, *data)
    assert alone == together
    assert alone[0] == 1
    assert "3 training samples can't be used" in alone[1]
