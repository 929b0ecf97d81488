"""PNG masks in a zip or a folder, against Pillow and dense masks."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.run_length_votes import Quorum
from competition.metrics.counts import DICE
from competition.metrics.metric import make_metric
from competition.submission.known_images import KnownImages
from competition.submission.png.files import PngMasks
from competition.submission.png.form import PngForm

CLASSES = ("a", "b")
BY_CLASS = PngForm(PngMasks.model_validate({"kind": "png", "file": "{class}/{image}.png"}))
IN_ONE = PngForm(PngMasks.model_validate({"kind": "png", "values": {"a": 1, "b": 7}}))
SIZES = KnownImages(["x", "y.1"], {"x": (3, 4), "y.1": (1, 5)})


@pytest.fixture
def masks():
    random = np.random.default_rng(1)
    found = {name: random.random((2, *size)) < 0.4 for name, size in SIZES.sizes.items()}
    for own in found.values():
        own[0] &= ~own[1]  # a picture of values holds no overlap
    return found


def write(form, path, masks):
    form.write(path, CLASSES, [(name, pack_masks(own)) for name, own in masks.items()])
    return path


def pictures(path):
    with zipfile.ZipFile(path) as archive:
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


def test_files_hold_what_the_masks_hold(tmp_path, masks) -> None:
    found = pictures(write(BY_CLASS, tmp_path / "s.zip", masks))
    assert list(found) == ["a/x.png", "b/x.png", "a/y.1.png", "b/y.1.png"]
    np.testing.assert_array_equal(found["b/x.png"], masks["x"][1] * 255)
    found = pictures(write(IN_ONE, tmp_path / "t.zip", masks))
    assert list(found) == ["x.png", "y.1.png"]
    np.testing.assert_array_equal(found["y.1.png"], masks["y.1"][0] * 1 + masks["y.1"][1] * 7)


def test_equal_masks_give_equal_bytes(tmp_path, masks) -> None:
    one, other = (write(IN_ONE, tmp_path / f"{name}.zip", masks).read_bytes() for name in "st")
    assert one == other


@pytest.mark.parametrize("form", [BY_CLASS, IN_ONE])
@pytest.mark.parametrize("unpacked", [False, True])
def test_a_zip_and_its_folder_are_checked_scored_and_read_alike(tmp_path, masks, form, unpacked) -> None:
    path = write(form, tmp_path / "s.zip", masks)
    if unpacked:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "s")
        path = tmp_path / "s"
    result = form.check(path, CLASSES, SIZES)
    assert result.ok, result.errors
    assert (result.images, result.rows) == (2, 4 if form is BY_CLASS else 2)
    assert form.score(path, path, CLASSES, SIZES, DICE).score == 1
    assert form.score(path, path, CLASSES, SIZES, make_metric("surface_dice")).score == 1
    maps = form.read_predictions(path, CLASSES, SIZES.sizes.__getitem__)
    np.testing.assert_array_equal(maps["x"](), masks["x"] * np.uint8(255))
    assert form.compare(path, path, CLASSES, SIZES).figures()["pixels"] == 0


def test_scores_comparisons_and_votes_equal_those_of_dense_masks(tmp_path, masks) -> None:
    random = np.random.default_rng(2)
    sides = [{name: own ^ (random.random(own.shape) < 0.2) for name, own in masks.items()} for _ in range(3)]
    paths = [write(BY_CLASS, tmp_path / f"{number}.zip", side) for number, side in enumerate(sides)]
    score = BY_CLASS.score(paths[0], paths[1], CLASSES, SIZES, DICE)
    both = [[(2 * (p & q).sum() / max(p.sum() + q.sum(), 1)) if (p | q).any() else 1 for p, q in zip(x, y, strict=True)]
            for x, y in zip(sides[0].values(), sides[1].values(), strict=True)]  # fmt: skip
    assert score.score == pytest.approx(np.mean(both))
    different = sum(int((x ^ y).sum()) for x, y in zip(sides[0].values(), sides[1].values(), strict=True))
    assert BY_CLASS.compare(paths[0], paths[1], CLASSES, SIZES).figures()["pixels"] == different
    BY_CLASS.vote(paths, Quorum((2, 1, 1), 2), CLASSES, SIZES, tmp_path / "v.zip")
    found = pictures(tmp_path / "v.zip")
    for name in masks:
        votes = 2 * sides[0][name].astype(int) + sides[1][name] + sides[2][name]
        np.testing.assert_array_equal(found[f"a/{name}.png"] > 0, votes[0] > 2)


def folder(tmp_path, **files):
    for name, picture in files.items():
        path = tmp_path / "s" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(picture, dtype=np.uint8)).save(f"{path}.png")
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"x": np.full((3, 4), 2)}, "x.png has the value 2, which belongs to no class .there are 0, 1, 7."),
        ({"x": np.zeros((4, 3))}, r"x.png is 4x3 pixels, not 3x4 \(rows x columns\)"),
        ({"x": np.zeros((3, 4))}, "1 of 2 images missing: y.1"),
        ({"z": np.zeros((3, 4))}, "1 of 1 images not in the test set: z"),
        ({"deep__x": np.zeros((3, 4))}, "deep/x.png is not named like {image}.png"),
    ],
)
def test_what_is_wrong_is_found(tmp_path, files, message) -> None:
    result = IN_ONE.check(folder(tmp_path, **files), CLASSES, SIZES)
    assert any(re.search(message, error) for error in result.errors), result.errors


def test_a_missing_file_of_a_class_and_a_broken_zip_are_found(tmp_path) -> None:
    path = folder(tmp_path, **{"a__x": np.zeros((3, 4)), "a__y.1": np.zeros((1, 5)), "b__y.1": np.zeros((1, 5))})
    assert any("image 'x' lacks b/x.png" in error for error in BY_CLASS.check(path, CLASSES, SIZES).errors)
    with pytest.raises(CompetitionError, match=r"1 files are missing \(b/x.png\)"):
        BY_CLASS.score(path, path, CLASSES, SIZES, DICE)
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    assert "not a zip of PNG masks" in BY_CLASS.check(tmp_path / "broken.zip", CLASSES, SIZES).errors[0]
    with pytest.raises(CompetitionError, match="no such file or folder"):
        BY_CLASS.score(tmp_path / "none.zip", path, CLASSES, SIZES, DICE)
