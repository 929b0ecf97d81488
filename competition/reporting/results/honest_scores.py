"""The scores of a decision as a table, each with what it means."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, html_table


def honest_scores(inputs: ReportInputs) -> list[Figure]:
    """Return the table of the decision's scores.

    Raises:
        CompetitionError: There is no decision.
    """
    decision, track = inputs.decision, inputs.track
    scores, metric = decision.scores, track.metric.title
    plain = "equal weights at threshold 0.5" if decision.task == "segmentation" else "the plain mean of probabilities"
    spread = "" if scores.fold_sd is None else f" Their standard deviation is {scores.fold_sd:.4f}."
    rows = [
        (
            "fold mean",
            scores.fold_mean,
            None,
            None,
            f"The mean over folds of each model on the groups it never saw, with {plain}.{spread}",
        ),
        (
            "out-of-fold, tuned",
            scores.oof,
            None,
            None,
            "Weights and thresholds were chosen on the same images: optimistic. Don't report it.",
        ),
        (
            "cross-fitted",
            scores.oof_crossfit,
            scores.interval_low,
            scores.interval_high,
            "Everything was chosen on other groups than those that are scored. Compare and report this one.",
        ),
        (
            "gain of tuning",
            scores.gain,
            scores.gain_low,
            scores.gain_high,
            f"Cross-fitted score less that of {plain}, on the same images. If the interval contains 0, tuning has "
            "shown no gain.",
        ),
    ]
    if (counted := decision.count_scores) is not None:
        meaning = f"The same decisions, cross-fitted, by the metric that proposed them ({decision.proposed_by})."
        rows.append(("count metric", counted.oof_crossfit, counted.interval_low, counted.interval_high, meaning))
    if track.test_mix is not None and scores.oof_reweighted is not None:
        mix = ", ".join(f"{share:.0%} {stratum}" for stratum, share in track.test_mix.items())
        meaning = (
            f"The cross-fitted score in the test set's mix of images ({mix}): the better estimate of the test score if "
            "the training set has dozens of each kind."
        )
        rows.append(("re-weighted", scores.oof_reweighted, None, None, meaning))
    table = pd.DataFrame(rows, columns=["score", "value", "low", "high", "meaning"])
    for name in ("value", "low", "high"):
        table[name] = table[name].astype("float64")
    table["emphasised"] = table["score"] == "cross-fitted"
    sentence = (
        f"The scores on {decision.coverage:,} samples, as {metric}, with 95 % intervals over groups. "
        "Rank by the cross-fitted score; differences within its interval may be noise."
    )
    if decision.unmeasured:
        sentence += f" Not measured, because no image has a pixel of it: {', '.join(decision.unmeasured)}."
    if scores.oof_crossfit is None:
        sentence += " Fewer than three groups were held out by every member, so nothing could be cross-fitted."
    body = html_table(table, highlight="emphasised")
    return [Figure("scores", "The scores", sentence, body, table.drop(columns="emphasised"))]


def worst_first(values: ArrayLike) -> list[int]:
    """Return positions by ascending value; of equal ones the first, and those without a value (NaN) last."""
    order: list[int] = np.argsort(np.asarray(values, dtype=np.float64), kind="stable").tolist()
    return order
