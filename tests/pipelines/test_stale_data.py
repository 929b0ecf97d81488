"""Data that changed after prepare, after training and after tuning, and damaged files, through the command line."""

import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from competition.data.folds import read_folds, write_folds
from competition.data.manifest import read_manifest, write_manifest
from competition.ensembling.decision import load_decision
from competition.files import write_json
from competition.formats.json_files import read_json
from competition.workspace import Workspace

pytestmark = pytest.mark.slow

STAGES = (("tune",), ("ensemble",), ("train", "--experiment", "quick", "--name", "new", "--fold", "0"))


@pytest.fixture
def own_data(hands_with_run) -> Workspace:
    """The workspace with the run quick, prepared of a copy of the raw data that the test may change."""
    about = hands_with_run.cache_folder() / "prepared.json"
    write_json(about, read_json(about, "") | {"data_root": str(hands_with_run.root / "raw")})
    return hands_with_run


def edit(path: Path) -> None:
    """Changes one pixel; size and time of modification stay."""
    status = path.stat()
    time.sleep(0.02)  # the clock of file systems ticks every 4 ms
    content = bytearray(path.read_bytes())
    content[-100] ^= 0x40
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def submissions(workspace: Workspace) -> list[Path]:
    return [*workspace.submissions_folder().rglob("submission.csv")]


@pytest.mark.parametrize("name", ["hand3.npy", "mask3.npy", "hand11.npy"])
@pytest.mark.parametrize("words", STAGES, ids=lambda words: words[0])
def test_an_edit_of_equal_size_and_time_is_refused_by_every_stage(refusal, own_data, name, words):
    edit(own_data.root / "raw" / name)
    error, _ = refusal(*words, "--track", "tiny_hands")
    assert f"the raw data has changed since it was prepared: {own_data.root / 'raw' / name}. Run ./run.sh prep" in error
    assert not submissions(own_data)


def test_raw_data_that_was_copied_or_touched_is_the_same(stage, own_data):
    for path in (own_data.root / "raw").iterdir():
        os.utime(path)
    stage("tune", "--track", "tiny_hands")
    stage("ensemble", "--track", "tiny_hands")
    assert submissions(own_data)


def test_raw_data_that_is_gone_is_said_and_its_cache_is_used(stage, own_data):
    shutil.rmtree(own_data.root / "raw")
    _, said = stage("tune", "--track", "tiny_hands")
    assert "changes to the raw data since prepare can't be detected" in " ".join(said.split())


def test_a_missing_file_of_the_raw_data_is_named(refusal, own_data):
    (own_data.root / "raw" / "hand7.npy").unlink()
    assert "hand7.npy" in refusal("ensemble", "--track", "tiny_hands")[0]


@pytest.mark.parametrize("words", STAGES, ids=lambda words: words[0])
def test_a_picture_that_was_added_is_refused_by_every_stage(refusal, own_data, words):
    added = own_data.root / "raw" / "more" / "hand99.PNG"
    added.parent.mkdir()
    added.write_bytes(b"whatever it shows")
    error, _ = refusal(*words, "--track", "tiny_hands")
    assert f"images were added since the data was prepared (1 in all): {added}. Run ./run.sh prepare" in error
    assert "or move them out of the folder" in error
    assert not submissions(own_data)


def test_a_picture_that_prepare_left_out_and_litter_are_not_added(stage, own_data, shared_hands):
    raw = own_data.root / "raw"
    (raw / "preview.png").write_bytes(b"left out")
    manifest_file = own_data.cache_folder() / "prepared.json"
    write_json(manifest_file, read_json(manifest_file, "") | {"unused": ["preview.png"]})
    for name in (".hidden.png", "notes.md", "submission.csv"):
        (raw / name).write_bytes(b"litter")
    stage("ensemble", "--track", "tiny_hands")
    assert submissions(own_data)


def prepare_again(workspace: Workspace, track, name: str) -> None:
    """As prepare would after an edit: other pixels of one training image."""
    manifest = read_manifest(workspace, track)
    changed = [replace(entry, pixels="changed") if entry.sample == name else entry for entry in manifest.entries]
    write_manifest(workspace, track, replace(manifest, entries=tuple(changed)))


def test_members_of_other_data_are_not_entered(stage, refusal, own_data, shared_hands):
    stage("tune", "--track", "tiny_hands")
    prepare_again(own_data, shared_hands.track, "hand3")
    error, _ = refusal("ensemble", "--track", "tiny_hands")
    assert "images or labels have changed since run 'quick' was trained" in error
    assert "Train all of its folds again with --force, or prepare the earlier data again" in error
    assert not submissions(own_data)


def test_a_decision_of_other_data_is_not_obeyed(stage, refusal, own_data, shared_hands):
    figures, _ = stage("tune", "--track", "tiny_hands")
    path = Path(figures["decision"])
    assert load_decision(path).data_hash
    write_json(path, read_json(path, "") | {"data_hash": "0123456789"})
    error, _ = refusal("ensemble", "--track", "tiny_hands")
    assert "images or labels have changed since this decision was tuned" in error
    assert re.search(r"Run \./run\.sh tune .*--name quick", error)


@pytest.mark.exhaustive
def test_new_images_are_predicted_and_exported_as_before_with_a_warning(stage, refusal, own_data, shared_hands):
    stage("tune", "--track", "tiny_hands")
    model, image = own_data.root / "model.zip", own_data.root / "raw" / "hand11.npy"
    predict = ("predict", "--track", "tiny_hands", image, "--out", own_data.root / "out")
    _, said = stage(*predict)
    assert "come from the data before the change" not in said
    masks = {path.name: path.read_bytes() for path in (own_data.root / "out").rglob("*.png")}
    prepare_again(own_data, shared_hands.track, "hand3")
    _, said = stage(*predict)
    assert "images or labels have changed since run 'quick' was trained" in said
    assert "come from the data before the change" in said
    assert len(masks) > 3
    assert {path.name: path.read_bytes() for path in (own_data.root / "out").rglob("*.png")} == masks
    edit(own_data.root / "raw" / "hand3.npy")
    _, said = stage("export", "--track", "tiny_hands", "--out", model)
    assert f"the raw data has changed since it was prepared: {own_data.root / 'raw' / 'hand3.npy'}" in said
    assert model.exists()
    error, _ = refusal("export", "--track", "tiny_hands", "--fast", "0.5", "--out", own_data.root / "fast.zip")
    assert "the raw data has changed since it was prepared" in error


def test_a_cached_file_that_was_exchanged_is_named(refusal, own_data):
    shutil.copy(own_data.image_file("hand0", "image"), own_data.image_file("hand2", "image"))  # whole, of another image
    error, _ = refusal("tune", "--track", "tiny_hands")
    assert "a cached file has changed since the data was prepared" in error
    assert "hand2.image.b2" in error


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def test_every_damaged_file_ends_a_stage_in_one_sentence_with_its_repair(stage, refusal, own_data):
    stage("tune", "--track", "tiny_hands")
    fold = own_data.fold_folder("quick", 0)
    again = f"Delete {fold / 'finished.json'} and run ./run.sh train"
    oof = sorted((fold / "oof").glob("*.b2"))[0]
    for path, words, repair in [
        (fold / "weights.pt", ("ensemble",), "Train the fold again with --force"),
        (oof, ("tune",), again),
        (fold / "oof" / "histograms.npz", ("tune",), again),
        (own_data.label_file(oof.stem), ("tune",), "Run ./run.sh prepare"),
        (own_data.image_file("hand10", "image"), ("ensemble",), "Run ./run.sh prepare"),
        (own_data.manifest_file(), ("ensemble",), "Run ./run.sh prepare"),
    ]:
        whole = path.read_bytes()
        flip(path)
        error, _ = refusal(*words, "--track", "tiny_hands")
        assert f"damaged (its content does not match its checksum): {path}. {repair}" in error
        path.write_bytes(whole)
    assert not submissions(own_data)
    stage("ensemble", "--track", "tiny_hands")


def test_the_repair_of_a_damaged_map_predicts_again_without_training(stage, own_data):
    fold = own_data.fold_folder("quick", 0)
    oof = sorted((fold / "oof").glob("*.b2"))[0]
    before, trained = oof.read_bytes(), (fold / "weights.pt").stat().st_mtime_ns
    flip(oof)
    (fold / "finished.json").unlink()
    words = ("--experiment", fold / "config.yaml", "--name", "quick", "--fold", "0")
    stage("train", "--track", "tiny_hands", *words)
    assert oof.read_bytes() == before
    assert (fold / "weights.pt").stat().st_mtime_ns == trained


def test_damaged_test_maps_are_made_again_when_their_folder_is_deleted(stage, refusal, own_data):
    stage("tune", "--track", "tiny_hands")
    stage("ensemble", "--track", "tiny_hands")
    (path,) = (own_data.run_folder("quick") / "test").glob("*/hand10.b2")
    before = path.read_bytes()
    flip(path)
    error, _ = refusal("ensemble", "--track", "tiny_hands")
    assert f"Delete the folder {path.parent}" in error
    shutil.rmtree(path.parent)
    stage("ensemble", "--track", "tiny_hands")
    assert path.read_bytes() == before


def test_a_run_on_other_folds_takes_no_further_fold(refusal, own_data):
    path, trained = own_data.fold_file(), own_data.run_folder("quick")
    folds = read_folds(path)
    write_folds(path, {group: (fold + 1) % 2 for group, fold in folds.fold_of.items()}, "turned by hand")
    before = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    same = ("--experiment", trained / "fold0" / "config.yaml", "--name", "quick")
    error, _ = refusal("train", "--track", "tiny_hands", *same, "--fold", "1")
    assert "fold 0 of run 'quick' was trained with other folds (" in error
    assert "give this run another name (--name NEW)" in error
    assert before == {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
