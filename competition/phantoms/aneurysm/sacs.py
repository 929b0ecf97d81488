"""Where the aneurysms of a synthetic patient lie in the cleaned images: drawn again from the seed."""

from copy import deepcopy

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms.aneurysm.phantom import DrawnView, draw_person, draw_views, encode_still
from competition.phantoms.aneurysm.stills import density_map, export
from competition.tracks.aneurysm.cleaning import window_kept
from competition.tracks.track import Split

SEEN = 255 // 3
"""A wide frame darkens pictures to two thirds; half of that is the edge of a mask that was shrunk."""


def sac_masks(split: Split, number: int, noise: NDArray[np.int8], seed: int) -> dict[str, NDArray[np.bool_]]:
    """Return the pixels of all aneurysms in each view of a patient, as the track reads the view.

    Args:
        split: Training or test.
        number: Of the patient, from 0.
        noise: (2 s, 2 s) int8, from ``noise_tile`` of the same seed.
        seed: Of the data set.

    Returns:
        View -> (h, w) bool, the size of the cleaned image; all False where the view shows no aneurysm.
    """
    aneurysms, rng = draw_person(split, number, seed)
    return {drawn.name: _sac_mask(drawn) for drawn in draw_views(aneurysms, noise, rng)}


def _sac_mask(drawn: DrawnView) -> NDArray[np.bool_]:
    density = density_map([], drawn.sacs, len(drawn.still), drawn.mirrored)
    # The edge of a sac is blurred. A pixel belongs to it where it is at least half as dense as the densest.
    marked = np.where(2 * density.astype(int) >= max(int(density.max()), 1), 255, 0).astype(np.uint8)
    # Exported with the random numbers of the still, the mask gets its margins. Text and edge lines come with both.
    with_sacs, without = (export(picture, deepcopy(drawn.rng)) for picture in (marked, np.zeros_like(marked)))
    mask: NDArray[np.bool_] = with_sacs.astype(int) - without > SEEN
    jpg = np.frombuffer(encode_still(export(drawn.still, drawn.rng)), np.uint8)
    exported = np.asarray(cv2.imdecode(jpg, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return mask[window_kept(exported)]
