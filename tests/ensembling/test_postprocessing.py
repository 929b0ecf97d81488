import numpy as np
import pytest
from scipy import ndimage

from competition.ensembling.postprocessing import (
    OPERATIONS,
    apply,
    bounding_box,
    choose_operations,
    crossfit_operations,
    keep_largest,
    operation_counts,
)
from competition.imaging.planes import pack_masks, unpack_planes
from competition.metrics import dice


def reference_largest(mask):
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))  # numbered in scan order
    if count == 0:
        return mask
    areas = [(labels == label).sum() for label in range(1, count + 1)]
    return labels == 1 + int(np.argmax(areas))


REFERENCES = {
    "none": lambda mask: mask,
    "largest": reference_largest,
    "fill": ndimage.binary_fill_holes,
    "largest+fill": lambda mask: ndimage.binary_fill_holes(reference_largest(mask)),
}


def masks():
    random = np.random.default_rng(0)
    for density in (0.05, 0.3, 0.6, 0.9):
        for _ in range(12):
            yield random.random((19, 23)) < density
    yield np.zeros((5, 5), bool)
    yield np.ones((5, 5), bool)
    yield np.ones((1, 1), bool)
    last = np.zeros((6, 4), bool)
    last[-1, -1] = True
    yield last
    ring = np.ones((7, 7), bool)
    ring[2:5, 2:5] = False
    yield ring
    ring = ring.copy()
    ring[0:3, 3] = False  # open to the border
    yield ring
    diagonal = np.eye(6, dtype=bool)
    yield diagonal


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_equal_their_references(name):
    assert set(OPERATIONS) == set(REFERENCES)
    for mask in masks():
        planes = pack_masks(mask[None])
        before = planes.copy()
        np.testing.assert_array_equal(unpack_planes(apply(planes, [name]), 1)[0], REFERENCES[name](mask))
        np.testing.assert_array_equal(planes, before)


def test_of_equal_components_the_first_in_scan_order_stays():
    mask = np.zeros((4, 8), bool)
    mask[1, 0] = True  # OpenCV numbers this one first: it looks at blocks of 2 x 2
    mask[0, 6] = True
    assert np.argwhere(keep_largest(mask)).tolist() == [[0, 6]]


def test_each_class_gets_its_own_operation():
    random = np.random.default_rng(1)
    stack = random.random((29, 15, 15)) < 0.5
    names = [list(OPERATIONS)[index % 4] for index in range(29)]
    result = unpack_planes(apply(pack_masks(stack), names), 29)
    for index, name in enumerate(names):
        np.testing.assert_array_equal(result[index], REFERENCES[name](stack[index]))


def test_bounding_box():
    mask = np.zeros((5, 6), bool)
    assert bounding_box(mask) is None
    mask[1, 4] = mask[3, 2] = True
    assert bounding_box(mask) == (slice(1, 4), slice(2, 5))


def test_operation_counts_equal_dense_dice():
    random = np.random.default_rng(2)
    decided, truth = random.random((10, 12, 9)) < 0.4, random.random((10, 12, 9)) < 0.4
    decided[3] = truth[3] = truth[4] = decided[5] = False
    scores = dice(*operation_counts(pack_masks(decided), pack_masks(truth), 10))
    for index in range(10):
        for position, operation in enumerate(REFERENCES.values()):
            mask = operation(decided[index])
            total = mask.sum() + truth[index].sum()
            expected = 1.0 if total == 0 else 2 * (mask & truth[index]).sum() / total
            assert scores[index, position] == pytest.approx(expected)
    assert (scores[3] == 1).all()
    assert (scores[4:6] == 0).all()


def table(gains, images=40, noise=0.005, seed=0):
    """Dice per image, one class, the four operations; ``gains`` are over "none"."""
    random = np.random.default_rng(seed)
    base = random.normal(0.9, 0.02, (images, 1, 1))
    return base + np.array(gains)[None, None] + random.normal(0, noise, (images, 1, 4)) * (np.array(gains) != 0)


FOLDS, GROUPS = np.arange(40) % 5, [str(index) for index in range(40)]


def test_an_operation_that_helps_is_kept():
    scores = np.concatenate(
        [table([0, 0.02, 0.001, 0.01]), table([0, -0.02, -0.01, -0.01]), table([0, 0, 0, 0])], axis=1
    )
    assert choose_operations(scores, FOLDS, GROUPS) == ["largest", "none", "none"]
    np.testing.assert_array_equal(crossfit_operations(scores, FOLDS, GROUPS), np.tile([1, 0, 0], (40, 1)))


def test_a_gain_on_one_image_only_is_not_believed():
    scores = np.full((40, 1, 4), 0.9)
    scores[7, 0, 1] = 1.0
    assert choose_operations(scores, FOLDS, GROUPS) == ["none"]


def test_a_gain_of_one_person_only_is_not_believed():
    scores = np.full((40, 1, 4), 0.9)
    scores[:5, 0, 1] += 0.01
    assert choose_operations(scores, FOLDS, [str(index // 5) for index in range(40)]) == ["none"]
    assert choose_operations(scores, FOLDS, GROUPS) == ["largest"]


def test_operations_on_noise_are_dropped():
    kept = 0
    gains = []
    for seed in range(25):
        noisy = 0.9 + np.random.default_rng(seed).normal(0, 0.01, (40, 1, 4))
        kept += choose_operations(noisy, FOLDS, GROUPS) != ["none"]
        chosen = crossfit_operations(noisy, FOLDS, GROUPS)[:, 0]
        gains.append(noisy[np.arange(40), 0, chosen].mean() - noisy[:, 0, 0].mean())
    assert kept <= 8
    assert np.mean(gains) < 3 * np.std(gains) / 5


def test_one_fold_keeps_none():
    scores = table([0, 0.05, 0, 0])
    assert choose_operations(scores, np.zeros(40, int), GROUPS) == ["none"]
    assert crossfit_operations(scores, np.zeros(40, int), GROUPS) is None


def test_chosen_without_the_fold_that_is_scored():
    scores, changed = table([0, 0.02, 0.001, 0.01]), table([0, 0.02, 0.001, 0.01])
    changed[FOLDS == 3, 0, 1] = 0
    after = crossfit_operations(changed, FOLDS, GROUPS)
    assert (after[FOLDS == 3, 0] == 1).all()
    assert choose_operations(scores, FOLDS, GROUPS) == ["largest"]
