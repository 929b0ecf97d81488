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


def found(drawn: list[tuple[NDArray, NDArray]], read_as: str, slices: int = 1) -> tuple[str, float, float] | None:
    turn = ORIENTATIONS[read_as]
    turned = ((image, np.stack([turn(mask) for mask in masks])) for image, masks in drawn)
    pictures = ((str(index // slices), image, pack_masks(masks)) for index, (image, masks) in enumerate(turned))
    return better_orientation(*edge_ratios(pictures))


@pytest.mark.parametrize("read_as", ORIENTATIONS)
def test_labels_that_are_read_wrongly_are_noticed_with_what_undoes_it(read_as: str) -> None:
    better = found(scenes(), read_as)
    if not read_as:
        assert better is None
        return
    assert better is not None
    name, other, as_read = better
    assert name == BACK[read_as]
    assert other > 2 > 1.3 > as_read


def test_colours_and_black_backgrounds_are_compared_too() -> None:
    coloured = [(np.dstack([image, image // 2, image * 0]), masks) for image, masks in scenes()]
    assert found(coloured, "") is None
    assert found(coloured, "upside down") is not None
    masked = [(image * masks.any(axis=0), masks) for image, masks in scenes()]
    assert found(masked, "") is None
    assert found(masked, "upside down") is not None


def test_a_rectangle_has_only_the_orientations_that_fit_it() -> None:
    drawn = scenes((64, 112))
    own, others = edge_ratios((str(index), image, pack_masks(masks)) for index, (image, masks) in enumerate(drawn))
    fits = [True, False, True, True, True, False, False, False]
    assert np.isfinite(own).all(axis=0).tolist() == np.isfinite(others).all(axis=0).tolist() == fits
    assert better_orientation(own, others) is None
    better = found(drawn, "upside down")
    assert better is not None
    assert better[0] == "upside down"


def test_labels_without_edges_and_few_groups_are_no_sign() -> None:
    assert found(scenes(contrast=0, number=60), "upside down") is None
    drawn = scenes(number=2 * FEWEST)
    assert found(drawn, "upside down", slices=2) is not None
    assert found(drawn[2:], "upside down", slices=2) is None


def test_frames_and_anatomy_that_all_images_share_are_no_sign() -> None:
    """Boxes without edges, which lie on the border of a black margin once they are turned by 180 degrees."""
    random, drawn = np.random.default_rng(0), []
    for _ in range(40):
        image = np.zeros((128, 128), np.uint8)
        image[:, :96] = random.normal(110, 20, (128, 96)).clip(1, 255)
        mask, row = np.zeros((1, 128, 128), bool), random.integers(20, 80)
        mask[0, row : row + 30, 32:50] = True
        drawn.append((image, mask))
    own, others = edge_ratios((str(index), image, pack_masks(mask)) for index, (image, mask) in enumerate(drawn))
    turned = list(ORIENTATIONS).index("turned by 180 degrees")
    assert np.exp(own[:, turned].mean()) > 2
    assert np.exp(others[:, turned].mean()) > 2
    assert better_orientation(own, others) is None


def test_what_can_not_be_compared_is_left_out() -> None:
    image, masks = scenes()[0]
    for picture, planes in ((image, np.zeros_like(masks)), (np.full_like(image, 7), masks)):
        own, _ = edge_ratios([("a", picture, pack_masks(planes)), ("b", image, pack_masks(masks))])
        assert np.isnan(own[0]).all()
        assert np.isfinite(own[1]).all()
    assert np.isnan(edge_ratios([("a", image, pack_masks(masks))])[0]).all()  # no other group
    nothing = np.full((30, len(ORIENTATIONS)), np.nan)
    assert better_orientation(nothing, nothing) is None


def test_hand_computed_ratio_of_a_straight_edge() -> None:
    """On a ramp in grey the edge is as strong everywhere; a step is on the outline alone, or across it."""
    half = np.zeros((1, 40, 40), bool)
    half[..., 20:] = True
    ramp = np.tile(np.arange(0, 240, 6, dtype=np.uint8), (40, 1))
    step = np.where(np.arange(40) >= 20, 200, 50).astype(np.uint8) * np.ones((40, 1), np.uint8)
    own, others = edge_ratios([("ramp", ramp, pack_masks(half)), ("step", step, pack_masks(half))])
    assert np.exp(own[0, 0]) == pytest.approx(1, abs=0.02)
    assert np.exp(own[1, 0]) > 4
    assert np.exp(own[1, 1]) < 2  # rows and columns swapped: the outline crosses the step
    assert others[0].tolist() == own[1].tolist()
    assert others[1].tolist() == own[0].tolist()


HEARTS = Path(__file__).parents[4] / "shared/data/sunnybrook/png/train"


@pytest.mark.skipif(not HEARTS.is_dir(), reason=f"the real hearts are not in {os.path.relpath(HEARTS)}")
def test_real_hearts_are_noticed_only_where_axes_are_exchanged() -> None:
    right, wrong = [], []
    for file in sorted((HEARTS / "images").glob("*.png")):
        image, label = (cv2.imread(str(one), cv2.IMREAD_GRAYSCALE) for one in (file, HEARTS / "labels" / file.name))
        assert image is not None
        assert label is not None
        patient = file.name.partition("-IM")[0]
        right.append((patient, image, pack_masks(label[None] > 0)))
        wrong.append((patient, image, pack_masks(label.T[None] > 0)))
    assert better_orientation(*edge_ratios(right)) is None
    better = better_orientation(*edge_ratios(wrong))
    assert better is not None
    assert better[0] == "with rows and columns swapped"
