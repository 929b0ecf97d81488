"""What a segmentation's probabilities say: whether they are calibrated, and the score at every threshold."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.prediction.probability_maps import threshold_of
from competition.reporting.calibration import (
    calibration_verdict,
    expected_calibration_error,
    reliability_figure,
    reliability_of_levels,
)
from competition.reporting.charts import GREY, PALETTE, as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure
from competition.reporting.results.honest_scores import worst_first
from competition.reporting.results.vote_histograms import vote_histograms
from competition.text import counted
from competition.tracks.track import count_metric

PANELS, COLUMNS = 12, 4


def mask_reliability(inputs: ReportInputs) -> list[Figure]:
    """Return the reliability diagram over the pixels of all classes; its CSV has the bins of each class too.

    Raises:
        CompetitionError: As of ``vote_histograms``.
    """
    found, classes = vote_histograms(inputs), inputs.track.classes
    by_class = found.histograms.sum(axis=0)
    together = by_class.sum(axis=0)
    bins = reliability_of_levels(together)
    tables = [bins.assign(**{"class": "all classes"})]
    tables += [
        reliability_of_levels(own).assign(**{"class": name}) for own, name in zip(by_class, classes, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "class", table.pop("class"))
    if bins.empty:
        raise CompetitionError(
            "every out-of-fold probability is 0, so there is nothing to calibrate",
            inputs.workspace.run_folder(inputs.tuning.members[0].name),
            "Look at the training curves, then run ./run.sh train with more epochs",
        )
    total, entries = inputs.tuning.entries, found.entries
    where = "all images" if len(entries) == len(total) else f"{len(entries):,} of {len(total):,} images, evenly spread"
    zero = together[0, 0] / together[0].sum()
    worst = max(zip(by_class, classes, strict=True), key=lambda pair: _error(pair[0]))
    largest = f"The class with the largest error is {worst[1]} ({_error(worst[0]):.3f}). " if len(classes) > 1 else ""
    sentence = (
        f"Pixels of {where}, by their probability: on the dashed line probabilities are right. "
        f"{calibration_verdict(bins)} {largest}Left out are the {zero:.1%} of pixels whose probability "
        "is 0, nearly all of them background."
    )
    return [replace(reliability_figure(bins, "pixels", sentence), table=table)]


def _error(histogram: NDArray[np.int64]) -> float:
    """Return a class's calibration error; 0 where it has no pixel above 0."""
    return float(np.nan_to_num(expected_calibration_error(reliability_of_levels(histogram))))


def score_by_threshold(inputs: ReportInputs) -> list[Figure]:
    """Return the score of each class at every threshold, with the chosen and the cross-fitted ones.

    Raises:
        CompetitionError: As of ``inputs.vote``.
    """
    vote, decision, classes = inputs.vote, inputs.decision, inputs.track.classes
    chosen, metric = decision.level_array(), count_metric(inputs.track)
    at_chosen = vote.curves[np.arange(len(classes)), chosen]
    shown = [index for index in worst_first(at_chosen)[:PANELS] if not np.isnan(vote.curves[index]).all()]
    rows = -(-len(shown) // COLUMNS)
    columns = min(COLUMNS, len(shown))
    width, height = max(3.2, 2.1 * columns + 0.6), 1.9 * rows + 0.9
    # Measured out here, because matplotlib takes a second to do it for twelve panels.
    canvas, axes = new_chart(width, height, rows, columns, layout=None)
    canvas.subplots_adjust(0.85 / width, 0.55 / height, 1 - 0.25 / width, 1 - 0.6 / height, wspace=0.3, hspace=0.35)
    thresholds = threshold_of(np.arange(vote.curves.shape[1]))
    for axis, index in zip(axes, shown, strict=False):
        few = "." if np.isfinite(vote.curves[index]).sum() < 5 else ""  # a line through one point can't be seen
        axis.plot(thresholds[:-1], vote.curves[index, :-1], marker=few, color=PALETTE[0], linewidth=1.2)
        for level in np.unique(vote.levels[:, index]):
            axis.axvline(float(threshold_of(level)), color=GREY, linewidth=0.8)
        axis.axvline(float(threshold_of(chosen[index])), color=PALETTE[1], linewidth=1.4)
        axis.set_title(classes[index][:22].replace("$", r"\$"), fontsize=9)
        axis.set_xlim(0, 1)
        axis.set_ylim(*_visible(vote.curves[index]))
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    lines = [axes[0].plot([], [], color=colour)[0] for colour in (PALETTE[1], GREY)]
    canvas.legend(lines, ["chosen", "chosen without a fold"], loc="upper right", ncols=2, frameon=False)
    canvas.supxlabel("threshold", fontsize=9)
    canvas.supylabel(f"mean {metric.label} before post-processing", fontsize=9)
    sentence = (
        f"The score at every threshold, orange at the chosen one, grey at those chosen without one fold "
        f"({counted(len(shown), 'class', 'classes')}, the worst first; the CSV has all). A flat top means that the "
        "threshold hardly matters. Grey lines far from the orange one mean too few images to tune on: keep 0.5."
    )
    description = f"{metric.label} against threshold for {len(shown)} classes, with the chosen threshold marked."
    body = as_svg(canvas, "thresholds", description)
    return [Figure("thresholds", "Score at every threshold", sentence, body, _threshold_table(inputs))]


def _visible(curve: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of scores to show: the upper part of the curve, where thresholds are chosen."""
    top, middle = float(np.nanmax(curve[:-1])), float(np.nanquantile(curve[:-1], 0.1))
    margin = max(0.02, 0.1 * (top - middle))
    return max(0.0, middle - margin), min(1.02, top + margin)


def _threshold_table(inputs: ReportInputs) -> pd.DataFrame:
    """Return class, level, threshold, score, and whether the level is the chosen one, or one without a fold."""
    vote, chosen = inputs.vote, inputs.decision.level_array()
    tables = []
    for index, name in enumerate(inputs.track.classes):
        levels = np.flatnonzero(~np.isnan(vote.curves[index, :-1]))
        tables.append(
            pd.DataFrame(
                {
                    "class": name,
                    "level": levels,
                    "threshold": threshold_of(levels),
                    "score": vote.curves[index, levels],
                    "chosen": levels == chosen[index],
                    "chosen without a fold": np.isin(levels, vote.levels[:, index]),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
