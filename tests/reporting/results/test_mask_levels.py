"""Reliability and thresholds of masks against dense pixels and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from competition.data.cache import read_cached_planes
from competition.ensembling.voting.class_votes import blend
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.metrics.counts import dice
from competition.prediction.opened_maps import open_map
from competition.reporting.calibration import expected_calibration_error
from competition.reporting.results.mask_levels import mask_reliability, score_by_threshold

pytestmark = pytest.mark.slow  # draws charts


def dense(inputs):
    """The vote's levels and the truth of every image, (C, H, W) each."""
    decision = inputs.decision
    for entry in inputs.tuning.entries:
        maps = [open_map(folder_of[entry.sample], entry.sample) for folder_of in inputs.tuning.folders]
        levels = blend(maps, decision.weights(), decision.voters())
        yield levels, unpack_planes(read_cached_planes(inputs.workspace, entry.sample), 3).astype(bool)


@pytest.fixture(params=["tuned_hands", "two_hands"])
def inputs(request):
    return request.getfixturevalue(request.param)


def test_the_reliability_of_pixels_is_that_of_scikit_learn(inputs):
    (figure,) = mask_reliability(inputs)
    for name, index in (("all classes", slice(None)), ("disc", 0)):
        levels = np.concatenate([found[index].ravel() for found, _ in dense(inputs)])
        truth = np.concatenate([wanted[index].ravel() for _, wanted in dense(inputs)])
        shown, positive = levels[levels > 0] / 255, truth[levels > 0]
        share, mean = calibration_curve(positive, shown, n_bins=10)
        bins = figure.table[figure.table["class"] == name]
        assert bins["positive"].to_numpy() == pytest.approx(share)
        assert bins["probability"].to_numpy() == pytest.approx(mean)
        assert bins["cases"].sum() == len(shown)
        which = np.digitize(shown, np.linspace(0, 1, 11)[1:-1], right=True)
        gaps = [abs(shown[which == k].mean() - positive[which == k].mean()) * (which == k).mean() for k in set(which)]
        assert expected_calibration_error(bins) == pytest.approx(sum(gaps))
        if name == "all classes":
            assert f"error is {sum(gaps):.3f}" in figure.sentence
            assert f"the {(levels == 0).mean():.1%} of pixels" in figure.sentence


def test_the_score_at_every_threshold_is_that_of_dense_masks(inputs):
    (figure,) = score_by_threshold(inputs)
    table, chosen = figure.table, inputs.decision.level_array()
    pairs = list(dense(inputs))
    for index, name in enumerate(inputs.track.classes):
        of_class = table[table["class"] == name]
        assert of_class[of_class["chosen"]]["level"].tolist() == [chosen[index]]
        expected = set(inputs.vote.levels[:, index].tolist())
        assert set(of_class[of_class["chosen without a fold"]]["level"]) == expected
        for level, threshold, score in of_class[["level", "threshold", "score"]].iloc[::9].itertuples(index=False):
            masks = [(levels[index] > level, truth[index]) for levels, truth in pairs]
            counts = [(mask & truth).sum() for mask, truth in masks]
            areas = [(mask.sum(), truth.sum()) for mask, truth in masks]
            assert score == pytest.approx(dice(counts, *np.transpose(areas)).mean())
            assert threshold == pytest.approx((level + 0.5) / 255)


def test_maps_of_zeros_have_nothing_to_calibrate(tiny_hands, add_masks, inputs_of):
    add_masks(tiny_hands, "quick", lambda truth, number: 0 * truth)
    inputs = inputs_of(tiny_hands)
    with pytest.raises(CompetitionError, match="every out-of-fold probability is 0, so there is nothing to calibrate"):
        mask_reliability(inputs)
    assert len(score_by_threshold(inputs)) == 1
