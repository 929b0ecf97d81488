"""Occlusion of a network that looks at one corner, and rank correlations by hand."""

import numpy as np
import pytest
import torch

from competition.explanation.occlusion import Occlusion, advice, agreement, occlude, squares_of


def corner(images):
    """Sees the upper left 4 x 4 pixels only; the second answer is the first's opposite."""
    seen = images[:, 0, :4, :4].mean(dim=(1, 2))
    return torch.stack([seen, -seen], dim=1)


def test_hiding_the_one_corner_that_a_network_sees_costs_its_whole_answer():
    image = torch.full((1, 32, 32), 2.0)
    image[0, 4:, 4:] = 7.0
    hidden = []
    occlusion, opposite = occlude(corner, image, (32, 32), lambda: hidden.append(1))
    assert len(hidden) == 15 * 15
    # Squares of 4 x 4 pixels, two pixels apart: the first hides the corner, its neighbours half of it, one a quarter.
    assert len(occlusion.squares) == 15 * 15
    drops = occlusion.drops.reshape(15, 15)
    np.testing.assert_allclose(drops[:2, :2], [[2, 1], [1, 0.5]])
    assert np.count_nonzero(drops) == 4
    hidden = occlusion.as_map()
    assert hidden.dtype == np.float32
    assert hidden[0, 0] == 2  # by the first square alone
    assert hidden[0, 2] == (2 + 1) / 2  # by the first and the second
    assert hidden[2, 2] == (2 + 1 + 1 + 0.5) / 4
    assert hidden[4, 4] == 0.5 / 4
    assert not hidden[6:].any()
    assert not hidden[:, 6:].any()
    # Evidence against an answer has a negative drop.
    np.testing.assert_array_equal(opposite.drops, -occlusion.drops)


def test_only_the_image_is_hidden_not_the_canvas_around_it():
    seen = []

    def look(images):
        seen.append(images.clone())
        return images.sum(dim=(2, 3))

    occlude(look, torch.ones(3, 32, 64), (20, 50), lambda: None)
    hidden = torch.cat(seen) == 0
    assert hidden.any(dim=0)[:, :20, :50].all()
    assert not hidden[:, :, 20:].any()
    assert not hidden[:, :, :, 50:].any()


@pytest.mark.parametrize("size_hw", [(96, 96), (97, 50), (1024, 128), (50, 8), (5, 5), (1, 40)])
def test_squares_cover_every_pixel_of_an_image_of_any_shape(size_hw):
    covered = np.zeros(size_hw, int)
    for square in squares_of(size_hw):
        covered[square] += 1
    assert covered.min() >= 1
    side = max(2, round(max(size_hw) / 8))
    assert all(rows.stop - rows.start == side for rows, _ in squares_of(size_hw))


def occlusion_of(drops):
    squares = tuple((slice(0, 1), slice(place, place + 1)) for place in range(len(drops)))
    return Occlusion(squares, np.array(drops, float), (1, len(drops)))


def test_agreement_is_the_rank_correlation_over_all_views():
    one, other = np.float32([[1, 2, 4]]), np.float32([[8, 16]])
    assert agreement([one, other], [occlusion_of([1, 2, 3]), occlusion_of([4, 100])]) == pytest.approx(1)
    # Ranks 1 2 3 4 5 against 2 1 3 5 4: 1 - 6 * (1 + 1 + 0 + 1 + 1) / (5 * 24).
    assert agreement([one, other], [occlusion_of([2, 1, 3]), occlusion_of([9, 8])]) == pytest.approx(1 - 24 / 120)
    # Evidence against the class counts as 0 in both: ranks 1.5 1.5 3 and the same.
    assert agreement([np.float32([[0, 0, 4]])], [occlusion_of([-9, -1, 3])]) == pytest.approx(1)
    assert np.isnan(agreement([one], [occlusion_of([-1, -2, 0])]))
    assert np.isnan(agreement([np.zeros((1, 3), np.float32)], [occlusion_of([1, 2, 3])]))


@pytest.mark.parametrize(
    ("correlation", "expected"),
    [
        *((1.0, ""), (0.3, "")),
        *((0.29, "Grad-CAM and occlusion disagree"), (-1, "Grad-CAM and occlusion disagree")),
        (np.nan, "Grad-CAM or occlusion is empty, so they can't be compared"),
    ],
)
def test_maps_that_disagree_are_not_to_be_relied_on(correlation, expected):
    assert advice(correlation) == (f"{expected}: do not rely on the map" if expected else "")
