"""Metrics by name: what a track or its YAML may be scored by.

A metric is one of two kinds. A count metric (``counts.CountMetric``) follows from pixel counts, so thresholds and
weights are searched exactly for every one of them. A table metric (``tables.TableMetric``) follows from true and
predicted columns. To add one, register a function that returns it:

    METRICS["f2"] = lambda **options: f_beta_metric(2, **options)
"""

from collections.abc import Callable, Mapping
from typing import Any

from competition.errors import CompetitionError
from competition.metrics.counts import CountMetric, dice_metric, f_beta_metric, iou_metric
from competition.metrics.tables import TableMetric, auroc_metric
from competition.text import nearest_hint

Metric = CountMetric | TableMetric

METRICS: dict[str, Callable[..., Metric]] = {
    "dice": dice_metric,
    "iou": iou_metric,
    "f_beta": f_beta_metric,
    "auroc": auroc_metric,
}
"""Name -> function that makes the metric from its options."""

UNITS = ("image", "group", "all")
EMPTY = (0, 1, "skip")


def make_metric(declared: str | Mapping[str, Any]) -> Metric:
    """Return the metric that a YAML declares.

    Args:
        declared: A name ("iou"), or a mapping of ``name`` and options: ``{name: f_beta, beta: 2, unit: group,
            empty: skip}``.

    Raises:
        CompetitionError: The name or an option is unknown, or the value of an option can't be used.
    """
    options = {"name": declared} if isinstance(declared, str) else dict(declared)
    name = options.pop("name", None)
    if name not in METRICS:
        raise CompetitionError(f"metric: unknown metric {name!r}{nearest_hint(str(name), list(METRICS))}")
    for option, allowed in (("unit", UNITS), ("empty", EMPTY)):
        if option in options and (options[option] not in allowed or isinstance(options[option], bool)):
            known = ", ".join(map(str, allowed))
            raise CompetitionError(f"metric: {option} is {options[option]!r}, not one of {known}")
    try:
        return METRICS[name](**options)
    except (TypeError, ValueError) as error:
        raise CompetitionError(f"metric {name}: {error}") from error


def as_count_metric(metric: Metric) -> CountMetric:
    """Return a metric that scores masks.

    Raises:
        CompetitionError: It scores tables.
    """
    if not isinstance(metric, CountMetric):
        raise CompetitionError(f"{metric.label} scores tables, and these are masks")
    return metric
