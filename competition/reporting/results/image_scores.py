"""Scores of single images of a segmentation: by class, by fold, and as a distribution."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.metrics.image_scores import image_scores
from competition.metrics.ratios import divide
from competition.reporting.charts import GREY, PALETTE, add_legend, as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, html_table
from competition.reporting.parts import MOST_CLASSES
from competition.reporting.results.honest_scores import worst_first
from competition.tracks.track import metric_of_masks


def measured_scores(inputs: ReportInputs) -> NDArray[np.float64]:
    """Return the scores (n, C) of the vote on all images; NaN also in classes that occur in none of them.

    Raises:
        CompetitionError: As of ``inputs.vote``.
    """
    measured = inputs.vote.measured
    occurs = measured.counts[:, 2].sum(axis=0) > 0
    return np.where(occurs, image_scores(metric_of_masks(inputs.track), measured), np.nan)


def mean_where_known(scores: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return means without NaN; NaN where nothing is known, without numpy's warning."""
    known = ~np.isnan(scores)
    return divide(np.where(known, scores, 0.0).sum(axis=axis), known.sum(axis=axis).astype(np.float64), np.nan)


def score_table(inputs: ReportInputs) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return a row per image of ``inputs.tuning`` (sample, name, group, fold, score, worst class), and (n, C) scores.

    Raises:
        CompetitionError: As of ``inputs.vote``.
    """
    scores = measured_scores(inputs)
    entries, classes = inputs.tuning.entries, inputs.track.classes
    measured = (~np.isnan(scores)).any(axis=1)
    worst = np.where(measured, np.nan_to_num(scores, nan=np.inf).argmin(axis=1), 0)
    table = pd.DataFrame(
        {
            "sample": [entry.sample for entry in entries],
            "name": [entry.name for entry in entries],
            "group": [entry.group for entry in entries],
            "fold": inputs.tuning.folds,
            "score": mean_where_known(scores, axis=1),
            "worst class": np.where(measured, np.array(classes)[worst], ""),
            "its score": scores[np.arange(len(scores)), worst],
        }
    )
    return table, scores


def class_and_fold_scores(inputs: ReportInputs) -> list[Figure]:
    """Return the score of every class, over all images and fold by fold.

    Raises:
        CompetitionError: As of ``inputs.vote``.
    """
    _, scores = score_table(inputs)
    folds, classes, metric = inputs.tuning.folds, inputs.track.classes, metric_of_masks(inputs.track)
    table = pd.DataFrame({"class": classes, metric.label: mean_where_known(scores, axis=0)})
    names = np.unique(folds).tolist()
    for fold in names:
        table[f"fold {fold}"] = mean_where_known(scores[folds == fold], axis=0)
    table["threshold"] = [inputs.decision.thresholds[name] for name in classes]
    table["post-processing"] = [inputs.decision.operations[name] for name in classes]
    order = worst_first(table[metric.label])[:MOST_CLASSES]
    shown = table.iloc[order]
    canvas, (axis,) = new_chart(6.8, 1.0 + 0.21 * len(shown))
    places = np.arange(len(shown))
    for fold in names:
        axis.plot(shown[f"fold {fold}"], places, "|", color=GREY, markersize=9)
    axis.plot([], [], "|", color=GREY, label="one fold")
    axis.plot(shown[metric.label], places, "o", color=PALETTE[0], markersize=5, label="all images")
    axis.set_yticks(places, [_plain(name) for name in shown["class"]])
    axis.set(xlabel=f"mean {metric.label}", ylim=(len(shown) - 0.5, -0.5))
    add_legend(axis)
    weakest = shown["class"].iloc[0]
    unit = "" if metric.unit == "image" else f" The track is scored by {metric.title}; here every image counts alone."
    rest = "" if len(shown) == len(table) else f" The {len(shown)} worst of {len(table):,} classes; the CSV has all."
    sentence = (
        f"Mean {metric.label} of every class, the worst first. Start with {weakest}: look at its worst image below, "
        f"then at its labels. Classes whose folds lie far apart need more groups that have them.{unit}{rest}"
    )
    description = f"Mean {metric.label} per class with one mark per fold; the worst class is {weakest}."
    return [
        Figure("classes", "Score of every class and fold", sentence, as_svg(canvas, "classes", description), table),
        _fold_figure(inputs, scores, names),
    ]


def _fold_figure(inputs: ReportInputs, scores: NDArray[np.float64], names: list[int]) -> Figure:
    """Return a table with a row per fold."""
    folds, per_image = inputs.tuning.folds, mean_where_known(scores, axis=1)
    groups = np.array(inputs.tuning.groups)
    rows = [
        {
            "fold": str(fold),
            "images": int((folds == fold).sum()),
            "groups": len(np.unique(groups[folds == fold])),
            "mean score": float(mean_where_known(per_image[folds == fold], axis=0)),
            "worst image": float(np.nanmin(per_image[folds == fold], initial=np.inf)),
        }
        for fold in names
    ]
    sentence = (
        "The mean over the images that each fold held out. A fold far below the others holds unusual groups: look at "
        "its worst images before you change the network."
    )
    if len(rows) == 1:
        sentence = "Only one fold is trained, so nothing shows how far folds differ: train the others."
    metric = metric_of_masks(inputs.track)
    if metric.unit != "image":
        sentence += f" The track is scored by {metric.title}; here every image counts alone."
    table = pd.DataFrame(rows)
    return Figure("fold-scores", "Score of every fold", sentence, html_table(table), table)


def score_distribution(inputs: ReportInputs) -> list[Figure]:
    """Return the histogram of the images' scores; its CSV lists all images, the worst first.

    Raises:
        CompetitionError: As of ``inputs.vote``.
    """
    table, _ = score_table(inputs)
    table = table.iloc[worst_first(table["score"])].reset_index(drop=True)
    known = table["score"].dropna().to_numpy()
    best = metric_of_masks(inputs.track).bounds[1]
    low = np.floor(10 * known.min(initial=best)) / 10
    canvas, (axis,) = new_chart(6.4, 2.8)
    bins = np.linspace(min(low, 0.9 * best), known.max(initial=best), 21)
    axis.hist(known, bins=list(bins), color=PALETTE[0])
    median = float(np.median(known)) if len(known) else np.nan
    axis.axvline(median, color=PALETTE[1], label=f"median {median:.3f}")
    axis.set(xlabel=f"mean {metric_of_masks(inputs.track).label} of an image", ylabel="images")
    add_legend(axis)
    tenth = float(np.quantile(known, 0.1)) if len(known) else np.nan
    sentence = (
        f"How the {len(table):,} images score. One in ten is below {tenth:.3f}: a tail on the left is a kind of image "
        "that fails, not bad luck. The CSV lists all images, the worst first."
    )
    body = as_svg(canvas, "image-scores", f"Histogram of the images' scores with median {median:.3f}.")
    return [Figure("image-scores", "Score of every image", sentence, body, table)]


def _plain(name: str) -> str:
    r"""Return a name that matplotlib draws as it is: a dollar would begin a formula."""
    shortened = name if len(name) <= 24 else f"{name[:23]}…"
    return shortened.replace("$", r"\$")
