"""tune --weights: nothing is searched, and members without out-of-fold predictions can join."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.data.folds import read_folds
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_length_votes import quorum
from competition.masks.run_lengths import encode_mask
from competition.prediction.probability_maps import read_map, read_scores
from competition.submission.run_lengths.files import read_rle_csv
from competition.submission.table.files import read_table_csv
from pipelines.options import parse_weights

pytestmark = pytest.mark.slow


def decision_of(workspace, name):
    return json.loads((workspace.ensemble_folder(name) / "decision.json").read_text())


def predicted_maps(workspace, run):
    """The folder of the test maps that a trained run predicted."""
    (index,) = (workspace.run_folder(run) / "test").glob("*/index.json")
    return index.parent


def test_a_member_without_out_of_fold_predictions_votes_with_its_weight(
    stage, hands_with_run, hand_entries, float_arrays, noise
):
    workspace = hands_with_run
    figures, said = stage("import", "--name", "theirs", "--test", float_arrays[1])
    assert (figures["folds"], figures["scores"]) == (["full"], {})
    assert "it votes only with a given weight" in said
    tuned, said = stage("tune", "--members", "quick,theirs", "--weights", "3,1", "--name", "both")
    assert "weights, normalised: quick 0.750, theirs 0.250" in said
    assert "so nothing is tuned (given weights): train the same folds" in said
    assert "was trained on every sample" not in said
    assert tuned["members"] == {"quick": 0.75, "theirs": 0.25}
    assert set(tuned["thresholds"].values()) == {0.5}
    made, _ = stage("ensemble")
    rows = read_rle_csv(Path(made["submission"]))
    for entry in hand_entries["test"]:
        ours = read_map(predicted_maps(workspace, "quick"), entry.sample).astype(int)
        blended = (750 * ours + 250 * noise(entry).astype(int) + 500) // 1000
        for index, name in enumerate(("disc", "square", "bar")):
            assert rows[entry.name, name] == encode_mask(blended[index] > 127)


def test_without_weights_both_ways_are_named(stage, refusal, hands_with_run, float_arrays):
    stage("import", "--name", "theirs", "--test", float_arrays[1])
    error, _ = refusal("tune", "--members", "quick,theirs")
    assert "'theirs' was imported without out-of-fold predictions, on which weights are tuned" in error
    assert "--weights, or import it again with --oof and --folds" in error
    assert list(stage("tune", "--trials", 3)[0]["members"]) == ["quick"]  # all runs are those that can be tuned
    stage("tune", "--members", "theirs", "--weights", "1")


def test_where_all_are_covered_thresholds_are_chosen_and_crossfitted_at_the_given_weights(
    stage, shared_hands, hands_with_run, hand_entries, float_arrays, noise
):
    workspace, folds = hands_with_run, read_folds(hands_with_run.fold_file())
    stage(
        "import",
        "--name",
        "theirs",
        "--oof",
        float_arrays[0],
        "--folds",
        workspace.fold_file(),
        "--test",
        float_arrays[1],
    )
    # Noise is contested everywhere: a search would be refused, and given weights need none.
    tuned, _ = stage("tune", "--members", "quick,theirs", "--weights", "0.7,0.3", "--name", "both")
    assert tuned["coverage"] == 10
    assert decision_of(workspace, "both")["reason"].startswith("weights as they were given; thresholds: ")
    dice = np.zeros((2, 10, 3, 255))  # equal and given weights, images, classes, cuts
    for number, entry in enumerate(hand_entries["train"]):
        fold = folds.fold_of[entry.group]
        ours = read_map(workspace.fold_folder("quick", fold) / "oof", entry.sample).astype(int)
        truth = unpack_planes(read_cached_planes(workspace, entry.sample), 3)
        for which, weight in enumerate((500, 700)):
            blended = (weight * ours + (1000 - weight) * noise(entry).astype(int) + 500) // 1000
            for cut in range(255):
                mask = blended > cut
                both, sizes = (mask & truth).sum((1, 2)), mask.sum((1, 2)) + truth.sum((1, 2))
                dice[which, number, :, cut] = np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1)
    fold_of = np.array([folds.fold_of[entry.group] for entry in hand_entries["train"]])
    half = dice[0, :, :, 127].mean(axis=1)
    assert tuned["fold_mean"] == pytest.approx(np.mean([half[fold_of == fold].mean() for fold in (0, 1)]))
    rows = tuned["per_class"]
    for index, name in enumerate(("disc", "square", "bar")):
        window = slice(12, 243)  # thresholds 0.05 to 0.95
        cut = round(tuned["thresholds"][name] * 255 - 0.5)
        of_class = dice[1, :, index]
        if rows[name]["operation"] == "none":
            assert rows[name]["oof"] == pytest.approx(of_class[:, cut].mean(), abs=1e-6)
            # No threshold other than 0.5 shows a gain on groups that it was not chosen on.
            assert rows[name]["oof_crossfit"] == pytest.approx(of_class[:, 127].mean(), abs=1e-6)
        raw = round(rows[name]["raw_threshold"] * 255 - 0.5)
        assert of_class.mean(axis=0)[raw] == pytest.approx(of_class.mean(axis=0)[window].max(), abs=1e-12)


def test_given_weights_in_a_classification(stage, patients_with_run, shared_patients, tmp_path):
    workspace, test = patients_with_run, shared_patients.manifest.of("test")
    (tmp_path / "t.csv").write_text("Index,any,left,right\n" + "".join(f"{entry.name},0.9,0.2,0.1\n" for entry in test))
    stage("import", "--name", "theirs", "--test", tmp_path / "t.csv")
    stage("tune", "--members", "theirs,quick", "--weights", "1,4")
    made, _ = stage("ensemble")
    samples = [entry.sample for entry in test]
    ours = read_scores(predicted_maps(workspace, "quick"), samples, shared_patients.track.classes)
    table = read_table_csv(Path(made["submission"]), shared_patients.track.classes)
    assert table["any"].tolist() == pytest.approx((0.2 * 0.9 + 0.8 * ours[:, 0]).tolist(), abs=1e-8)
    names = [entry.name for entry in shared_patients.train()]
    probs = np.random.default_rng(0).random((len(names), 3))
    lines = [",".join([name, *map(repr, map(float, row))]) for name, row in zip(names, probs, strict=True)]
    (tmp_path / "oof.csv").write_text("Index,any,left,right\n" + "\n".join(lines) + "\n")
    stage("import", "--name", "other", "--oof", tmp_path / "oof.csv", "--folds", workspace.fold_file())
    tuned, _ = stage("tune", "--members", "other,quick", "--weights", "1,4")
    assert tuned["members"] == {"other": 0.2, "quick": 0.8}
    assert tuned["oof_crossfit"] == tuned["oof"]  # nothing of the ranked class was chosen


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--weights", "1,1"), "--weights needs --members, in the same order"),
        (("--members", "quick", "--weights", "1,1"), "--weights names 2 weights for 1 members"),
        (("--members", "quick,theirs", "--weights", "1,x"), "--weights takes numbers such as 0.5, not 'x'"),
        (("--members", "quick,theirs", "--weights", "1,-1"), "can't be normalised"),
        (("--members", "quick,theirs", "--weights", "0,0"), "can't be normalised"),
        (("--members", "quick,theirs", "--weights", "1,nan"), "--weights takes numbers such as 0.5, not 'nan'"),
    ],
)
def test_wrong_weights_are_explained(stage, refusal, hands_with_run, float_arrays, words, sentence):
    stage("import", "--name", "theirs", "--test", float_arrays[1])
    assert sentence in refusal("tune", *words)[0]
    assert not hands_with_run.ensembles_folder().exists() or not list(hands_with_run.ensembles_folder().iterdir())


def test_weights_that_sum_to_one_are_not_said_to_be_normalised(stage, hands_with_run, float_arrays):
    stage("import", "--name", "theirs", "--test", float_arrays[1])
    _, said = stage("tune", "--members", "quick,theirs", "--weights", "0.1,0.9")
    assert "normalised" not in said
    assert "weights: quick 0.100, theirs 0.900" in said


@pytest.mark.parametrize(
    "text", ["1e400,1", "1e999999999,1", "nan,1", "inf,1", "1_0,1", "١,1", f"{'9' * 5000},1", "1/0,1", ",1"]
)
def test_what_is_no_weight_is_one_sentence(text):
    with pytest.raises(CompetitionError, match=r"--weights takes numbers such as 0\.5, not ") as caught:
        parse_weights(text, 2, "members")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("0.1, 1", (Fraction(1, 10), 1)),
        (".5,2.", (Fraction(1, 2), 2)),
        ("1e-3,2E2", (Fraction(1, 1000), 200)),
        ("1/3,+1", (Fraction(1, 3), 1)),
        ("0.123456789012345678901,1", (Fraction(123456789012345678901, 10**21), 1)),
    ],
)
def test_weights_are_read_exactly(text, weights):
    assert parse_weights(text, 2, "members") == list(weights)


def test_weights_that_can_not_be_counted_are_refused():
    with pytest.raises(CompetitionError, match="have too many digits to be counted exactly"):
        quorum(parse_weights("0.123456789012345678901,1", 2, "submissions"), Fraction(1, 2))
    assert quorum(parse_weights("0.123456789,1", 2, "submissions"), Fraction(1, 2)).weights == (123456789, 10**9)
