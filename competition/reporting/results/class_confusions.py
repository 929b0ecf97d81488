"""Classes that are taken for each other, from the confusions.csv of tune."""

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.reporting.charts import HEAT, as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, html_table
from competition.reporting.parts import MOST_CLASSES
from competition.reporting.results.honest_scores import worst_first
from competition.reporting.stored_tables import read_stored_table

MOST_PAIRS = 15


def class_confusions(inputs: ReportInputs) -> list[Figure]:
    """Return the pairs of classes with the most pixels that one claims of the other; nothing with one class.

    Raises:
        CompetitionError: There is no decision, or its confusions.csv is missing.
    """
    classes, path = inputs.track.classes, inputs.decision_file
    if path is None or len(classes) < 2:
        return []
    repair = f"Run {inputs.tune_command}"
    where = path.with_name("confusions.csv")
    stored = read_stored_table(where, ("class",), ("false_positives", "no_class"), repair)
    if stored["class"].tolist() != list(classes) or list(stored.columns[3:]) != list(classes):
        raise CompetitionError("the classes are not those of the track", where, repair)
    wrong = stored["false_positives"].to_numpy()
    shares = stored[list(classes)].apply(pd.to_numeric).fillna(0.0).to_numpy(dtype=np.float64)
    pairs, title = confused_pairs(shares, wrong), "Classes taken for each other"
    if not pairs:
        return [Figure("confusions", title, "No class claims a pixel that belongs to another class.", Markup(""))]
    rows = [
        {
            "predicted": classes[one],
            "truth": classes[other],
            "pixels": round(shares[one, other] * wrong[one]),
            "share of its false pixels": f"{shares[one, other]:.1%}",
        }
        for one, other in pairs
    ]
    table = pd.DataFrame(rows, columns=["predicted", "truth", "pixels", "share of its false pixels"])
    background = np.nansum(stored["no_class"] * wrong) / wrong.sum() if wrong.sum() else 0.0
    sentence = (
        f"Of all pixels that a class claims wrongly, {background:.0%} belong to no class; the rest belong to the "
        "classes below. Neighbours share a border and always confuse some pixels; if classes that don't touch appear, "
        "check the flips in the augmentation and the labels."
    )
    body = html_table(table.head(MOST_PAIRS))
    if len(classes) <= MOST_CLASSES:
        body = _heat_map(classes, shares) + body
    return [Figure("confusions", title, sentence, body, table)]


def confused_pairs(shares: NDArray[np.float64], wrong: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return all pairs (predicted, true) with a confused pixel, most pixels first.

    Args:
        shares: (C, C), of the false-positive pixels of each class (row) the share that belongs to each other one.
        wrong: (C,) false-positive pixels of each class.
    """
    pixels = shares * wrong[:, None]
    order = [divmod(place, len(wrong)) for place in worst_first(-pixels.ravel())]
    return [(one, other) for one, other in order if pixels[one, other] > 0]


def _heat_map(classes: tuple[str, ...], shares: NDArray[np.float64]) -> str:
    """Return the shares as a square of colours."""
    side = 2.2 + 0.2 * len(classes)
    canvas, (axis,) = new_chart(side + 0.6, side)
    shown = np.where(shares > 0, shares, np.nan)
    mesh = axis.pcolormesh(shown, cmap=HEAT, vmin=0, vmax=max(float(shares.max()), 0.01))
    places = np.arange(len(classes)) + 0.5
    names = [name[:16].replace("$", r"\$") for name in classes]
    axis.set_xticks(places, names, rotation=90)
    axis.set_yticks(places, names)
    axis.set(xlabel="true class", ylabel="predicted class")
    axis.invert_yaxis()
    axis.grid(visible=False)
    canvas.colorbar(mesh, ax=axis, label="share of false pixels", shrink=0.7)
    return as_svg(canvas, "confusions", "Share of each class's false-positive pixels that belong to each other class.")
