"""Weights, thresholds and scores under every kind of count metric, against dense masks in float64."""

from dataclasses import replace

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.out_of_fold import OutOfFold
from competition.ensembling.segmentation.thresholds import window_levels
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.voting.class_groups import one_group
from competition.ensembling.voting.class_votes import blend
from competition.masks.bit_planes import unpack_planes
from competition.metrics.counts import dice_metric, f_beta_metric, iou_metric
from competition.prediction.histograms import histograms_file, image_histogram, save_histograms
from competition.prediction.probability_maps import HALF_LEVEL, read_map, write_map
from competition.runs.members import Member

METRICS = [
    iou_metric(),
    iou_metric(empty="skip"),
    f_beta_metric(2, unit="group", empty=0),
    dice_metric(unit="all"),
    dice_metric(unit="group", empty="skip"),
]


@pytest.fixture(scope="module")
def members(shared_hands, tmp_path_factory):
    """Two members of soft maps that lean to too much and too little; some images miss a class in truth or map."""
    folder = tmp_path_factory.mktemp("members")
    for number, entry in enumerate(shared_hands.train()):
        truth = unpack_planes(read_cached_planes(shared_hands.workspace, entry.sample), 3).astype(float)
        for name, lean in (("more", 40), ("less", -40)):
            random = np.random.default_rng([number, lean < 0])
            levels = np.where(truth > 0, 235.0, 20.0)
            doubtful = random.random(truth.shape) < 0.02
            levels[doubtful] = np.clip(random.normal(128 + lean, 40, int(doubtful.sum())), 0, 255)
            levels[number % 3, : truth.shape[1] // 2] = 0
            write_map(folder / name, entry.sample, levels.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def data(shared_hands, members):
    entries = shared_hands.train()
    samples = [entry.sample for entry in entries]
    return OutOfFold(
        [Member(name=name, folds=(0, 1), config_hash="c", fold_hash="f") for name in ("more", "less")],
        [dict.fromkeys(samples, members / name) for name in ("more", "less")],
        shared_hands.workspace,
        samples,
        np.array([shared_hands.folds.fold_of[entry.group] for entry in entries]),
        [entry.group for entry in entries],
        shared_hands.track.classes,
    )


def dense_scores(metric, truth, called, groups):
    """The score of each class from lists of masks (C, H, W) by sums of booleans, written once more from the text."""
    units = {"image": list(range(len(groups))), "group": list(groups), "all": [0] * len(groups)}[metric.unit]
    scores = []
    for index in range(len(truth[0])):
        found = []
        for unit in dict.fromkeys(units):
            rows = [row for row, of in enumerate(units) if of == unit]
            hit = sum(int((truth[row][index] & called[row][index]).sum()) for row in rows)
            either = sum(int((truth[row][index] | called[row][index]).sum()) for row in rows)
            missed = sum(int((truth[row][index] & ~called[row][index]).sum()) for row in rows)
            if either == 0:
                found += [] if metric.empty == "skip" else [float(metric.empty)]
            elif metric.name == "iou":
                found.append(hit / either)
            else:
                squared = 4 if metric.label == "F2" else 1
                wrong = either - hit - missed
                found.append((1 + squared) * hit / ((1 + squared) * hit + squared * missed + wrong))
        scores.append(np.mean(found))
    return np.array(scores)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_the_tuned_score_is_that_of_the_dense_masks(data, members, tmp_path, metric):
    found = tune_segmentation(
        replace(data, metric=metric), Search("greedy", 5, one_group(3), [(0.35, 0.65)]), tmp_path / "contested"
    )
    truth = [unpack_planes(data.truth(sample), 3).astype(bool) for sample in data.samples]
    weights, levels = found.tuned.search.weights[0].tolist(), found.tuned.chosen.levels
    votes = [blend([read_map(members / name, sample) for name in ("more", "less")], weights) for sample in data.samples]
    called = [vote > levels[:, None, None] for vote in votes]
    expected = dense_scores(metric, truth, called, data.groups)
    np.testing.assert_allclose(found.tuned.oof.mean(axis=0), expected, atol=1e-12)
    halves = [blend([read_map(members / name, sample) for name in ("more", "less")], [500, 500]) > HALF_LEVEL
              for sample in data.samples]  # fmt: skip
    np.testing.assert_allclose(
        found.tuned.at_half.mean(axis=0), dense_scores(metric, truth, halves, data.groups), atol=1e-12
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_the_best_thresholds_of_one_member_are_those_of_brute_force(data, members, tmp_path, metric):
    """All levels of the window are tried on dense masks; of equal ones the one nearest to 0.5 is taken."""
    one = replace(data, members=data.members[:1], folders=data.folders[:1], metric=metric)
    histograms = [image_histogram(read_map(members / "more", sample), data.truth(sample)) for sample in data.samples]
    save_histograms(histograms_file(members / "more"), data.samples, np.stack(histograms))
    found = tune_segmentation(one, Search("equal", 1, one_group(3), [(0.2, 0.8)]), tmp_path / "contested")
    truth = [unpack_planes(data.truth(sample), 3).astype(bool) for sample in data.samples]
    maps = [read_map(members / "more", sample) for sample in data.samples]
    lowest, highest = window_levels((0.2, 0.8))
    table = np.array(
        [dense_scores(metric, truth, [values > level for values in maps], data.groups)
         for level in range(lowest, highest + 1)]
    )  # fmt: skip
    for index, chosen in enumerate(found.tuned.chosen.raw):
        best = np.flatnonzero(table[:, index] >= table[:, index].max() - 1e-12) + lowest
        assert chosen == min(best, key=lambda level: (abs(level - HALF_LEVEL), level))


def test_images_of_a_group_are_one_unit_everywhere(data, tmp_path):
    metric = dice_metric(unit="group")
    found = tune_segmentation(
        replace(data, metric=metric), Search("greedy", 5, one_group(3), [(0.35, 0.65)]), tmp_path / "contested"
    )
    people = len(set(data.groups))
    assert people < len(data.groups)
    assert found.oof.shape == found.crossfit.shape == (people, 3)
    assert found.images.groups == list(dict.fromkeys(data.groups))
