"""The parts that choices are cross-fitted over."""

import numpy as np
import pytest
from plain_curves import search_weights

from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.crossfitting import crossfit_parts
from competition.ensembling.selection.weight_methods import METHODS
from competition.ensembling.voting.class_groups import one_group

PEOPLE = [f"person {number}" for number in (0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 7)]


def test_three_folds_are_the_parts_themselves():
    folds = np.array([int(person[-1]) % 3 + 4 for person in PEOPLE])
    assert crossfit_parts(folds, PEOPLE).tolist() == folds.tolist()


@pytest.mark.parametrize("folds", [1, 2])
def test_fewer_folds_become_balanced_parts_of_whole_people(folds):
    held_out = np.array([int(person[-1]) % folds for person in PEOPLE])
    parts = crossfit_parts(held_out, PEOPLE)
    assert len({(person, part) for person, part in zip(PEOPLE, parts, strict=True)}) == len(set(PEOPLE))
    # 15 images in five parts, but one person alone has four.
    assert sorted(np.bincount(parts).tolist()) == [2, 3, 3, 3, 4]


def test_the_order_of_samples_changes_nothing():
    order = np.random.default_rng(0).permutation(len(PEOPLE))
    parts = crossfit_parts(np.zeros(len(PEOPLE), int), PEOPLE)
    shuffled = crossfit_parts(np.zeros(len(PEOPLE), int), [PEOPLE[index] for index in order])
    assert shuffled.tolist() == parts[order].tolist()


@pytest.mark.parametrize(("people", "parts"), [(1, 1), (2, 1), (3, 3), (4, 4), (5, 5), (9, 5)])
def test_as_many_parts_as_people_at_most_five_and_one_where_nothing_can_be_cross_fitted(people, parts):
    groups = [f"p{number % people}" for number in range(18)]
    assert len(np.unique(crossfit_parts(np.zeros(18, int), groups))) == parts


@pytest.mark.exhaustive
@pytest.mark.slow
def test_parts_of_people_leave_equal_weights_no_oftener_than_five_folds_do():
    """Members that differ by chance alone, where every weight is as good: 200 sets give 0.33 for both."""
    people = [f"person {image // 2}" for image in range(24)]
    five_folds = np.arange(24) // 2 % 5
    left = dict.fromkeys(("people", "folds"), 0)
    for seed in range(25):
        random = np.random.default_rng(seed)
        quality = 0.8 + random.normal(0, 0.05, (12, 1, 1)).repeat(2, axis=0) + random.normal(0, 0.03, (24, 1, 2))

        def evaluate(weights, rows, quality=quality):
            dice = np.einsum("cm,ncm->nc", weights / 1000, quality[rows])
            return np.tile(dice[..., None], (1, 1, 256))

        for name, parts in (("people", crossfit_parts(np.zeros(24, int), people)), ("folds", five_folds)):
            images = TuningImages(parts, people, np.ones((24, 1), bool))
            found = search_weights(evaluate, METHODS["optuna"](2, 4), 2, images, one_group(1))
            left[name] += found.weights.tolist() != [[500, 500]]
    assert left["people"] <= left["folds"] + 4  # two standard errors of 25 sets are 4.7
