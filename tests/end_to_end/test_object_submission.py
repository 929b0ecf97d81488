"""Touching cells through every stage: rows per object in, tuned by object AP, one row per object out."""

import json
import zipfile

import cv2
import numpy as np
import pytest

from competition.ensembling.segmentation.true_objects import find_true_objects, read_drawn_labels
from competition.masks.objects import components
from competition.masks.run_lengths import encode_mask
from competition.metrics.objects import average_precision
from competition.reporting.inputs import ReportInputs
from competition.reporting.results.image_scores import score_table
from competition.reporting.results.mask_cases import decided_case, whole_image_cases
from competition.review.suspicious_labels import find_suspicious
from competition.tracks import get_track
from competition.workspace import Workspace
from pipelines.__main__ import main

SIZE = (64, 64)
SETTINGS = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8], prior: 0.3}
data: {size: 64, workers: 0, augmentation: none}
train: {epochs: 8, repeats: 2, batch_size: 4, precision: fp32, lr: 0.01}
"""
TRACK = """\
classes: [cell]
train: train/*.png
masks: {csv: train.csv, image: ImageId, rle: EncodedPixels, order: column}
test: test/*.png
group: (.+)
metric: object_ap
submission: {kind: objects, image: ImageId, rle: EncodedPixels, order: column, ending: false}
"""


def draw(root, split, images, seed):
    """Images with two touching cells; a table with a row for each of them. Return image -> pixels of its cells."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    lines, truth = ["ImageId,EncodedPixels"], {}
    (root / split).mkdir(parents=True, exist_ok=True)
    for number in range(images):
        row, column, radius = random.integers(20, 40), random.integers(15, 20), random.integers(9, 12)
        one = np.hypot(rows - row, columns - column) < radius
        other = (np.hypot(rows - row, columns - column - 2 * radius + 2) < radius) & ~one
        picture = 60 + 120 * (one | other) + random.normal(0, 8, SIZE)
        cv2.imwrite(str(root / split / f"{split}{number}.png"), picture.clip(0, 255).astype(np.uint8))
        lines += [f"{split}{number},{encode_mask(mask, 'column')}" for mask in (one, other)]
        truth[f"{split}{number}"] = [np.flatnonzero(one), np.flatnonzero(other)]
    (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return truth


def rows_of(path):
    """Image -> pixels of its objects, read from the file by hand."""
    found = {}
    for line in path.read_text().splitlines()[1:]:
        image, rle = line.split(",")
        numbers = list(map(int, rle.split()))
        mask = np.zeros(SIZE[0] * SIZE[1], bool)
        for start, length in zip(numbers[::2], numbers[1::2], strict=True):
            mask[start - 1 : start - 1 + length] = True
        found.setdefault(image, []).append(np.flatnonzero(mask.reshape(SIZE[::-1]).T))
    return found


class Competition:
    """A folder of cells, and the stages run in it."""

    def __init__(self, folder):
        self.folder, self.track = folder, folder / "cells.yaml"
        draw(folder / "data", "train", 6, seed=1)
        self.truth = draw(folder / "data", "test", 3, seed=2)
        (folder / "tiny.yaml").write_text(SETTINGS)
        self.track.write_text(TRACK)

    def run(self, stage, *words):
        figures = self.folder / "figures.json"
        common = ["--track", self.track, "--workspace", self.folder / "w", "--json", figures]
        assert main([stage, *map(str, words), *map(str, common)]) == 0
        return json.loads(figures.read_text())


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    cells = Competition(tmp_path_factory.mktemp("cells"))
    cells.run("prepare", "--data", cells.folder / "data", "--folds", 3)
    for fold in range(3):
        cells.run("train", "--experiment", cells.folder / "tiny.yaml", "--fold", fold)
    cells.tuned = cells.run("tune", "--members", "tiny")
    cells.run("ensemble", "--no-report", "--out", cells.folder / "s.csv")
    return cells


def test_cells_are_split_submitted_checked_and_scored(cells) -> None:
    tuned, truth, submission, table = cells.tuned, cells.truth, cells.folder / "s.csv", cells.folder / "data/test.csv"
    assert set(tuned["objects"]) == {"cell"}
    assert tuned["objects"]["cell"]["distance"] is not None
    assert tuned["object_precision"]["crossfit"] > tuned["object_precision"]["components"]
    assert tuned["count_scores"]["oof_crossfit"] > 0.8
    found = rows_of(submission)
    assert sorted(found) == sorted(truth)
    assert sum(map(len, found.values())) >= 5  # the cells of at least two of three pairs are apart
    scored = cells.run("score", submission, table)
    expected = np.mean([average_precision(found[name], truth[name], SIZE) for name in truth])
    assert scored["score"] == pytest.approx(expected, abs=1e-9)
    assert scored["count_score"] > 0.8
    compared = cells.run("compare", submission, table)
    assert compared["objects_a"] == sum(map(len, found.values()))
    assert compared["objects_b"] == 6
    cells.run("check", submission)


def test_the_report_ranks_images_by_the_metric_and_the_pictures_keep_cells_apart(cells) -> None:
    track, workspace = get_track(str(cells.track)), Workspace(cells.folder / "w", "cells")
    (decision,) = workspace.root.glob("**/decision.json")
    inputs = ReportInputs(track, workspace, decision)
    table, _ = score_table(inputs)
    assert table["score"].mean() == pytest.approx(cells.tuned["oof_crossfit"], abs=1e-9)
    (figure,) = whole_image_cases(inputs)
    assert "object AP" in figure.body
    apart, objects = 0, find_true_objects(track, workspace)
    for entry in inputs.tuning.entries:
        case = decided_case(inputs, entry)
        true = objects(entry.sample, case.truth.planes)
        expected = average_precision(case.decided.given.of_class(0), true.of_class(0), SIZE)
        shown = figure.table.loc[figure.table["sample"] == entry.sample, "score"]
        assert shown.tolist() == [pytest.approx(expected)]
        drawn = read_drawn_labels(track, workspace, entry.sample, objects)
        apart += len(components(drawn, 1)) == 2 > len(components(case.truth.planes, 1))
    assert apart == len(inputs.tuning.entries)
    assert not [one for one in find_suspicious(track, inputs.manifest.of("train")) if "its area" in one.reason]


def test_predicted_objects_are_those_of_the_submission(cells, tmp_path) -> None:
    found = rows_of(cells.folder / "s.csv")["test0"]
    cells.run("predict", cells.folder / "data/test", "--out", tmp_path / "p")
    picture = cv2.imread(str(tmp_path / "p" / "test0.cell.objects.png"), cv2.IMREAD_UNCHANGED)
    assert picture.max() == len(found)
    for number, pixels in enumerate(found):
        np.testing.assert_array_equal(np.flatnonzero(picture.ravel() == number + 1), pixels)


def test_objects_are_voted_on_and_imported(cells, tmp_path) -> None:
    submission, table = cells.folder / "s.csv", cells.folder / "data/test.csv"
    voted = cells.run("vote", submission, table, "--weights", "1,3", "--out", tmp_path / "v.csv")
    assert voted["rows"] == 6
    assert (tmp_path / "v.csv").read_bytes() == table.read_bytes()
    assert cells.run("import", "--name", "theirs", "--test", table)["samples"] == {"oof": 0, "test": 3}


def test_the_same_decision_as_png_masks(cells, tmp_path) -> None:
    """Written, checked, scored, compared, voted on and imported; the pixels are those of the objects."""
    cells.track.write_text(TRACK.replace(TRACK.splitlines()[-1], "submission: {kind: png}"))
    submission = tmp_path / "s.zip"
    cells.run("ensemble", "--no-report", "--out", submission)
    with zipfile.ZipFile(submission) as archive:
        archive.extractall(tmp_path / "s")
    for name, objects in rows_of(cells.folder / "s.csv").items():
        picture = cv2.imread(str(tmp_path / "s" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(np.flatnonzero(picture), np.sort(np.concatenate(objects)))
    cells.run("check", submission)
    assert cells.run("score", submission, cells.folder / "data")["count_score"] > 0.8
    assert cells.run("compare", submission, tmp_path / "s")["rows_that_differ"] == 0
    cells.run("vote", submission, tmp_path / "s", "--out", tmp_path / "v.zip")
    assert (tmp_path / "v.zip").read_bytes() == submission.read_bytes()
    assert cells.run("import", "--name", "pictures", "--test", tmp_path / "s")["samples"]["test"] == 3
