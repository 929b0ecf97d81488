"""What is shown while weights are searched."""

import numpy as np
from plain_curves import search_weights

from competition import console
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.voting.class_groups import one_group

WINDOW = (0.2, 0.8)


def test_a_long_search_says_how_far_it_is(monkeypatch, capsys):
    """The list is scored on the drawn images, its best on all of them; both are counted out."""
    monkeypatch.setattr(console, "LOG_LINE_SECONDS", 0)
    images = TuningImages(np.arange(40) % 4, [str(i) for i in range(40)], np.ones((40, 1), bool))
    candidates = np.array([[500, 500], [600, 400], [700, 300]])

    def evaluate(weights, rows):
        return np.full((len(rows), 1, 256), weights[0, 0] / 1000)

    search_weights(
        evaluate, lambda score: candidates, 2, images, one_group(1), WINDOW, search_limit=20, expected=len(candidates)
    )
    assert capsys.readouterr().out.splitlines() == [
        *(f"weights, on 20 images: {n}/3, ETA 0 s best 0.{4 + n}000" for n in (1, 2, 3)),
        *(f"the best weights, on 40 images: {n}/3, ETA 0 s best 0.{4 + n}000" for n in (1, 2, 3)),
    ]
