import numpy as np
import pytest

from competition.ensembling.segmentation.contested import (
    blend_histograms,
    check_contested_share,
    contest,
    contested_share,
)
from competition.ensembling.segmentation.thresholds import window_cuts
from competition.ensembling.voting.class_votes import blend
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.prediction.histograms import dice_curves, image_histogram

WINDOWS = [(0.2, 0.8), (0.05, 0.95), (0.5, 0.5), (0.0, 1.0)]


def cases():
    random = np.random.default_rng(0)
    masks = random.random((9, 11, 7)) < 0.4

    def uniform(members, low=0, high=256, classes=9):
        return [random.integers(low, high, (classes, 11, 7), dtype=np.uint8) for _ in range(members)]

    yield "random", uniform(4), masks
    yield "one member", uniform(1), masks
    yield "127 and 128 only", uniform(3, 127, 129), masks
    yield "around the lower cut of 0.2-0.8", uniform(3, 49, 54), masks
    yield "around the upper cut of 0.2-0.8", uniform(3, 201, 207), masks
    yield "nothing or everything", [255 * (member > 127).astype(np.uint8) for member in uniform(3)], masks
    yield "all equal", [np.full((9, 11, 7), 128, np.uint8)] * 3, masks
    yield "all negative", uniform(3, 0, 10), masks
    yield "all positive", uniform(3, 250, 256), masks
    yield "empty truth", uniform(3), np.zeros_like(masks)
    yield "full truth", uniform(3), np.ones_like(masks)
    yield "one pixel", [np.array([[[level]]], np.uint8) for level in (0, 130, 255)], np.array([[[True]]])
    yield "one class", uniform(2, classes=1), masks[:1]


CASES = list(cases())


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("maps", "masks"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_curves_equal_those_of_the_dense_blend(maps, masks, window):
    random = np.random.default_rng(1)
    planes = pack_masks(masks)
    contested = contest(maps, planes, window)
    lowest, highest = window_cuts(window)
    corners = (1000 * np.eye(len(maps), dtype=int)).tolist()
    drawn = [random.multinomial(1000, random.dirichlet(np.ones(len(maps)))).tolist() for _ in range(12)]
    for weights in corners + drawn:
        dense = dice_curves(image_histogram(blend(maps, weights), planes)[None])
        sparse = dice_curves(blend_histograms(contested, weights)[None])
        np.testing.assert_array_equal(sparse[..., lowest : highest + 1], dense[..., lowest : highest + 1])


def test_counts_add_up():
    maps, masks = CASES[0][1:]
    contested = contest(maps, pack_masks(masks), (0.2, 0.8))
    histogram = blend_histograms(contested, [250, 250, 250, 250])
    assert (histogram.sum(axis=2)[:, 0] == 77).all()
    assert (histogram.sum(axis=2)[:, 1] == masks.sum(axis=(1, 2))).all()
    assert (histogram >= 0).all()
    assert (histogram[:, 1] <= histogram[:, 0]).all()


def test_only_pixels_a_vote_can_decide_are_kept():
    # Cuts of 0.2-0.8 are 51..203: a pixel is contested where the members' levels are not all <= 51 nor all >= 204.
    first = np.array([[[51, 51, 52, 203, 204, 0, 255]]], np.uint8)
    second = np.array([[[51, 52, 51, 255, 204, 255, 255]]], np.uint8)
    truth = np.array([[[0, 1, 0, 1, 0, 0, 1]]], bool)
    contested = contest([first, second], pack_masks(truth), (0.2, 0.8))
    # Outside the truth first, then inside.
    assert contested.values.tolist() == [[52, 0, 51, 203], [51, 255, 52, 255]]
    assert contested.counts.tolist() == [[2, 2]]
    assert contested.positive.tolist() == [[2, 1]]
    assert contested.truth_area.tolist() == [3]
    assert contested_share([contested]) == 4 / 7


def test_share_is_pooled_and_refused_above_five_percent():
    maps, masks = CASES[0][1:]
    much, none = (
        contest(maps, pack_masks(masks), (0.2, 0.8)),
        contest([m * 0 for m in maps], pack_masks(masks), (0.2, 0.8)),
    )
    assert contested_share([much, none]) == pytest.approx(contested_share([much]) / 2)
    check_contested_share(0.05, (0.2, 0.8), "two members", ["a", "b"])
    with pytest.raises(CompetitionError, match=r"5\.1%.*0\.2 and 0\.8.*two members.*--window 0\.35:0\.65"):
        check_contested_share(0.051, (0.2, 0.8), "two members", ["a", "b"])
    with pytest.raises(CompetitionError, match=r"tune --members a\), or .*tune --members a,b --weights 1,1\)"):
        check_contested_share(0.051, (0.5, 0.5), "two members", ["a", "b"])


def test_sizes_and_weights_that_do_not_fit_are_refused():
    maps, masks = CASES[0][1:]
    with pytest.raises(CompetitionError, match="different sizes"):
        contest([maps[0], maps[1][:, :-1]], pack_masks(masks), (0.2, 0.8))
    with pytest.raises(ValueError, match="does not fit"):
        contest(maps, pack_masks(masks[:, :-1]), (0.2, 0.8))
    with pytest.raises(CompetitionError, match="4 whole numbers"):
        blend_histograms(contest(maps, pack_masks(masks), (0.2, 0.8)), [500, 500])
