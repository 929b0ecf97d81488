"""The vote on an image at native size, and the folds compared on the networks' grid, beside dense arithmetic."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model_files import decision
from torch.nn import functional

from competition.data.boxes import Box
from competition.inference.voting import LoadedVote, vote_masks
from competition.masks.bit_planes import unpack_class
from competition.prediction.grid_maps import GridMap
from competition.prediction.native_size import to_native

NATIVE = (60, 44)
WHOLE = Box(0, 0, *NATIVE)


@dataclass(frozen=True)
class Folds:
    """A member whose folds give these probabilities (F, 1, h, w), of a part of the image or the whole."""

    probs: torch.Tensor
    box: Box = WHOLE

    @property
    def networks(self):
        return len(self.probs)

    def predict_maps(self, entry):
        maps = [GridMap(probs, self.box, NATIVE, to_native) for probs in (self.probs.mean(dim=0), *self.probs)]
        return maps[0], maps[1:]


def blobs(folds, height, width, seed):
    """Smooth probabilities, none so low that a map would leave it out."""
    noise = torch.randn(folds, 1, height // 3, width // 3, generator=torch.Generator().manual_seed(seed))
    smooth = functional.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    return 0.03 + 0.95 * (3 * smooth).sigmoid()


def voted(*members):
    weights = {1: (1000,), 2: (600, 400)}[len(members)]
    one = decision()
    own = tuple(
        one.members[0].model_copy(update={"name": f"m{number}", "weight": weight})
        for number, weight in enumerate(weights)
    )
    entry = SimpleNamespace(height=NATIVE[0], width=NATIVE[1])
    return vote_masks(LoadedVote(one.model_copy(update={"members": own}), members), entry)


def at_size(probs, size_hw):
    return functional.interpolate(probs, size=size_hw, mode="bilinear", align_corners=False)[:, 0].double().numpy()


def test_folds_are_compared_on_the_grid_and_their_disagreement_is_enlarged():
    probs = blobs(3, 15, 11, seed=0)
    found = voted(Folds(probs))
    np.testing.assert_array_equal(unpack_class(found.planes, 0), to_native(probs.mean(dim=0), NATIVE)[0] > 127)
    own = probs[:, 0].double().numpy()
    deviation = torch.from_numpy(own.std(axis=0))[None, None]
    expected = functional.interpolate(deviation, size=NATIVE, mode="bilinear", align_corners=False)[0, 0].numpy()
    assert found.disagreement.shape == NATIVE
    assert np.abs(found.disagreement - expected / 0.5 * 255).max() < 2  # levels are rounded twice
    assert found.disagreement.max() > 100
    masks, vote = own > 0.5, own.mean(axis=0) > 0.5
    dice = [2 * (mask & vote).sum() / (mask.sum() + vote.sum()) for mask in masks]
    assert found.fold_dice == pytest.approx([np.mean(dice)], abs=0.01)


def test_members_of_different_grids_are_compared_on_the_sharpest():
    coarse, fine = blobs(2, 15, 11, seed=1), blobs(2, 30, 22, seed=2)
    found = voted(Folds(coarse), Folds(fine))
    folds = np.concatenate([at_size(coarse, (30, 22)), at_size(fine, (30, 22))])
    deviation = torch.from_numpy(folds.std(axis=0))[None, None]
    expected = functional.interpolate(deviation, size=NATIVE, mode="bilinear", align_corners=False)[0, 0].numpy()
    assert np.abs(found.disagreement - expected / 0.5 * 255).max() < 2
    vote = 0.6 * folds[:2].mean(axis=0) + 0.4 * folds[2:].mean(axis=0) > 0.5
    dice = [2 * ((fold > 0.5) & vote).sum() / ((fold > 0.5).sum() + vote.sum()) for fold in folds]
    assert found.fold_dice == pytest.approx([np.mean(dice)], abs=0.01)


def test_a_member_of_a_part_is_compared_at_native_size_if_it_is_that_sharp():
    box = Box(10, 4, 40, 26)
    probs = blobs(2, 30, 22, seed=3)
    found = voted(Folds(probs, box))
    inside = found.disagreement[box.window]
    np.testing.assert_allclose(inside, probs[:, 0].numpy().std(axis=0) / 0.5 * 255, atol=1.5)
    assert np.count_nonzero(found.disagreement) == np.count_nonzero(inside)


def test_one_fold_is_not_compared():
    found = voted(Folds(blobs(1, 15, 11, seed=4)))
    assert found.disagreement is None
    assert found.fold_dice is None
