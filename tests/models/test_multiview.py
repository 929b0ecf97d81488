from itertools import product

import numpy as np
import pytest
import torch

from competition.models.multiview import MultiViewClassifier, view_maximum

VISIBLE = ((True, True, False), (True, True, False), (True, False, True), (True, False, True))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = MultiViewClassifier("resnet10t", False, 1, 3, 4, VISIBLE, size=32, prior=0.05, dropout=0.3).eval()
    # A fresh network hardly looks at its slots and answers nearly the same for every picture.
    torch.nn.init.normal_(model.slot)
    return model


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 4, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def ask(network, images, present):
    with torch.inference_mode():
        return network(images, torch.tensor(present, dtype=torch.bool).expand(len(images), -1))


def test_view_maximum_is_the_maximum_of_the_counted_views():
    random = np.random.default_rng(0)
    logits, counted = random.normal(0, 3, (5, 4, 3)), random.random((5, 4, 3)) < 0.6
    counted[0, :, 1] = False
    result = view_maximum(torch.tensor(logits), torch.tensor(counted)).numpy()
    for n, c in product(range(5), range(3)):
        chosen = logits[n, counted[n, :, c], c] if counted[n, :, c].any() else logits[n, :, c]
        assert result[n, c] == max(chosen)


def test_view_maximum_of_equal_views_is_that_value_and_of_one_view_its_own():
    logits = torch.tensor([[[2.5], [2.5], [2.5]]])
    assert view_maximum(logits, torch.ones(1, 3, 1, dtype=torch.bool)).item() == pytest.approx(2.5)
    logits = torch.tensor([[[-4.0], [9.0], [1.0]]])
    assert view_maximum(logits, torch.tensor([[[True], [False], [False]]])).item() == pytest.approx(-4)


def test_view_maximum_and_its_gradient_are_finite_at_extreme_logits_and_with_views_that_do_not_count():
    logits = torch.tensor([[[1e3], [-1e3]], [[0.0], [1.0]], [[3.0], [4.0]]], requires_grad=True)
    counted = torch.tensor([[[True], [True]], [[True], [True]], [[True], [False]]])
    result = view_maximum(logits, counted)
    assert result.flatten().tolist() == [1000, 1, 3]
    result.sum().backward()
    assert logits.grad.flatten().tolist() == [1, 0, 0, 1, 1, 0]  # none of it goes to views that show less


@pytest.mark.parametrize("view", range(4))
def test_an_absent_view_has_no_influence(network, images, view):
    present = [index != view for index in range(4)]
    changed = images.clone()
    changed[:, view] = 50
    assert torch.equal(ask(network, images, present), ask(network, changed, present))
    assert not torch.equal(ask(network, images, [True] * 4), ask(network, changed, [True] * 4))


@pytest.mark.parametrize("view", range(4))
def test_a_class_is_only_influenced_by_the_views_that_can_show_it(network, images, view):
    changed = images.clone()
    changed[:, view] = -changed[:, view]
    unseen = [index for index in range(3) if not VISIBLE[view][index]]
    seen = [index for index in range(3) if VISIBLE[view][index]]
    together = ask(network, images, [True] * 4), ask(network, changed, [True] * 4)
    assert torch.equal(together[0][:, unseen], together[1][:, unseen])
    alone = [index == view for index in range(4)]
    assert (ask(network, images, alone) != ask(network, changed, alone))[:, seen].all()


def test_patients_of_a_batch_do_not_influence_each_other(network, images):
    together = ask(network, images, [True] * 4)
    torch.testing.assert_close(ask(network, images[1:], [True] * 4), together[1:])


@pytest.mark.parametrize("present", [[False] * 4, [True, False, False, False], [False, False, True, True]])
def test_the_answer_stays_finite_whatever_is_absent(network, images, present):
    assert torch.isfinite(ask(network, images, present)).all()


def test_a_class_whose_views_are_all_absent_is_judged_by_all_views(network, images):
    changed = images.clone()
    changed[:, :2] = 0  # the only views that can show "left", and both are absent
    right_only = [False, False, True, True]
    before, after = ask(network, images, right_only), ask(network, changed, right_only)
    assert (before[:, 1] != after[:, 1]).all()
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])


def test_a_head_without_weights_answers_the_prior_for_any_views(images):
    model = MultiViewClassifier("resnet10t", False, 1, 3, 4, VISIBLE, size=32, prior=0.05, dropout=0.0).eval()
    torch.nn.init.zeros_(model.head.weight)
    for present in ([True] * 4, [True, False, False, True], [False] * 4):
        torch.testing.assert_close(ask(model, images, present).sigmoid(), torch.full((2, 3), 0.05))


def test_a_fresh_network_answers_about_the_prior(images):
    model = MultiViewClassifier("resnet10t", False, 1, 3, 4, None, size=32, prior=0.05, dropout=0.0).eval()
    probs = ask(model, images, [True] * 4).sigmoid()
    assert ((probs > 0.02) & (probs < 0.12)).all()


def test_the_slot_tells_views_with_the_same_picture_apart(network, images):
    same = images[:, :1].expand(-1, 4, -1, -1, -1)
    first, second = ask(network, same, [True, False, False, False]), ask(network, same, [False, True, False, False])
    assert not torch.allclose(first[:, 0], second[:, 0])


def test_visibility_is_not_part_of_the_weights(network):
    assert "visible" not in network.state_dict()
    assert network.visible.tolist() == [list(row) for row in VISIBLE]
