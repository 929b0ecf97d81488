"""Synthetic members resemble trained ones; on disk their maps match the truths, and the folder is removed."""

import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

from competition.data.cache import read_cached_planes
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.prediction.probability_maps import quantise, read_map
from pipelines.benchmarks.rivals import dice
from pipelines.benchmarks.synthetic_images import (
    DRAWN,
    MEMBERS,
    SHARP_PX,
    SOFT_PX,
    draw_map,
    draw_masks,
    draw_probs,
    draw_submission,
    stored_images,
)


def test_a_hand_has_29_overlapping_bones():
    masks = draw_masks(256, seed=0)
    assert masks.shape == (29, 256, 256)
    assert masks.dtype == bool
    assert masks.any(axis=(1, 2)).all()
    assert (masks.sum(axis=0) > 1).any()
    assert (masks != draw_masks(256, seed=1)).any()


def test_far_from_a_bone_logits_are_minus_seven_with_noise_of_one():
    mask = np.zeros((1, 256, 256), bool)
    mask[0, :8, :8] = True
    probs = next(draw_probs(mask, SHARP_PX, seed=3)).astype(np.float64)
    logits = np.log(probs / (1 - probs))[64:]
    assert abs(logits.mean() + 7) < 0.05
    assert abs(logits.std() - 1) < 0.05


def test_deep_inside_logits_are_seven():
    mask = np.zeros((1, 256, 256), bool)
    mask[0, 16:240, 16:240] = True
    probs = next(draw_probs(mask, SHARP_PX, seed=3)).astype(np.float64)[64:192, 64:192]
    assert abs(np.log(probs / (1 - probs)).mean() - 7) < 0.05


def test_a_map_is_its_quantised_probabilities_and_knows_the_bones():
    masks = draw_masks(512, seed=0)
    levels = draw_map(masks, SHARP_PX, seed=1)
    expected = np.stack([quantise(torch.from_numpy(each)).numpy() for each in draw_probs(masks, SHARP_PX, seed=1)])
    np.testing.assert_array_equal(levels, expected)
    assert (levels != draw_map(masks, SHARP_PX, seed=2)).any()
    assert min(dice(one > 127, mask) for one, mask in zip(levels, masks, strict=True)) > 0.9


def test_a_soft_member_is_unsure_about_more_pixels():
    masks = draw_masks(512, seed=0)
    sharp, soft = (draw_map(masks, softness, seed=1) for softness in (SHARP_PX, SOFT_PX))
    unsure = [((levels > 50) & (levels <= 203)).mean() for levels in (sharp, soft)]
    assert unsure[1] > 4 * unsure[0]


def test_a_submission_is_beside_the_truth():
    masks = draw_masks(512, seed=0)
    ours, again, other = draw_submission(masks, 0), draw_submission(masks, 0), draw_submission(masks, 1)
    np.testing.assert_array_equal(ours, again)
    assert (ours != other).any()
    assert 0.8 < np.mean([dice(one, mask) for one, mask in zip(ours, masks, strict=True)]) < 1


@pytest.mark.slow
def test_every_member_has_a_map_of_every_image_that_fits_its_truth():
    count = 2 * DRAWN + 1
    with stored_images(count, 128) as images:
        root = images.workspace.root
        assert len(images.samples) == len(set(images.samples)) == count
        assert len(images.folders()) == len(set(images.folders())) == MEMBERS
        seen = set()
        for sample in images.samples:
            masks = unpack_planes(read_cached_planes(images.workspace, sample), 29)
            maps = [read_map(folder, sample) for folder in images.folders()]
            for levels in maps:
                # A bone of 128 pixels is small, and the truth up to a pixel beside its map.
                assert dice((levels > 127).any(axis=0), masks.any(axis=0)) > 0.8
                seen.add(levels.tobytes())
        assert len(seen) == count * MEMBERS
        assert np.array_equal(maps[0].shape, (29, 128, 128))
    assert not root.exists()


def test_a_disk_that_is_too_small_is_said_before_anything_is_drawn(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 0, 1024**2))
    with (
        pytest.raises(CompetitionError, match=r"needs 300 MB for its images, but 1 MB are free.*TMPDIR"),
        stored_images(20, 2048),
    ):
        pass
