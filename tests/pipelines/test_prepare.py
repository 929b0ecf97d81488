"""Samples are read in threads, and nothing of the result shows it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def test_another_competition_of_the_same_name_is_refused(tmp_path: Path, stage, refusal) -> None:
    text = "classes: [{}]\ntrain: train/*.png\nmasks: masks/{{stem}}.png\ntest: test/*.png\ngroup: '(.+)'\n"
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    declared = []
    for number in ("1", "2"):
        for folder, names in (("train", "ab"), ("masks", "ab"), ("test", "cd")):
            (tmp_path / number / folder).mkdir(parents=True)
            for name in names:
                drawn = np.roll(picture, ord(name) + ord(folder[0]))
                Image.fromarray(drawn).save(tmp_path / number / folder / f"{name}.png")
        declared.append(tmp_path / number / "shapes.yaml")
        declared[-1].write_text(text.format("disc"))
    folds = ("--folds", "2")
    stage("prepare", "--track", declared[0], "--data", tmp_path / "1", *folds)
    cache = {path: path.read_bytes() for path in (tmp_path / "workspace").rglob("*") if path.is_file()}
    error, _ = refusal("prepare", "--track", declared[1], "--data", tmp_path / "2", *folds)
    assert f"shapes: {declared[0]}: {declared[1]}. Rename one of the two" in error
    declared[1].write_text(text.format("box"))
    for words in (("prepare", "--data", tmp_path / "1", *folds), ("train", "--experiment", "quick", "--fold", "0")):
        error, _ = refusal(words[0], "--track", declared[1], *words[1:])
        assert f"another file of this name prepared {tmp_path / 'workspace' / 'cache' / 'shapes'}: " in error
    assert cache == {path: path.read_bytes() for path in (tmp_path / "workspace").rglob("*") if path.is_file()}
    declared[0].rename(tmp_path / "moved.yaml")  # then the other may be the same file, moved and changed
    stage("prepare", "--track", declared[1], "--data", tmp_path / "2", *folds)
