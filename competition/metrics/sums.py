"""Weighted sums of metrics of masks: ``metric: {sum: [{name: dice, weight: 0.4}, {name: hausdorff, weight: 0.6}]}``."""

from collections.abc import Mapping, Sequence
from typing import Literal

from competition.metrics.class_weights import weigh_classes
from competition.metrics.counts import CountMetric, dice_metric
from competition.metrics.masks import MaskMetric


def sum_metric(
    terms: Sequence[tuple[float, CountMetric | MaskMetric]], weights: Mapping[str, float] | None = None
) -> MaskMetric:
    """Return the sum of metrics of masks, each with its weight.

    Args:
        terms: Weights above 0, and metrics that all pool the images of a group or all don't.
        weights: Of the classes, in the mean of the sum.

    Raises:
        ValueError: There are fewer than two terms, a weight is no positive number, a term has class weights of its own,
            or terms pool images differently.
    """
    if len(terms) < 2:
        raise ValueError("a sum has at least two metrics, each with a name and a weight")
    for weight, metric in terms:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e6:
            raise ValueError(f"the weight of {metric.name} must be a number above 0, not {weight!r}")
        if metric.weights is not None:
            raise ValueError(f"the weights of classes belong to the sum, not to {metric.name}")
    if len({metric.unit == "group" for _, metric in terms}) > 1:
        raise ValueError(f"some of its metrics pool the images of a group and some don't: {_units(terms)}")
    unit: Literal["image", "group"] = "group" if terms[0][1].unit == "group" else "image"
    parts = [
        (weight * own, part)
        for weight, metric in terms
        for own, part in (((1.0, metric),) if isinstance(metric, CountMetric) else metric.parts)
    ]
    label = " + ".join(f"{weight:g} {metric.label}" for weight, metric in terms)
    counts = [metric for _, metric in terms if isinstance(metric, CountMetric)]
    # The count metric of the sum proposes its decisions, because it decides a part of the sum exactly.
    chosen = counts[0] if counts else dice_metric(unit)
    proposer = CountMetric(chosen.name, chosen.label, chosen.formula, chosen.unit, chosen.empty, weigh_classes(weights))
    return MaskMetric("sum", label, tuple(parts), unit, weigh_classes(weights), proposer)


def _units(terms: Sequence[tuple[float, CountMetric | MaskMetric]]) -> str:
    return ", ".join(f"{metric.name} unit {metric.unit}" for _, metric in terms)
