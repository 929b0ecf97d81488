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


@pytest.mark.slow
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
        (tmp_path / "a.csv").write_text("image_name,class,rle\n")
        declared.append(tmp_path / number / "shapes.yaml")
        declared[-1].write_text(text.format("disc"))
    folds = ("--folds", "2")
    stage("prepare", "--track", declared[0], "--data", tmp_path / "1", *folds)
    cache = {path: path.read_bytes() for path in (tmp_path / "workspace").rglob("*") if path.is_file()}
    taken = f"the name shapes is taken: {tmp_path / 'workspace' / 'cache' / 'shapes'} was declared by "
    for words in (
        ("prepare", "--data", tmp_path / "2", *folds),
        ("prepare", *folds),
        ("train", "--experiment", "quick", "--fold", "0"),
        ("ensemble",),
        ("check", tmp_path / "a.csv"),
    ):
        error, _ = refusal(words[0], "--track", declared[1], *words[1:])
        assert f"{taken}{declared[0]}: {declared[1]}. Rename one of the two" in error
    assert cache == {path: path.read_bytes() for path in (tmp_path / "workspace").rglob("*") if path.is_file()}
    linked = tmp_path / "shapes.yaml"
    linked.symlink_to(declared[0])
    stage("prepare", "--track", linked, *folds)
    declared[0].unlink()  # then the other may be the same file, moved and changed
    stage("prepare", "--track", declared[1], "--data", tmp_path / "2", *folds)


def test_masks_of_the_wrong_order_or_of_the_background_are_named(tmp_path: Path, stage) -> None:
    disc = np.hypot(*np.mgrid[-20:20, -15:45]) < 9
    edges = np.flatnonzero(np.diff(disc.ravel().astype(int), prepend=0, append=0)).reshape(-1, 2)
    rle = " ".join(f"{start + 1} {end - start}" for start, end in edges)
    for folder, names in (("train", "ab"), ("masks", "ab"), ("test", "cd")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in names:
            picture = np.where(disc, 0, 255) if folder == "masks" else np.arange(60) + 40 * disc + ord(name)
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "data" / folder / f"{name}.png")
    (tmp_path / "data" / "t.csv").write_text(f"id,rle\na,{rle}\nb,{rle}\n")
    masks = {order: f"{{csv: t.csv, image: id, rle: rle, order: {order}}}" for order in ("row", "column")}
    figures = {}
    for name, form in (masks | {"files": "masks/{stem}.png"}).items():
        (tmp_path / f"{name}.yaml").write_text(
            f"classes: [disc]\ntrain: train/*.png\nmasks: {form}\ntest: test/*.png\ngroup: '(.+)'\n"
            "submission: {image: id, rle: rle, ending: false, order: row}\n"
        )
        words = ("--track", tmp_path / f"{name}.yaml", "--data", tmp_path / "data", "--folds", "2")
        figures[name], _ = stage("prepare", *words)
    assert figures["row"]["warnings"] == figures["row"]["remarks"] == figures["files"]["warnings"] == []
    (torn,) = figures["column"]["warnings"]
    assert "the masks of 2 of 2 images fall into more than twice as many pieces" in torn
    (swapped,) = figures["files"]["remarks"]
    assert swapped.startswith("labels: disc (at least 89 %) covers more than half of every image")


def test_square_images_show_the_wrong_order_by_their_edges(tmp_path: Path, stage) -> None:
    """A transposed mask is whole, so that only the image shows that it lies elsewhere."""
    random = np.random.default_rng(0)
    (tmp_path / "train").mkdir()
    rows = ["id,rle"]
    for number in range(12):
        row, column = random.integers(40, 52), random.integers(10, 22)
        disc = np.hypot(*np.ogrid[-row : 64 - row, -column : 64 - column]) < random.integers(5, 9)
        picture = random.normal(80, 10, disc.shape) + 90 * disc
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "train" / f"{number}.png")
        edges = np.flatnonzero(np.diff(disc.ravel().astype(int), prepend=0, append=0)).reshape(-1, 2)
        rows.append(f"{number}," + " ".join(f"{start + 1} {end - start}" for start, end in edges))
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    warnings = {}
    for order in ("row", "column"):
        (tmp_path / f"{order}.yaml").write_text(
            f"classes: [disc]\ntrain: train/*.png\nmasks: {{csv: t.csv, image: id, rle: rle, order: {order}}}\n"
            "test: test/*.png\ngroup: '(.+)'\nsubmission: {image: id, rle: rle, ending: false}\n"
        )
        figures, _ = stage("prepare", "--track", tmp_path / f"{order}.yaml", "--data", tmp_path)
        warnings[order] = figures["warnings"]
    assert warnings["row"] == []
    (warning,) = warnings["column"]
    assert "follow the edges of the images better with rows and columns swapped" in warning
    assert "check order in the track's YAML file" in warning


@pytest.mark.parametrize("option", ["--people", "--test-people", "--size", "--seed"])
def test_options_of_drawn_data_are_refused_for_given_data(refusal, tmp_path, option):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("data")
    error, _ = refusal("prepare", "--track", "cardiac", "--data", tmp_path / "given", option, "64")
    assert f"{option} is for synthetic data, and real data was given" in error
    assert f"Leave {option} out, or make synthetic data with --phantom" in error
