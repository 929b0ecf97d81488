"""The lumbar track through the command line: DICOM and MATLAB files in, a zip of arrays out, scored again by hand."""

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import scipy.io

from pipelines.__main__ import main

EXPERIMENTS = {
    "tiny": """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8], prior: 0.3}
data: {size: 64, workers: 0, augmentation: none, flip: true}
train: {epochs: 1, batch_size: 4, precision: fp32}
""",
    "classical": """\
model: {architecture: classical, pretrained: false}
data: {size: 128, workers: 0, augmentation: none}
train: {epochs: 1, batch_size: 4, precision: fp32, ema: false}
""",
}
DRAWN = ["--people", "4", "--test-people", "1", "--size", "128", "--folds", "2"]


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """A workspace in which a network and the baseline by rules were trained, tuned together and submitted."""
    workspace = tmp_path_factory.mktemp("lumbar")
    common = ["--track", "lumbar", "--phantom", "--workspace", str(workspace)]
    assert main(["prepare", *common, *DRAWN, "--json", str(workspace / "prepare.json")]) == 0
    for name, settings in EXPERIMENTS.items():
        (workspace / f"{name}.yaml").write_text(settings)
        assert main(["train", *common, "--experiment", str(workspace / f"{name}.yaml"), "--fold", "0"]) == 0
    members = ["--members", "tiny,classical", "--out", str(workspace / "mine.zip")]
    assert main(["ensemble", "--no-report", *common, *members, "--json", str(workspace / "ensemble.json")]) == 0
    return workspace


@pytest.fixture
def common(handed_in):
    return ["--track", "lumbar", "--phantom", "--workspace", str(handed_in)]


def figures(path):
    return json.loads(Path(path).read_text())


def submission(workspace):
    return Path(figures(workspace / "ensemble.json")["submission"])


def arrays(path):
    with zipfile.ZipFile(path) as archive:
        return {name: np.load(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def dice(ours, theirs):
    total = ours.sum() + theirs.sum()
    return 2 * (ours & theirs).sum() / total if total else 1.0


def scores_by_hand(workspace):
    """(images, classes), from the zip's own bytes and the answers as scipy reads them."""
    rows = []
    for name, array in arrays(submission(workspace)).items():
        truth = workspace / f"data/phantom_lumbar/truth/label/{int(name.removesuffix('.npy')):03d}.mat"
        theirs = scipy.io.loadmat(truth)["label_separated"]
        rows.append([dice(array[..., c] == 1, theirs[..., c] == 1) for c in range(6)])
    return np.array(rows)


def test_prepare_reads_every_file_and_groups_by_patient(handed_in):
    result = figures(handed_in / "prepare.json")
    assert result["samples"] == {"train": 8, "test": 2, "read": 10}
    assert (result["groups"], result["problems"]) == (4, [])


def test_one_array_of_original_size_per_test_image(handed_in):
    found = arrays(submission(handed_in))
    images = sorted((handed_in / "data/phantom_lumbar/test/img").iterdir())
    assert list(found) == [f"{path.stem}.npy" for path in images] == ["9.npy", "10.npy"][::-1]
    for path in images:
        dataset, array = pydicom.dcmread(path), found[f"{path.stem}.npy"]
        assert (array.dtype, array.shape) == (np.uint8, (dataset.Rows, dataset.Columns, 7))
        assert set(np.unique(array)) <= {0, 1}
        np.testing.assert_array_equal(array[..., 6] == 0, array[..., :6].any(axis=-1))
        single = submission(handed_in).parent / "planes" / f"{path.stem}.npy"
        np.testing.assert_array_equal(np.load(single), array)


def test_the_zip_is_what_is_copied_and_entered(handed_in):
    path = submission(handed_in)
    content = path.read_bytes()
    assert path.name == "submission.zip"
    assert (handed_in / "mine.zip").read_bytes() == content
    assert (handed_in / "submissions/phantom_lumbar/submission.zip").read_bytes() == content
    with (handed_in / "submissions/leaderboard.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file_sha256"] == hashlib.sha256(content).hexdigest()
    assert row["members"] == "tiny:0+classical:0"
    assert (path.parent / "preview.png").exists()


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_the_score_is_that_by_hand(handed_in, common, tmp_path, form):
    path = submission(handed_in) if form == "zip" else submission(handed_in).parent / "planes"
    expected = scores_by_hand(handed_in)
    assert figures(handed_in / "ensemble.json")["test"] == pytest.approx(expected.mean(), abs=1e-12)
    truth = handed_in / "data/phantom_lumbar/truth/label"
    assert main(["score", *common, str(path), str(truth), "--json", str(tmp_path / "score.json")]) == 0
    result = figures(tmp_path / "score.json")
    assert {"metric", "score", "per_class", "rows", "plane_accuracy", "all_background_accuracy"} <= set(result)
    assert (result["metric"], result["rows"]) == ("dice", 12)
    assert result["score"] == pytest.approx(expected.mean(), abs=1e-12)
    assert list(result["per_class"].values()) == pytest.approx(expected.mean(axis=0).tolist())
    assert list(result["per_class"]) == [f"vertebra_{number}" for number in range(1, 7)]


def test_a_size_that_is_not_the_images_is_refused_by_score_and_check(handed_in, common, capsys):
    truth = str(handed_in / "data/phantom_lumbar/truth/label")
    assert main(["score", *common, str(submission(handed_in)), truth, "--size", "5x5"]) == 1
    assert "its image has 5 rows and 5 columns" in capsys.readouterr().err
    assert main(["check", *common, str(submission(handed_in)), "--size", "5x5"]) == 1


def test_check_takes_it_and_refuses_it_without_an_image(handed_in, common, tmp_path, capsys):
    assert main(["check", *common, str(submission(handed_in)), "--json", str(tmp_path / "check.json")]) == 0
    result = figures(tmp_path / "check.json")
    assert (result["ok"], result["rows"], result["images"], result["prepared"]) == (True, 2, 2, True)
    assert "form, values, background, bounds, image set" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "short.zip", "w") as archive:
        archive.write(submission(handed_in).parent / "planes" / "9.npy", "9.npy")
    assert main(["check", *common, str(tmp_path / "short.zip")]) == 1
    assert "1 of 2 files missing: 10.npy" in capsys.readouterr().err


def test_the_rules_predict_zero_or_255_but_at_edges_and_are_scored_like_a_network(handed_in):
    from competition.prediction.probability_maps import read_index, read_map

    folder = handed_in / "runs/phantom_lumbar/classical/fold0/oof"
    samples = read_index(folder, "").samples
    values = np.concatenate([read_map(folder, sample).ravel() for sample in samples])
    assert np.isin(values, (0, 255)).mean() > 0.97
    assert (folder / "histograms.npz").exists()
    assert (folder.parent / "finished.json").exists()


def test_a_view_that_turns_the_spine_is_refused(handed_in, common, capsys):
    for view in ("hflip", "rotate180", "hflip_rotate180"):
        words = ["--experiment", str(handed_in / "tiny.yaml"), "--set", f"predict.views=[{view}]", "--name", "turned"]
        assert main(["train", *common, *words, "--fold", "0"]) == 1
        assert "orders its classes from the top" in capsys.readouterr().err


def test_a_test_set_that_came_later_is_read_and_named(handed_in, common, tmp_path, write_dicom):
    write_dicom(tmp_path / "late/A_031.dcm", np.random.default_rng(0).integers(0, 4000, (90, 70)).astype(np.uint16))
    words = ["--test", str(tmp_path / "late"), "--out", str(tmp_path / "late.zip")]
    assert main(["ensemble", "--no-report", *common, *words]) == 0
    assert {name: array.shape for name, array in arrays(tmp_path / "late.zip").items()} == {"A_031.npy": (90, 70, 7)}
