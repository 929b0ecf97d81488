"""Dice and areas of out-of-fold masks against dense numpy."""

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.masks.bit_planes import unpack_planes
from competition.review.out_of_fold import measure_agreement, out_of_fold_planes, out_of_fold_probabilities
from competition.review.suspicious_labels import find_suspicious, suspicion_table

LEVELS = np.array([127, 90, 150])[:, None, None]


def noisy(prepared):
    def draw(member: int, entry) -> np.ndarray:
        random = np.random.default_rng([member, *entry.sample.encode()])
        truth = unpack_planes(read_cached_planes(prepared.workspace, entry.sample), 3)
        return np.clip(60 + 120 * truth + random.normal(0, 30, truth.shape), 4, 251).astype(np.uint8)

    return draw


def test_agreement_is_the_weighted_dice_of_the_members_that_predict_a_class(shared_hands, decided_masks) -> None:
    draw = noisy(shared_hands)
    stand_in = decided_masks(shared_hands, draw, weights=(300, 700), own=(None, ("square", "disc")))
    found = measure_agreement(stand_in.data, stand_in.decision)
    shares = np.array([[0.3, 0.7], [0.3, 0.7], [1, 0]])  # nobody else predicts bars
    for row, entry in enumerate(shared_hands.train()):
        truth = unpack_planes(read_cached_planes(shared_hands.workspace, entry.sample), 3)
        masks = [draw(member, entry) > LEVELS for member in (0, 1)]
        areas = np.stack([mask.sum(axis=(1, 2)) for mask in masks], axis=1)
        both = np.stack([(mask & truth).sum(axis=(1, 2)) for mask in masks], axis=1)
        labelled = truth.sum(axis=(1, 2))
        dice = (shares * 2 * both / np.maximum(areas + labelled[:, None], 1)).sum(axis=1)
        assert found.labelled[row].tolist() == labelled.tolist()
        assert found.predicted[row] == pytest.approx((shares * areas).sum(axis=1))
        assert found.dice[row] == pytest.approx(np.where(labelled > 0, dice, np.nan), nan_ok=True)


def test_planes_are_those_of_the_decision(shared_hands, decided_masks) -> None:
    draw = noisy(shared_hands)
    stand_in = decided_masks(shared_hands, draw)
    entry = shared_hands.train()[3]
    planes = out_of_fold_planes(stand_in.data, stand_in.decision, entry.sample)
    assert (unpack_planes(planes, 3) == (draw(0, entry) > LEVELS)).all()


def test_a_label_that_the_masks_contradict_comes_first(shared_hands, decided_masks) -> None:
    def draw(member: int, entry) -> np.ndarray:
        values = noisy(shared_hands)(member, entry)
        return values[[1, 0, 2]] if entry.sample == "hand4" else values  # disc and square exchanged

    stand_in = decided_masks(shared_hands, draw)
    ranked = find_suspicious(shared_hands.track, shared_hands.train(), data=stand_in.data, decision=stand_in.decision)
    assert {(each.sample, each.label) for each in ranked[:2]} == {("hand4", "disc"), ("hand4", "square")}
    table = suspicion_table(ranked, shared_hands.train())
    assert table.iloc[0].to_dict() == {
        "rank": 1,
        "sample": "hand4",
        "name": "hand4.npy",
        "class": ranked[0].label,
        "score": round(ranked[0].score, 4),
        "reason": ranked[0].reason,
    }


def test_probabilities_of_patients_are_joined_by_key(shared_patients, decided_table) -> None:
    probabilities = np.linspace(0, 1, 24).reshape(8, 3)
    stand_in = decided_table(shared_patients, probabilities)
    assert out_of_fold_probabilities(stand_in.data, stand_in.decision) == pytest.approx(probabilities)
    ranked = find_suspicious(
        shared_patients.track, shared_patients.train(), data=stand_in.data, decision=stand_in.decision
    )
    assert ranked == sorted(ranked, key=lambda each: -each.score)
    assert find_suspicious(shared_patients.track, shared_patients.train()) == []
