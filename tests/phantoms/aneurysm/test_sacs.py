"""Masks of the drawn aneurysms, against the same patients drawn without any."""

import cv2
import numpy as np
import pytest

from competition.phantoms.aneurysm.phantom import draw_patient, draw_person, patient_index
from competition.phantoms.aneurysm.sacs import sac_masks
from competition.phantoms.aneurysm.stills import noise_tile
from competition.tracks.aneurysm.track import VIEWS, image_name, is_visible, read_image

pytestmark = pytest.mark.slow
SIZE, SEED = 240, 3


def views(folder, number, aneurysms, rng, noise):
    folder.mkdir()
    draw_patient(folder, patient_index("train", number), aneurysms, noise, rng)
    return {view: read_image(folder / image_name(patient_index("train", number), view)) for view in VIEWS}


@pytest.mark.exhaustive
def test_a_mask_is_where_a_patient_differs_from_the_same_without_aneurysms(tmp_path):
    noise = noise_tile(SIZE, SEED)
    compared, whole = 0, 0
    for number in range(6):
        aneurysms, rng = draw_person("train", number, SEED)
        ill = views(tmp_path / f"ill{number}", number, aneurysms, rng, noise)
        healthy = views(tmp_path / f"healthy{number}", number, [], draw_person("train", number, SEED)[1], noise)
        masks = sac_masks("train", number, noise, SEED)
        for view in VIEWS:
            assert masks[view].shape == ill[view].shape
            assert masks[view].any() == any(is_visible(aneurysm.location, view) for aneurysm in aneurysms)
            if ill[view].shape != healthy[view].shape:  # a sac has moved the edge that cleaning finds
                continue
            difference = np.abs(ill[view].astype(int) - healthy[view])
            near = cv2.dilate(masks[view].astype(np.uint8), np.ones((17, 17))) > 0  # JPEG codes blocks of 8 x 8
            assert difference[~near].max() <= 12
            if masks[view].any():
                compared += 1
                whole += np.median(difference[masks[view]]) > 40
    assert compared >= 4
    assert whole >= 0.8 * compared  # some sacs lie on an artery that is nearly as dark
