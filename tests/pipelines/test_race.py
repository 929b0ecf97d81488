"""The race from drawing to table, on very small legs and drawn cells."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from competition.ensembling.selection.bootstrap import mean_of, paired_difference
from competition.errors import CompetitionError
from pipelines import race
from pipelines.benchmarks.notebook_race import DataSet, run_counted

TINY = DataSet(
    "legs",
    "legs",
    (
        "data.size=32",
        "data.oversample=1",
        "train.epochs=1",
        "train.precision=fp32",
        "model.prior=0.5",
        "model.decoder_channels=[16,8,8,8,8]",
    ),
    ("--people", "5", "--test-people", "1", "--size", "64"),
)
REAL = DataSet("nuclei", "nuclei.yaml", ())
SIDES = ("notebook", "ours")
CELLS = """\
task: multilabel
train: train/*.png
test: test/*.png
table: {csv: train.csv, image: image, targets: [blue, many]}
group: '(.+)_.*'
channels: 3
metric: auroc
"""


def read_dice(files, side, key):
    """Dice of an image as the test computes it: mean over the bones, from the files."""
    scores = []
    for bone in ("femur", "tibia"):
        called, true = (cv2.imread(str(files / part / bone / f"{key}.png"), 0) > 127 for part in (side, "truth"))
        total = called.sum() + true.sum()
        scores.append(2 * (called & true).sum() / total if total else 1.0)
    return np.mean(scores)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_both_sides_are_trained_on_the_same_fold_and_compared_in_pairs(stage, tmp_path, monkeypatch):
    monkeypatch.setattr(race, "DATA_SETS", (REAL, TINY))
    figures, said = stage("race")
    assert figures["skipped"] == {"nuclei": "no data: give its folder with --data nuclei=DIR"}
    assert "nuclei: skipped (no data: give its folder with --data nuclei=DIR)" in said
    (result,) = figures["data"].values()
    assert result["metric"] == "Dice"
    assert "forest" not in result
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["comparisons"]

    files = tmp_path / "workspace" / "comparisons" / "race" / "files" / "legs"
    task = json.loads((files / "notebook" / "seed0_fold0.json").read_text())
    assert (task["encoder"], task["size"], task["epochs"], task["batch_size"]) == ("tu-resnet10t", 32, 1, 8)
    held_out = [sample["key"] for sample in task["samples"] if sample["fold"] == 0]
    assert (len(held_out), result["images"], result["people"]) == (2, 2, 1)
    dice = {side: np.array([read_dice(files, f"{side}/seed0", key) for key in held_out]) for side in SIDES}
    for side in SIDES:
        assert result[side]["score"] == pytest.approx(dice[side].mean(), abs=1e-12)
        assert result[side]["cpu_seconds"] > 0.5
        assert 0.1 < result[side]["peak_gb"] < 8
    groups = [key.split("_")[0] for key in held_out]
    expected = paired_difference(mean_of(dice["ours"]), mean_of(dice["notebook"]), groups, seed=0)
    assert (result["difference"], result["low"], result["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-12
    )
    assert f"{result['difference']:+.4f} ({result['low']:+.4f} to {result['high']:+.4f})" in said


@pytest.fixture
def cells(tmp_path):
    """Colour pictures of 20 groups, two each, with one to three dark cells, and a table of labels."""
    random, rows = np.random.default_rng(0), []
    for number in range(42):
        picture = random.normal(200, 9, (24, 32, 3))
        count, blue = random.integers(1, 4), random.random() < 0.4
        for cell in range(count):
            picture[6:14, 10 * cell + 1 : 10 * cell + 9] = (150, 40, 40) if blue else (60, 60, 150)
        split, name = ("train", f"{number // 2}_{number % 2}") if number < 40 else ("test", f"t_{number}")
        (tmp_path / "cells" / split).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "cells" / split / f"{name}.png"), picture.clip(0, 255).astype(np.uint8))
        rows += [(name, int(blue), int(count > 1))] * (split == "train")
    pd.DataFrame(rows, columns=["image", "blue", "many"]).to_csv(tmp_path / "cells" / "train.csv", index=False)
    (tmp_path / "cells.yaml").write_text(CELLS)
    return tmp_path / "cells"


@pytest.mark.exhaustive
@pytest.mark.slow
def test_tables_of_labels_are_scored_as_by_sklearn(stage, cells, tmp_path, monkeypatch):
    settings = ("data.size=32", "train.epochs=1", "train.precision=fp32")
    monkeypatch.setattr(race, "DATA_SETS", (DataSet("cells", str(tmp_path / "cells.yaml"), settings),))
    monkeypatch.setattr(race, "REAL", ["cells"])
    figures, said = stage("race", "--data", f"cells={cells}")
    result = figures["data"]["cells"]
    assert result["metric"] == "mean AUROC"

    files = tmp_path / "workspace" / "comparisons" / "race" / "files" / "cells"
    task = json.loads((files / "notebook" / "seed0_fold0.json").read_text())
    assert (task["encoder"], task["size"], task["epochs"], task["batch_size"]) == ("resnet18", 32, 1, 8)
    assert task == json.loads((files / "forest" / "seed0_fold0.json").read_text())
    labels = pd.read_csv(cells / "train.csv", index_col="image")
    given = pd.DataFrame({sample["key"]: sample["targets"] for sample in task["samples"]}, ["blue", "many"]).T
    assert given.sort_index().equals(labels.sort_index())
    held_out = [sample["key"] for sample in task["samples"] if sample["fold"] == 0]
    assert (len(held_out), result["images"], result["people"]) == (8, 8, 4)

    def aurocs(side, keys):
        probs = pd.read_csv(files / side / "seed0" / "fold0.csv", index_col="key")
        return roc_auc_score(labels.loc[keys], probs.loc[keys])

    for side in (*SIDES, "forest"):
        assert result[side]["score"] == pytest.approx(aurocs(side, held_out), abs=1e-12)
    assert result["forest"]["score"] > 0.95  # two colours, and the number of cells
    assert result["difference"] == pytest.approx(aurocs("ours", held_out) - aurocs("notebook", held_out), abs=1e-12)
    assert result["low"] < result["difference"] < result["high"]
    assert "mean AUROC" in said
    assert f"cells: a random forest on colours has a mean AUROC of {result['forest']['score']:.4f}" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--only", "arms"],
            "no data set of the race is called 'arms'; Give --only one of nuclei, sunnybrook, blood_cells, legs, hands",
        ),
        (["--data", "legs=x"], "--data takes NAME=DIR with a name of nuclei, sunnybrook, blood_cells, not 'legs=x'"),
        (["--data", "nuclei"], "--data takes NAME=DIR with a name of nuclei, sunnybrook, blood_cells, not 'nuclei'"),
        (["--seeds", "0"], "--seeds 0: a race needs at least one seed"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(refusal, words, sentence):
    assert sentence.split(";")[0] in refusal("race", *words)[0]


def test_a_side_that_fails_is_named_with_its_log(tmp_path):
    with pytest.raises(CompetitionError, match="legs: notebook failed; its output is in the log") as error:
        run_counted("legs: notebook", ["-c", "raise SystemExit('no luck')"], tmp_path / "report")
    assert "no luck" in (tmp_path / "report.log").read_text()
    assert str(tmp_path / "report.log") in str(error.value)


@pytest.mark.slow
def test_a_child_is_charged_with_its_own_work_and_memory(tmp_path):
    work = (
        "import time; held = b'x' * 300_000_000\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    )
    cost = run_counted("busy", ["-c", work], tmp_path / "busy")
    assert 0.4 <= cost["cpu_seconds"] < 2
    assert 0.28 < cost["peak_gb"] < 0.4
    idle = run_counted("idle", ["-c", "import time; time.sleep(0.3)"], tmp_path / "idle")
    assert idle["seconds"] >= 0.3
    assert idle["cpu_seconds"] < 0.3
    assert idle["peak_gb"] < 0.1
