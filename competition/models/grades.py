"""Grades as cumulative links: one number for a sample, and one threshold between each two neighbouring grades.

P(grade >= k) = sigmoid(x - t_k) with t_1 < t_2 < ... (McCullagh 1980). A number says more with few samples than a score
of its own for each grade: what separates grades 1 and 2 separates 2 and 3 as well.
"""

import torch
import torch.nn.functional as F
from torch import nn

FARTHEST = 1e4
"""A threshold beyond which no number lies."""
SMALLEST_STEP = 1e-4
"""Between two thresholds."""


class CumulativeLinks(nn.Module):
    """From a number per sample to logits of its grades, whose softmax are the grades' probabilities."""

    def __init__(self, grades: int) -> None:
        """Start with thresholds that make all grades about equally likely at 0."""
        super().__init__()
        shares = torch.arange(1, grades) / grades
        starts = (shares / (1 - shares)).log()
        self.first = nn.Parameter(starts[0])
        self.steps = nn.Parameter((starts.diff() - SMALLEST_STEP).expm1().log())  # the inverse of softplus

    def forward(self, number: torch.Tensor) -> torch.Tensor:
        """Return the logarithms (N, C) float32 of the grades' probabilities for numbers (N, 1)."""
        steps = F.softplus(self.steps) + SMALLEST_STEP
        thresholds = torch.cat([self.first[None], self.first + steps.cumsum(dim=0)])
        above = number.float() - thresholds
        beyond = torch.full_like(above[:, :1], FARTHEST)
        upper, lower = torch.cat([beyond, above], dim=1), torch.cat([above, -beyond], dim=1)
        # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) for the sigmoid s, without a difference of nearly equal numbers.
        return F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log1p(-(lower - upper).exp())
