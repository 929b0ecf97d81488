"""Bad angiograms and tables are answered with one sentence, late ones are taken; see test_bad_input.py."""

import re
import shutil
from pathlib import Path

import pytest
from raw_data import cut, prepare


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_still_of_two_patients_is_a_leak_even_as_another_view(patients, refusal, split):
    mine = min((patients / "train_set").glob("*LI-A.jpg"))
    theirs = max((patients / f"{split}_set").glob("*RV-B.jpg"))
    shutil.copy(mine, theirs)
    error, _ = refusal(*prepare("aneurysm", patients))
    assert "same pixels as" in error
    assert {"LI-A", "RV-B"} <= set(re.findall("[LR][IV]-[AB]", error))
    assert "--skip-bad" in error


def test_a_missing_column_of_train_csv_is_named(patients, refusal):
    file = patients / "train_set" / "train.csv"
    file.write_text("\n".join(line.rpartition(",")[0] for line in file.read_text().splitlines()) + "\n")
    error, _ = refusal(*prepare("aneurysm", patients))
    assert "column 'R_PCA' is missing" in error
    assert str(file) in error


def test_a_training_patient_of_seven_views_stops_until_it_is_skipped(patients, refusal, stage):
    image = min((patients / "train_set").glob("*RV-A.jpg"))
    image.unlink()
    error, _ = refusal(*prepare("aneurysm", patients))
    assert "view RV-A is missing" in error
    assert image.name in error
    assert stage(*prepare("aneurysm", patients, "--skip-bad"))[0]["samples"]["train"] == 5


def test_missing_and_damaged_views_of_test_patients_are_masked_and_listed(patients, stage, refusal):
    missing, damaged = (sorted((patients / "test_set").glob(f"*{view}.jpg"))[0] for view in ("LI-A", "RI-B"))
    missing.unlink()
    cut(damaged)
    figures, said = stage(*prepare("aneurysm", patients))
    assert figures["samples"]["test"] == 2
    assert {(Path(p["path"]).name, p["masked"]) for p in figures["problems"]} == {
        (missing.name, True),
        (damaged.name, True),
    }
    assert "2 views of test samples can't be read, so masked" in said
    patient = damaged.name.removesuffix("RI-B.jpg")
    for image in (patients / "test_set").glob(f"{patient}*.jpg"):
        cut(image, 0.2)
    assert "--fill-bad" in refusal(*prepare("aneurysm", patients))[0]


def test_a_test_picture_without_a_row_is_said_once_and_stops_nothing(patients, stage):
    for view in ("LI-A", "RV-B"):
        shutil.copy(min((patients / "test_set").glob("*.jpg")), patients / "test_set" / f"0999{view}.jpg")
    figures, said = stage(*prepare("aneurysm", patients))
    assert (figures["samples"]["test"], figures["problems"]) == (2, [])
    assert said.count("0999LI-A.jpg") == 1
    assert "test.csv has no row for it" in said


def test_where_filling_does_not_help_it_is_not_recommended(patients, refusal):
    shutil.copy(patients / "test_set" / "0008LI-A.jpg", patients / "test_set" / "8LI-A.jpg")
    error, _ = refusal(*prepare("aneurysm", patients, "--fill-bad"))
    assert "a second file of view LI-A" in error
    assert "--fill-bad" not in error


def test_a_late_test_set_is_asked_for_and_taken(patients, stage, refusal, tiny, tmp_path):
    late = tmp_path / "late"
    shutil.move(patients / "test_set", late)
    assert stage(*prepare("aneurysm", patients))[0]["samples"]["test"] == 0
    stage("train", "--track", "aneurysm", "--experiment", tiny, "--fold", 0)
    error, _ = refusal("ensemble", "--track", "aneurysm")
    assert "no test images" in error
    assert "ensemble --test DIR" in error
    assert "not found" in refusal("ensemble", "--track", "aneurysm", "--test", tmp_path / "nowhere")[0]
    missing = min(late.glob("*LV-B.jpg"))
    missing.unlink()
    figures, said = stage("ensemble", "--track", "aneurysm", "--test", late)
    assert figures["recorded"] is False
    assert "those of --test may differ" in said
    assert "not entered in the leaderboard" in said
    written = [line.split(",")[0] for line in Path(figures["submission"]).read_text().splitlines()]
    assert written == [line.split(",")[0] for line in (late / "test.csv").read_text().splitlines()]
    assert missing.name in said
    assert re.search(r"2 test samples: \d+\.\d+ s per test sample", said)
    assert "1 view of test samples can't be read, so masked" in said
    patient = missing.name.removesuffix("LV-B.jpg")
    for image in late.glob(f"{patient}*.jpg"):
        cut(image, 0.2)
    error, _ = refusal("ensemble", "--track", "aneurysm", "--test", late)
    assert f"{patient}LI-A.jpg" in error
    assert "--fill-bad" in error
    figures, said = stage("ensemble", "--track", "aneurysm", "--test", late, "--fill-bad")
    assert [line.split(",")[0] for line in Path(figures["submission"]).read_text().splitlines()] == written
    assert f"*** {int(patient)} can't be read at all: black images are predicted" in said
