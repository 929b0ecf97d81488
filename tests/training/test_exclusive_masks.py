"""Masks that exclude each other, trained and predicted: a pixel is of one class at most."""

from dataclasses import replace

import numpy as np
import pytest

from competition.prediction.predictor import predict_map
from competition.training import loop

pytestmark = pytest.mark.slow


def test_a_network_chooses_one_class_or_the_background(shared_hands, tiny_experiment, tmp_path):
    prepared = shared_hands
    experiment = tiny_experiment(
        train={"loss": "cross_entropy_dice", "epochs": 8, "lr": 1e-2}, model={"prior": 0.3}, data={"flip": True}
    )
    job = prepared.job(experiment, tmp_path)
    job = replace(job, track=replace(job.track, exclusive=True))
    state = loop.train_fold(job)
    assert state.history[-1]["loss"] < 0.7 * state.history[0]["loss"]
    predictor = loop.make_predictor([state.predicting()], experiment, job.track, job.workspace, None)
    levels = np.concatenate(
        [predict_map(predictor, entry, ("identity", "hflip")).reshape(3, -1) for entry in job.held_out], axis=1
    )
    assert ((levels > 128).sum(axis=0) <= 1).all()
    assert (levels > 128).any()
    assert levels.astype(int).sum(axis=0).max() <= 255 + 2  # each of three is rounded
