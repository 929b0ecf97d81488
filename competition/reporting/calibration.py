"""Calibration: whether a probability of 0.7 is right in seven of ten cases (Guo et al., ICML 2017)."""

import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from competition.prediction.histograms import LEVELS
from competition.reporting.charts import GREY, PALETTE, add_legend, as_svg, new_chart
from competition.reporting.page import Figure

BINS = 10


def reliability(
    probabilities: NDArray[np.float64], counts: NDArray[np.integer], positives: NDArray[np.integer]
) -> pd.DataFrame:
    """Sort cases into ten bins of equal width and compare their mean probability with the share of positives.

    Args:
        probabilities: (k,), 0 to 1.
        counts: (k,) cases of each probability.
        positives: (k,) positive cases of each.

    Returns:
        A row per bin that holds a case: from, to, cases, probability (their mean), positive (their share). A
        probability on a border belongs to the bin below, as in scikit-learn's ``calibration_curve``.
    """
    which = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probabilities)
    cases, right = (np.bincount(which, weights=count, minlength=BINS) for count in (counts, positives))
    summed = np.bincount(which, weights=counts * probabilities, minlength=BINS)
    filled = np.flatnonzero(cases)
    return pd.DataFrame(
        {
            "from": filled / BINS,
            "to": (filled + 1) / BINS,
            "cases": cases[filled].astype(np.int64),
            "probability": summed[filled] / cases[filled],
            "positive": right[filled] / cases[filled],
        }
    )


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Return the mean distance of probability and share of positives, weighted by cases; NaN without any.

    (Naeini, Cooper and Hauskrecht, AAAI 2015.)
    """
    if bins["cases"].sum() == 0:
        return float("nan")
    return float(np.average((bins["probability"] - bins["positive"]).abs(), weights=bins["cases"]))


def reliability_of_levels(histogram: NDArray[np.int64]) -> pd.DataFrame:
    """Return the bins of map values: counts int64 (2, 256) of all pixels and of those in the truth.

    Level 0 is left out: it is nearly all of the background, and would make any map look calibrated.
    """
    levels = np.arange(1, LEVELS)
    return reliability(levels / (LEVELS - 1), histogram[0, 1:], histogram[1, 1:])


def reliability_figure(bins: pd.DataFrame, cases: str, sentence: str) -> Figure:
    """Return the diagram of bins, with the number of cases in each; ``cases`` names them: "pixels"."""
    canvas, (curve, counts) = new_chart(6.4, 4.4, rows=2)
    curve.plot([0, 1], [0, 1], "--", color=GREY, label="calibrated")
    curve.plot(bins["probability"], bins["positive"], "o-", color=PALETTE[0], markersize=4, label="the vote")
    curve.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share that is positive")
    add_legend(curve)
    counts.bar((bins["from"] + bins["to"]) / 2, bins["cases"], width=0.9 / BINS, color=PALETTE[0])
    counts.set(xlim=(0, 1), xlabel="predicted probability", ylabel=cases, yscale="log")
    counts.yaxis.set_minor_formatter(NullFormatter())
    error = expected_calibration_error(bins)
    description = f"Reliability diagram: share of positive {cases} against predicted probability, error {error:.3f}."
    return Figure(
        "reliability", "Are the probabilities right?", sentence, as_svg(canvas, "reliability", description), bins
    )


def calibration_verdict(bins: pd.DataFrame) -> str:
    """Say how far probabilities are from the truth, in which direction, and what to do about it."""
    error = expected_calibration_error(bins)
    offset = float(np.average(bins["positive"] - bins["probability"], weights=bins["cases"]))
    text = f"The expected calibration error is {error:.3f}. "
    if error < 0.02:
        return text + "The probabilities can be read as such."
    direction = "too low" if offset > 0 else "too high"
    average = f"are {direction} by {abs(offset):.3f}" if abs(offset) >= 0.0005 else "are right, but single ones are not"
    return text + (
        f"On average probabilities {average}. Ranks and tuned thresholds do not suffer from that, "
        "but don't show these numbers to a clinician as risks."
    )
