"""Raw angiograms of a test's own, and tiny settings to train on them."""

import shutil
from pathlib import Path

import pytest

from competition.phantoms.aneurysm import phantom as vessels

TINY = """\
model: {architecture: multiview, encoder: test_resnet, pretrained: false}
data: {size: 32, workers: 0, augmentation: none}
train: {epochs: 1, batch_size: 4, precision: fp32, loss: bce_first}
"""


@pytest.fixture(scope="session")
def drawn_patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn_patients")
    vessels.draw(folder, 6, 2, 100, 0, lambda: None)
    return folder


@pytest.fixture
def patients(drawn_patients, tmp_path):
    """Raw angiograms of the test's own: 6 patients for training, 2 for the test."""
    return Path(shutil.copytree(drawn_patients, tmp_path / "patients"))


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)
