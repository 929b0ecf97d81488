"""Every layout of docs/layouts goes from raw files to a checked submission, through the stages as a user types them."""

import io
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from layout_phantoms import ALL_LAYOUTS
from volume_phantoms import write_volume

LAYOUTS = Path(__file__).resolve().parents[2] / "docs" / "layouts"
TINY = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [8, 8], prior: 0.3}
data: {size: 32, workers: 0, augmentation: none}
train: {epochs: 1, batch_size: 2, precision: fp32}
"""
OF_TABLES = TINY.replace("Unet, encoder: tu-test_resnet", "multiview, encoder: counting").replace("[8, 8]", "null")


def test_every_shipped_layout_is_run():
    # Sunnybrook's own files are read in tests/tracks/declared/test_real_layouts.py.
    assert {path.stem for path in LAYOUTS.glob("*.yaml")} - {"sunnybrook"} == ALL_LAYOUTS.keys()


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
def test_a_layout_is_prepared_without_a_problem(layout, stage, tmp_path):
    ALL_LAYOUTS[layout](tmp_path / "data")
    track = LAYOUTS / f"{layout}.yaml"
    figures, _ = stage("prepare", "--track", track, "--data", tmp_path / "data", "--folds", 2)
    assert figures["problems"] == []
    assert figures["samples"]["train"] >= 3
    assert figures["samples"]["test"] >= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("layout", ALL_LAYOUTS)
def test_a_layout_ends_in_a_checked_submission(layout, stage, tmp_path):
    ALL_LAYOUTS[layout](tmp_path / "data")
    experiment = tmp_path / "tiny.yaml"
    experiment.write_text(OF_TABLES if layout.startswith("blood_cells") else TINY)
    common = ("--track", LAYOUTS / f"{layout}.yaml")
    samples = stage("prepare", *common, "--data", tmp_path / "data", "--folds", 2)[0]["samples"]
    stage("train", *common, "--experiment", experiment, "--fold", 0)
    submission = stage("ensemble", *common)[0]["submission"]
    figures, _ = stage("check", *common, submission)
    assert figures["prepared"]
    assert len(pd.read_csv(submission)) == figures["rows"] >= samples["test"]


@pytest.mark.exhaustive
def test_classes_that_exclude_each_other_end_in_a_checked_submission(stage, tmp_path):
    data = tmp_path / "data"
    ALL_LAYOUTS["nifti"](data)
    values = np.asarray(nibabel.load(data / "imagesTr" / "patient001_frame01.nii.gz").dataobj)
    write_volume(data / "imagesTs" / "patient101_frame01.nii.gz", values[::-1].copy())
    declaration = tmp_path / "hearts.yaml"
    declaration.write_text((LAYOUTS / "nifti.yaml").read_text() + "exclusive: true\nsubmission: array_zip\n")
    experiment = tmp_path / "tiny.yaml"
    experiment.write_text(TINY.replace("epochs: 1", "epochs: 10, repeats: 4, lr: 1.0e-2"))
    common = ("--track", declaration)
    stage("prepare", *common, "--data", data, "--folds", 2)
    stage("train", *common, "--experiment", experiment, "--fold", 0)
    submission = stage("ensemble", *common)[0]["submission"]
    stage("check", *common, submission)
    with zipfile.ZipFile(submission) as archive:
        arrays = [np.load(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    assert all((array.sum(axis=2) == 1).all() for array in arrays)  # one class, or the background in the last plane
    assert any(array[..., :-1].any() for array in arrays)
