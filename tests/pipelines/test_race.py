"""The race from drawing to table, on very small legs."""

import json

import cv2
import numpy as np
import pytest

from competition.ensembling.selection.bootstrap import mean_of, paired_difference
from competition.errors import CompetitionError
from pipelines import race
from pipelines.benchmarks.notebook_race import SIDES, DataSet, dice_of, run_counted, write_masks

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
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["comparisons"]

    files = tmp_path / "workspace" / "comparisons" / "race" / "files" / "legs"
    task = json.loads((files / "notebook" / "seed0_fold0.json").read_text())
    assert (task["encoder"], task["size"], task["epochs"], task["batch_size"]) == ("tu-resnet10t", 32, 1, 8)
    held_out = [sample["key"] for sample in task["samples"] if sample["fold"] == 0]
    assert (len(held_out), result["images"], result["people"]) == (2, 2, 1)
    dice = {side: np.array([read_dice(files, f"{side}/seed0", key) for key in held_out]) for side in SIDES}
    for side in SIDES:
        assert result[side]["dice"] == pytest.approx(dice[side].mean(), abs=1e-12)
        assert result[side]["cpu_seconds"] > 0.5
        assert 0.1 < result[side]["peak_gb"] < 8
    groups = [key.split("_")[0] for key in held_out]
    expected = paired_difference(mean_of(dice["ours"]), mean_of(dice["notebook"]), groups, seed=0)
    assert (result["difference"], result["low"], result["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-12
    )
    assert f"{result['difference']:+.4f} ({result['low']:+.4f} to {result['high']:+.4f})" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--only", "arms"],
            "no data set of the race is called 'arms'; Give --only one of nuclei, sunnybrook, legs, hands",
        ),
        (["--data", "legs=x"], "--data takes NAME=DIR with a name of nuclei, sunnybrook, not 'legs=x'"),
        (["--data", "nuclei"], "--data takes NAME=DIR with a name of nuclei, sunnybrook, not 'nuclei'"),
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


def test_dice_of_files_by_hand(tmp_path):
    true, called = np.zeros((3, 2, 4), bool), np.zeros((3, 2, 4), bool)
    true[0, 0], called[0, :, 0] = True, True  # 4 and 2 pixels, 1 in both: 2/6
    called[1, 0, 0] = True  # nothing is there: 0; the third is empty in both: 1
    classes = ("a", "b", "c")
    write_masks(tmp_path / "truth", "image", classes, true)
    write_masks(tmp_path / "called", "image", classes, called)
    score = dice_of(tmp_path / "called", tmp_path / "truth", "image", classes)
    assert score == pytest.approx((2 / 6 + 0 + 1) / 3)
    write_masks(tmp_path / "called", "image", classes, called[:, :, :3])
    with pytest.raises(CompetitionError, match="predicted mask is 3x2 pixels, the true one 4x2"):
        dice_of(tmp_path / "called", tmp_path / "truth", "image", classes)
    (tmp_path / "called" / "a" / "image.png").unlink()
    with pytest.raises(CompetitionError, match="mask is missing or damaged"):
        dice_of(tmp_path / "called", tmp_path / "truth", "image", classes)
