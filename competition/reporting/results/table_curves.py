"""How patients are ranked and their locations decided: ROC, precision-recall, decisions, and calibration.

What is shown of any other table is in ``class_curves.py``.
"""

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from competition.ensembling.classification.thresholds import NEVER
from competition.errors import CompetitionError
from competition.metrics.tables import auroc
from competition.reporting.calibration import calibration_verdict, reliability, reliability_figure
from competition.reporting.charts import GREY, PALETTE, add_legend, as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, html_table
from competition.reporting.parts import MOST_CLASSES
from competition.reporting.results.class_curves import class_curves, class_decisions, class_reliability
from competition.reporting.results.curve_points import curve_points

HALF = 0.5


def ranking_curves(inputs: ReportInputs) -> list[Figure]:
    """Return the ROC and precision-recall curves of the ranked class, and the AUROC of every fold.

    Raises:
        CompetitionError: As of ``inputs.tuning``, or all samples are of one class.
    """
    if not inputs.located:
        return class_curves(inputs)
    truth, score = _ranked(inputs)
    name, curves, area, precision = inputs.track.classes[0], *curve_points(truth, score)
    canvas, (roc, recall) = new_chart(7.2, 3.4, columns=2)
    roc.plot([0, 1], [0, 1], "--", color=GREY, label="chance")
    of_roc, of_recall = (curves[curves["curve"] == kind] for kind in ("roc", "precision-recall"))
    roc.plot(of_roc["x"], of_roc["y"], color=PALETTE[0], label=f"AUROC {area:.3f}")
    roc.set(xlabel="false alarms among the negative", ylabel="caught among the positive", ylim=(0, 1.02), xlim=(0, 1))
    recall.axhline(truth.mean(), linestyle="--", color=GREY, label="chance")
    recall.plot(of_recall["x"], of_recall["y"], drawstyle="steps-pre", color=PALETTE[1], label=f"AP {precision:.3f}")
    recall.set(xlabel="caught among the positive", ylabel="positive among the called", ylim=(0, 1.02), xlim=(0, 1))
    add_legend(roc)
    add_legend(recall)
    sentence = (
        f"How the out-of-fold vote ranks {name}: {int(truth.sum())} of {len(truth):,} samples are positive. AUROC "
        f"{area:.3f} is how often a positive sample ranks above a negative one. Read off how many false alarms it "
        "costs to catch the share of samples that you need."
    )
    body = as_svg(
        canvas, "ranking", f"ROC curve with AUROC {area:.3f} and precision-recall curve with AP {precision:.3f}."
    )
    return [Figure("ranking", f"Ranking of {name}", sentence, body, curves), _fold_figure(inputs, truth, score)]


def _fold_figure(inputs: ReportInputs, truth: NDArray[np.int64], score: NDArray[np.float64]) -> Figure:
    folds = inputs.tuning.folds
    rows = [
        {
            "fold": str(fold),
            "samples": int((folds == fold).sum()),
            "positive": int(truth[folds == fold].sum()),
            "AUROC": auroc(truth[folds == fold], score[folds == fold]),
        }
        for fold in np.unique(folds).tolist()
    ]
    table = pd.DataFrame(rows)
    sentence = (
        "The AUROC of each fold by itself. With few positive samples it jumps by chance: compare runs by the "
        "cross-fitted score, not by their best fold."
    )
    return Figure("fold-scores", "Score of every fold", sentence, html_table(table), table)


def decision_tables(inputs: ReportInputs) -> list[Figure]:
    """Return the confusion of the ranked class at probability 0.5, and what is called of every location.

    Raises:
        CompetitionError: As of ``inputs.tuning``.
    """
    if not inputs.located:
        return class_decisions(inputs)
    truth, probabilities = inputs.targets, inputs.combined.probs
    figures = [_confusion_figure(inputs.track.classes[0], truth[:, 0], probabilities[:, 0] > HALF)]
    if len(inputs.track.classes) > 1:
        figures.append(_location_figure(inputs))
    return figures


def _confusion_figure(name: str, truth: NDArray[np.int64], called: NDArray[np.bool_]) -> Figure:
    rows = [
        {"truth": label, "called negative": int((here & ~called).sum()), "called positive": int((here & called).sum())}
        for label, here in (("negative", truth == 0), ("positive", truth == 1))
    ]
    missed, alarms = rows[1]["called negative"], rows[0]["called positive"]
    sentence = (
        f"{name} called above probability 0.5, on out-of-fold predictions: {missed} of {int(truth.sum())} positive "
        f"samples are missed, {alarms} of {int((truth == 0).sum())} negative ones raise a false alarm. The score ranks "
        "and does not need this threshold; a clinic does, and should choose it on the curves above."
    )
    table = pd.DataFrame(rows)
    return Figure("confusion", f"{name} at probability 0.5", sentence, html_table(table), table)


def _location_figure(inputs: ReportInputs) -> Figure:
    """Return a table of the classes that are submitted as 0 or 1: positives, caught, false alarms."""
    table = location_counts(
        inputs.track.classes, inputs.targets, inputs.combined.probs, inputs.location_rule.decide(inputs.combined.probs)
    )
    table["threshold"] = inputs.location_rule.thresholds
    order = np.argsort(-table["positives"].to_numpy(), kind="stable")
    shown = table.iloc[order[:MOST_CLASSES]].copy()
    shown["threshold"] = [None if value >= NEVER else value for value in shown["threshold"]]
    caught, alarms, positives = (int(table[name].sum()) for name in ("caught", "false alarms", "positives"))
    gate = "" if inputs.decision.gate is None else f" Only samples above {inputs.decision.gate:.3f} are called at all."
    rest = "" if len(shown) == len(table) else f" The {len(shown)} most frequent of {len(table):,}; the CSV has all."
    sentence = (
        f"At the decision {caught} of {positives} positive cells are caught, with {alarms} false alarms (the rule was "
        f"chosen on the same samples: optimistic). A dash as threshold means that a class is never called, because "
        f"calling it would lose more cells than it wins; more positive samples would change that.{gate}{rest}"
    )
    return Figure("locations", "Hits and false alarms, class by class", sentence, html_table(shown), table)


def location_counts(
    classes: tuple[str, ...],
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    called: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return for each class after the first: positives, caught, missed, false alarms and AUROC.

    Args:
        classes: (1 + L,), the ranked one first.
        truth: 0 or 1, (n, 1 + L).
        probabilities: (n, 1 + L).
        called: (n, L).
    """
    positive = truth[:, 1:] == 1
    return pd.DataFrame(
        {
            "class": classes[1:],
            "positives": positive.sum(axis=0),
            "caught": (positive & called).sum(axis=0),
            "missed": (positive & ~called).sum(axis=0),
            "false alarms": (~positive & called).sum(axis=0),
            "AUROC": [auroc(truth[:, index], probabilities[:, index]) for index in range(1, len(classes))],
        }
    )


def table_reliability(inputs: ReportInputs) -> list[Figure]:
    """Return the reliability diagram of the ranked class, with the probabilities of both kinds of samples.

    Raises:
        CompetitionError: As of ``inputs.tuning``.
    """
    if not inputs.located:
        return class_reliability(inputs)
    truth, probabilities = inputs.targets[:, 0], inputs.combined.probs[:, 0]
    bins = reliability(probabilities, np.ones(len(truth), dtype=np.int64), truth)
    sentence = (
        f"Samples by their probability of {inputs.track.classes[0]}: on the dashed line probabilities are right. "
        f"{calibration_verdict(bins)} With {len(truth):,} samples in ten bins single points are noisy."
    )
    canvas, (axis,) = new_chart(6.4, 2.4)
    edges = list(np.linspace(0, 1, 21))
    axis.hist([probabilities[truth == 0], probabilities[truth == 1]], bins=edges, color=[GREY, PALETTE[1]])
    axis.set(xlabel="predicted probability", ylabel="samples", xlim=(0, 1))
    for label, colour in (("negative", GREY), ("positive", PALETTE[1])):
        axis.bar([0], [0], color=colour, label=label)
    add_legend(axis)
    figure = reliability_figure(bins, "samples", sentence)
    histogram = as_svg(canvas, "probabilities", "Histogram of the probabilities of negative and of positive samples.")
    return [Figure(figure.name, figure.title, sentence, figure.body + Markup(histogram), bins)]


def _ranked(inputs: ReportInputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return truth and score of the ranked class.

    Raises:
        CompetitionError: All samples are of one class.
    """
    truth, score = inputs.targets[:, 0], inputs.combined.score
    if len(np.unique(truth)) < 2:
        which = "positive" if truth.all() else "negative"
        raise CompetitionError(
            f"all {len(truth)} samples that were held out are {which}, so nothing can be ranked",
            repair="Train more folds with ./run.sh train",
        )
    return truth, score
