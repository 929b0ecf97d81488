"""What the members weigh and add, and what tuning gained, as tune measured it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from competition.reporting.charts import GREY, PALETTE, as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, html_table
from competition.reporting.parts import MOST_CLASSES
from competition.reporting.stored_tables import read_stored_table
from competition.text import counted

INTERVALS = ("left_out", "low", "high")


def member_weights(inputs: ReportInputs) -> list[Figure]:
    """Return each member's weight, its score alone, and the change of the vote without it.

    Raises:
        CompetitionError: There is no decision, or its members.csv is missing.
    """
    table, title = member_table(inputs), "Weights, and what each member adds"
    if len(table) == 1:
        return [Figure("members", title, _member_sentence(table), html_table(table), table)]
    canvas, (weights, changes) = new_chart(7.2, 1.1 + 0.32 * len(table), columns=2)
    places = np.arange(len(table))
    names = [name[:24].replace("$", r"\$") for name in table["member"]]
    weights.barh(places, table["weight"], color=PALETTE[0], height=0.6)
    weights.set_yticks(places, names)
    weights.set(xlabel="weight", xlim=(0, 1), ylim=(len(table) - 0.5, -0.5))
    _draw_changes(changes, table)
    body = as_svg(canvas, "members", "Weight of each member, and the change of the score without it.") + html_table(
        table
    )
    return [Figure("members", title, _member_sentence(table), body, table)]


def member_table(inputs: ReportInputs) -> pd.DataFrame:
    """Return a row per member: folds, weight, score alone and its difference from the vote, change when left out.

    Raises:
        CompetitionError: As of ``member_weights``.
    """
    decision, path = inputs.decision, inputs.decision_file
    assert path is not None  # or there were no decision
    if decision.coverage:
        where = path.with_name("members.csv")
        stored = read_stored_table(where, ("member",), INTERVALS, f"Run {inputs.tune_command}").set_index("member")
    else:
        stored = pd.DataFrame(columns=list(INTERVALS), dtype="float64")  # nothing could be measured
    rows = []
    for member in decision.members:
        alone = decision.alone.get(member.name)
        row: dict[str, object] = {"member": member.name, "folds": ",".join(map(str, member.folds))}
        row["weight"] = member.weight / 1000
        row |= {f"weight on {name}": group.weights[member.name] / 1000 for name, group in decision.class_groups.items()}
        row["alone"] = np.nan if alone is None else alone.score
        row["alone, 95 %"] = "–" if alone is None or alone.low is None else f"{alone.low:.4f} to {alone.high:.4f}"
        row["difference from the vote"] = np.nan if alone is None or alone.over_vote is None else alone.over_vote
        for name, label in zip(INTERVALS, ("vote without it", "low", "high"), strict=True):
            row[label] = stored[name].get(member.name, np.nan)
        rows.append(row)
    return pd.DataFrame(rows)


def _draw_changes(axis: Axes, table: pd.DataFrame) -> None:
    """Draw the change of the vote without each member, with its interval; where one was measured."""
    known = table["vote without it"].notna()
    places = np.arange(len(table))
    axis.axvline(0, color=GREY, linewidth=0.8)
    if known.any():
        change = table["vote without it"][known]
        spans = np.abs(np.array([change - table["low"][known], table["high"][known] - change]))
        axis.errorbar(change, places[known], xerr=spans, fmt="o", color=PALETTE[1], capsize=3)
    axis.set_yticks(places, [""] * len(table))
    axis.set(xlabel="change of the score without it", ylim=(len(table) - 0.5, -0.5))


def _member_sentence(table: pd.DataFrame) -> str:
    if len(table) == 1:
        return (
            "One member votes, with its folds. A second network, another resolution or another seed usually adds more "
            "than further tuning: train one and run ./run.sh tune again."
        )
    useless = table.loc[(table["high"] >= 0) | (table["weight"] == 0), "member"].tolist()
    text = (
        "Left: the weights. Right: how the vote's score changes when a member is left out, with 95 % intervals over "
        "groups; left of 0 the member helps. "
    )
    if table["vote without it"].isna().all():
        return (
            text + "Contributions were not measured, because the weights were given or nothing could be cross-fitted."
        )
    if useless:
        return text + f"No gain is shown for {', '.join(useless)}: without it predictions cost less time."
    return text + "Every member helps."


def tuning_gain(inputs: ReportInputs) -> list[Figure]:
    """Return what tuning gained on each class of a segmentation; for tables that is in the scores.

    Raises:
        CompetitionError: There is no decision, or its per_class.csv is missing.
    """
    decision, path = inputs.decision, inputs.decision_file
    if decision.task != "segmentation" or path is None or not decision.coverage:
        return []
    numbers = ("at_half", "oof_crossfit", "threshold")
    where = path.with_name("per_class.csv")
    stored = read_stored_table(where, ("class", "operation"), numbers, f"Run {inputs.tune_command}")
    table = pd.DataFrame(
        {
            "class": stored["class"],
            "at 0.5, equal weights": stored["at_half"],
            "cross-fitted": stored["oof_crossfit"],
            "gain": stored["oof_crossfit"] - stored["at_half"],
            "threshold": stored["threshold"],
            "post-processing": stored["operation"],
        }
    )
    table = table.iloc[np.argsort(-table["gain"].fillna(-np.inf).to_numpy(), kind="stable")].reset_index(drop=True)
    changed = table[(table["gain"] != 0) & table["gain"].notna()]
    scores = decision.scores
    total = "can't be cross-fitted"
    if scores.gain is not None and scores.gain_low is not None and scores.gain_high is not None:
        total = f"is {scores.gain:+.4f} (95 % interval {scores.gain_low:+.4f} to {scores.gain_high:+.4f})"
    sentence = (
        f"The gain of weights, thresholds and post-processing over equal weights at 0.5 {total}; "
        f"the score of {len(changed)} of {counted(len(table), 'class', 'classes')} changed. "
        f"{decision.reason[:1].upper()}{decision.reason[1:]}. A class with a loss was tuned on too few images: "
        "it is noise, and more data would settle it."
    )
    shown = changed.head(MOST_CLASSES) if len(changed) else table.head(5)
    return [Figure("gain", "What tuning gained", sentence, html_table(shown), table)]
