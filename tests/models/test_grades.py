"""Grades as cumulative links, against the sigmoids that define them."""

import pytest
import torch

from competition.models.grades import CumulativeLinks


@pytest.mark.parametrize("grades", [2, 3, 7])
def test_all_grades_start_equally_likely(grades):
    probs = CumulativeLinks(grades)(torch.zeros(1, 1)).softmax(dim=1)
    torch.testing.assert_close(probs, torch.full((1, grades), 1 / grades), rtol=1e-3, atol=0)


def test_probabilities_of_at_least_a_grade_are_sigmoids_at_ordered_thresholds():
    links = CumulativeLinks(4)
    with torch.no_grad():
        links.first.fill_(-0.7)
        links.steps.copy_(torch.tensor([-30.0, 1.0]))  # the first step is as small as can be
    numbers = torch.linspace(-5, 5, 21)[:, None]
    at_least = links(numbers).double().exp().flip(1).cumsum(dim=1).flip(1)
    torch.testing.assert_close(at_least[:, 0], torch.ones(21).double())
    second = -0.7 + 1e-4
    thresholds = torch.tensor([-0.7, second, second + 1e-4 + torch.tensor(1.0).exp().log1p().item()])
    expected = (numbers - thresholds).sigmoid()
    torch.testing.assert_close(at_least[:, 1:].float(), expected, rtol=2e-4, atol=2e-6)


def test_gradients_are_finite_far_out():
    links, numbers = CumulativeLinks(4), torch.tensor([[-300.0], [300.0]], requires_grad=True)
    (-links(numbers)[:, 1].sum()).backward()
    assert numbers.grad.isfinite().all()
    assert links.first.grad.isfinite()
    assert links.steps.grad.isfinite().all()
