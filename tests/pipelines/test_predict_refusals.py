"""predict on what is no image: named with the reason, the others are predicted, nobody's files are replaced."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from competition.formats.images import READABLE

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
    readable = f"Give {READABLE} files."
    for reason in (
        f"not predicted: there is no such file or folder: {tmp_path / 'absent.png'}. Check its spelling.",
        f"not predicted: this folder holds no readable image (0 other files): {tmp_path / 'empty'}. {readable}",
        "not predicted: image can't be read (",
        f"{pictures / 'cut.png'}. Copy the file again.",
        "not predicted: this is no image that can be read, or it is damaged in its first bytes: "
        f"{pictures / 'text.png'}. {readable}",
        f"not predicted: picture has a size of 4x0 pixels: {pictures / 'nothing.npy'}.",
        "colour.png is in colour and was turned to grey",
        "1 unreadable file left out (first: notes.txt)",
    ):
        assert said.count(reason) == 1
    assert said.count("not predicted") == 5
    assert {row["name"] for row in json.loads(figures.read_text())["rows"]} == {"good", "sub/better", "sub/colour"}
    assert len(json.loads(figures.read_text())["failures"]) == 5
    lines = (out / "summary.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1::3]] == ["good", "sub/better", "sub/colour"]
    assert [line.rsplit(",", 1)[1] for line in lines[1::3]] == [
        str(pictures / name) for name in ("good.png", "sub/better.tif", "sub/colour.png")
    ]
    assert (out / "sub" / "better.overlay.png").exists()
    assert not list(out.glob("cut*"))


def test_nothing_is_written_where_nothing_can_be_predicted(hands_with_run, stage, refusal, pictures, tmp_path):
    stage("tune", "--members", "quick:0")
    notes = pictures / "notes.txt"
    error, said = refusal("predict", notes, "--out", tmp_path / "out")
    assert error == (
        f"error: this is no image that can be read, or it is damaged in its first bytes: {notes}. "
        f"Give {READABLE} files.\n"
    )
    assert "not predicted" not in said
    error, said = refusal("predict", notes, pictures / "cut.png", "--out", tmp_path / "out")
    assert error == "error: 2 of 2 could not be predicted; the reasons are listed above.\n"
    assert said.count("not predicted: ") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.exhaustive
def test_missing_files_are_named_once_and_before_torch_is_imported(tmp_path):
    code = (
        "import sys; from pipelines.__main__ import main; "
        "status = main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(status)"
    )
    words = ["predict", tmp_path / "gone.png", "--out", tmp_path / "out"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "False\n"
    assert done.stderr == f"error: there is no such file or folder: {tmp_path / 'gone.png'}. Check its spelling.\n"


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


def test_images_of_one_name_are_all_predicted_under_names_of_their_own(hands_with_run, stage, pictures, tmp_path):
    stage("tune", "--members", "quick:0")
    for number, name in enumerate(("P1/1.png", "P2/1.png", "P2/1.tif")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((50 + number, 40), 9 * number, np.uint8)).save(tmp_path / name)
    out = tmp_path / "out"
    figures, _ = stage("predict", tmp_path / "P1", tmp_path / "P2", "--out", out)
    sources = {row["name"]: row["source"] for row in figures["rows"]}
    assert sources == {
        "P1/1": str(tmp_path / "P1" / "1.png"),
        "P2/1.png": str(tmp_path / "P2" / "1.png"),
        "P2/1.tif": str(tmp_path / "P2" / "1.tif"),
    }
    heights = [Image.open(out / f"{name}.disc.png").height for name in sources]
    assert heights == [50, 51, 52]
    stage("predict", tmp_path / "P1", "--out", out)
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == []


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
    (hands_with_run.fold_folder("quick", 0) / "weights.pt").unlink()
    error, _ = refusal("predict", pictures / "good.png", "--out", tmp_path / "out", "--decision", "zero")
    assert "weights.pt" in error
