"""Outlines and back again, against matplotlib and masks that are drawn by hand."""

import numpy as np
import pytest
from annotation_exports import inside
from matplotlib.path import Path
from scipy import ndimage

from competition.formats.drawn_objects import DrawnImage, DrawnObject, box_points, ellipse_points
from competition.masks import outlines
from competition.masks.bit_planes import unpack_planes
from competition.masks.outlines import drawn_planes, fill_rings, outline_mask


def filled(mask: np.ndarray) -> np.ndarray:
    return fill_rings([ring for rings in outline_mask(mask) for ring in rings], mask.shape)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.7, 0.98])
def test_unsimplified_outlines_give_any_mask_back(share, monkeypatch) -> None:
    monkeypatch.setattr(outlines, "TOLERANCE", 0.0)
    random = np.random.default_rng(int(100 * share))
    for _ in range(5):
        mask = random.random((23, 31)) < share
        assert (filled(mask) == mask).all()


def test_each_component_has_its_outer_ring_and_its_holes() -> None:
    mask = np.zeros((40, 50), bool)
    mask[5:20, 5:20] = True
    mask[8:11, 8:11] = mask[14:16, 14:16] = False
    mask[25:35, 30:45] = True
    parts = sorted(outline_mask(mask), key=len)
    assert [len(rings) for rings in parts] == [1, 3]
    for rings, box in zip(parts, ((30, 25, 45, 35), (5, 5, 20, 20)), strict=True):
        assert [*rings[0].min(axis=0), *rings[0].max(axis=0)] == pytest.approx(box, abs=0.5)
    assert 2 * (filled(mask) & mask).sum() / (filled(mask).sum() + mask.sum()) > 0.97


def test_a_round_mask_has_few_points_and_nearly_the_same_pixels() -> None:
    rows, columns = np.mgrid[:200, :200]
    mask = np.hypot(rows - 90.3, (columns - 100) * 1.4) < 60
    (rings,) = outline_mask(mask)
    assert len(rings[0]) < 40
    assert 2 * (filled(mask) & mask).sum() / (filled(mask).sum() + mask.sum()) > 0.99


@pytest.mark.parametrize("edge", [(0, 0, 1, 1), (0, 5, 30, 6), (29, 0, 30, 40), (0, 0, 30, 40)])
def test_specks_lines_and_full_images_at_the_edge_come_back(edge) -> None:
    top, left, bottom, right = edge
    mask = np.zeros((30, 40), bool)
    mask[top:bottom, left:right] = True
    assert (filled(mask) == mask).all()
    assert outline_mask(np.zeros((3, 3), bool)) == []


def test_convex_polygons_are_filled_as_matplotlib_decides() -> None:
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :40] + 0.5
    for _ in range(20):
        angles = np.sort(random.uniform(0, 2 * np.pi, 9))
        ring = np.stack([20 + 24 * np.cos(angles), 18 + 17 * np.sin(angles)], axis=1)
        inside = Path(ring).contains_points(np.stack([columns.ravel(), rows.ravel()], axis=1))
        assert (fill_rings([ring], (40, 40)) == inside.reshape(40, 40)).all()


def test_noise_of_all_sizes_keeps_its_pixels_within_the_tolerance() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((150, 150)), 4)
    mask = noise > 0.02
    assert 2 * (filled(mask) & mask).sum() / (filled(mask).sum() + mask.sum()) > 0.985


def test_any_polygon_covers_the_pixels_whose_centre_it_surrounds() -> None:
    """Also where it crosses itself, leaves the image, or has corners and edges on pixel centres."""
    random = np.random.default_rng(7)
    for number in range(60):
        ring = random.uniform(-6, 30, (random.integers(3, 12), 2))
        if number % 2:
            ring = np.round(2 * ring) / 2
        assert (fill_rings([ring], (24, 23)) == inside(list(map(tuple, ring)), (24, 23))).all()


def test_objects_with_holes_and_masks_become_planes_that_may_overlap() -> None:
    outer, hole, island = box_points(2, 2, 18, 16), box_points(5, 5, 12, 12), box_points(7, 7, 9, 9)
    mask = np.zeros((20, 24), bool)
    mask[10:14, 3:22] = True
    objects = (DrawnObject("b", (outer, hole, island)), DrawnObject("a", mask=mask), DrawnObject("a", (island + 8,)))
    a, b, c = unpack_planes(drawn_planes(DrawnImage((20, 24), objects), ["a", "b", "c"]), 3)
    expected = np.zeros((20, 24), bool)
    expected[2:16, 2:18], expected[5:12, 5:12], expected[7:9, 7:9] = True, False, True
    assert (b == expected).all()
    mask[15:17, 15:17] = True
    assert (a == mask).all()
    assert (a & b).any()
    assert not c.any()


def test_boxes_and_ellipses_are_turned_clockwise_about_their_centre() -> None:
    upright = fill_rings([box_points(4, 6, 16, 10)], (20, 20))
    assert (
        fill_rings([box_points(4, 6, 16, 10, 90)], (20, 20)) == fill_rings([box_points(8, 2, 12, 14)], (20, 20))
    ).all()
    assert (upright == fill_rings([box_points(4, 6, 16, 10, 180)], (20, 20))).all()
    rows, columns = np.mgrid[:40, :40] + 0.5
    x, y = columns - 20.2, rows - 19.1
    along, across = (
        (x + y) / np.sqrt(2),
        (y - x) / np.sqrt(2),
    )  # 45 degrees clockwise, y downwards: right to lower right
    expected = (along / 15.3) ** 2 + (across / 6.1) ** 2
    drawn = fill_rings([ellipse_points((20.2, 19.1), (15.3, 6.1), 45)], (40, 40))
    sure = np.abs(expected - 1) > 0.003
    assert (drawn[sure] == (expected < 1)[sure]).all()
