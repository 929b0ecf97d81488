"""Explanations as rows of a table."""

import math
from typing import Any

from competition.explanation.explain import Explanation
from competition.explanation.occlusion import advice

TABLE = "explanations.csv"
"""The file that completes a folder of explanations."""
REGIONS = ("target", "text", "margin")


def row_of(explanation: Explanation) -> dict[str, Any]:
    """Return the numbers of an explanation, rounded; None where one is not defined.

    "target_energy" is the share of Grad-CAM's energy in that region, "target_area" that of a uniform map, and
    "target_ratio" the first over the second; "text" and "margin" likewise.
    """
    row: dict[str, Any] = {
        "sample": explanation.sample,
        "class": explanation.class_name,
        "probability": _rounded(explanation.score),
        "truth": None if explanation.truth is None else int(explanation.truth),
        "folds": " ".join(map(str, explanation.folds)),
        "out_of_fold": int(explanation.out_of_fold),
        "rank_correlation": _rounded(explanation.rank_correlation),
    }
    for region in REGIONS:
        share = explanation.energy.get(region)
        row[f"{region}_energy"] = None if share is None else _rounded(share.energy)
        row[f"{region}_area"] = None if share is None else _rounded(share.area)
        row[f"{region}_ratio"] = None if share is None else _rounded(share.ratio)
    return row | {"advice": advice(explanation.rank_correlation)}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
