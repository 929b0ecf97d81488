"""Labels that lie the wrong way round are noticed by the edges of their images, and right ones never are."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from competition.data.checks.orientation import FEWEST, ORIENTATIONS, better_orientation, edge_ratios
from competition.masks.bit_planes import pack_masks

BACK = {name: name for name in ORIENTATIONS} | {
    "turned by 90 degrees to the left": "turned by 90 degrees to the right",
    "turned by 90 degrees to the right": "turned by 90 degrees to the left",
}
"""What undoes each orientation."""


def scenes(size_hw: tuple[int, int] = (96, 96), contrast: int = 90, number: int = 24) -> list[tuple[NDArray, NDArray]]:
    """Draw images of two ellipses each, a class for each of them, on noise."""
    random, drawn = np.random.default_rng(5), []
    for _ in range(number):
        image = random.normal(90, 12, size_hw).astype(np.float32)
        masks = np.zeros((2, *size_hw), np.uint8)
        for mask, place in zip(masks, ((0.6, 0.2), (0.75, 0.4)), strict=True):  # nowhere near where any turn puts it
            shares = zip(place, size_hw[::-1], strict=True)
            centre = [int(side * random.uniform(share - 0.08, share + 0.08)) for share, side in shares]
            axes = [int(min(size_hw) * random.uniform(0.06, 0.12)) for _ in range(2)]
            cv2.ellipse(mask, centre, axes, float(random.uniform(0, 180)), 0, 360, 1, -1)
            image += contrast * mask
        drawn.append((image.clip(0, 255).astype(np.uint8), masks.astype(bool)))
    return drawn


def ratios(drawn: list[tuple[NDArray, NDArray]], read_as: str) -> NDArray:
    turn = ORIENTATIONS[read_as]
    return np.stack(
        [edge_ratios(image, pack_masks(np.stack([turn(mask) for mask in masks]))) for image, masks in drawn]
    )


@pytest.mark.parametrize("read_as", ORIENTATIONS)
def test_labels_that_are_read_wrongly_are_noticed_with_what_undoes_it(read_as: str) -> None:
    found = better_orientation(ratios(scenes(), read_as))
    if not read_as:
        assert found is None
        return
    assert found is not None
    name, other, as_read, images = found
    assert (name, images) == (BACK[read_as], 24)
    assert other > 2 > 1.3 > as_read


def test_a_rectangle_has_only_the_orientations_that_fit_it() -> None:
    drawn = scenes((64, 112))
    right = ratios(drawn, "")
    assert np.isfinite(right).all(axis=0).tolist() == [True, False, True, True, True, False, False, False]
    assert better_orientation(right) is None
    found = better_orientation(ratios(drawn, "upside down"))
    assert found is not None
    assert found[0] == "upside down"


def test_labels_without_edges_and_too_few_images_are_no_sign() -> None:
    assert better_orientation(ratios(scenes(contrast=0, number=60), "upside down")) is None
    drawn = scenes(number=FEWEST)
    assert better_orientation(ratios(drawn, "upside down")) is not None
    assert better_orientation(ratios(drawn[1:], "upside down")) is None


def test_what_can_not_be_compared_is_left_out() -> None:
    image, masks = scenes()[0]
    assert np.isnan(edge_ratios(image, pack_masks(np.zeros_like(masks)))).all()
    assert np.isnan(edge_ratios(np.full_like(image, 7), pack_masks(masks))).all()
    assert better_orientation(np.full((30, len(ORIENTATIONS)), np.nan)) is None


def test_hand_computed_ratio_of_a_straight_edge() -> None:
    """On a ramp in grey the edge is as strong everywhere; a step is on the outline alone, or beside it."""
    ramp = np.tile(np.arange(0, 240, 6, dtype=np.uint8), (40, 1))
    half = np.zeros((1, 40, 40), bool)
    half[..., 20:] = True
    assert edge_ratios(ramp, pack_masks(half))[0] == pytest.approx(1, abs=0.02)
    step = np.where(np.arange(40) >= 20, 200, 50).astype(np.uint8) * np.ones((40, 1), np.uint8)
    found = edge_ratios(step, pack_masks(half))
    assert found[0] > 4
    assert found[1] < 2  # rows and columns exchanged: the outline crosses the step


HEARTS = Path(__file__).parents[4] / "shared/data/sunnybrook/png/train"


@pytest.mark.skipif(not HEARTS.is_dir(), reason=f"the real hearts are not in {os.path.relpath(HEARTS)}")
def test_real_hearts_are_noticed_only_where_axes_are_exchanged() -> None:
    drawn = []
    for file in sorted((HEARTS / "images").glob("*.png"))[::2]:
        image, label = (cv2.imread(str(one), cv2.IMREAD_GRAYSCALE) for one in (file, HEARTS / "labels" / file.name))
        assert image is not None
        assert label is not None
        drawn.append((image, label[None] > 0))
    assert better_orientation(ratios(drawn, "")) is None
    found = better_orientation(ratios(drawn, "with rows and columns exchanged"))
    assert found is not None
    assert found[0] == "with rows and columns exchanged"
