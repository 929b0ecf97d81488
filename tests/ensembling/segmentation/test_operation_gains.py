"""What post-processing is said to gain, against masks that are scored by hand."""

import numpy as np
import pytest

from competition.ensembling.segmentation.decision import say_search
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.voting.class_groups import one_group
from competition.masks.bit_planes import unpack_planes


def test_the_gain_of_a_processed_class_is_that_of_its_masks(make_data, tmp_path, capsys):
    """A speck in the corner of one class: without it every mask is right, so the gain is what the speck costs."""

    def specked(truth):
        levels = np.where(truth, 250, 5)
        levels[1, :3, :3] = 250
        return levels

    data = make_data(a=specked, b=specked)
    found = tune_segmentation(data, Search("optuna", 5, one_group(3), [(0.2, 0.8), (0.5, 0.5)]), tmp_path)
    assert [operation != "none" for operation in found.operations] == [False, True, False]
    costs = []
    for sample in data.samples:
        truth = unpack_planes(data.truth(sample), 3)[1].astype(bool)
        predicted = truth.copy()
        predicted[:3, :3] = True
        costs.append(1 - 2 * (truth & predicted).sum() / (truth.sum() + predicted.sum()))
    assert found.operation_gains == [pytest.approx(np.mean(costs))]
    say_search(found)
    said = f"post-processing of 1 of 3 classes: cross-fitted gain {np.mean(costs):.5f}, more than one standard error"
    assert said in capsys.readouterr().out.replace("\n", " ")
