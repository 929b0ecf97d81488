"""Metrics by name: what a track or its YAML may be scored by.

A metric is one of three kinds. A count metric (``counts.CountMetric``) follows from pixel counts, so thresholds and
weights are searched exactly for every one of them. A mask metric (``masks.MaskMetric``) needs the masks themselves, and
chooses among the best decisions that a count metric proposes. A table metric (``tables.TableMetric``) follows from true
and predicted columns. To add one, register a function that returns it:

    METRICS["f2"] = lambda **options: f_beta_metric(2, **options)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from competition.errors import CompetitionError
from competition.metrics.counts import CountMetric, dice_metric, f_beta_metric, iou_metric, mask_ap_metric
from competition.metrics.labels import accuracy_metric, f1_metric, kappa_metric
from competition.metrics.masks import MaskMetric, hausdorff_metric, object_ap_metric, surface_dice_metric
from competition.metrics.probabilities import log_loss_metric, pf1_metric, rmse_metric
from competition.metrics.ranking import auroc_metric, average_precision_metric
from competition.metrics.sums import sum_metric
from competition.metrics.tables import TableMetric, Targets
from competition.text import nearest_hint

Metric = CountMetric | MaskMetric | TableMetric

METRICS: dict[str, Callable[..., Metric]] = {
    "dice": dice_metric,
    "iou": iou_metric,
    "f_beta": f_beta_metric,
    "mask_ap": mask_ap_metric,
    "hausdorff": hausdorff_metric,
    "hausdorff95": lambda **options: hausdorff_metric(95, **options),
    "surface_dice": surface_dice_metric,
    "object_ap": object_ap_metric,
    "auroc": auroc_metric,
    "average_precision": average_precision_metric,
    "log_loss": log_loss_metric,
    "accuracy": accuracy_metric,
    "f1": f1_metric,
    "pf1": pf1_metric,
    "kappa": kappa_metric,
    "rmse": rmse_metric,
}
"""Name -> function that makes the metric from its options."""

OTHER_NAMES = {
    "ap": ("average_precision", "object_ap"),
    "auc": ("auroc",),
    "cohen_kappa": ("kappa",),
    "dice_coefficient": ("dice",),
    "dice_score": ("dice",),
    "f2": ("f_beta",),
    "hd95": ("hausdorff95",),
    "jaccard": ("iou",),
    "map": ("object_ap", "mask_ap"),
    "mean_dice": ("dice",),
    "nsd": ("surface_dice",),
    "pr_auc": ("average_precision",),
    "quadratic_weighted_kappa": ("kappa",),
    "qwk": ("kappa",),
    "roc_auc": ("auroc",),
}
"""What others call a metric -> what it may be called here, for the message on an unknown name."""

UNITS = ("image", "group", "all")
EMPTY = (0, 1, "skip")


def make_metric(declared: str | Mapping[str, Any]) -> Metric:
    """Return the metric that a YAML declares.

    Args:
        declared: A name ("iou"), or a mapping of ``name`` and options: ``{name: f_beta, beta: 2, unit: group,
            empty: skip}``; or ``{sum: [{name: dice, weight: 0.4}, {name: hausdorff, weight: 0.6}]}``. A mask metric may
            say which count metric proposes its decisions: ``proposed_by``, such a declaration itself.

    Raises:
        CompetitionError: The name or an option is unknown, or the value of an option can't be used.
    """
    options = {"name": declared} if isinstance(declared, str) else dict(declared)
    proposed_by = options.pop("proposed_by", None)
    metric = _sum_of(options) if "sum" in options else _single(options)
    return metric if proposed_by is None else _proposed(metric, proposed_by)


def _single(options: dict[str, Any]) -> Metric:
    """Return the metric of one formula; errors as ``make_metric``."""
    name = options.pop("name", None)
    if name not in METRICS:
        called = OTHER_NAMES.get(str(name).lower().replace(" ", "_"), ())
        hint = f", did you mean {' or '.join(map(repr, called))}?" if called else nearest_hint(str(name), list(METRICS))
        raise CompetitionError(f"metric: unknown metric {name!r}{hint}")
    for option, allowed in (("unit", UNITS), ("empty", EMPTY)):
        if option in options and (options[option] not in allowed or isinstance(options[option], bool)):
            known = ", ".join(map(str, allowed))
            raise CompetitionError(f"metric: {option} is {options[option]!r}, not one of {known}")
    try:
        return METRICS[name](**options)
    except (TypeError, ValueError) as error:
        raise CompetitionError(f"metric {name}: {error}") from error


def _sum_of(options: dict[str, Any]) -> MaskMetric:
    """Return a weighted sum; errors as ``make_metric``."""
    if unknown := sorted(set(options) - {"sum", "weights"}):
        raise CompetitionError(f"metric: a sum has the keys sum, weights and proposed_by, not {unknown[0]!r}")
    terms: list[tuple[Any, CountMetric | MaskMetric]] = []
    for term in options["sum"] if isinstance(options["sum"], list) else ():
        one = {"name": term} if isinstance(term, str) else dict(term) if isinstance(term, Mapping) else {}
        weight = one.pop("weight", None)
        metric = make_metric(one)
        if isinstance(metric, TableMetric):
            raise CompetitionError(f"metric: a sum is of metrics of masks, and {metric.name} scores tables")
        terms.append((weight, metric))
    try:
        return sum_metric(terms, options.get("weights"))
    except ValueError as error:
        raise CompetitionError(f"metric: {error}") from error


def _proposed(metric: Metric, declared: str | Mapping[str, Any]) -> MaskMetric:
    """Return a mask metric whose decisions another count metric proposes; errors as ``make_metric``."""
    proposer = make_metric(declared)
    if not isinstance(metric, MaskMetric) or not isinstance(proposer, CountMetric):
        raise CompetitionError(
            "metric: proposed_by names a count metric such as dice, for a metric that is none itself"
        )
    if (proposer.unit == "group") != (metric.unit == "group"):
        what = f"{proposer.name} has unit {proposer.unit}, and what it proposes for has unit {metric.unit}"
        raise CompetitionError(f"metric: proposed_by: {what}")
    if proposer.weights is not None:
        raise CompetitionError(f"metric: proposed_by: the weights of classes belong to {metric.name}")
    return replace(metric, proposer=replace(proposer, weights=metric.weights))


def of_masks(metric: Metric) -> bool:
    """Return whether a metric scores masks."""
    return not isinstance(metric, TableMetric)


def as_count_metric(metric: Metric) -> CountMetric:
    """Return a metric of masks, or the count metric that proposes decisions for it.

    Raises:
        CompetitionError: It scores tables.
    """
    if isinstance(metric, MaskMetric):
        return metric.proposer
    if not isinstance(metric, CountMetric):
        raise CompetitionError(f"{metric.label} scores tables, and these are masks")
    return metric


def make_table_metric(
    declared: str | Mapping[str, Any] | Metric, targets: Targets, classes: Sequence[str]
) -> TableMetric:
    """Return the metric of a table, bound to the task and the classes of a track.

    Args:
        declared: A metric, or as for ``make_metric``.
        targets: How the classes relate: the ``task`` of a YAML.
        classes: Of the track.

    Raises:
        CompetitionError: As of ``make_metric``, an option names an unknown class, or the metric does not fit the task.
    """
    metric = make_metric(declared) if isinstance(declared, str | Mapping) else declared
    if isinstance(metric, TableMetric) and targets in metric.fits:
        return metric.of(targets, classes)
    name, fitting = metric.name, []
    for other, make in METRICS.items():
        made = make()
        if isinstance(made, TableMetric) and targets in made.fits:
            fitting.append(other)
    raise CompetitionError(f"metric {name} does not fit the task {targets}; those that fit are {', '.join(fitting)}")
