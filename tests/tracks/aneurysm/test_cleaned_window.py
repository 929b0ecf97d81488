"""The window that cleaning keeps, against cleaning itself."""

import numpy as np
import pytest

from competition.phantoms.aneurysm.stills import add_edge_lines, add_margins, background
from competition.tracks.aneurysm.cleaning import clean_angiogram, window_kept


def canvas(kind):
    still = background(200, True, False, np.random.default_rng(0))
    if kind == "edge lines":
        return add_edge_lines(still)
    return still if kind == "none" else add_margins(still, kind, np.random.default_rng(1))[0]


@pytest.mark.parametrize("kind", ["none", "edge lines", "5:4", "5:3", "thin frame", "wide frame", "bars"])
def test_the_window_that_cleaning_keeps_is_that_of_the_cleaned_image(kind):
    image = canvas(kind)
    np.testing.assert_array_equal(image[window_kept(image)], clean_angiogram(image))
    assert (image[window_kept(image)].size < image.size) == (kind != "none")
