"""predict on what is no image: named with the reason, the others are predicted, nobody's files are replaced."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path):
    """Two good ones and four that are not."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    grey = np.random.default_rng(0).integers(0, 256, (50, 40), dtype=np.uint8)
    for name in ("good.png", "sub/better.tif"):
        Image.fromarray(grey).save(folder / name)
    Image.fromarray(np.stack([grey, grey, 255 - grey], axis=2)).save(folder / "sub" / "colour.png")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:900])
    (folder / "text.png").write_text("not an image")
    np.save(folder / "nothing.npy", np.zeros((0, 4), np.uint8))
    (folder / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    return folder


def test_bad_files_do_not_stop_the_others(hands_with_run, stage, refusal, pictures, tmp_path):
    stage("tune", "--members", "quick:0")
    out, figures = tmp_path / "out", tmp_path / "refused.json"
    given = (pictures, tmp_path / "absent.png", tmp_path / "empty", "--out", out, "--json", figures)
    error, said = refusal("predict", *given)
    assert error == "error: 5 of 8 could not be predicted; the reasons are listed above.\n"
    for reason in (
        "not predicted: " + str(tmp_path / "absent.png"),
        "there is no such file or folder",
        "this folder holds no readable image (0 other files)",
        "cut: no image of it can be read (image can't be read",
        "text: no image of it can be read (image can't be read (not PNG, JPEG",
        "nothing: no image of it can be read (picture has a size of 4x0 pixels",
        "colour.png is in colour and was turned to grey",
        "1 file that is no readable image left out (first: notes.txt)",
    ):
        assert reason in said
    assert {row["name"] for row in json.loads(figures.read_text())["rows"]} == {"good", "better", "colour"}
    assert len(json.loads(figures.read_text())["failures"]) == 5
    lines = (out / "summary.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1::3]] == ["good", "better", "colour"]
    assert (out / "better.overlay.png").exists()
    assert not list(out.glob("cut*"))


def test_nothing_is_written_where_nothing_can_be_predicted(hands_with_run, stage, refusal, pictures, tmp_path):
    stage("tune", "--members", "quick:0")
    error, _ = refusal("predict", pictures / "text.png", "--out", tmp_path / "out")
    assert "nothing could be predicted; the first reason: no image of it can be read" in error
    error, said = refusal("predict", tmp_path / "absent", "--out", tmp_path / "out")
    assert "nothing to predict; the first reason: there is no such file or folder" in error
    assert "not predicted" in said
    assert not (tmp_path / "out").exists()


def test_folders_of_others_stay_and_earlier_predictions_are_replaced(
    hands_with_run, stage, refusal, pictures, tmp_path
):
    stage("tune", "--members", "quick:0")
    error, _ = refusal("predict", pictures / "good.png", "--out", pictures)
    assert "this folder contains no predictions.json, so this program did not make it" in error
    assert (pictures / "good.png").exists()
    out = tmp_path / "out"
    stage("predict", pictures / "good.png", "--out", out)
    stage("predict", pictures / "sub" / "better.tif", "--out", out)
    assert not list(out.glob("good*"))
    stage("predict", pictures / "sub", "--out", pictures / "sub" / "out")
    figures, said = stage("predict", pictures / "sub", "--out", pictures / "sub" / "out")
    assert {row["name"] for row in figures["rows"]} == {"better", "colour"}
    assert "10 pictures of earlier predictions left out" in said
    (out / "mine.txt").write_text("keep")
    error, _ = refusal("predict", pictures / "good.png", "--out", out)
    assert "this folder also holds mine.txt (1 in all), which predict did not write" in error
    assert (out / "mine.txt").exists()


def test_two_images_of_one_name_are_refused_before_anything_is_predicted(
    hands_with_run, stage, refusal, pictures, tmp_path
):
    stage("tune", "--members", "quick:0")
    shutil.copy(pictures / "good.png", pictures / "sub" / "Good.png")
    error, said = refusal("predict", pictures, "--out", tmp_path / "out")
    assert "would have one name: " in error
    assert "predicting" not in said


def test_a_patient_is_a_folder(patients_with_run, stage, refusal, pictures, tmp_path):
    stage("tune", "--members", "quick")
    error, _ = refusal("predict", pictures / "good.png", "--out", tmp_path / "out")
    assert "has 4 views of a patient, so this must be a folder of patients" in error


def test_members_without_weights_are_named(hands_with_run, stage, refusal, float_arrays, pictures, tmp_path):
    stage("import", "--name", "theirs", "--test", float_arrays[1])
    stage("tune", "--members", "quick,theirs", "--weights", "1,1", "--name", "both")
    error, _ = refusal("predict", pictures / "good.png", "--out", tmp_path / "out")
    assert "member 'theirs' was imported and has no weights to predict new images" in error
    shutil.rmtree(hands_with_run.fold_folder("quick", 1))
    stage("tune", "--members", "quick:0", "--name", "zero")
    (hands_with_run.fold_folder("quick", 0) / "best.pt").unlink()
    error, _ = refusal("predict", pictures / "good.png", "--out", tmp_path / "out", "--decision", "zero")
    assert "best.pt" in error
