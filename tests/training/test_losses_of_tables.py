"""Losses of classes that exclude each other, against scikit-learn and dense numpy, and which losses fit which task."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from competition.errors import CompetitionError
from competition.models.probabilities import to_probabilities
from competition.settings import TrainSettings
from competition.training.losses import (
    check_loss,
    cross_entropy,
    cross_entropy_dice,
    ordinal,
    usual_loss,
    weighted_loss,
)

RANDOM = np.random.default_rng(0)


def logits_of(shape):
    return torch.from_numpy(RANDOM.normal(size=shape) * 3).double()


def one_hot(grades, classes):
    return torch.nn.functional.one_hot(torch.tensor(grades), classes).double()


def table(track, targets):
    return replace(track, task="classification", targets=targets, exclusive=False)


def softmax(values):
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_cross_entropy_is_the_log_loss():
    logits, truth = logits_of((7, 4)), [0, 1, 2, 3, 3, 1, 0]
    expected = log_loss(truth, softmax(logits.numpy()), labels=range(4))
    assert cross_entropy(logits, one_hot(truth, 4)).item() == pytest.approx(expected, rel=1e-9)


def test_class_weights_are_weights_of_samples():
    logits, truth, weights = logits_of((6, 3)), [0, 1, 2, 2, 1, 0], [0.5, 2.0, 1.25]
    of_sample = -np.log(softmax(logits.numpy())[range(6), truth]) * np.array(weights)[truth]
    found = cross_entropy(logits, one_hot(truth, 3), torch.tensor(weights))
    assert found.item() == pytest.approx(of_sample.mean(), rel=1e-9)


def test_ordinal_asks_of_every_threshold():
    logits, truth = logits_of((9, 4)), np.array([0, 1, 2, 3, 0, 3, 2, 1, 1])
    probs, questions = softmax(logits.numpy()), []
    for grade in (1, 2, 3):
        above = probs[:, grade:].sum(axis=1)
        questions.append(-np.where(truth >= grade, np.log(above), np.log(1 - above)))
    assert ordinal(logits, one_hot(truth, 4)).item() == pytest.approx(np.mean(questions), rel=1e-9)


def test_ordinal_counts_far_errors_more():
    near, far = torch.tensor([[0.0, 5.0, 0.0]]), torch.tensor([[0.0, 0.0, 5.0]])
    first = one_hot([0], 3)
    assert cross_entropy(near, first).item() == pytest.approx(cross_entropy(far, first).item())
    assert ordinal(far, first) > 1.5 * ordinal(near, first)


def test_masks_that_exclude_each_other_by_hand():
    logits = logits_of((2, 3, 4, 5))
    areas = RANDOM.dirichlet(np.ones(4), size=(2, 4, 5)).transpose(0, 3, 1, 2)  # three classes, then the background
    areas[1, 2], areas[1, 3] = 0, areas[1, 2] + areas[1, 3]  # the second image lacks the last class
    shares = areas[:, :3]
    scores = np.concatenate([np.zeros((2, 1, 4, 5)), logits.numpy()], axis=1)
    probs = softmax(scores)
    entropy = -(areas[:, 3] * np.log(probs[:, 0]) + (shares * np.log(probs[:, 1:])).sum(axis=1)).mean()
    dice = []
    for image in range(2):
        of_image = []
        for name in range(3):
            truth, predicted = shares[image, name], probs[image, 1 + name]
            if truth.sum():
                of_image.append(1 - (2 * (truth * predicted).sum() + 1) / (truth.sum() + predicted.sum() + 1))
        dice.append(np.mean(of_image))
    assert len(dice) == 2
    found = cross_entropy_dice(logits, torch.from_numpy(shares)).item()
    assert found == pytest.approx(entropy + np.mean(dice), rel=1e-9)


@pytest.mark.parametrize("loss", [cross_entropy, ordinal])
def test_gradients_are_finite_at_extreme_logits(loss):
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]], requires_grad=True)
    loss(logits, one_hot([1, 0], 3).float()).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() > 0.1


@pytest.mark.parametrize("loss", [cross_entropy, ordinal, cross_entropy_dice])
def test_a_batch_is_the_mean_of_its_chunks(loss):
    shape = (4, 3, 5, 6) if loss is cross_entropy_dice else (4, 3)
    logits, targets = logits_of(shape), torch.from_numpy(RANDOM.dirichlet(np.ones(4), shape[:1] + shape[2:])).double()
    targets = targets.movedim(-1, 1)[:, :3]
    parts = [loss(logits[start : start + 2], targets[start : start + 2]) for start in (0, 2)]
    assert loss(logits, targets).item() == pytest.approx((parts[0] + parts[1]).item() / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("targets", "exclusive", "expected"),
    [("multilabel", False, "bce"), ("multiclass", False, "cross_entropy"), ("ordinal", False, "ordinal")],
)
def test_the_usual_loss_of_a_table(shared_patients, targets, exclusive, expected):
    assert usual_loss(table(shared_patients.track, targets)) == expected


def test_the_usual_loss_of_masks(shared_hands):
    assert usual_loss(shared_hands.track) == "bce_dice"
    assert usual_loss(replace(shared_hands.track, exclusive=True)) == "cross_entropy_dice"


@pytest.mark.parametrize(
    ("loss", "targets", "hint"),
    [
        ("bce", "ordinal", "ordinal or cross_entropy"),
        ("cross_entropy", "multilabel", "bce or asymmetric"),
        ("bce_dice", "multiclass", "train.loss=cross_entropy"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_with_those_that_do(shared_patients, loss, targets, hint):
    with pytest.raises(CompetitionError, match=f"{loss} does not fit .* which is {targets}.*{hint}"):
        check_loss(TrainSettings(loss=loss), table(shared_patients.track, targets))


def test_class_weights_need_every_class_and_cross_entropy(shared_patients):
    track = table(shared_patients.track, "multiclass")
    named = dict.fromkeys(track.classes, 2.0)
    check_loss(TrainSettings(loss="cross_entropy", class_weights=named), track)
    with pytest.raises(CompetitionError, match="needs a weight for each class"):
        check_loss(TrainSettings(loss="cross_entropy", class_weights={"nothing": 1.0}), track)
    with pytest.raises(CompetitionError, match="not in bce"):
        check_loss(TrainSettings(loss="bce", class_weights="balanced"), table(track, "multilabel"))


def test_balanced_weights_let_all_classes_count_alike(shared_patients):
    classes = len(shared_patients.track.classes)
    truth = [0, 0, 0, 1]
    entries = [
        replace(entry, targets=tuple(int(index == grade) for index in range(classes)))
        for entry, grade in zip(shared_patients.train(), truth, strict=False)
    ]
    track = table(shared_patients.track, "multiclass")
    loss = weighted_loss(TrainSettings(loss="cross_entropy", class_weights="balanced"), track, entries)
    even = torch.zeros(4, classes)
    assert loss(even, one_hot(truth, classes).float()).item() == pytest.approx(np.log(classes), rel=1e-6)
    only = [loss(even[:1], one_hot([grade], classes).float()).item() / np.log(classes) for grade in (0, 1)]
    assert only == pytest.approx([4 / (2 * 3), 4 / (2 * 1)], rel=1e-6)


def test_balanced_weights_count_what_a_teacher_is_unsure_of(shared_patients):
    rest = (0.0,) * (len(shared_patients.track.classes) - 2)
    known, unsure = [(1, 0), (0, 1)], [(0.75, 0.25), (0.75, 0.25)]  # 2.5 of the first class, 1.5 of the second
    entries = [
        replace(entry, targets=two + rest)
        for entry, two in zip(shared_patients.train(), [*known, *unsure], strict=False)
    ]
    track = table(shared_patients.track, "multiclass")
    loss = weighted_loss(TrainSettings(loss="cross_entropy", class_weights="balanced"), track, entries)
    even, classes = torch.zeros(1, len(rest) + 2), len(rest) + 2
    only = [loss(even, one_hot([grade], classes).float()).item() / np.log(classes) for grade in (0, 1)]
    assert only == pytest.approx([4 / (2 * 2.5), 4 / (2 * 1.5)], rel=1e-6)


def test_probabilities_of_every_kind(shared_hands, shared_patients):
    scores = logits_of((2, 3, 4, 4))
    assert torch.equal(to_probabilities(scores, shared_hands.track), scores.sigmoid())
    exclusive = to_probabilities(scores, replace(shared_hands.track, exclusive=True)).numpy()
    expected = softmax(np.concatenate([np.zeros((2, 1, 4, 4)), scores.numpy()], axis=1))[:, 1:]
    np.testing.assert_allclose(exclusive, expected, rtol=1e-12)
    assert ((exclusive > 0.5).sum(axis=1) <= 1).all()
    rows = logits_of((5, 3))
    assert torch.equal(to_probabilities(rows, shared_patients.track), rows.sigmoid())
    for targets in ("multiclass", "ordinal"):
        probs = to_probabilities(rows, table(shared_patients.track, targets)).numpy()
        np.testing.assert_allclose(probs, softmax(rows.numpy()), rtol=1e-12)
