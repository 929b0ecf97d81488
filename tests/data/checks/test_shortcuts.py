"""The metadata-only leak alarm, against scikit-learn's own cross-validation and against traits that tell nothing."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from competition.data.checks.shortcuts import ALARM, find_shortcut, trait_auroc
from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.tracks.aneurysm.track import ANEURYSM
from competition.tracks.track import Sample

pytestmark = pytest.mark.slow


def data(samples=60, told=0.7, seed=0):
    """Three traits, of which the second tells the target to some degree; and four folds of different sizes."""
    random = np.random.default_rng(seed)
    targets = (random.random(samples) < 0.4).astype(np.int64)
    traits = random.normal(size=(samples, 3)) * [300, 1, 0.01]
    traits[:, 1] += told * targets
    return traits, targets, random.choice(4, samples, p=[0.4, 0.3, 0.2, 0.1])


def entry(number, target, traits):
    return Entry(
        sample=f"s{number}",
        name=f"s{number}",
        split="train",
        group=f"g{number}",
        stratum="",
        present=(True,),
        height=1,
        width=1,
        mean=(0.0,),
        std=(1.0,),
        targets=(int(target), 0),
        pixels=str(number),
        labels="",
        fingerprint="",
        traits=tuple(map(float, traits)),
    )


def entries_and_folds(traits, targets, fold_of):
    entries = [entry(number, target, row) for number, (target, row) in enumerate(zip(targets, traits, strict=True))]
    return entries, Folds({f"g{number}": int(fold) for number, fold in enumerate(fold_of)}, Path("folds.csv"))


def share_of_pairs(scores, targets, folds):
    """Counts pairs of one fold, one by one."""
    right = pairs = 0
    for one, other in product(range(len(targets)), repeat=2):
        if folds[one] == folds[other] and targets[one] == 1 and targets[other] == 0:
            pairs += 1
            right += 1.0 if scores[one] > scores[other] else 0.5 if scores[one] == scores[other] else 0.0
    return right / pairs


@pytest.mark.parametrize("seed", range(3))
def test_the_score_counts_the_pairs_of_each_fold_in_scikit_learns_cross_validation(seed):
    traits, targets, folds = data(seed=seed)
    regression = make_pipeline(StandardScaler(), LogisticRegression())
    scores = cross_val_predict(regression, traits, targets, cv=PredefinedSplit(folds), method="decision_function")
    assert trait_auroc(traits, targets, folds) == pytest.approx(share_of_pairs(scores, targets, folds), abs=1e-12)


def test_traits_that_are_the_same_for_all_are_ties():
    _, targets, folds = data()
    assert trait_auroc(np.ones((60, 2)), targets, folds) == 0.5


def test_unequal_folds_alone_do_not_move_the_score():
    # The more positives a fold holds out, the fewer its regression saw: over all folds at once that ranks backwards.
    traits, folds = np.ones((40, 1)), np.repeat([0, 1], 20)
    targets = np.array([1] * 18 + [0] * 2 + [1] * 2 + [0] * 18)
    assert trait_auroc(traits, targets, folds) == 0.5


@pytest.mark.parametrize(
    ("targets", "folds"),
    [
        ([0, 0, 0, 0], [0, 0, 1, 1]),  # one class
        ([1, 1, 1, 1], [0, 0, 1, 1]),
        ([0, 0, 1, 1], [0, 0, 1, 1]),  # no fold holds out a pair
        ([0, 1, 0, 0], [0, 0, 1, 1]),  # the only pair is held out from samples of one class
        ([1], [0]),
    ],
)
def test_where_nothing_can_be_ranked_there_is_no_score_and_no_alarm(targets, folds):
    traits = np.arange(len(targets), dtype=float)[:, None]
    assert trait_auroc(traits, np.array(targets), np.array(folds)) is None
    assert find_shortcut(*entries_and_folds(traits, targets, folds)) == (None, None)


def test_samples_without_traits_are_not_judged():
    assert find_shortcut(*entries_and_folds(np.zeros((4, 0)), [0, 1, 0, 1], [0, 0, 1, 1])) == (None, None)
    assert find_shortcut([], Folds({}, Path("folds.csv"))) == (None, None)


@pytest.mark.exhaustive
def test_traits_that_tell_the_target_raise_the_alarm():
    traits, targets, folds = data(samples=200, told=1.5)
    score, alarm = find_shortcut(*entries_and_folds(traits, targets, folds))
    assert score == trait_auroc(traits, targets, folds)
    assert score > 0.75
    assert f"with an AUROC of {score:.2f} (99 shuffles of the targets: at most 0." in alarm
    assert alarm.startswith("LEAK ALARM: ")


def test_a_score_of_few_samples_that_chance_reaches_too_is_no_alarm():
    fold_of = np.arange(40) % 4
    for seed in range(30):  # the first of these data sets whose traits tell by chance, as they were drawn, what is what
        random = np.random.default_rng(seed)
        traits, targets = random.normal(size=(40, 3)), random.permutation(np.arange(40) % 2)
        score, alarm = find_shortcut(*entries_and_folds(traits, targets, fold_of))
        assert alarm is None
        if score > ALARM:
            return
    pytest.fail("no data set passed the alarm's level by chance")


def test_a_score_below_the_level_is_no_alarm_however_many_samples_confirm_it():
    traits, targets, folds = data(samples=3000, told=0.25)
    score, alarm = find_shortcut(*entries_and_folds(traits, targets, folds))
    assert 0.54 < score < ALARM
    assert alarm is None


def test_prepare_says_so_once_and_writes_the_figure(stage, tmp_path):
    """Drawn patients, of whom those with an aneurysm then get wider pictures."""
    drawn = ["prepare", "--track", "aneurysm", "--people", 24, "--test-people", 1, "--size", 64, "--folds", 3]
    figures, said = stage(*drawn, "--phantom")
    assert 0 < figures["shortcut_auroc"] < 0.85
    assert "LEAK ALARM" not in said
    raw = tmp_path / "workspace" / "data" / "phantom_aneurysm"
    for line in (raw / "train_set" / "train.csv").read_text().splitlines()[1:]:
        index, aneurysm = line.split(",")[:2]
        if aneurysm == "1":
            for path in (raw / "train_set").glob(f"{index}*.jpg"):
                still = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
                cv2.imwrite(str(path), cv2.copyMakeBorder(still, 0, 0, 40, 40, cv2.BORDER_CONSTANT, value=0))
    figures, said = stage("prepare", "--track", "aneurysm", "--data", raw, "--folds", 3)
    assert figures["shortcut_auroc"] > 0.95
    assert said.count("LEAK ALARM") == 1
    assert "with an AUROC of 1.00" in said


def white_letters(still):
    """Burns a text block into the lower left, over picture and margin alike."""
    for row in range(5):
        cv2.putText(still, "FOV: 20x20 cm", (20, 190 + 9 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.25, 255, 1)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["size", "margins", "text", "block"])
def test_each_trait_of_a_patient_alone_raises_the_alarm(kind, tmp_path):
    """Pictures of the positives differ in one thing, and the patients are numbered alike but for "block"."""
    random, samples = np.random.default_rng(0), []
    for number in range(24):
        positive = number % 2
        still = np.clip(random.normal(190, 4, (240, 240)), 0, 255).astype(np.uint8)
        still[:, :30] = 0  # all have a margin, so that none is no sign
        if positive and kind == "size":
            still = np.ascontiguousarray(np.pad(still, ((0, 24), (0, 24)), mode="edge"))
        if positive and kind == "margins":
            still[:, :50] = still[:, -50:] = 0
        if positive and kind == "text":
            white_letters(still)
        index = 1001 + number + (1000 * positive if kind == "block" else 0)
        for view in ANEURYSM.views:
            cv2.imwrite(str(tmp_path / f"{index}{view}.jpg"), still)
        paths = tuple(f"{index}{view}.jpg" for view in ANEURYSM.views)
        samples.append(Sample(str(index), str(index), "train", str(index), paths, targets=(positive,) * 22))
    traits = np.array([ANEURYSM.read_traits(tmp_path, sample) for sample in samples])
    differs = {"size": {0, 1, 2}, "margins": {2}, "text": {3}, "block": {4}}[kind]
    spread = traits[1::2].mean(axis=0) - traits[::2].mean(axis=0)
    assert {int(column) for column in np.flatnonzero(np.abs(spread) > 0.004)} == differs
    targets = np.arange(24) % 2
    score, alarm = find_shortcut(*entries_and_folds(traits, targets, np.arange(24) // 2 % 4))
    assert score == 1
    assert alarm is not None
