"""score --bootstrap: an interval of the score by drawing persons, against draws done one by one."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from competition.formats.parquet_tables import write_table
from competition.submission.run_lengths.files import write_rle_csv
from competition.submission.table.files import write_table_csv
from competition.tracks import get_track

BONES = get_track("hand_bone").classes
VESSELS = get_track("aneurysm").classes
DRAWS = 400


def prepare(tmp_path, dataset, groups):
    folder = tmp_path / "workspace" / "cache" / dataset
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"name": list(groups), "group": list(groups.values()), "split": "test", "stratum": ""})
    frame["height"] = frame["width"] = 20
    write_table(folder / "manifest.parquet", frame)


@pytest.fixture
def hands(tmp_path):
    """Twelve images whose Dice goes from 1 to 0, and what it is."""
    names = [f"{number}.png" for number in range(12)]
    write_rle_csv(tmp_path / "t.csv", [(name, bone, "1 22") for name in names for bone in BONES])
    shifted = {name: 1 + 2 * number for number, name in enumerate(names)}
    write_rle_csv(tmp_path / "s.csv", [(name, bone, f"{shifted[name]} 22") for name in names for bone in BONES])
    return names, np.array([max(22 - 2 * number, 0) / 22 for number in range(12)])


def drawn_by_hand(figure, groups):
    """Quantiles of a figure (indices -> value) when whole groups are drawn, one draw at a time."""
    random, names = np.random.default_rng(1), sorted(set(groups))
    rows = {name: np.flatnonzero(np.array(groups) == name) for name in names}
    values = [figure(np.concatenate([rows[name] for name in random.choice(names, len(names))])) for _ in range(4000)]
    return np.nanquantile(values, (0.025, 0.975))


def auroc_by_pairs(truth, scores):
    """How often a positive scores above a negative, a tie counting half: in a tenth of scikit-learn's time."""
    above = scores[truth == 1][:, None] - scores[truth == 0]
    return np.mean((above > 0) + 0.5 * (above == 0))


def test_persons_are_drawn_where_prepare_knows_them(stage, hands, tmp_path):
    names, dice = hands
    people = [f"ID{number // 3}" for number in range(12)]
    prepare(tmp_path, "hand_bone", dict(zip(names, people, strict=True)))
    figures, said = stage("score", tmp_path / "s.csv", tmp_path / "t.csv", "--bootstrap", DRAWS)
    interval = figures["interval"]
    assert figures["score"] == pytest.approx(dice.mean())
    assert (interval["draws"], interval["groups"], interval["alone"]) == (DRAWS, 4, 0)
    low, high = drawn_by_hand(lambda rows: dice[rows].mean(), people)
    assert (interval["low"], interval["high"]) == pytest.approx((low, high), abs=0.06)
    assert f"95 % interval of the dice {interval['low']:.6f} .. {interval['high']:.6f} ({DRAWS} draws of 4" in said
    assert "resampled alone" not in said


def test_unknown_images_are_drawn_alone_and_that_is_said(stage, hands, tmp_path):
    names, dice = hands
    words = ("score", tmp_path / "s.csv", tmp_path / "t.csv", "--bootstrap", DRAWS)
    figures, said = stage(*words)
    assert (figures["interval"]["groups"], figures["interval"]["alone"]) == (12, 12)
    assert "the group of 12 of 12 images is unknown" in said
    low, high = drawn_by_hand(lambda rows: dice[rows].mean(), names)
    assert (figures["interval"]["low"], figures["interval"]["high"]) == pytest.approx((low, high), abs=0.06)
    # A person who is called like an image is still another group.
    prepare(tmp_path, "hand_bone", dict.fromkeys(names[:6], names[6]))
    figures, said = stage(*words)
    assert (figures["interval"]["groups"], figures["interval"]["alone"]) == (7, 6)
    assert "the group of 6 of 12 images is unknown" in said


@pytest.mark.slow
@pytest.mark.parametrize("prepared", [True, False])
def test_the_auroc_has_an_interval_too(stage, tmp_path, prepared):
    random = np.random.default_rng(0)
    truth = np.zeros((60, 22))
    truth[:25, 0] = truth[:25, 3] = 1
    ours = truth.copy()
    ours[:, 0] = np.clip(0.3 * truth[:, 0] + random.random(60) * 0.7, 0, 1)
    ids = [f"{number:04d}" for number in range(60)]
    for name, values in (("t.csv", truth), ("s.csv", ours)):
        write_table_csv(tmp_path / name, ids, VESSELS, values)
    written = pd.read_csv(tmp_path / "s.csv")["Aneurysm"].to_numpy()
    people = [f"p{number // 2}" if prepared else str(number) for number in range(60)]
    if prepared:
        prepare(tmp_path, "aneurysm", dict(zip(ids, people, strict=True)))
    words = ("score", "--track", "aneurysm", tmp_path / "s.csv", tmp_path / "t.csv")
    figures, said = stage(*words, "--bootstrap", DRAWS)
    assert figures["score"] == pytest.approx(roc_auc_score(truth[:, 0], written))
    assert figures["score"] == pytest.approx(auroc_by_pairs(truth[:, 0], written))
    low, high = drawn_by_hand(lambda rows: auroc_by_pairs(truth[rows, 0], written[rows]), people)
    interval = figures["interval"]
    assert (interval["low"], interval["high"]) == pytest.approx((low, high), abs=0.03)
    assert (interval["groups"], interval["alone"]) == ((30, 0) if prepared else (60, 60))
    assert "95 % interval of the auroc" in said
    assert "interval" not in stage(*words)[0]


@pytest.mark.parametrize("draws", [0, -5])
def test_a_number_of_draws_is_positive(refusal, hands, tmp_path, draws):
    error, _ = refusal("score", tmp_path / "s.csv", tmp_path / "t.csv", "--bootstrap", draws)
    assert f"--bootstrap takes a number of draws such as 1000, not {draws}" in error
