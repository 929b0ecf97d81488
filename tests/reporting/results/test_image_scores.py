"""Scores by image, class and fold against dense masks and the decision's own numbers."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.masks.bit_planes import unpack_planes
from competition.metrics.metric import make_metric
from competition.prediction.probability_maps import read_map
from competition.reporting.results import image_scores
from competition.reporting.results.image_scores import (
    class_and_fold_scores,
    mean_where_known,
    score_distribution,
    score_table,
)

pytestmark = pytest.mark.slow  # draws charts


def test_means_leave_out_what_is_not_known():
    values = np.array([[0.5, np.nan], [1.0, np.nan]])
    assert np.array_equal(mean_where_known(values, axis=0), [0.75, np.nan], equal_nan=True)
    assert mean_where_known(values, axis=1).tolist() == [0.5, 1.0]


def test_the_table_is_the_dice_of_dense_masks_at_cross_fitted_levels(tuned_hands):
    table, scores = score_table(tuned_hands)
    decision = tuned_hands.decision
    assert "surest+hull" in decision.operations.values()
    voters, weights = decision.voters(), decision.class_weights()
    for number, entry in enumerate(tuned_hands.tuning.entries):
        truth = unpack_planes(read_cached_planes(tuned_hands.workspace, entry.sample), 3).astype(bool)
        maps = [read_map(tuned_hands.tuning.folders[0][entry.sample], entry.sample)]
        planes = decide_image(maps, voters, weights, tuned_hands.vote.levels[number], decision.operation_list())
        decided = unpack_planes(planes, 3).astype(bool)
        sizes = truth.sum((1, 2)) + decided.sum((1, 2))
        dense = np.where(sizes > 0, 2 * (truth & decided).sum((1, 2)) / np.maximum(sizes, 1), 1)
        assert scores[number] == pytest.approx(dense, abs=1e-12)
        row = table.iloc[number]
        assert (row["sample"], row["group"], row["score"]) == (entry.sample, entry.group, pytest.approx(dense.mean()))
        assert row["worst class"] == tuned_hands.track.classes[int(dense.argmin())]
        assert row["its score"] == pytest.approx(dense.min())


def test_classes_and_folds_are_means_of_the_same_table(tuned_hands):
    classes, folds = class_and_fold_scores(tuned_hands)
    table, scores = score_table(tuned_hands)
    per_class = pd.read_csv(tuned_hands.decision_file.with_name("per_class.csv"))
    assert classes.table["Dice"].to_numpy() == pytest.approx(per_class["oof_crossfit"].to_numpy(), abs=1e-6)
    for fold in (0, 1):
        here = tuned_hands.tuning.folds == fold
        assert classes.table[f"fold {fold}"].to_numpy() == pytest.approx(scores[here].mean(axis=0))
        row = folds.table.iloc[fold]
        assert (row["fold"], row["images"], row["groups"]) == (str(fold), here.sum(), (3, 2)[fold])
        assert row["mean score"] == pytest.approx(table["score"][here].mean())
        assert row["worst image"] == table["score"][here].min()


def test_the_histogram_holds_every_image_of_a_sum_that_exceeds_one(tuned_hands, monkeypatch):
    terms = [{"name": "dice", "weight": 0.8}, {"name": "iou", "weight": 0.7}]
    monkeypatch.setattr(image_scores, "metric_of_masks", lambda track: make_metric({"sum": terms}))
    drawn, draw = [], Axes.hist
    monkeypatch.setattr(Axes, "hist", lambda axis, *args, **more: drawn.append(draw(axis, *args, **more)))
    (figure,) = score_distribution(tuned_hands)
    assert figure.table["score"].max() > 1
    ((counts, edges, _),) = drawn
    assert counts.sum() == len(figure.table)
    assert edges[-1] == 1.5


def test_the_csv_of_images_is_sorted_and_complete(tuned_hands):
    (figure,) = score_distribution(tuned_hands)
    assert figure.table["score"].is_monotonic_increasing
    assert set(figure.table["sample"]) == set(tuned_hands.tuning.samples)
    assert f"median {figure.table['score'].median():.3f}" in figure.body
