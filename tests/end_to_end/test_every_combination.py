"""Every metric with every form and task, from given predictions to a scored submission, as the page lists them.

The predictions are simulated and imported, so that nothing is trained. A few combinations are run each time, the others
with the exhaustive tests.
"""

from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from competition.errors import CompetitionError
from competition.metrics.metric import make_table_metric
from competition.workspace import Workspace
from pipelines.__main__ import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your_competition.md"
METRICS_OF_MASKS = {
    "dice": {"name": "dice", "weights": {"cell": 2}},
    "iou": {"name": "iou", "unit": "group"},
    "f_beta": {"name": "f_beta", "beta": 2, "empty": "skip"},
    "mask_ap": "mask_ap",
    "hausdorff": "hausdorff",
    "hausdorff95": "hausdorff95",
    "surface_dice": {"name": "surface_dice", "tolerance": 1},
    "object_ap": "object_ap",
    "sum": {"sum": [{"name": "dice", "weight": 0.4}, {"name": "hausdorff", "weight": 0.6}]},
}
COLUMNS = {"image": "id", "class": "class", "rle": "rle", "ending": False}
FORMS_OF_MASKS = {
    "run lengths": COLUMNS | {"order": "column"},
    "row per object": COLUMNS | {"order": "row", "kind": "objects"},
    "PNG masks": {"kind": "png", "file": "{class}/{image}.png"},
    "zip of arrays": "array_zip",
}
METRICS_OF_TABLES = ("auroc", "average_precision", "log_loss", "accuracy", "f1", "pf1", "kappa", "rmse")
TASKS = ("multilabel", "multiclass", "ordinal")
SHAPES = ("wide", "long")
IN_EVERY_RUN = {
    *(("iou", "row per object"), ("hausdorff95", "PNG masks"), ("object_ap", "run lengths"), ("sum", "zip of arrays")),
    *(("log_loss", "multiclass", "long"), ("f1", "multilabel", "wide"), ("rmse", "ordinal", "wide")),
}
CLASSES, GRADES = ("cell", "dirt"), ("0", "1", "2")
TRAINING, TESTED, SIZE_HW = 9, 3, (24, 32)


def fits(metric: str, task: str) -> bool:
    """Whether a metric can score a task, as the program says."""
    try:
        make_table_metric(metric, task, GRADES)
    except CompetitionError:
        return False
    return True


COMBINATIONS = [
    *product(METRICS_OF_MASKS, FORMS_OF_MASKS),
    *(one for one in product(METRICS_OF_TABLES, TASKS, SHAPES) if fits(*one[:2])),
]


def listed(first: str) -> list[tuple[str, ...]]:
    """The combinations that a table of the page claims, whose first heading is given."""
    lines = PAGE.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    columns = [cell.strip() for cell in lines[at].strip("|").split("|")][1:]
    found = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found += [(name.strip("`"), *column.split(", ")) for column, cell in zip(columns, cells, strict=True) if cell]
    return found


def test_the_page_lists_what_is_run():
    assert listed("metric of masks") + listed("metric of tables") == COMBINATIONS


class Competition:
    """A folder of data and a YAML file, and the stages run on them."""

    def __init__(self, folder: Path, declaration: dict[str, object]) -> None:
        self.folder, self.track, self.fixed = folder, folder / "mine.yaml", declaration

    def run(self, stage: str, *words: object) -> None:
        common = ("--track", self.track, "--workspace", self.folder / "w", "--json", self.folder / "figures.json")
        assert main([stage, *map(str, words), *map(str, common)]) == 0

    def prepare(self, **keys: object) -> None:
        self.track.write_text(yaml.safe_dump(self.fixed | keys))
        self.run("prepare", "--data", self.folder / "data", "--folds", 3)

    def bring(self, oof: Path, test: Path) -> None:
        folds = Workspace(self.folder / "w", "mine").fold_file()
        self.run("import", "--name", "theirs", "--oof", oof, "--folds", folds, "--test", test)

    def score(self, truth: Path, submission: Path) -> float:
        """The score of a decision that is tuned, submitted and checked anew."""
        self.run("tune", "--members", "theirs")
        self.run("ensemble", "--no-report", "--out", submission)
        self.run("check", submission)
        self.run("score", submission, truth)
        score: float = yaml.safe_load((self.folder / "figures.json").read_text())["score"]
        return score


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Pictures with two cells and, in every second one, a speck of dirt; three of each person."""
    folder, random = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    for number in range(TRAINING + TESTED):
        split = "train" if number < TRAINING else "test"
        near, far = np.hypot(rows - 7, columns - 8 - number % 3), np.hypot(rows - 15, columns - 22)
        masks = np.stack([(near < 4.5) | (far < 5), (rows > 20) & (columns < 6) & (number % 2 == 0)])
        for place in ("images", "oof", *(f"masks/{name}" for name in CLASSES)):
            (folder / "data" / split / place).mkdir(parents=True, exist_ok=True)
        name = f"p{number // 3}_{number}"
        picture = np.clip(60 + 90 * masks.any(axis=0) + random.normal(0, 9, SIZE_HW), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "data" / split / "images" / f"{name}.png"), picture)
        for class_name, mask in zip(CLASSES, masks, strict=True):
            cv2.imwrite(
                str(folder / "data" / split / "masks" / class_name / f"{name}.png"), mask.astype(np.uint8) * 255
            )
        blurred = [cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2) for mask in masks]
        np.save(folder / "data" / split / "oof" / f"{name}.npy", np.clip(blurred, 0, 1))
    declaration = {
        "classes": list(CLASSES), "train": "train/images/*.png", "masks": "train/masks/{class}/{stem}.png",
        "test": "test/images/*.png", "group": r"^(p\d+)_",
    }  # fmt: skip
    competition = Competition(folder, declaration)
    competition.prepare()
    competition.bring(folder / "data" / "train" / "oof", folder / "data" / "test" / "oof")
    return competition


def combinations(parts: int) -> list[object]:
    """Parameters of those with so many parts, most of them exhaustive."""
    return [
        pytest.param(*one, marks=() if one in IN_EVERY_RUN else pytest.mark.exhaustive, id="-".join(one))
        for one in COMBINATIONS
        if len(one) == parts
    ]


@pytest.mark.parametrize(("metric", "form"), combinations(2))
def test_masks_are_tuned_submitted_and_scored(cells, tmp_path, metric, form):
    cells.prepare(metric=METRICS_OF_MASKS[metric], submission=FORMS_OF_MASKS[form])
    ending = ".csv" if form in ("run lengths", "row per object") else ".zip"
    assert 0.5 < cells.score(cells.folder / "data" / "test" / "masks", tmp_path / f"s{ending}") <= 1


@pytest.fixture(scope="module")
def table_of(tmp_path_factory):
    """Returns the competition of a task, made once."""
    return cache(lambda task: make_table(tmp_path_factory.mktemp(task), task))


def make_table(folder: Path, task: str) -> Competition:
    """Pictures of nothing with labels in a table, and probabilities that are right mostly."""
    random = np.random.default_rng(1)
    names = [f"x{number:02d}" for number in range(24)]
    truth = np.eye(3, dtype=int)[random.integers(0, 3, 24)]
    if task == "multilabel":
        truth = (random.random((24, 3)) < 0.5).astype(int)
    raised = np.exp(4 * truth - 2 + random.normal(0, 0.5, truth.shape))
    predicted = raised / (1 + raised) if task == "multilabel" else raised / raised.sum(axis=1, keepdims=True)
    for split, part in (("train", slice(0, 18)), ("test", slice(18, 24))):
        (folder / "data" / split).mkdir(parents=True)
        for name in names[part]:
            picture = random.integers(0, 256, (8, 9), dtype=np.uint8)
            cv2.imwrite(str(folder / "data" / split / f"{name}.png"), picture)
        frame = pd.DataFrame(predicted[part], pd.Index(names[part], name="id"), list(GRADES))
        frame.to_csv(folder / f"{split}_predicted.csv")
        cells = pd.DataFrame(truth[part], frame.index, list(GRADES))
        cells = cells if task == "multilabel" else cells.idxmax(axis=1).rename("grade").to_frame()
        cells.to_csv(folder / "data" / f"{split}.csv")
    columns = {"targets": list(GRADES)} if task == "multilabel" else {"target": "grade"}
    competition = Competition(
        folder,
        {
            "task": task, "train": "train/*.png", "test": "test/*.png", "group": "(.+)",
            "table": {"csv": "train.csv", "image": "id"} | columns,
        } | ({} if task == "multilabel" else {"classes": list(GRADES)}),
    )  # fmt: skip
    competition.prepare(submission={"kind": "table", "values": "probability"})
    competition.bring(folder / "train_predicted.csv", folder / "test_predicted.csv")
    return competition


@pytest.mark.parametrize(("metric", "task", "shape"), combinations(3))
def test_tables_are_tuned_submitted_and_scored(table_of, tmp_path, metric, task, shape):
    table = table_of(task)
    table.prepare(metric=metric, submission={"kind": "table", "shape": shape})
    score = table.score(table.folder / "data" / "test.csv", tmp_path / "s.csv")
    assert (-1 < score <= 0) if metric in ("log_loss", "rmse") else (0.5 < score <= 1)
