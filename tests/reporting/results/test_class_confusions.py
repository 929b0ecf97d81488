"""Confused classes, against pixels counted one by one."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.reporting.results.class_confusions import class_confusions, confused_pairs


def test_pairs_are_sorted_by_pixels():
    shares = np.array([[0, 0.5, 0.1], [0.2, 0, 0], [0, 0, 0]])
    assert confused_pairs(shares, np.array([10.0, 100.0, 0.0])) == [(1, 0), (0, 1), (0, 2)]


def test_the_figure_is_the_table_of_tune(tiny_hands, add_masks, inputs_of):
    def swapped(truth, number):
        """Square is claimed where the disc is, by 30 pixels of each image."""
        levels = 255 * truth.astype(np.uint8)
        rows, columns = np.nonzero(truth[0] & ~truth[1])
        levels[1][rows[:30], columns[:30]] = 255
        return levels

    add_masks(tiny_hands, "quick", swapped)
    inputs = inputs_of(tiny_hands)
    (figure,) = class_confusions(inputs)
    assert figure.table.iloc[0].to_dict() == {
        "predicted": "square",
        "truth": "disc",
        "pixels": 300,
        "share of its false pixels": "100.0%",
    }
    assert len(figure.table) == 1
    inputs.decision_file.with_name("confusions.csv").write_text("class,false_positives,no_class\nx,many,0\n")
    with pytest.raises(CompetitionError, match=r"holds what is no number: .*confusions\.csv\. Run \./run\.sh tune"):
        class_confusions(inputs)
