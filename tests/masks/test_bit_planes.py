import numpy as np
import pytest
from numpy.typing import NDArray

from competition.masks.bit_planes import (
    class_areas,
    intersections,
    pack_masks,
    plane_count,
    sample_planes,
    select_classes,
    set_class,
    set_pixels,
    unpack_class,
    unpack_planes,
)

SIZES = [(1, 1), (1, 7), (7, 1), (3, 5), (64, 48)]
CLASSES = [1, 8, 9, 29, 65]


def random_masks(classes: int, size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.bool_]:
    """Masks of every density, the first empty and the last full where there are several."""
    rng = np.random.default_rng(seed)
    masks = rng.random((classes, *size_hw)) < rng.random((classes, 1, 1))
    if classes > 1:
        masks[0], masks[-1] = False, True
    return masks


@pytest.mark.parametrize(("classes", "channels"), [(1, 1), (7, 1), (8, 1), (9, 2), (29, 4), (32, 4), (33, 5)])
def test_plane_count(classes: int, channels: int) -> None:
    assert plane_count(classes) == channels


def test_no_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        plane_count(0)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("size_hw", SIZES)
def test_class_c_is_bit_c_mod_8_of_channel_c_div_8(classes: int, size_hw: tuple[int, int]) -> None:
    masks = random_masks(classes, size_hw)
    expected = np.zeros((*size_hw, (classes + 7) // 8), np.uint8)
    for index in range(classes):
        for row, column in zip(*np.nonzero(masks[index]), strict=True):
            expected[row, column, index // 8] += 2 ** (index % 8)
    planes = pack_masks(masks)
    assert planes.dtype == np.uint8
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(planes, expected)


def test_bit_order_is_that_of_packbits_little() -> None:
    masks = random_masks(29, (6, 4))
    expected = np.packbits(masks, axis=0, bitorder="little").transpose(1, 2, 0)
    np.testing.assert_array_equal(pack_masks(masks), expected)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("size_hw", SIZES)
def test_unpacking_gives_the_masks_back(classes: int, size_hw: tuple[int, int]) -> None:
    masks = random_masks(classes, size_hw)
    planes = pack_masks(masks)
    unpacked = unpack_planes(planes, classes)
    assert unpacked.dtype == np.bool_
    np.testing.assert_array_equal(unpacked, masks)
    for index in range(classes):
        np.testing.assert_array_equal(unpack_class(planes, index), masks[index])


def test_set_class_replaces_one_class_and_leaves_the_others() -> None:
    masks = random_masks(29, (5, 9))
    planes = pack_masks(masks)
    for index in range(29):
        masks[index] = ~masks[index]
        set_class(planes, index, masks[index])
        np.testing.assert_array_equal(unpack_planes(planes, 29), masks)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("size_hw", SIZES)
def test_areas_and_intersections_are_those_of_dense_masks(classes: int, size_hw: tuple[int, int]) -> None:
    a, b = random_masks(classes, size_hw, seed=1), random_masks(classes, size_hw, seed=2)
    areas = class_areas(pack_masks(a), classes)
    assert areas.dtype == np.int64
    np.testing.assert_array_equal(areas, a.sum(axis=(1, 2)))
    shared = intersections(pack_masks(a), pack_masks(b), classes)
    assert shared.dtype == np.int64
    np.testing.assert_array_equal(shared, (a & b).sum(axis=(1, 2)))


def test_areas_of_a_view_that_is_not_contiguous() -> None:
    masks = random_masks(9, (12, 10))
    np.testing.assert_array_equal(class_areas(pack_masks(masks)[::2, ::-3], 9), masks[:, ::2, ::-3].sum(axis=(1, 2)))


def test_areas_stay_exact_where_float32_no_longer_counts() -> None:
    planes = np.ones((4097, 4099, 1), np.uint8)  # 16,793,603 pixels, above 2**24, and odd
    assert class_areas(planes, 1).tolist() == [4097 * 4099]


def test_sampling_takes_the_pixel_under_each_centre() -> None:
    masks = random_masks(9, (9, 12))
    planes = pack_masks(masks)
    for size_hw in [(9, 12), (3, 4), (4, 5), (1, 1), (18, 25)]:
        rows = [int(np.floor((i + 0.5) * 9 / size_hw[0])) for i in range(size_hw[0])]
        columns = [int(np.floor((i + 0.5) * 12 / size_hw[1])) for i in range(size_hw[1])]
        sampled = unpack_planes(sample_planes(planes, size_hw), 9)
        np.testing.assert_array_equal(sampled, masks[:, rows][:, :, columns])


def test_sampling_does_not_shift() -> None:
    masks = np.zeros((1, 9, 9), np.bool_)
    masks[0, 4, 4] = True  # the very middle stays the middle
    assert np.argwhere(unpack_class(sample_planes(pack_masks(masks), (3, 3)), 0)).tolist() == [[1, 1]]


def test_planes_of_the_wanted_size_are_not_copied() -> None:
    planes = pack_masks(np.zeros((1, 3, 3), np.bool_))
    assert sample_planes(planes, (3, 3)) is planes
    assert not np.shares_memory(sample_planes(planes, (2, 3)), planes)


@pytest.mark.parametrize("indices", [[0], [28], [8, 7], list(range(28, -1, -1)), [3, 3], list(range(9, 18))])
def test_selected_classes_are_those_masks_in_that_order(indices: list[int]) -> None:
    masks = random_masks(29, (5, 7))
    selected = select_classes(pack_masks(masks), indices)
    np.testing.assert_array_equal(selected, pack_masks(masks[indices]))


def test_misuse_is_refused() -> None:
    planes = pack_masks(random_masks(9, (4, 4)))
    with pytest.raises(ValueError, match="label planes of 17 classes"):
        unpack_planes(planes, 17)
    with pytest.raises(ValueError, match="label planes of 8 classes"):
        class_areas(planes, 8)
    with pytest.raises(ValueError, match="different sizes"):
        intersections(planes, planes[:2], 9)
    with pytest.raises(ValueError, match="masks are"):
        pack_masks(np.full((1, 2, 2), 255, np.uint8))
    with pytest.raises(ValueError, match="the mask is"):
        set_class(planes, 0, np.zeros((4, 5), np.bool_))
    with pytest.raises(ValueError, match="the mask is"):
        set_class(planes, 0, np.full((4, 4), 255, np.uint8))


@pytest.mark.parametrize("value", [True, False])
def test_single_pixels_of_one_class_are_set_and_the_rest_stays(value: bool) -> None:
    random = np.random.default_rng(5)
    masks = random.random((11, 6, 7)) < 0.5
    planes = pack_masks(masks)
    rows, columns = np.array([0, 5, 5, 3, 3]), np.array([0, 6, 0, 2, 2])
    set_pixels(planes, 9, rows, columns, value)
    masks[9, rows, columns] = value
    np.testing.assert_array_equal(planes, pack_masks(masks))
    set_pixels(planes, 9, rows[:0], columns[:0], value)
    np.testing.assert_array_equal(planes, pack_masks(masks))
