import numpy as np
import pytest

from competition.ensembling.segmentation.tuning_images import TuningImages, search_rows


def images_of(sizes_of_folds):
    """Images of people; ``sizes_of_folds`` lists, for each fold, the number of images of each of its people."""
    folds, groups = [], []
    for fold, sizes in enumerate(sizes_of_folds):
        for person, size in enumerate(sizes):
            folds += [fold] * size
            groups += [f"{fold}-{person}"] * size
    return TuningImages(np.array(folds), groups, np.ones((len(folds), 1), bool))


def test_groups_are_counted_once_and_without_left_out_folds():
    present = np.array([[1, 1], [1, 0], [0, 1], [0, 0], [1, 0], [0, 0]], bool)
    images = TuningImages(np.array([0, 0, 0, 1, 1, 4]), ["a", "a", "b", "c", "d", "e"], present)
    assert images.groups_without(()).tolist() == [2, 2]  # a and d; a and b
    assert images.groups_without({0}).tolist() == [1, 0]
    assert images.groups_without({1, 4}).tolist() == [1, 2]
    assert images.groups_without({0, 1}).tolist() == [0, 0]
    assert images.names == [0, 1, 4]
    taken = images.take(np.array([4, 0]))
    assert (taken.folds.tolist(), taken.groups, taken.present.tolist()) == ([1, 0], ["d", "a"], [[1, 0], [1, 1]])


def test_few_images_are_all_searched():
    assert search_rows(images_of([[2] * 30, [2] * 30]), seed=0).tolist() == list(range(120))


@pytest.mark.parametrize("seed", range(4))
def test_of_many_whole_people_of_every_fold_are_drawn(seed):
    images = images_of([[2] * 40, [1, 3] * 20, [4] * 25, [2] * 50, [3] * 10])
    rows = search_rows(images, seed)
    assert (np.diff(rows) > 0).all()
    drawn = np.array(images.groups)[rows]
    for person in set(drawn):
        assert (drawn == person).sum() == images.groups.count(person)
    counts = np.bincount(images.folds[rows])
    assert counts.tolist() == [24, 24, 24, 24, 24]
    assert rows.tolist() == search_rows(images, seed).tolist()
    assert rows.tolist() != search_rows(images, seed + 1).tolist()


def test_people_are_drawn_alike():
    images, times = images_of([[1] * 100, [1] * 100]), np.zeros(200)
    for seed in range(60):
        times[search_rows(images, seed)] += 1
    assert times.sum() == 60 * 120
    assert times.min() > 20
    assert times.max() < 52


def test_the_draw_looks_at_no_truth():
    images = images_of([[1] * 100, [1] * 100])
    other = TuningImages(images.folds, images.groups, ~images.present)
    assert search_rows(images, 0).tolist() == search_rows(other, 0).tolist()


def test_where_nobody_of_a_fold_fits_all_images_are_searched():
    images = images_of([[1] * 70, [61]])
    assert search_rows(images, seed=0).tolist() == list(range(131))
    assert len(search_rows(images_of([[1] * 70, [60]]), seed=0)) == 120
