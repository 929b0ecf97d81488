"""Pictures for people: which colour is which class, and what an image without any looks like."""

import numpy as np
import pytest

from competition.data.manifest import Manifest
from competition.drawing.contact_sheet import GAP, outlined_tile, tile_sheet
from competition.drawing.outlines import CAPTION, class_colours, outline
from competition.masks.bit_planes import pack_masks


@pytest.mark.parametrize(("width", "lines"), [(900, 1), (160, 2), (40, 5)])
def test_every_class_is_named_in_its_colour_below_the_tiles(width, lines):
    tile = np.zeros((50, width, 3), np.uint8)
    classes = ["femur", "tibia", "patella", "fibula", "talus"]
    sheet = tile_sheet([tile], "title", classes)
    below = CAPTION + 50 + GAP
    assert sheet.shape == (below + lines * CAPTION, width + GAP, 3)
    legend = sheet[below:].reshape(-1, 3)
    assert not sheet[CAPTION:below].any()
    for colour in class_colours(5):
        assert (legend == colour).all(axis=1).any()


def test_an_image_without_any_class_says_so(shared_hands):
    manifest: Manifest = shared_hands.manifest
    entry, workspace, track = manifest.of("train")[0], shared_hands.workspace, shared_hands.track
    masks = np.zeros((len(track.classes), entry.height, entry.width), bool)
    empty = outlined_tile(workspace, track, entry, pack_masks(masks))
    masks[0, 5:9, 5:9] = True
    one = outlined_tile(workspace, track, entry, pack_masks(masks))
    assert (empty[:CAPTION] != one[:CAPTION]).any()
    assert (empty[:CAPTION] > 0).sum() > (one[:CAPTION] > 0).sum()


def test_a_hole_is_outlined_as_well():
    ring = np.zeros((1, 40, 40), bool)
    ring[0, 4:36, 4:36] = True
    disc = ring.copy()
    ring[0, 14:26, 14:26] = False
    pictures = []
    for mask in (ring, disc):
        pictures.append(np.zeros((40, 40, 3), np.uint8))
        outline(pictures[-1], pack_masks(mask), 1)
    with_hole, without = (picture.any(axis=2) for picture in pictures)
    assert (with_hole & ~without)[11:29, 11:29].sum() > 40
    np.testing.assert_array_equal(with_hole[:8], without[:8])
