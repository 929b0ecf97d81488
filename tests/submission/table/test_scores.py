import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from competition.errors import CompetitionError
from competition.submission.table.files import write_table_csv
from competition.submission.table.form import score_table

TABLE = ("Aneurysm", *(f"location-{number}" for number in range(21)))


def aneurysm_case(seed=0, patients=60):
    rng = np.random.default_rng(seed)
    truth = (rng.random((patients, 22)) < 0.2).astype(float)
    truth[:, 5] = 0  # a location that never occurs has no AUROC
    truth[:, 0] = truth[:, 1:].any(axis=1) & (rng.random(patients) < 0.5)
    outputs = np.column_stack(
        [(truth[:, 0] + rng.random(patients)) / 2, (truth[:, 1:] * (rng.random((patients, 21)) < 0.7))]
    )
    outputs[:, 0] = outputs[:, 0].round(1)  # ties count half
    ids = [f"{number:04d}" for number in rng.permutation(2000)[:patients]]
    return ids, truth, outputs


def test_aneurysm_score_equals_the_organisers_arithmetic(tmp_path):
    ids, truth, outputs = aneurysm_case()
    write_table_csv(tmp_path / "s.csv", ids, TABLE, outputs)
    shuffled = pd.DataFrame(truth, ids, list(TABLE)).sample(frac=1, random_state=1)
    score = score_table(tmp_path / "s.csv", shuffled, TABLE)
    assert score.score == pytest.approx(roc_auc_score(truth[:, 0], outputs[:, 0]), abs=1e-12)
    wrong = np.abs(truth[:, 1:] - outputs[:, 1:]).sum()
    figures = score.figures()
    assert set(figures) == {
        "metric", "score", "per_class", "rows", "accuracy", "all_zero_accuracy", "cells_gained"
    }  # fmt: skip
    assert figures["accuracy"] == pytest.approx(1 - wrong / (60 * 21))
    assert figures["all_zero_accuracy"] == pytest.approx(1 - truth[:, 1:].sum() / (60 * 21))
    assert figures["cells_gained"] == truth[:, 1:].sum() - wrong
    assert (figures["metric"], figures["rows"]) == ("auroc", 60)
    assert figures["per_class"][TABLE[5]] is None
    assert figures["per_class"][TABLE[3]] == pytest.approx(roc_auc_score(truth[:, 3], outputs[:, 3]))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_aneurysm_rows_and_values_that_do_not_fit(tmp_path):
    ids, truth, outputs = aneurysm_case()
    frame = pd.DataFrame(truth, ids, list(TABLE))
    write_table_csv(tmp_path / "s.csv", ids[1:], TABLE, outputs[1:])
    with pytest.raises(CompetitionError, match=rf"1 rows are missing \({int(ids[0])}\)"):
        score_table(tmp_path / "s.csv", frame, TABLE)
    with pytest.raises(CompetitionError, match=rf"1 rows are not in the truth \({int(ids[1])}\)"):
        score_table(tmp_path / "s.csv", frame.drop(ids[:2]), TABLE)
    with pytest.raises(CompetitionError, match="only one kind of Aneurysm"):
        score_table(tmp_path / "s.csv", frame.drop(ids[0]) * 0, TABLE)
    with pytest.raises(CompetitionError, match=r"truth of location-0 of Index \d+ is 0\.5, not 0 or 1"):
        score_table(tmp_path / "s.csv", frame.drop(ids[0]) * 0.5 + 0.5, TABLE)
    text = (tmp_path / "s.csv").read_text().splitlines()
    (tmp_path / "s.csv").write_text("\n".join([text[0], "NaN".join([ids[1] + ",", text[1][len("0000,0.00000000") :]])]))
    with pytest.raises(CompetitionError, match=rf"Aneurysm of Index {int(ids[1])} is not a finite number"):
        score_table(tmp_path / "s.csv", frame.loc[[ids[1]]], TABLE)


def test_leading_zeros_of_an_index_do_not_matter(tmp_path):
    ids, truth, outputs = aneurysm_case()
    write_table_csv(tmp_path / "s.csv", ids, TABLE, outputs)
    plain = pd.DataFrame(truth, [str(int(name)) for name in ids], list(TABLE))
    expected = score_table(tmp_path / "s.csv", pd.DataFrame(truth, ids, list(TABLE)), TABLE)
    assert score_table(tmp_path / "s.csv", plain, TABLE) == expected
    long = ["1" * 5000, "0" * 5000 + "2", "\u0663"]  # Python's int stops at 4,300 digits, and takes every alphabet's
    write_table_csv(tmp_path / "s.csv", [*long, *ids[3:]], TABLE, outputs)
    shortened = pd.DataFrame(truth, ["1" * 5000, "2", "\u0663", *ids[3:]], list(TABLE))
    assert score_table(tmp_path / "s.csv", shortened, TABLE).score == expected.score
    write_table_csv(tmp_path / "s.csv", ["7", "007"], TABLE, outputs[:2])
    with pytest.raises(CompetitionError, match="Index 7 appears twice"):
        score_table(tmp_path / "s.csv", plain, TABLE)
