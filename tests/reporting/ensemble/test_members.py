"""Weights and contributions are those that tune measured."""

import numpy as np
import pandas as pd
import pytest

from competition.reporting.ensemble.members import member_table, member_weights, tuning_gain

pytestmark = pytest.mark.slow  # draws charts


def test_the_table_holds_what_tune_wrote(two_hands):
    table = member_table(two_hands)
    stored = pd.read_csv(two_hands.decision_file.with_name("members.csv"))
    assert table["member"].tolist() == ["other", "quick"]
    assert table["folds"].tolist() == ["0,1", "0,1"]
    assert table["weight"].tolist() == [0.5, 0.5]
    assert table["alone"].to_numpy() == pytest.approx(stored["alone"].to_numpy(), abs=1e-6)
    columns = {"vote without it": "left_out", "low": "low", "high": "high"}
    for shown, written in columns.items():
        assert table[shown].tolist() == stored[written].tolist()
    (figure,) = member_weights(two_hands)
    useless = [name for name, high in zip(table["member"], table["high"], strict=True) if high >= 0]
    assert ("No gain is shown for" in figure.sentence) == bool(useless)


def test_one_member_has_no_contribution(tuned_hands):
    (figure,) = member_weights(tuned_hands)
    assert np.isnan(figure.table["vote without it"].iloc[0])
    assert "One member votes" in figure.sentence


def test_the_gain_is_cross_fitted_less_equal_weights_at_half(tuned_hands):
    (figure,) = tuning_gain(tuned_hands)
    per_class = pd.read_csv(tuned_hands.decision_file.with_name("per_class.csv")).set_index("class")
    expected = (per_class["oof_crossfit"] - per_class["at_half"]).to_dict()
    assert dict(zip(figure.table["class"], figure.table["gain"], strict=True)) == pytest.approx(expected)
    assert figure.table["gain"].is_monotonic_decreasing
    assert f"{tuned_hands.decision.scores.gain:+.4f}" in figure.sentence


def test_a_table_has_no_gain_per_class(tuned_patients):
    assert tuning_gain(tuned_patients) == []
