"""How alike the members are: the Dice between their out-of-fold masks, or the rank correlation of their tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from competition.console import progress
from competition.data.manifest import Entry
from competition.ensembling.voting.class_votes import Voters
from competition.prediction.opened_maps import ClassMap, open_map
from competition.prediction.probability_maps import HALF_LEVEL
from competition.reporting.charts import HEAT, as_svg, new_chart
from competition.reporting.inputs import ReportInputs, spread_within
from competition.reporting.page import Figure

BUDGET = 1_000_000_000
"""Map values that are read: some five seconds."""


def member_agreement(inputs: ReportInputs) -> list[Figure]:
    """Return the matrix of how alike members are; nothing with one member.

    Raises:
        CompetitionError: As of ``inputs.tuning``, or a map is missing or damaged.
    """
    names = [member.name for member in inputs.decision.members]
    if len(names) < 2:
        return []
    if inputs.track.task == "classification":
        what = "Spearman rank correlation of the out-of-fold probabilities"
        tables = inputs.member_tables[:, :, : inputs.shown_classes]
        by_class = [rank_correlations(tables[:, :, index]) for index in range(tables.shape[2])]
        measure, matrix, on = what, np.mean(by_class, axis=0), len(inputs.tuning.entries)
    else:
        entries = spread_within(inputs.tuning.entries, len(names) * len(inputs.track.classes), BUDGET)
        measure, matrix, on = "mean Dice of the out-of-fold masks", _mask_agreement(inputs, entries), len(entries)
    canvas, (axis,) = new_chart(2.4 + 0.6 * len(names), 1.4 + 0.5 * len(names))
    mesh = axis.pcolormesh(matrix, cmap=HEAT, vmin=min(0.5, float(np.nanmin(matrix))), vmax=1)
    places = np.arange(len(names)) + 0.5
    labels = [name[:20].replace("$", r"\$") for name in names]
    axis.set_xticks(places, labels, rotation=45, ha="right")
    axis.set_yticks(places, labels)
    axis.invert_yaxis()
    axis.grid(visible=False)
    canvas.colorbar(mesh, ax=axis)
    if len(names) <= 8:
        for row, column in np.ndindex(matrix.shape):
            value = matrix[row, column]
            ground = mesh.to_rgba(value)
            colour = "#111111" if sum(ground[:3]) > 1.5 else "#f4f4f4"
            axis.text(column + 0.5, row + 0.5, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=8)
    table = pd.DataFrame(matrix, columns=names)
    table.insert(0, "member", names)
    off = matrix[~np.eye(len(names), dtype=np.bool_)]
    first, second = np.unravel_index(int(np.nanargmax(np.where(np.eye(len(names)) > 0, -np.inf, matrix))), matrix.shape)
    sentence = (
        f"The {measure}, on {on:,} of {len(inputs.tuning.entries):,} samples. Members that differ correct each other; "
        f"most alike are {names[first]} and {names[second]} ({np.nanmax(off):.3f}). Two members above 0.98 do the "
        "work of one: replace one of them by another architecture or resolution."
    )
    body = as_svg(canvas, "agreement", f"Matrix of the {measure}, members by members.")
    return [Figure("agreement", "How alike the members are", sentence, body, table)]


def rank_correlations(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Spearman's rank correlation of members' scores (M, n), (M, M); NaN where a member's are all equal."""
    matrix = np.eye(len(scores))
    for one in range(len(scores)):
        for other in range(one):
            constant = min(np.ptp(scores[one]), np.ptp(scores[other])) == 0
            value = np.nan if constant else float(spearmanr(scores[one], scores[other]).statistic)
            matrix[one, other] = matrix[other, one] = value
    return matrix


def _mask_agreement(inputs: ReportInputs, entries: Sequence[Entry]) -> NDArray[np.float64]:
    """Return the mean over images of ``mask_dice``."""
    voters, found = inputs.decision.voters(), []
    with progress("agreement", len(entries)) as ticker:
        for entry in entries:
            maps = [open_map(folder_of[entry.sample], entry.sample) for folder_of in inputs.tuning.folders]
            found.append(mask_dice(maps, voters))
            ticker.advance(entry.name)
    return np.asarray(np.mean(found, axis=0))


def mask_dice(maps: Sequence[ClassMap], voters: Voters) -> NDArray[np.float64]:
    """Return the mean Dice between the masks at threshold 0.5 of every pair of members on one image.

    Args:
        maps: (C, H, W) of each member; fewer classes where it predicts some only.
        voters: Who votes on which class. A pair is compared on the classes that both predict.

    Returns:
        float64 (M, M); 1 on the diagonal and for two empty masks, NaN for members without a common class.
    """
    members = len(maps)
    sums, compared = np.zeros((members, members)), np.zeros((members, members))
    for index in range(len(voters.rows)):
        voting = voters.of(index).tolist()
        values = voters.values(maps, index)
        packed = [np.packbits(levels > HALF_LEVEL) for levels in values]
        areas = [int(np.bitwise_count(bits).sum(dtype=np.int64)) for bits in packed]
        for one, left in enumerate(voting):
            for other, right in enumerate(voting[: one + 1]):
                both = int(np.bitwise_count(packed[one] & packed[other]).sum(dtype=np.int64))
                total = areas[one] + areas[other]
                for pair in {(left, right), (right, left)}:
                    sums[pair] += 2 * both / total if total else 1.0
                    compared[pair] += 1
    return np.divide(sums, compared, out=np.full_like(sums, np.nan), where=compared > 0)
