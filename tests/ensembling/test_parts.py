"""The parts that choices are cross-fitted over."""

import numpy as np
import pytest

from competition.ensembling.parts import crossfit_parts

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
