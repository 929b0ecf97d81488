"""The section on the leaderboard: all submissions, and whether cross-validation ranks as the organiser does."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr

from competition.errors import CompetitionError
from competition.formats.json_files import read_json
from competition.reporting.charts import GREY, PALETTE, add_legend, as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, Section, html_table
from competition.reporting.parts import section_of
from competition.submission.leaderboard import read
from competition.text import counted

FEWEST_FOR_RANKS = 3
SCORES = {"cv_crossfit": "cross-fitted", "public": "public", "private": "private", "test_score": "synthetic test"}
NEWEST = 40
"""Rows of the table of changes; the CSV has all."""


def leaderboard_section(inputs: ReportInputs) -> Section:
    """Return the submissions over time, their ranks, and what changed between them."""
    parts = (submissions_over_time, rank_agreement, changes_between)
    return section_of("leaderboard", "The leaderboard", inputs, parts)


def own_submissions(inputs: ReportInputs) -> pd.DataFrame:
    """Return the submissions of this data set in the order they were made.

    Raises:
        CompetitionError: There is none, or the leaderboard can't be read.
    """
    path = inputs.workspace.leaderboard_file()
    rows = read(path)
    own = rows[(rows["track"] == inputs.track.name) & (rows["phantom"] == inputs.workspace.phantom)]
    if own.empty:
        raise CompetitionError(f"there is no submission of {inputs.track.name} yet", path, "Run ./run.sh ensemble")
    return own.reset_index(drop=True)


def submissions_over_time(inputs: ReportInputs) -> list[Figure]:
    """Return the scores of all submissions, in the order they were made.

    Raises:
        CompetitionError: As of ``own_submissions``.
    """
    own = own_submissions(inputs)
    canvas, (axis,) = new_chart(7.2, 3.2)
    numbers = np.arange(1, len(own) + 1)
    spans = np.abs(np.array([own["cv_crossfit"] - own["cv_low"], own["cv_high"] - own["cv_crossfit"]]))
    axis.errorbar(numbers, own["cv_crossfit"], yerr=np.nan_to_num(spans), fmt="none", ecolor=GREY, capsize=2)
    for (name, label), colour, marker in zip(SCORES.items(), PALETTE, "os^D", strict=False):
        if own[name].notna().any():
            axis.plot(numbers, own[name], marker, color=colour, markersize=5, label=label)
    axis.set(xlabel="submission", ylabel="score", xlim=(0.5, len(own) + 0.5))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    add_legend(axis)
    scored = own.dropna(subset="cv_crossfit")
    best = "" if scored.empty else str(scored["id"].iloc[int(scored["cv_crossfit"].argmax())])
    which = f" The best by the cross-fitted score is {best}." if best else ""
    columns = ["id", "time", "members", "weights", "cv_oof", *SCORES, "git_commit"]
    table = own[columns].rename(columns={"cv_oof": "tuned", "git_commit": "commit"} | SCORES)
    shown = table[["id", "members", "cross-fitted", "public", "private", "synthetic test"]].tail(NEWEST)
    sentence = (
        f"{counted(len(own), 'submission')} in the order they were made, with 95 % intervals of the cross-fitted "
        f"score.{which} Submit the best cross-fitted one; enter the organiser's scores with "
        f"{_command(inputs, 'ID')} --public S."
    )
    body = as_svg(canvas, "submissions", f"Scores of {len(own)} submissions over time.") + html_table(shown)
    return [Figure("submissions", "Every submission", sentence, body, table)]


def _command(inputs: ReportInputs, submission_id: str) -> str:
    declared = inputs.track.declaration
    track = "" if declared is None else f" --track {shlex.quote(str(declared))}"
    return f"./run.sh leaderboard record {submission_id}{track}"


def rank_agreement(inputs: ReportInputs) -> list[Figure]:
    """Return the cross-fitted score against the public and private one; nothing where none was recorded.

    Raises:
        CompetitionError: As of ``own_submissions``, or no score of the organiser is recorded.
    """
    own = own_submissions(inputs)
    known = [name for name in ("public", "private") if own[["cv_crossfit", name]].notna().all(axis=1).any()]
    if not known:
        raise CompetitionError(
            "no score from the organiser is recorded yet to compare cross-validation with",
            inputs.workspace.leaderboard_file(),
            f"Run {_command(inputs, own['id'].iloc[-1])} --public SCORE",
        )
    canvas, axes = new_chart(3.6 * len(known), 3.2, columns=len(known))
    verdicts, rows = [], []
    for axis, name, colour in zip(axes, known, PALETTE[1:], strict=False):
        pairs = own[["id", "cv_crossfit", name]].dropna()
        axis.plot(pairs["cv_crossfit"], pairs[name], "o", color=colour, markersize=5)
        axis.set(xlabel="cross-fitted", ylabel=name)
        axis.xaxis.set_major_locator(MaxNLocator(3))
        correlation = rank_correlation(pairs["cv_crossfit"], pairs[name])
        verdicts.append(_verdict(name, len(pairs), correlation))
        rows.append(pairs.rename(columns={name: "score"}).assign(of=name, spearman=correlation))
    sentence = " ".join(verdicts)
    body = as_svg(canvas, "ranks", f"Cross-fitted score against {' and '.join(known)} score.")
    title = "Does cross-validation rank as the organiser does?"
    return [Figure("ranks", title, sentence, body, pd.concat(rows, ignore_index=True))]


def rank_correlation(one: pd.Series, other: pd.Series) -> float:
    """Return Spearman's rank correlation; NaN with fewer than three pairs, or where one side has equal values only."""
    if len(one) < FEWEST_FOR_RANKS or one.nunique() == 1 or other.nunique() == 1:
        return float("nan")
    return float(spearmanr(one, other).statistic)


def _verdict(name: str, pairs: int, correlation: float) -> str:
    if np.isnan(correlation):
        return f"{pairs} submissions have a {name} score; a correlation takes {FEWEST_FOR_RANKS} different ones."
    trusted = (
        "cross-validation ranks well: trust it."
        if correlation >= 0.7
        else "the ranks differ: the folds may not resemble the organiser's images, or the differences are noise."
    )
    return f"Spearman rank correlation with the {name} score {correlation:.2f} over {pairs} submissions; {trusted}"


def changes_between(inputs: ReportInputs) -> list[Figure]:
    """Return what changed from each submission to the next one; nothing with a single submission.

    Raises:
        CompetitionError: As of ``own_submissions``.
    """
    own = own_submissions(inputs)
    if len(own) < 2:
        return []
    decisions = [_decision_of(inputs, name) for name in own["id"]]
    rows = []
    for index in range(1, len(own)):
        before, after = own.iloc[index - 1], own.iloc[index]
        gains = {label: float(after[name] - before[name]) for name, label in SCORES.items() if name != "test_score"}
        what = changed(before.to_dict(), after.to_dict(), decisions[index - 1], decisions[index])
        rows.append({"submission": after["id"], "what changed": "; ".join(what) or "nothing"} | gains)
    table = pd.DataFrame(rows)
    sentence = (
        "Each submission against the one before it: what changed, and by how much the scores did. A change in several "
        "things at once teaches nothing about any of them."
    )
    body = html_table(table.tail(NEWEST).iloc[::-1])
    return [Figure("changes", "What changed between two submissions", sentence, body, table)]


def _decision_of(inputs: ReportInputs, submission: str) -> Mapping[str, Any] | None:
    """Return the decision that a submission followed; None where its folder is gone or on another machine."""
    path = inputs.workspace.submission_file(submission).with_name("manifest.json")
    if not Path(path).exists():
        return None
    manifest = read_json(path, "Delete it")
    decision = manifest.get("decision") if isinstance(manifest, dict) else None
    return decision if isinstance(decision, dict) else None


def changed(
    before: Mapping[Any, Any],
    after: Mapping[Any, Any],
    decision_before: Mapping[str, Any] | None,
    decision_after: Mapping[str, Any] | None,
) -> list[str]:
    """Return what differs between two rows of the leaderboard and their decisions, as clauses."""
    clauses = []
    for column, label in (("git_commit", "commit"), ("members", "members"), ("weights", "weights")):
        if before[column] != after[column]:
            clauses.append(f"{label} {before[column] or 'unknown'} → {after[column] or 'unknown'}")
    if decision_before is None or decision_after is None:
        return [*clauses, "thresholds unknown (no manifest.json)"]
    for key, label in (("thresholds", "threshold"), ("operations", "post-processing")):
        one, other = decision_before.get(key, {}), decision_after.get(key, {})
        names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            clauses.append(f"{label} of {', '.join(names[:3])}{more}")
    if decision_before.get("data_hash") != decision_after.get("data_hash"):
        clauses.append("training data")
    return clauses
