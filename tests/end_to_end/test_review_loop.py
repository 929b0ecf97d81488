"""From a wrong label to its correction through the command line, with simulated predictions."""

import csv
import json

import cv2
import numpy as np
import pytest

from competition.workspace import Workspace


@pytest.fixture
def leaves(tmp_path):
    """Twenty images of one leaf, each of a plant of its own; the label of image07 belongs to another."""
    data = tmp_path / "data"
    for folder in ("images", "masks", "test"):
        (data / folder).mkdir(parents=True)
    (tmp_path / "oof").mkdir()
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:60, :80]
    for number in range(20):
        row, column = random.uniform(20, 40), random.uniform(25, 55)
        mask = np.hypot(rows - row, columns - column) < random.uniform(12, 15)
        image = np.clip(50 + 120 * mask + random.normal(0, 8, mask.shape), 0, 255).astype(np.uint8)
        label = np.roll(mask, (15, 20), (0, 1)) if number == 7 else mask
        cv2.imwrite(str(data / "images" / f"image{number:02d}.png"), image)
        cv2.imwrite(str(data / "masks" / f"image{number:02d}.png"), label.astype(np.uint8) * 255)
        blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), random.uniform(1, 3))
        np.save(tmp_path / "oof" / f"image{number:02d}.npy", blurred[None])
    (tmp_path / "leaf.yaml").write_text(
        "classes: [leaf]\ntrain: images/*.png\nmasks: masks/{stem}.png\ntest: test/*.png\n"
        "group: '(.+)'\nsubmission: {image: id, rle: rle, ending: false, order: row}\n"
    )
    return tmp_path


def test_a_moved_mask_is_first_and_its_correction_counts(leaves, stage, refusal) -> None:
    track = ("--track", leaves / "leaf.yaml")
    prepare = ("prepare", *track, "--data", leaves / "data", "--folds", "2")
    before, _ = stage(*prepare)
    stage("import", *track, "--name", "theirs", "--oof", leaves / "oof", "--folds", _folds(leaves))
    figures, said = stage("review", *track, "--first", "2", "--out", leaves / "corrections")
    assert figures["exported"][0]["sample"] == "image07"
    assert "--corrections" in said
    error, _ = refusal("review", *track, "--out", leaves / "corrections")
    assert "holds files, perhaps corrected labels" in error
    path = leaves / "corrections" / "image07.json"
    drawn = json.loads(path.read_text())
    # What np.roll moved over the border lies at the upper left; a person deletes it.
    drawn["shapes"] = [shape for shape in drawn["shapes"] if max(x + y for x, y in shape["points"]) > 60]
    for shape in drawn["shapes"]:
        shape["points"] = [[x - 20, y - 15] for x, y in shape["points"]]
    path.write_text(json.dumps(drawn))
    after, _ = stage(*prepare, "--corrections", leaves / "corrections")
    assert after["corrected_labels"] == 1
    with Workspace(leaves / "workspace", "leaf").corrections_file().open() as file:
        (row,) = csv.DictReader(file)
    assert (row["sample"], row["class"]) == ("image07", "leaf")
    assert float(row["dice"]) < 0.5
    error, _ = refusal("review", *track, "--out", leaves / "again")
    assert "images or labels have changed since run 'theirs' was imported" in error
    error, _ = refusal("review", *track, "--first", "0", "--out", leaves / "again")
    assert "at least one sample" in error
    back, said = stage(*prepare)
    assert "no longer count" in said
    assert back["corrected_labels"] == 0
    assert before["manifest"] == back["manifest"]
    stage("review", *track, "--form", "coco", "--out", leaves / "again")
    assert json.loads((leaves / "again" / "annotations.json").read_text())["categories"] == [{"id": 1, "name": "leaf"}]


def _folds(leaves):
    """The folds that prepare made, as another team would give them."""
    return Workspace(leaves / "workspace", "leaf").fold_file()
