"""Cases: which images are shown, and that one class decided alone is the same as with all others."""

import base64
import re

import cv2
import numpy as np
import pytest

from competition.masks.bit_planes import unpack_planes
from competition.metrics.masks import ImageMasks
from competition.reporting.case_pictures import DECIDED, PANEL, TRUTH, Case, differing_window
from competition.reporting.results.image_scores import score_table
from competition.reporting.results.mask_cases import (
    class_case,
    class_cases,
    decided_case,
    ranked_cases,
    whole_image_cases,
)

pytestmark = pytest.mark.slow  # draws charts


def test_worst_median_and_best_are_each_shown_once():
    order = list(range(100, 140))
    chosen = ranked_cases(order)
    assert [index for index, kind in chosen.items() if kind == "worst"] == order[:6]
    assert [index for index, kind in chosen.items() if kind == "best"] == order[-3:]
    assert [index for index, kind in chosen.items() if kind == "median"] == order[18:21]
    assert list(ranked_cases([5, 3])) == [5, 3]
    assert ranked_cases([]) == {}


@pytest.mark.parametrize("operation", ["none", "surest", "fill"])
def test_a_class_alone_is_decided_as_with_all_others(two_hands, operation):
    every = dict.fromkeys(two_hands.track.classes, operation)
    object.__setattr__(two_hands, "decision", two_hands.decision.model_copy(update={"operations": every}))
    for entry in two_hands.tuning.entries[:3]:
        whole = decided_case(two_hands, entry)
        for index in range(3):
            alone = class_case(two_hands, entry, index)
            for one, other in ((alone.decided, whole.decided), (alone.truth, whole.truth)):
                assert np.array_equal(unpack_planes(one.planes, 1)[0], unpack_planes(other.planes, 3)[index])


def test_the_worst_images_come_first_with_their_scores(two_hands):
    # Thresholds stay at 0.5, so that cases and cross-fitted scores are of the same masks.
    assert (two_hands.vote.levels == 127).all()
    table, scores = score_table(two_hands)
    (figure,) = whole_image_cases(two_hands)
    worst = table.sort_values("score", kind="stable")
    assert figure.table["sample"].tolist()[:6] == worst["sample"].tolist()[:6]
    assert figure.table["score"].tolist()[:6] == pytest.approx(worst["score"].tolist()[:6])
    assert figure.body.count("<img") == len(figure.table) == 9  # the median is among the six worst
    (classes,) = class_cases(two_hands)
    assert set(classes.table["class"]) == set(two_hands.track.classes)
    for name, sample, score in classes.table.itertuples(index=False):
        index = two_hands.track.classes.index(name)
        present = two_hands.vote.counts[:, 2, index] > 0
        assert score == pytest.approx(scores[present, index].min())
        assert score == pytest.approx(scores[two_hands.tuning.samples.index(sample), index])
    data = base64.b64decode(re.findall(r'base64,([^"]+)"', figure.body)[0])
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (PANEL, 2 * PANEL, 3)


def planes_of(size_hw, *boxes):
    planes = np.zeros((*size_hw, 1), np.uint8)
    for top, left, bottom, right in boxes:
        planes[top:bottom, left:right] = 1
    return planes


def test_the_window_surrounds_the_most_wrong_place():
    size = (400, 800)
    truth = planes_of(size, (0, 0, 300, 300), (350, 700, 390, 740))
    decided = planes_of(size, (0, 0, 300, 300), (350, 700, 351, 701), (5, 390, 6, 391))
    rows, columns = differing_window([truth, decided])
    assert (rows.stop - rows.start, columns.stop - columns.start) == (200, 200)
    assert rows.start <= 350
    assert rows.stop == 400
    assert columns == slice(600, 800)  # around column 720 it would leave the image
    assert differing_window([truth, truth])[0].stop - differing_window([truth, truth])[0].start == 200
    empty = planes_of((30, 20))
    assert differing_window([empty, empty]) == (slice(0, 30), slice(0, 20))


def test_truth_is_blue_and_prediction_orange():
    truth, decided = planes_of((320, 320), (40, 40, 100, 100)), planes_of((320, 320), (200, 200, 280, 280))
    picture = Case(np.zeros((320, 320), np.uint8), ImageMasks(truth, 1), ImageMasks(decided, 1)).picture()
    blue, orange = picture[70, 40].astype(int), picture[240, 200].astype(int)  # lines are smoothed
    assert np.argmax(blue) == np.argmax(TRUTH) == 2
    assert np.argmax(orange) == np.argmax(DECIDED) == 0
    assert min(blue[2], orange[0]) > 150
    assert picture[150, 150].tolist() == [0, 0, 0]
