"""Outlines and back again, against matplotlib and masks that are drawn by hand."""

import numpy as np
import pytest
from matplotlib.path import Path
from scipy import ndimage

from competition.masks import outlines
from competition.masks.outlines import fill_rings, outline_mask


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
