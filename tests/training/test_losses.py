"""Losses against their formulas written out in float64, pixel by pixel where that is clearest."""

import numpy as np
import pytest
import torch

from competition.errors import CompetitionError
from competition.models import torchvision_ops  # noqa: F401  (must come before timm)
from competition.settings import Experiment
from competition.training.losses import (
    LOSSES,
    asymmetric,
    bce,
    bce_dice,
    bce_first,
    bce_first_and_own,
    bce_first_asymmetric,
    bce_iou,
    focal,
    focal_dice,
    four_sets,
    get_loss,
    soft_dice,
    soft_iou,
)

from timm.loss import AsymmetricLossMultiLabel  # isort: skip

# Not those that take more than logits of the classes: of each view, or beside a loss of the network's own.
OF_ANY_SHAPE = sorted(set(LOSSES) - {"four_sets", "bce_first_and_own"})


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def cross_entropies(logits, targets):
    probs = sigmoid(logits)
    return -(targets * np.log(probs) + (1 - targets) * np.log(1 - probs))


def mean_dice_loss(logits, targets):
    """Loops over samples and classes and leaves out classes without a pixel; every sample weighs the same."""
    samples = []
    for sample_logits, sample_targets in zip(logits, targets, strict=True):
        losses = []
        for class_logits, truth in zip(sample_logits, sample_targets, strict=True):
            if truth.sum() > 0:
                probs = sigmoid(class_logits)
                losses.append(1 - (2 * (probs * truth).sum() + 1) / (probs.sum() + truth.sum() + 1))
        samples.append(np.mean(losses) if losses else 0.0)
    return np.mean(samples)


def mean_iou_loss(logits, targets):
    """One minus intersection over union, class by class; classes without a pixel are left out."""
    samples = []
    for sample_logits, sample_targets in zip(logits, targets, strict=True):
        losses = []
        for class_logits, truth in zip(sample_logits, sample_targets, strict=True):
            if truth.sum() > 0:
                probs = sigmoid(class_logits)
                shared = (probs * truth).sum()
                losses.append(1 - (shared + 1) / ((probs + truth - probs * truth).sum() + 1))
        samples.append(np.mean(losses) if losses else 0.0)
    return np.mean(samples)


def soft_case(seed=0, shape=(3, 4, 5, 6)):
    random = np.random.default_rng(seed)
    logits, targets = random.normal(0, 3, shape), random.random(shape)
    targets[0, 1] = targets[2, 3] = 0
    return logits, targets


def value(loss, logits, targets):
    return float(loss(torch.tensor(logits, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)))


def test_bce_equals_its_formula_on_soft_targets():
    logits, targets = soft_case()
    assert value(bce, logits, targets) == pytest.approx(cross_entropies(logits, targets).mean(), rel=1e-5)


def test_soft_dice_equals_its_formula_and_leaves_out_absent_classes():
    logits, targets = soft_case()
    assert value(soft_dice, logits, targets) == pytest.approx(mean_dice_loss(logits, targets), rel=1e-5)


def test_soft_iou_equals_its_formula_and_leaves_out_absent_classes():
    logits, targets = soft_case(5)
    assert value(soft_iou, logits, targets) == pytest.approx(mean_iou_loss(logits, targets), rel=1e-5)


def test_soft_iou_of_a_certain_answer_is_counted_pixel_by_pixel():
    truth = np.zeros((1, 1, 4, 4))
    truth[0, 0, :2] = 1
    answer = np.full((1, 1, 4, 4), -60.0)
    answer[0, 0, 1:3] = 60
    # Four pixels shared, twelve in the union, and the one that keeps the fraction finite.
    assert value(soft_iou, answer, truth) == pytest.approx(1 - 5 / 13)
    assert value(soft_dice, answer, truth) == pytest.approx(1 - 9 / 17)


@pytest.mark.parametrize("loss", [soft_dice, soft_iou])
def test_overlap_losses_are_zero_where_no_class_is_present(loss):
    assert value(loss, np.ones((2, 3, 4, 4)), np.zeros((2, 3, 4, 4))) == 0


@pytest.mark.parametrize(("overlap", "both"), [(soft_dice, bce_dice), (soft_iou, bce_iou)])
def test_an_absent_class_draws_no_gradient_from_overlap_but_one_from_the_sum_with_bce(overlap, both):
    logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    targets = torch.zeros(1, 2, 4, 4)
    targets[0, 0, :2] = 1
    (from_overlap,) = torch.autograd.grad(overlap(logits, targets), logits)
    assert (from_overlap[0, 1] == 0).all()
    assert (from_overlap[0, 0] != 0).all()
    (from_both,) = torch.autograd.grad(both(logits, targets), logits)
    assert (from_both[0, 1] > 0).all()


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5, 4)])
def test_soft_margin_is_torchs_multi_label_soft_margin_loss(shape):
    random = np.random.default_rng(6)
    logits, targets = random.normal(0, 3, shape), (random.random(shape) < 0.3).astype(float)
    expected = float(torch.nn.MultiLabelSoftMarginLoss()(torch.tensor(logits), torch.tensor(targets)))
    assert value(get_loss("soft_margin"), logits, targets) == pytest.approx(expected, rel=1e-5)


def test_soft_dice_of_a_sample_does_not_depend_on_what_else_is_in_the_batch():
    random = np.random.default_rng(1)
    logits, targets = random.normal(0, 3, (2, 1, 6, 6)), random.random((2, 1, 6, 6))
    targets[0] *= 0.01  # a small bone beside a large one
    apart = [mean_dice_loss(logits[[index]], targets[[index]]) for index in range(2)]
    assert value(soft_dice, logits, targets) == pytest.approx(np.mean(apart), rel=1e-5)


def test_focal_equals_its_formula_on_soft_targets():
    logits, targets = soft_case()
    expected = ((sigmoid(logits) - targets) ** 2 * cross_entropies(logits, targets)).mean()
    assert value(focal, logits, targets) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("both", "first", "second"),
    [(bce_dice, bce, mean_dice_loss), (focal_dice, focal, mean_dice_loss), (bce_iou, bce, mean_iou_loss)],
)
def test_the_sums_are_sums_of_equal_parts(both, first, second):
    logits, targets = soft_case(2)
    expected = value(first, logits, targets) + second(logits, targets)
    assert value(both, logits, targets) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "loss"), [("dice", soft_dice), ("iou", soft_iou), ("bce_iou", bce_iou)])
def test_experiments_find_the_reports_losses_by_name(name, loss):
    assert get_loss(name) is loss


@pytest.mark.parametrize("shape", [(7, 22), (1, 1), (2, 3, 4, 4)])
def test_asymmetric_is_the_mean_of_what_timm_computes(shape):
    random = np.random.default_rng(3)
    logits = torch.tensor(random.normal(0, 4, shape), dtype=torch.float32)
    targets = torch.tensor(random.random(shape) < 0.3, dtype=torch.float32)
    reference = AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=1, clip=0.05, eps=1e-8)
    # One number at a time, because versions of timm differ in what they sum over.
    pairs = zip(logits.flatten(), targets.flatten(), strict=True)
    expected = np.mean([float(reference(logit.view(1, 1), target.view(1, 1))) for logit, target in pairs])
    assert float(asymmetric(logits, targets)) == pytest.approx(expected, rel=1e-5)


def test_asymmetric_ignores_negatives_below_the_margin():
    logits = torch.tensor([[np.log(0.049 / 0.951)]], dtype=torch.float32)
    assert asymmetric(logits, torch.zeros(1, 1)) == 0
    assert asymmetric(logits + 1, torch.zeros(1, 1)) > 0


def test_bce_first_adds_five_times_the_mean_of_the_other_classes():
    random = np.random.default_rng(4)
    logits, targets = random.normal(0, 2, (5, 22)), (random.random((5, 22)) < 0.4).astype(float)
    parts = cross_entropies(logits, targets)
    assert value(bce_first, logits, targets) == pytest.approx(parts[:, 0].mean() + 5 * parts[:, 1:].mean(), rel=1e-5)


def test_the_asymmetric_loss_is_for_the_other_classes_alone():
    random = np.random.default_rng(5)
    logits, targets = random.normal(0, 2, (5, 22)), (random.random((5, 22)) < 0.4).astype(float)
    first, others = cross_entropies(logits, targets)[:, 0].mean(), value(asymmetric, logits[:, 1:], targets[:, 1:])
    assert value(bce_first_asymmetric, logits, targets) == pytest.approx(first + 5 * others, rel=1e-5)


@pytest.mark.parametrize("loss", [bce_first, bce_first_asymmetric])
def test_bce_first_of_a_single_class_is_bce(loss):
    logits, targets = np.array([[0.3], [-2.0]]), np.array([[1.0], [0.0]])
    assert value(loss, logits, targets) == pytest.approx(cross_entropies(logits, targets).mean(), rel=1e-5)


def test_bce_first_and_own_adds_the_mean_of_what_the_network_brings():
    random = np.random.default_rng(7)
    logits, targets = random.normal(0, 2, (5, 22)), (random.random((5, 22)) < 0.4).astype(float)
    own = random.random(5)
    outputs = np.concatenate([logits, own[:, None]], axis=1)
    expected = value(bce_first, logits, targets) + own.mean()
    assert value(bce_first_and_own, outputs, targets) == pytest.approx(expected, rel=1e-5)


def four_sets_by_hand(logits, targets):
    """Every view of every patient, one by one; what is minus infinity is not asked."""
    anything, places = [], []
    for views, wanted in zip(logits, targets, strict=True):
        for view in views:
            asked = [index for index in range(1, len(view)) if np.isfinite(view[index])]
            if not np.isfinite(view[0]):
                continue
            shown = float(any(wanted[index] for index in asked))
            anything.append(cross_entropies(view[0], shown))
            for index in asked:
                prob = sigmoid(view[index])
                against = min(1 - prob + 0.05, 1)
                yes, no = np.log(prob) * (1 - prob), np.log(against) * (1 - against) ** 4
                places.append(-yes if wanted[index] else -no)
    return np.mean(anything) + np.mean(places)


def test_four_sets_asks_each_view_for_what_it_can_show():
    random = np.random.default_rng(5)
    logits, targets = random.normal(0, 2, (4, 3, 6)), (random.random((4, 6)) < 0.4).astype(float)
    logits[:, 0, 1:4] = logits[:, 1, 3:] = logits[:, 2, 1:3] = -np.inf
    logits[1, 2] = -np.inf  # a view that is absent
    assert value(four_sets, logits, targets) == pytest.approx(four_sets_by_hand(logits, targets), rel=1e-5)
    moved = targets.copy()
    moved[:, 0] = 1 - moved[:, 0]  # the patient's own label is asked of no view
    assert value(four_sets, logits, moved) == value(four_sets, logits, targets)


def test_four_sets_has_finite_gradients_and_none_where_nothing_is_asked():
    logits = torch.tensor([[[3.0, -2.0, float("-inf")], [float("-inf")] * 3]], requires_grad=True)
    four_sets(logits, torch.tensor([[1.0, 1.0, 1.0]])).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad != 0).tolist() == [[[True, True, False], [False] * 3]]


def test_four_sets_of_a_network_that_diverged_is_no_number():
    logits = torch.tensor([[[float("nan"), 0.0]]])
    assert torch.isnan(four_sets(logits, torch.ones(1, 2)))


@pytest.mark.parametrize("name", OF_ANY_SHAPE)
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_loss_and_gradient_stay_finite_at_extreme_logits(name, target):
    logits = torch.tensor([-1e4, -200.0, -20.0, 0.0, 20.0, 200.0, 1e4]).repeat(2, 3, 4, 1).requires_grad_()
    loss = LOSSES[name](logits, torch.full_like(logits, target))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", OF_ANY_SHAPE)
def test_every_loss_falls_when_logits_move_towards_the_targets(name):
    targets = (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    weak, strong = (2 * targets - 1), 4 * (2 * targets - 1)
    losses = [float(LOSSES[name](logits, targets)) for logits in (-weak, weak, strong)]
    assert losses == sorted(losses, reverse=True)
    assert losses[2] < losses[1] < losses[0]


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(CompetitionError, match=r"unknown loss 'bce_dise', did you mean 'bce_dice'"):
        get_loss("bce_dise")


def test_a_loss_from_outside_is_found_by_the_name_it_was_added_under(monkeypatch):
    monkeypatch.setitem(LOSSES, "mine", lambda logits, targets: (logits - targets).abs().mean())
    experiment = Experiment.model_validate({"train": {"loss": "mine"}})
    assert get_loss(experiment.train.loss)(torch.ones(1, 2), torch.zeros(1, 2)) == 1
