"""Bad input is answered with status 1 and one sentence naming the file and what repairs it; nothing is lost."""

import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from raw_data import cut, prepare

from competition.errors import CompetitionError
from competition.phantoms.hand_bone import phantom as hand
from competition.training.checkpoints import save_checkpoint
from pipelines.__main__ import main


@pytest.fixture(scope="session")
def drawn_hands(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn_hands")
    hand.draw(folder, 3, 1, 128, 0, lambda: None)
    return folder


@pytest.fixture
def hands(drawn_hands, tmp_path):
    """Raw hands of the test's own: 6 of three persons for training, 2 for the test."""
    return Path(shutil.copytree(drawn_hands, tmp_path / "hands"))


def first_hand(hands, split="train"):
    return min(hands.glob(f"{split}/DCM/*/*.png"))


def test_a_missing_or_empty_data_folder_is_named(tmp_path, refusal):
    error, _ = refusal(*prepare("hand_bone", tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in error
    assert "--data DIR" in error
    (tmp_path / "empty").mkdir()
    error, _ = refusal(*prepare("hand_bone", tmp_path / "empty"))
    assert f"empty: {tmp_path / 'empty'}" in error
    assert not (tmp_path / "workspace").exists()


def test_a_folder_of_something_else_is_answered_with_the_layout(tmp_path, refusal):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    assert "train/outputs_json/IDxxx/*.json" in refusal(*prepare("hand_bone", tmp_path / "other"))[0]


def test_a_cut_off_training_png_stops_until_it_is_skipped(hands, refusal, stage):
    image = first_hand(hands)
    cut(image)
    error, said = refusal(*prepare("hand_bone", hands))
    assert image.name in error
    assert "--skip-bad" in error
    assert image.name in said
    figures, _ = stage(*prepare("hand_bone", hands, "--skip-bad"))
    assert (figures["samples"]["train"], figures["samples"]["test"]) == (5, 2)
    assert [problem["key"] for problem in figures["problems"]] == [image.stem]
    assert figures["samples"]["read"] == 1  # the bad one is tried again, nothing else is read twice


def test_a_cut_off_test_png_stops_until_it_is_filled(hands, refusal, stage):
    image = first_hand(hands, "test")
    cut(image)
    error, _ = refusal(*prepare("hand_bone", hands, "--skip-bad"))
    assert image.name in error
    assert "--fill-bad" in error
    figures, said = stage(*prepare("hand_bone", hands, "--fill-bad"))
    assert figures["samples"]["test"] == 2
    assert image.name in said


def test_an_unknown_label_names_the_file_and_the_nearest_bone(hands, refusal, stage):
    file = min(hands.glob("train/outputs_json/*/*.json"))
    file.write_text(file.read_text().replace('"Ulna"', '"Ulnar"'))
    error, _ = refusal(*prepare("hand_bone", hands))
    assert "unknown label 'Ulnar', did you mean 'Ulna'" in error
    assert file.name in error
    assert stage(*prepare("hand_bone", hands, "--skip-bad"))[0]["samples"]["train"] == 5


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: file.unlink(), "annotation missing"),
        (lambda file: file.write_text("{"), "annotation file without annotations"),
        (
            lambda file: file.write_text(file.read_text().replace('"points": [[', '"points": [[9000, 9000], [')),
            "leaves",
        ),
    ],
)
def test_a_missing_or_damaged_annotation_is_a_training_problem(hands, refusal, damage, reason):
    file = min(hands.glob("train/outputs_json/*/*.json"))
    damage(file)
    error, _ = refusal(*prepare("hand_bone", hands))
    assert reason in error
    assert file.name in error


def test_two_training_images_of_one_name_are_both_named(hands, refusal, stage):
    image = first_hand(hands)
    other = max(hands.glob("train/DCM/*")) / image.name
    shutil.copy(image, other)
    error, _ = refusal(*prepare("hand_bone", hands))
    assert f"two X-rays share the name {image.stem}" in error
    assert str(image.relative_to(hands)) in error
    assert str(other.relative_to(hands)) in error
    assert stage(*prepare("hand_bone", hands, "--skip-bad"))[0]["samples"]["train"] == 5


def test_a_test_image_with_the_name_of_a_training_image_stops_whatever_is_said(hands, refusal):
    image = first_hand(hands)
    shutil.copy(image, first_hand(hands, "test").with_name(image.name))
    for words in ([], ["--skip-bad"], ["--skip-bad", "--fill-bad"]):
        assert f"share the name {image.stem}" in refusal(*prepare("hand_bone", hands, *words))[0]


def test_one_picture_of_two_people_is_a_leak(hands, refusal):
    images = sorted(hands.glob("train/DCM/*/*.png"))
    shutil.copy(images[0], images[-1])
    error, _ = refusal(*prepare("hand_bone", hands))
    assert "same pixels as" in error
    assert images[-1].name in error


def test_unknown_settings_are_answered_with_the_nearest(refusal, tiny):
    assert (
        "unknown key 'train.lrr', did you mean 'train.lr'?" in refusal("train", "--set", "train.lrr=1", "--phantom")[0]
    )
    Path(tiny).write_text(Path(tiny).read_text() + "predcit: {tile: 3}\n")
    error, _ = refusal("train", "--experiment", tiny)
    assert "did you mean 'predict'?" in error
    assert tiny in error
    assert "did you mean 'quick'?" in refusal("train", "--experiment", "quikc")[0]


def test_an_unknown_class_in_a_submission_is_named(tmp_path, refusal):
    (tmp_path / "s.csv").write_text("image_name,class,rle\na.png,lvv,1 2\n")
    (tmp_path / "t.csv").write_text("image_name,class,rle\na.png,lv,1 2\n")
    for words in (["check", tmp_path / "s.csv"], ["score", tmp_path / "s.csv", tmp_path / "t.csv"]):
        error, _ = refusal(*words, "--track", "cardiac")
        assert "lvv" in error
        assert str(tmp_path / "s.csv") in error


@pytest.mark.parametrize("words", [["train"], ["tune"], ["ensemble"]])
def test_stages_before_prepare_say_that_it_comes_first(refusal, words):
    assert re.search(
        r"Run \./run\.sh prepare --workspace \S+ --track cardiac", refusal(*words, "--track", "cardiac")[0]
    )


def test_weights_of_another_experiment_and_untrained_folds_are_refused(patients, stage, refusal, tiny, tmp_path):
    track = ("--track", "aneurysm")
    stage(*prepare("aneurysm", patients))
    assert "Run ./run.sh train --track aneurysm" in refusal("tune", *track)[0]
    train = ("train", *track, "--experiment", tiny, "--fold", 0)
    stage(*train)
    error, _ = refusal("tune", *track, "--members", "tiny:1")
    assert "fold 1 of run 'tiny' is not trained yet" in error
    assert re.search(r"Run \./run\.sh train --track aneurysm .*--name tiny --fold 1", error)
    stage(*train, "--name", "other", "--set", "train.lr=1e-4")
    stage("tune", *track, "--members", "tiny", "--name", "mine")
    runs = tmp_path / "workspace" / "runs" / "aneurysm"
    kept = (runs / "tiny" / "fold0" / "weights.pt").read_bytes()
    shutil.copy(runs / "other" / "fold0" / "weights.pt", runs / "tiny" / "fold0" / "weights.pt")
    assert "the checkpoint is not the one that was tuned" in refusal("ensemble", *track, "--decision", "mine")[0]
    error, _ = refusal(*train)
    assert "trained with other settings" in error
    assert "--name NEW" in error
    (runs / "tiny" / "fold0" / "weights.pt").write_bytes(kept[:1000])
    assert "damaged" in refusal("ensemble", *track, "--decision", "mine")[0]
    assert not (tmp_path / "workspace" / "submissions" / "aneurysm" / "submission.csv").exists()
    save_checkpoint(runs / "tiny" / "fold0" / "weights.pt", {"a": 1})
    assert "not a checkpoint of this project" in refusal("ensemble", *track, "--decision", "mine")[0]


def test_weights_of_changed_images_are_refused_and_of_a_changed_program_reported(
    patients, stage, refusal, tiny, monkeypatch
):
    stage(*prepare("aneurysm", patients))
    train = ("train", "--track", "aneurysm", "--experiment", tiny, "--fold", 0)
    assert "program has changed" not in stage(*train)[1]
    assert "program has changed" not in stage(*train)[1]
    monkeypatch.setattr("competition.runs.run.code_hash", lambda: "another")
    assert "the program has changed since weights.pt was made" in stage(*train)[1]
    view = min((patients / "train_set").glob("*.jpg"))
    cv2.imwrite(str(view), 255 - cv2.imread(str(view)))
    stage("prepare", "--track", "aneurysm")
    for words in (train, ("tune", "--track", "aneurysm")):
        error, _ = refusal(*words)
        assert "images or labels have changed since" in error
        assert "--force" in error
    stage(*train, "--force")
    stage("tune", "--track", "aneurysm")


def test_a_workspace_that_cannot_be_written_is_named(hands, refusal, tmp_path):
    file = tmp_path / "file"
    file.touch()
    error, _ = refusal(*prepare("hand_bone", hands), workspace=file)
    assert str(file) in error
    assert "--workspace DIR" in error
    assert file.read_bytes() == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_workspace_is_named(hands, refusal, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    assert "can't write (Permission denied)" in refusal(*prepare("hand_bone", hands), workspace=folder)[0]


def test_figures_that_cannot_be_written_are_an_error_too(tmp_path, refusal):
    (tmp_path / "file").touch()
    assert "can't write" in refusal("leaderboard", "--json", tmp_path / "file" / "figures.json")[0]


def test_debug_shows_where_an_error_came_from(tmp_path):
    with pytest.raises(CompetitionError, match="data folder not found"):
        main([*map(str, prepare("hand_bone", tmp_path / "nowhere")), "--workspace", str(tmp_path), "--debug"])


def test_a_mended_file_is_all_it_takes_to_go_on(hands, refusal, stage):
    image = first_hand(hands)
    whole = image.read_bytes()
    cut(image)
    refusal(*prepare("hand_bone", hands))
    image.write_bytes(whole)
    assert stage(*prepare("hand_bone", hands))[0]["samples"]["train"] == 6
    cv2.imwrite(str(image), np.zeros((128, 128), np.uint8))
    assert stage(*prepare("hand_bone", hands))[0]["samples"]["read"] == 1
