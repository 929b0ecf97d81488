"""How a table of any metric ranks and decides its classes: a line per class, the decisions, and calibration."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.metrics.tables import one_hot
from competition.reporting.calibration import calibration_verdict, reliability, reliability_figure
from competition.reporting.charts import GREY, PALETTE, add_legend, as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, html_table
from competition.reporting.results.curve_points import curve_points

LINES = len(PALETTE)
"""Classes with a line of their own, the most frequent ones; the CSV holds all."""


def class_curves(inputs: ReportInputs) -> list[Figure]:
    """Return the ROC and precision-recall curves of every class, and the score of every fold.

    Raises:
        CompetitionError: As of ``inputs.tuning``, or no class has samples of both kinds.
    """
    curves = dict(_curves(inputs))
    if not curves:
        raise CompetitionError("no class has positive and negative samples that were held out, so nothing is ranked")
    positives = dict(zip(inputs.track.classes, inputs.targets.sum(axis=0).tolist(), strict=True))
    shown = sorted(curves, key=lambda name: -positives[name])[:LINES]
    canvas, (roc, recall) = new_chart(7.2, 3.6, columns=2)
    roc.plot([0, 1], [0, 1], "--", color=GREY)
    for name, colour in zip(shown, PALETTE, strict=False):
        points, area, precision = curves[name]
        of_roc, of_recall = (points[points["curve"] == kind] for kind in ("roc", "precision-recall"))
        written = name[:20].replace("$", r"\$")
        roc.plot(of_roc["x"], of_roc["y"], color=colour, label=f"{written} {area:.3f}")
        label = f"{written} {precision:.3f}"
        recall.plot(of_recall["x"], of_recall["y"], drawstyle="steps-pre", color=colour, label=label)
    roc.set(xlabel="false alarms among the negative", ylabel="caught among the positive", ylim=(0, 1.02), xlim=(0, 1))
    recall.set(xlabel="caught among the positive", ylabel="positive among the called", ylim=(0, 1.02), xlim=(0, 1))
    add_legend(roc)
    add_legend(recall)
    rest = "" if len(shown) == len(positives) else f" The {len(shown)} most frequent of {len(positives)} classes."
    sentence = (
        f"How the out-of-fold vote ranks {len(inputs.targets):,} samples by each class, with its AUROC (left) and "
        "average precision (right). Read off how many false alarms it costs to catch the share of samples that you "
        f"need.{rest}"
    )
    areas = ", ".join(f"{name} {curves[name][1]:.3f}" for name in shown)
    body = as_svg(canvas, "ranking", f"ROC and precision-recall curves; AUROC: {areas}.")
    table = pd.concat([points.assign(**{"class": name}) for name, (points, _, _) in curves.items()], ignore_index=True)
    return [Figure("ranking", "Ranking of every class", sentence, body, table), _fold_figure(inputs)]


def _curves(inputs: ReportInputs) -> Iterator[tuple[str, tuple[pd.DataFrame, float, float]]]:
    """Yield class -> points, AUROC and average precision, of those with positive and negative samples."""
    truth, probabilities = inputs.targets, inputs.combined.probs
    for index, name in enumerate(inputs.track.classes):
        if len(np.unique(truth[:, index])) > 1:
            yield name, curve_points(truth[:, index], probabilities[:, index])


def _fold_figure(inputs: ReportInputs) -> Figure:
    folds, metric = inputs.tuning.folds, inputs.table_metric
    rows = []
    for fold in np.unique(folds).tolist():
        here = folds == fold
        score = metric.score_table(inputs.targets[here], inputs.combined.probs[here])
        rows.append({"fold": str(fold), "samples": int(here.sum()), metric.label: score})
    table = pd.DataFrame(rows)
    sentence = (
        f"The {metric.title} of each fold by itself, without tuning. With few samples it jumps by chance: compare "
        "runs by the cross-fitted score, not by their best fold."
    )
    return Figure("fold-scores", "Score of every fold", sentence, html_table(table), table)


def class_decisions(inputs: ReportInputs) -> list[Figure]:
    """Return how often each class is decided: the confusion of classes that exclude each other, else hits and errors.

    Raises:
        CompetitionError: As of ``inputs.tuning``.
    """
    classes, truth, decided = list(inputs.track.classes), inputs.targets, inputs.voted.outputs
    ruled = inputs.decision.rule is not None and inputs.decision.rule.kind != "none"
    if inputs.track.one_of_classes:
        table = confusion(truth, one_hot(np.argmax(decided, axis=1), len(classes)), classes)
        how = "what the decision makes of them" if ruled else "their most probable class"
        sentence = f"Out-of-fold samples by their true class (rows) and {how} (columns)"
    elif ruled:
        table = pd.DataFrame({"class": classes} | hits_and_errors(truth, decided))
        sentence = "What the decision calls of every class on out-of-fold samples"
    else:
        return []
    sentence += "; weights and rule were chosen on the same samples: optimistic." if ruled else "."
    return [Figure("decided", "What is decided, class by class", sentence, html_table(table), table)]


def confusion(truth: NDArray[np.integer], decided: NDArray[np.integer], classes: list[str]) -> pd.DataFrame:
    """Return samples by true class (rows) and decided class (columns), from one-hot rows (n, C)."""
    return pd.concat([pd.Series(classes, name="truth"), pd.DataFrame(truth.T @ decided, columns=classes)], axis=1)


def hits_and_errors(truth: NDArray[np.integer], decided: NDArray[np.floating]) -> dict[str, NDArray[np.integer]]:
    """Return of each class (C,) how many samples are positive, caught, missed and false alarms, from 0/1 (n, C)."""
    positive, called = truth == 1, decided == 1
    cells = {"positives": positive, "caught": positive & called, "missed": positive & ~called}
    return {name: cell.sum(axis=0) for name, cell in (cells | {"false alarms": ~positive & called}).items()}


def class_reliability(inputs: ReportInputs) -> list[Figure]:
    """Return the reliability diagram of the probabilities of all classes.

    Raises:
        CompetitionError: As of ``inputs.tuning``.
    """
    truth, probabilities = inputs.targets.ravel(), inputs.combined.probs.ravel()
    bins = reliability(probabilities, np.ones(len(truth), dtype=np.int64), truth)
    sentence = (
        f"Samples and classes by their probability: on the dashed line probabilities are right. "
        f"{calibration_verdict(bins)} With {len(truth):,} cells in ten bins single points are noisy."
    )
    return [reliability_figure(bins, "cells", sentence)]
