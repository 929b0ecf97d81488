"""A model file is run where torch and its like can't be imported; the Dockerfile lists what is imported instead."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from model_files import description
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from competition.export.networks import to_onnx
from competition.export.package import write_package

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "docs" / "Dockerfile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "ttach", "albumentations", "optuna", "sklearn")
TRACK = """\
classes: [a]
train: train/*.png
masks: masks/{stem}.png
test: test/*.png
group: "(.+)"
"""
PROGRAM = f"""
import json, sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(f"{{name}} is not there")

sys.meta_path.insert(0, Refusing())
from pipelines.__main__ import main

status = main(sys.argv[2:])
files = {{name.partition(".")[0] for name, module in sys.modules.items() if getattr(module, "__file__", None)}}
open(sys.argv[1], "w").write(json.dumps(sorted(files)))
sys.exit(status)
"""


class Bright(torch.nn.Module):
    """Positive where a pixel is brighter than the mean of the image."""

    stride = 8

    def forward(self, images):
        return 50 * images


MEMBER = {"size": 60, "views": ["identity", "rotate90"], "stride": 8}


@pytest.fixture(scope="module")
def network():
    return to_onnx(Bright().eval(), 60, None, 1)


@pytest.fixture
def model(tmp_path, network):
    files = [(f"networks/quick/fold{fold}.onnx", network) for fold in (0, 1)]
    write_package(tmp_path / "model.zip", description("mine", (0, 1), MEMBER, declaration=TRACK), files)
    return tmp_path / "model.zip"


def run(tmp_path, *words):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "modules.json"), *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_photograph_is_segmented_without_torch_by_the_packages_of_the_dockerfile(tmp_path, model, write_dicom):
    picture = np.full((60, 41), 40, np.uint8)
    picture[10:30, 5:20] = 200
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture)
    study = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.5", "PatientID": "P7"}
    write_dicom(tmp_path / "IM7", picture.astype(np.uint16), **study)
    done = run(tmp_path, "predict", model, tmp_path / "photo.jpg", tmp_path / "IM7", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    seen = cv2.imread(str(tmp_path / "photo.jpg"), cv2.IMREAD_GRAYSCALE)
    for name in ("photo", "IM7"):
        mask = cv2.imread(str(tmp_path / "out" / f"{name}.a.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask > 0, seen > seen.mean())
    assert (tmp_path / "out" / "IM7.seg.dcm").exists()
    _check_packages(json.loads((tmp_path / "modules.json").read_text()))


def _check_packages(modules):
    """All that was imported belongs to a listed package, or to what one of them depends on."""
    listed = [Requirement(line) for line in re.findall(r'^    "([^"]+)"', DOCKERFILE, re.M)]
    reached, left = set(), [canonicalize_name(one.name) for one in listed]
    while left:
        if (name := left.pop()) in reached:
            continue
        reached.add(name)
        needs = [Requirement(text) for text in importlib.metadata.requires(name) or []]
        left += [
            canonicalize_name(one.name) for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    owners = importlib.metadata.packages_distributions()
    foreign = {name for name in modules if name not in sys.stdlib_module_names} - {"competition", "pipelines"}
    # What others import only where it happens to be installed.
    optional = {"setuptools", "pkg-resources", "pygments", "cloudpickle", "httpx", "idna", "click", "tqdm"}
    found = {canonicalize_name(owners[name][0]) for name in foreign if name in owners} - optional
    assert {"onnxruntime", "numpy", "highdicom"} <= found
    found -= {"coverage"}  # measures this test too
    assert found <= reached, found - reached


def test_the_bounds_of_the_dockerfile_are_those_of_the_project():
    listed = re.findall(r'^    "([^"]+)"', DOCKERFILE, re.M)
    known = [*PYPROJECT["dependencies"], *PYPROJECT["optional-dependencies"]["export"]]
    assert len(listed) > 10
    assert set(listed) <= set(known)
    assert "--no-deps" in DOCKERFILE
    assert re.search(r"^USER user$", DOCKERFILE, re.M)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_an_image_of_12000_rows_takes_a_bounded_number_of_bytes_per_pixel(tmp_path, model):
    peaks = []
    for rows, columns in ((60, 41), (12_000, 3_000)):
        picture = np.full((rows, columns), 40, np.uint8)
        picture[rows // 6 : rows // 2, columns // 8 : columns // 2] = 200
        cv2.imwrite(str(tmp_path / "photo.png"), picture)
        done = run(
            tmp_path, "predict", model, tmp_path / "photo.png", "--out", tmp_path / "out", "--json", tmp_path / "f"
        )
        assert done.returncode == 0, done.stderr
        peaks.append(json.loads((tmp_path / "f").read_text())["peak_mb"])
        mask = cv2.imread(str(tmp_path / "out" / "photo.a.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == picture.shape
        assert np.mean((mask > 0) != (picture > 100)) < 0.02  # the edges of a grid of 60 pixels
    # The image and its planes, the overlay twice in three colours, a map of a class in float32; not one per fold.
    assert (peaks[1] - peaks[0]) * 1e6 < 18 * 12_000 * 3_000, peaks


@pytest.mark.slow
def test_a_model_file_of_another_version_or_with_a_changed_byte_predicts_nothing(tmp_path, model, network, capsys):
    from pipelines.__main__ import main

    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((20, 20), np.uint8))
    words = ["predict", str(model), str(tmp_path / "photo.png"), "--out", str(tmp_path / "out")]
    damaged = bytearray(model.read_bytes())
    damaged[damaged.index(network) + len(network) // 2] ^= 1
    model.write_bytes(damaged)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert re.search(r"damaged \(.*'networks/quick/fold0\.onnx'\): .*model\.zip\. Export it again with", error)
    write_package(model, description("mine", (0, 1), MEMBER, declaration=TRACK, format=2), [])
    assert main(words) == 1
    said = f"the model file has format 2 of version 9.9; this version reads format 1: {model}. Export it again"
    assert said in capsys.readouterr().err
    assert (
        main(["predict", str(tmp_path / "gone.zip"), str(tmp_path / "photo.png"), "--out", str(tmp_path / "out")]) == 1
    )
    assert f"model file not found: {tmp_path / 'gone.zip'}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_model_file_runs_no_code_of_its_own(tmp_path, network, capsys):
    from pipelines.__main__ import main

    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((20, 20), np.uint8))
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    files = [(f"networks/quick/fold{fold}.onnx", network) for fold in (0, 1)]
    with_plugin = f"plugins: [{evil}]\n{TRACK}"
    for track, declaration, reason in (
        ("mine", with_plugin, "names plugins"),
        (str(evil), None, "is not a path"),
        ("evil.py", None, "is that of a file"),
        ("../mine", TRACK, "is not a path"),
    ):
        changed = description(track, (0, 1), MEMBER, declaration=declaration)
        write_package(tmp_path / "model.zip", changed, files)
        words = ["predict", tmp_path / "model.zip", tmp_path / "photo.png", "--out", tmp_path / "out"]
        assert main([*map(str, words)]) == 1
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "was_run").exists()
