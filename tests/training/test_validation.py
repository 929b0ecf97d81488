from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from competition.data.grid import GridReader
from competition.prediction.predictor import Predictor, predict_map
from competition.tracks.track import narrow
from competition.training.loop import held_out_score


class Threshold(nn.Module):
    """Calls bright pixels positive, each class at another brightness."""

    def forward(self, images):
        return torch.cat([4 * (images - level) for level in (0.2, 0.9, 5.0)], dim=1)


class One(Threshold):
    """Knows one of the classes only."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def forward(self, images):
        return super().forward(images)[:, self.kept : self.kept + 1]


class Lopsided(Threshold):
    """Sees less on the right, so that a mirrored image gets another answer."""

    def forward(self, images):
        return super().forward(images) - torch.linspace(0, 6, images.shape[-1])


class Corner(nn.Module):
    """Judges a patient by one pixel of the first view."""

    def forward(self, images, present):
        return images[:, 0, 0, 0, :1].expand(-1, 3)


def predictor_of(prepared, experiment, network):
    reader = GridReader(prepared.workspace, prepared.track, experiment.data.size, budget_bytes=0)
    return Predictor((network,), experiment, prepared.track, reader, torch.device("cpu"), None)


def dice_table(prepared, predictor, entries):
    """Dice of every image and class from the raw masks, and which of the masks are not empty."""
    scores, present = [], []
    for entry in entries:
        truth = np.load(prepared.workspace.root / "raw" / f"{entry.sample.replace('hand', 'mask')}.npy") > 0
        positive = predict_map(predictor, entry, ["identity"]) >= 128
        assert positive.shape == truth.shape
        both, total = (positive & truth).sum(axis=(1, 2)), positive.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
        scores.append(np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0))
        present.append(truth.any(axis=(1, 2)))
    return np.array(scores), np.array(present)


def test_the_score_is_the_dice_of_the_map_against_the_raw_masks(shared_hands, tiny_experiment):
    held_out = shared_hands.folds.held_out(shared_hands.train(), 0)
    predictor = predictor_of(shared_hands, tiny_experiment(), Threshold())
    scores, present = dice_table(shared_hands, predictor, held_out)
    assert present.any(axis=0).all()
    assert 0.1 < scores.mean() < 0.95
    assert 1.0 in scores  # images without a bar, of which none is found
    assert held_out_score(predictor, shared_hands.workspace, held_out) == pytest.approx(scores.mean(), rel=1e-12)


def test_a_class_that_no_held_out_image_has_is_not_scored(shared_hands, tiny_experiment):
    """Found nowhere and there nowhere is a Dice of 1 that says nothing."""
    predictor = predictor_of(shared_hands, tiny_experiment(), Threshold())
    entries = shared_hands.train()
    scores, present = dice_table(shared_hands, predictor, entries)
    absent = int(np.argmin(present.mean(axis=0)))
    without = np.flatnonzero(~present[:, absent])
    occurs = present[without].any(axis=0)
    assert without.size
    assert occurs.any()
    assert (scores[without][:, ~occurs] == 1).any()
    held_out = [entries[index] for index in without]
    expected = scores[without][:, occurs].mean()
    assert held_out_score(predictor, shared_hands.workspace, held_out) == pytest.approx(expected, rel=1e-12)
    track = narrow(shared_hands.track, [shared_hands.track.classes[absent]])
    only = replace(predictor, track=track, models=(One(absent),))
    assert np.isnan(held_out_score(only, shared_hands.workspace, held_out))


def test_validation_shows_the_plain_image_only(shared_hands, tiny_experiment):
    held_out = shared_hands.train()[:2]
    plain = predictor_of(shared_hands, tiny_experiment(), Lopsided())
    many = predictor_of(shared_hands, tiny_experiment(predict={"views": ["hflip"]}), Lopsided())
    workspace = shared_hands.workspace
    entry = held_out[0]
    assert not np.array_equal(predict_map(plain, entry, ["identity"]), predict_map(plain, entry, ["hflip"]))
    assert held_out_score(many, workspace, held_out) == held_out_score(plain, workspace, held_out)


def test_patients_are_scored_by_the_auroc_of_the_first_class(shared_patients, tiny_experiment):
    entries = shared_patients.train()
    predictor = predictor_of(shared_patients, tiny_experiment(multiview=True, data={"size": 64}), Corner())
    corners = []
    for entry in entries:
        if not entry.present[0]:
            corners.append(0.0)
            continue
        view = np.load(shared_patients.workspace.root / "raw" / f"{entry.sample}-L-A.npy").astype(float)
        corners.append((view[0, 0] - view.mean()) / view.std())
    expected = roc_auc_score([entry.targets[0] for entry in entries], corners)
    assert held_out_score(predictor, shared_patients.workspace, entries) == pytest.approx(expected)
    assert 0 < expected < 1


def test_patients_of_one_kind_have_no_score(shared_patients, tiny_experiment):
    predictor = predictor_of(shared_patients, tiny_experiment(multiview=True), Corner())
    healthy = [replace(entry, targets=(0, 0, 0)) for entry in shared_patients.train()[:3]]
    assert np.isnan(held_out_score(predictor, shared_patients.workspace, healthy))
