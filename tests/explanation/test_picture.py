"""Pictures and rows of an explanation made up by hand."""

from dataclasses import replace

import numpy as np
import pytest

from competition.explanation.energy import Share
from competition.explanation.explain import Explanation
from competition.explanation.picture import PREDICTION, SIDE, TRUTH, VIEW_SIDE, captions, draw_explanations, outlined
from competition.explanation.table import row_of


def explanation(views=1, **changes):
    square = np.zeros((50, 40), bool)
    square[10:20, 10:20] = True
    values = {
        "sample": "s",
        "name": "s.png",
        "class_name": "disc",
        "score": 0.91,
        "truth": True,
        "folds": (2,),
        "out_of_fold": True,
        "views": ("A", "B")[:views],
        "images": (np.full((50, 40), 90, np.uint8),) * views,
        "grad_cam": (square.astype(np.float32),) * views,
        "occlusion": (0.25 * square.astype(np.float32),) * views,
        "truth_mask": square,
        "predicted_mask": np.roll(square, 20, axis=0),
        "rank_correlation": 0.75,
        "energy": {"target": Share(1.0, 0.05), "text": Share(0.0, 0.0), "margin": Share(0.0, 0.2)},
    }
    return Explanation(**values | changes)


def test_the_captions_give_class_probability_truth_and_networks():
    first, second = captions(explanation(), 1.0, 0.25)
    assert first == "s.png  disc: probability 0.910, truth: yes; fold 2, which held it out"
    assert second.endswith("Grad-CAM, largest 1.00 | occlusion, largest fall 0.250 | rank correlation 0.75")
    other = explanation(truth=None, folds=(0, 1, "full"), out_of_fold=False, rank_correlation=0.1)
    first, _, warning = captions(other, 1.0, 0.25)
    assert first.endswith("truth unknown; mean of folds 0, 1, full")
    assert warning == "Grad-CAM and occlusion disagree: do not rely on the map"


def test_truth_and_prediction_are_outlined_in_their_colours():
    drawn = outlined(np.zeros((50, 40, 3), np.uint8), explanation())
    for row, colour in ((10, TRUTH), (30, PREDICTION)):
        strength = drawn[row, 15] / np.array(colour)  # smoothed edges are a little darker
        assert strength.min() > 0.7
        assert np.ptp(strength) < 0.05
    assert not drawn[15, 15].any()
    assert not outlined(np.zeros((9, 9, 3), np.uint8), explanation(truth_mask=None, predicted_mask=None)).any()


@pytest.mark.parametrize("views", [1, 2])
def test_image_and_maps_stand_side_by_side_one_row_for_each_view(views):
    shown = explanation(views, truth_mask=None, predicted_mask=None)
    picture = draw_explanations([shown])
    coloured = explanation(views, images=(np.full((50, 40, 3), 90, np.uint8),) * views)
    np.testing.assert_array_equal(draw_explanations([replace(coloured, truth_mask=None, predicted_mask=None)]), picture)
    side = SIDE if views == 1 else VIEW_SIDE
    wide = round(side * 40 / 50)
    hot = [int((picture[:, start : start + wide] != 90).all(axis=2).sum()) for start in (0, wide + 6, 2 * (wide + 6))]
    assert picture.shape[0] >= views * side
    assert draw_explanations([shown, shown]).shape[0] > 1.9 * picture.shape[0]
    marks = views * (side / 5) ** 2  # of the hot square, a fifth of the side
    assert hot[1] - hot[0] == pytest.approx(marks, rel=0.25)
    assert hot[2] - hot[0] == pytest.approx(marks, rel=0.6)  # text of the captions is in all three


def test_a_row_has_shares_areas_and_ratios_and_nothing_where_they_are_undefined():
    row = row_of(explanation())
    assert (row["sample"], row["class"], row["probability"], row["truth"]) == ("s", "disc", 0.91, 1)
    assert (row["folds"], row["out_of_fold"], row["rank_correlation"], row["advice"]) == ("2", 1, 0.75, "")
    assert (row["target_energy"], row["target_area"], row["target_ratio"]) == (1.0, 0.05, 20.0)
    assert (row["text_energy"], row["text_ratio"]) == (0.0, None)
    patient = row_of(explanation(energy={"text": Share(0.1, 0.1)}, rank_correlation=float("nan"), truth=None))
    assert (patient["target_energy"], patient["truth"], patient["rank_correlation"]) == (None, None, None)
    assert patient["advice"].startswith("Grad-CAM or occlusion is empty")
    assert list(patient) == list(row)
