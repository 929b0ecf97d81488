"""Defects of real spine data: status 1 and one sentence that names the file; nothing is made up."""

import hashlib
import shutil

import h5py
import numpy as np
import pydicom
import pytest
import scipy.io

from competition.data.manifest import read_manifest
from competition.phantoms.lumbar import phantom as spine
from competition.tracks.lumbar.track import LUMBAR
from competition.workspace import Workspace
from pipelines.__main__ import main


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("spines")
    spine.draw(root, 3, 1, 100, 0, lambda: None)
    return root


@pytest.fixture
def prepare(drawn, tmp_path, capsys):
    """Break a copy of the synthetic data and prepare it; return the status and what was printed as the error."""

    def run(break_it, *options):
        root = tmp_path / "raw"
        if not root.exists():
            shutil.copytree(drawn, root)
        break_it(root)
        words = ["prepare", "--track", "lumbar", "--data", str(root), "--workspace", str(tmp_path / "workspace")]
        status = main([*words, "--folds", "2", *options])
        return status, capsys.readouterr().err

    return run


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def without_pixels(path):
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)


def label(change, key="label_separated"):
    def rewrite(root):
        path = root / "train/label/001.mat"
        scipy.io.savemat(path, {key: change(scipy.io.loadmat(path)["label_separated"])})

    return rewrite


def nan_in_73(root):
    planes = scipy.io.loadmat(root / "train/label/001.mat")["label_separated"].astype(float)
    planes[0, 0, 0] = np.nan
    with h5py.File(root / "train/label/001.mat", "w") as file:
        file["label_separated"] = planes.T


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda root: cut(root / "train/img/1.dcm"), "DICOM is truncated: "),
        (lambda root: cut(root / "train/img/2.dcm"), "no pixel data, or is truncated"),
        (lambda root: without_pixels(root / "train/img/1.dcm"), "DICOM has no pixel data"),
        (lambda root: (root / "train/img/1.dcm").write_bytes(b"PNG"), "file is no DICOM"),
        (label(lambda planes: planes, key="label"), "no key 'label_separated' (it has label)"),
        (label(lambda planes: planes[..., :6]), "not rows x columns x 7 planes"),
        (label(lambda planes: planes[:-1]), "neither way round"),
        (label(lambda planes: np.where(planes, np.nan, 0.0)), "NaN"),
        (nan_in_73, "NaN"),
        (lambda root: cut(root / "train/label/001.mat"), "MATLAB file can't be read"),
        (lambda root: (root / "train/label/001.mat").unlink(), "number 1 has 1 images and 0 labels"),
    ],
)
def test_a_bad_training_sample_stops_prepare_or_is_left_out(prepare, break_it, expected) -> None:
    status, said = prepare(break_it)
    assert status == 1
    assert said.count("\n") == 1
    assert expected in said
    assert "train_1" in said or "train_2" in said
    assert "--skip-bad" in said
    status, said = prepare(lambda root: None, "--skip-bad")
    assert (status, said) == (0, "")


def test_a_bad_test_image_voids_the_submission(prepare) -> None:
    status, said = prepare(lambda root: cut(root / "test/img/7.dcm"))
    assert status == 1
    assert "7.dcm" in said
    assert "--fill-bad" in said


def test_the_manifest_keeps_spacing_patients_and_empty_planes(prepare, tmp_path) -> None:
    status, _ = prepare(lambda root: (root / "train/img/6.DCM").rename(root / "train/img/6.dcm"))
    assert status == 0
    manifest = read_manifest(Workspace(tmp_path / "workspace", "lumbar"), LUMBAR)
    people = [hashlib.sha256(b"SPINE-000%d" % person).hexdigest()[:10] for person in (1, 1, 2, 2, 3, 3)]
    assert [entry.group for entry in manifest.of("train")] == [f"patient-{person}" for person in people]
    assert "SPINE" not in (tmp_path / "workspace" / "folds" / "lumbar.csv").read_text()
    for entry in manifest.entries:
        dataset = pydicom.dcmread(next((tmp_path / "raw").glob(f"*/img/{entry.name}")))
        assert entry.spacing_mm == tuple(float(value) for value in dataset.ImagerPixelSpacing)
        assert (entry.height, entry.width) == (dataset.Rows, dataset.Columns)
    # The topmost vertebra of the third person is outside of the picture.
    assert [entry.targets for entry in manifest.of("train")] == [(1,) * 6] * 4 + [(0, 1, 1, 1, 1, 1)] * 2
