import numpy as np
import pytest
from plain_curves import choose_operations, crossfit_operations
from scipy import ndimage

from competition.ensembling.segmentation import postprocessing as module
from competition.ensembling.segmentation.postprocessing import OPERATIONS, apply, decide_image, operation_counts
from competition.ensembling.voting.class_votes import everyone
from competition.masks.bit_planes import class_areas, intersections, pack_masks, unpack_planes
from competition.metrics.counts import dice


def reference_surest(mask, sure):
    """Keeps the component with the most sure pixels, of equally sure ones the largest."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))  # numbered in scan order
    if count == 0:
        return mask
    parts = [labels == label for label in range(1, count + 1)]
    return max(parts, key=lambda part: ((part & sure).sum(), part.sum()))  # the first of equal ones


def reference_drop(minimum):
    def drop(mask, sure):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        kept = [label for label in range(1, count + 1) if (labels == label).sum() >= minimum]
        return np.isin(labels, kept)

    return drop


def reference_hull(mask):
    """What no line through two of the mask's pixels separates from it, and within its rows and columns."""
    if not mask.any():
        return mask
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    inside = np.zeros_like(mask)
    inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    ends = np.array([(row, column) for row in rows for column in np.flatnonzero(mask[row])[[0, -1]]])
    row, column = ends.T
    down, right = row - row[:, None], column - column[:, None]
    side = down[..., None] * right[:, None] - right[..., None] * down[:, None]  # of the third, seen along two of them
    grid = np.indices(mask.shape)
    for first, second in np.argwhere((side >= 0).all(axis=2)):
        along, across = down[first, second], right[first, second]
        inside &= along * (grid[1] - column[first]) >= across * (grid[0] - row[first])
    return inside


REFERENCES = {
    "none": lambda mask, sure: mask,
    "surest": reference_surest,
    "fill": lambda mask, sure: ndimage.binary_fill_holes(mask),
    "surest+fill": lambda mask, sure: ndimage.binary_fill_holes(reference_surest(mask, sure)),
    "surest+hull": lambda mask, sure: reference_hull(reference_surest(mask, sure)),
    "drop<25px": reference_drop(25),
    "drop<100px": reference_drop(100),
    "drop<400px": reference_drop(400),
}


def specks(*sizes):
    """A mask of squares that do not touch."""
    mask = np.zeros((max(sizes) + 2, sum(sizes) + 2 * len(sizes)), bool)
    left = 0
    for size in sizes:
        mask[1 : 1 + size, left : left + size] = True
        left += size + 2
    return mask


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
    frame = np.ones((9, 9), bool)
    frame[2:7, 2:7] = False
    frame[4, 4] = True  # an island in the hole is filled with it, unless only the surest component was kept before
    yield frame
    for sizes in ((4, 5), (5, 10), (9, 10, 19, 20, 21), (3, 3), (20, 20)):
        yield specks(*sizes)
    almost = specks(5, 10, 20)
    almost[1, 0] = almost[1, 7] = almost[1, 19] = False  # one pixel less than each of the smallest areas
    yield almost


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_equal_their_references(name):
    assert set(OPERATIONS) == set(REFERENCES)
    random = np.random.default_rng(3)
    for mask in masks():
        planes = pack_masks(mask[None])
        before = planes.copy()
        for share in (0, 0.02, 0.3):
            sure = random.random(mask.shape) < share  # also where the mask is not, as at a cut above that of the sure
            processed = unpack_planes(apply(planes, [name], lambda index, sure=sure: sure), 1)[0]
            np.testing.assert_array_equal(processed, REFERENCES[name](mask, sure))
        np.testing.assert_array_equal(planes, before)


def test_of_equal_components_the_first_in_scan_order_stays():
    mask = np.zeros((4, 8), bool)
    mask[1, 0] = True  # OpenCV numbers this one first: it looks at blocks of 2 x 2
    mask[0, 6] = True
    planes = apply(pack_masks(mask[None]), ["surest"], lambda index: np.zeros_like(mask))
    assert np.argwhere(unpack_planes(planes, 1)[0]).tolist() == [[0, 6]]


def test_a_small_sure_component_stays_and_a_large_doubtful_one_goes():
    levels = np.zeros((2, 8, 9), np.uint8)
    levels[:, 1:3, 1:3] = 230
    levels[:, 4:8, 4:9] = 150
    levels[:, 7, 7] = 205
    voters = everyone(2, 1)
    planes = decide_image([levels], voters, voters.weights_by_class([1000]), [127, 127], ["surest", "none"])
    assert unpack_planes(planes, 2).sum(axis=(1, 2)).tolist() == [4, 24]
    levels[:, 4, 4:8] = 205  # five pixels above 0.8 beside four
    planes = decide_image([levels], voters, voters.weights_by_class([1000]), [127, 127], ["surest", "none"])
    assert unpack_planes(planes, 2).sum(axis=(1, 2)).tolist() == [20, 24]
    levels[:, 4, 4:8] = 204  # which is 0.8, not above it
    planes = decide_image([levels], voters, voters.weights_by_class([1000]), [127, 127], ["surest", "none"])
    assert unpack_planes(planes, 2).sum(axis=(1, 2)).tolist() == [4, 24]


def test_only_classes_of_several_components_are_asked_for_sure_pixels():
    stack = np.zeros((3, 5, 6), bool)
    stack[0, 1, 1] = stack[2, 0, 0] = stack[2, 4, 4] = True
    asked = []

    def sure_of(index):
        asked.append(index)
        return stack[index]

    operation_counts(pack_masks(stack), pack_masks(stack), 3, sure_of)
    assert asked == [2]
    apply(pack_masks(stack), ["surest", "surest", "drop<25px"], sure_of)  # this one looks at areas only
    assert asked == [2]
    apply(pack_masks(stack), ["none", "fill", "surest"], sure_of)
    assert asked == [2, 2]


def test_each_class_gets_its_own_operation():
    random = np.random.default_rng(1)
    stack, sure = random.random((29, 15, 15)) < 0.5, random.random((29, 15, 15)) < 0.1
    names = [list(OPERATIONS)[index % len(OPERATIONS)] for index in range(29)]
    result = unpack_planes(apply(pack_masks(stack), names, sure.__getitem__), 29)
    for index, name in enumerate(names):
        np.testing.assert_array_equal(result[index], REFERENCES[name](stack[index], sure[index]))


def test_operation_counts_equal_dense_counts():
    random = np.random.default_rng(2)
    decided, truth = random.random((2, 10, 60, 50)) < 0.4
    decided[6:] = ndimage.binary_opening(random.random((4, 60, 50)) < 0.9, structure=np.ones((1, 3, 3)))
    decided[3] = truth[3] = truth[4] = decided[5] = False
    decided[2] = truth[1] = True
    sure = random.random((10, 60, 50)) < 0.1
    counts = operation_counts(pack_masks(decided), pack_masks(truth), 10, sure.__getitem__)
    for index in range(10):
        for position, name in enumerate(OPERATIONS):
            mask = REFERENCES[name](decided[index], sure[index])
            expected = [(mask & truth[index]).sum(), mask.sum(), truth[index].sum()]
            assert counts[:, index, position].tolist() == expected
    assert (dice(*counts)[3] == 1).all()
    assert (dice(*counts)[4:6] == 0).all()
    assert len(np.unique(counts[1], axis=1).T) == len(OPERATIONS)  # each does something here that no other does


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 8, 9, 29, 70])
def test_operation_counts_equal_what_apply_makes(classes):
    random = np.random.default_rng(classes)
    decided = ndimage.binary_closing(random.random((classes, 40, 45)) < 0.35, structure=np.ones((1, 2, 2)))
    truth = random.random((classes, 40, 45)) < 0.5
    planes, wanted = pack_masks(decided), pack_masks(truth)
    sure = (random.random((classes, 40, 45)) < 0.2).__getitem__
    counts = operation_counts(planes, wanted, classes, sure)
    for position, name in enumerate(OPERATIONS):
        processed = apply(planes, [name] * classes, sure)
        assert counts[0, :, position].tolist() == intersections(processed, wanted, classes).tolist()
        assert counts[1, :, position].tolist() == class_areas(processed, classes).tolist()
    assert (counts[2] == class_areas(wanted, classes)[:, None]).all()


def test_planes_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="different sizes"):
        operation_counts(np.zeros((4, 5, 1), np.uint8), np.zeros((5, 4, 1), np.uint8), 3, lambda index: None)


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
    assert choose_operations(scores, FOLDS, GROUPS) == ["surest", "none", "none"]
    np.testing.assert_array_equal(crossfit_operations(scores, FOLDS, GROUPS), np.tile([1, 0, 0], (40, 1)))


def test_a_gain_on_one_image_only_is_not_believed():
    scores = np.full((40, 1, 4), 0.9)
    scores[7, 0, 1] = 1.0
    assert choose_operations(scores, FOLDS, GROUPS) == ["none"]


def test_a_gain_of_one_person_only_is_not_believed():
    scores = np.full((40, 1, 4), 0.9)
    scores[:5, 0, 1] += 0.01
    assert choose_operations(scores, FOLDS, [str(index // 5) for index in range(40)]) == ["none"]
    assert choose_operations(scores, FOLDS, GROUPS) == ["surest"]


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
    assert choose_operations(scores, FOLDS, GROUPS) == ["surest"]


@pytest.mark.parametrize("name", ["none", "fill"])
def test_what_keeps_every_component_searches_for_none(monkeypatch, name):
    monkeypatch.setattr(module, "find_components", None)  # would be called
    mask = specks(3, 5)
    ring = ndimage.binary_dilation(mask) & ~mask
    found = unpack_planes(apply(pack_masks(ring[None]), [name], lambda index: ring), 1)[0]
    np.testing.assert_array_equal(found, ndimage.binary_fill_holes(ring) if name == "fill" else ring)
