"""Scores of a patient of several views: what the network says, mirrored views included."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from competition.data.grid import GridReader
from competition.prediction.predictor import Predictor, predict_scores


def predictor_of(prepared, experiment, *models):
    reader = GridReader(prepared.workspace, prepared.track, experiment.data.size, budget_bytes=0)
    return Predictor(models, experiment, prepared.track, reader, torch.device("cpu"), None)


class Sides(nn.Module):
    """Answers from fixed places of fixed views, and from which views are there."""

    def forward(self, images, present):
        corner = images[:, :, 0, 0, 0]  # (N, V) upper left pixel of each view
        there = present.float()
        both = corner.sum(1)
        left = corner[:, 0] - 0.5 * corner[:, 1] + there[:, 0] - 3 * there[:, 1]
        right = 0.3 * corner[:, 2] + 0.7 * corner[:, 3] + 2 * there[:, 2]
        return torch.stack([both, left, right], dim=1)


def patient(shared_patients, present):
    entry = shared_patients.manifest.by_sample()["2"]
    views = [np.load(shared_patients.workspace.root / "raw" / f"2-{view}.npy") for view in shared_patients.track.views]
    standardised = [(view.astype(float) - view.mean()) / view.std() for view in views]
    return replace(entry, present=present), standardised


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def test_a_patients_scores_are_what_the_network_says(shared_patients, tiny_experiment):
    entry, views = patient(shared_patients, (True, False, True, True))
    experiment = tiny_experiment(multiview=True, data={"size": 64})
    scores = predict_scores(predictor_of(shared_patients, experiment, Sides()), entry, ["identity"])
    corner = [view[0, 0] for view in views]
    left = corner[0] - 0.5 * corner[1] + 1
    right = 0.3 * corner[2] + 0.7 * corner[3] + 2
    assert scores == pytest.approx(sigmoid(np.array([sum(corner), left, right])), rel=1e-4)


def test_a_mirrored_patient_swaps_slots_and_classes_and_flips_some_views(shared_patients, tiny_experiment):
    entry, views = patient(shared_patients, (True, False, True, True))
    experiment = tiny_experiment(multiview=True, data={"size": 64})
    predictor = predictor_of(shared_patients, experiment, Sides())
    mirrored = predict_scores(predictor, entry, ["hflip"])
    # Slots hold R-A flipped, R-B, L-A flipped, L-B; the absent L-B is now the last one.
    corner = [views[2][0, -1], views[3][0, 0], views[0][0, -1], views[1][0, 0]]
    said_left = corner[0] - 0.5 * corner[1] + 1 - 3
    said_right = 0.3 * corner[2] + 0.7 * corner[3] + 2
    expected = sigmoid(np.array([sum(corner), said_right, said_left]))
    assert mirrored == pytest.approx(expected, rel=1e-4)
    both = predict_scores(predictor, entry, ["identity", "hflip"])
    assert both == pytest.approx((predict_scores(predictor, entry, ["identity"]) + expected) / 2, rel=1e-4)


def test_patients_scores_are_averaged_over_models(shared_patients, tiny_experiment):
    class Constant(nn.Module):
        def __init__(self, logit):
            super().__init__()
            self.logit = logit

        def forward(self, images, present):
            return torch.full((len(images), 3), self.logit)

    predictor = predictor_of(shared_patients, tiny_experiment(multiview=True), Constant(6.0), Constant(-2.0))
    scores = predict_scores(predictor, shared_patients.manifest.entries[0], ["identity"])
    assert scores == pytest.approx([(0.997527 + 0.119203) / 2] * 3, rel=1e-5)
