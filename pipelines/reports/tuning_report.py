"""What tune and ensemble print of a decision: scores, weights, members alone, and the expected score."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say, shout, table
from competition.data.folds import FULL
from competition.ensembling.classification.rules import rules_of
from competition.ensembling.decision import AloneScore, Decision
from competition.ensembling.selection.crossfitting import FEWEST_PARTS
from competition.ensembling.tuning_result import Rows, Tuning
from competition.metrics.tables import AneurysmMetric, TableMetric
from competition.prediction.probability_maps import HALF_LEVEL
from competition.runs.leak_alarm import too_good
from competition.runs.out_of_fold_scores import not_measured
from competition.text import counted
from competition.tracks.track import Track, count_metric, fold_metric
from competition.workspace import Workspace


def report_tuning(track: Track, workspace: Workspace, path: Path, tuning: Tuning, options: str) -> dict[str, Any]:
    """Print the result of a tuning, with the ``typed_options`` of its command in commands to type next.

    Returns:
        The scores, the decision's path, weights and thresholds.
    """
    decision, rows = tuning.decision, tuning.class_rows
    _say_scores(track, decision, rows)
    say_alone(track, decision, options)
    _say_contributions(track, tuning.member_rows)
    if isinstance(track.metric, AneurysmMetric) and (alarm := too_good(decision.scores.oof or 0.0, workspace.phantom)):
        shout(alarm)
    say(f"decision: {path}")
    return {
        "decision": str(path),
        "members": {member.name: member.weight / 1000 for member in decision.members},
        "class_groups": {name: group.weights for name, group in decision.class_groups.items()},
        "worth": {str(row["member"]): row for row in tuning.member_rows},
        "thresholds": decision.thresholds,
        "gate": decision.gate,
        "rule": None if decision.rule is None else decision.rule.model_dump(mode="json"),
        "operations": decision.operations,
        "objects": {name: rule.model_dump() for name, rule in decision.objects.items()},
        "object_precision": decision.object_precision and decision.object_precision.model_dump(),
        "count_scores": decision.count_scores and decision.count_scores.model_dump(),
        "coverage": decision.coverage,
        "per_class": {str(row["class"]): row for row in rows},
    } | decision.scores.model_dump()


def _say_scores(track: Track, decision: Decision, rows: Rows) -> None:
    """Print the scores, the weights, and how many classes have a threshold other than 0.5."""
    scores = decision.scores
    measure, of_masks = track.metric.label, track.task == "segmentation"

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    spread = "" if scores.fold_sd is None else f" ± {scores.fold_sd:.4f}"
    lines = [
        ["fold mean at threshold 0.5" if of_masks else "fold mean", shown(scores.fold_mean) + spread],
        ["out-of-fold, tuned (optimistic)", shown(scores.oof)],
        ["out-of-fold, cross-fitted (rank by this)", shown(scores.oof_crossfit)],
        ["95 % interval (groups resampled)", f"{shown(scores.interval_low)} .. {shown(scores.interval_high)}"],
    ]
    if scores.gain is not None:
        interval = f"{scores.gain_low:+.4f} .. {scores.gain_high:+.4f}"
        located = decision.rule is None
        plain = "equal weights at 0.5" if of_masks else f"plain mean of probabilities{'' if located else ', untuned'}"
        lines.append([f"cross-fitted less {plain}", f"{scores.gain:+.4f} ({interval})"])
    if track.test_mix is not None:
        mix = ", ".join(f"{share:.0%} {stratum}" for stratum, share in track.test_mix.items())
        lines.append([f"re-weighted to the test's mix ({mix})", shown(scores.oof_reweighted)])
    pooled = [row["oof_crossfit_pooled"] for row in rows if row.get("oof_crossfit_pooled") is not None]
    if pooled:
        lines.append(["cross-fitted, pixels pooled over images", f"{np.mean(pooled):.4f}"])
    if decision.count_scores is not None:
        title = f"cross-fitted, {count_metric(track).title}"
        lines.append([title, shown(decision.count_scores.oof_crossfit)])
    if of_masks:
        processed = sum(operation != "none" for operation in decision.operations.values())
        shown_operations = f"{processed} of {len(decision.operations)} classes" if processed else "none"
        lines.append(["post-processing", shown_operations])
    table(f"{track.metric.title} on {counted(decision.coverage, 'sample')}", ["score", measure], lines)
    _say_limits(decision, of_masks)
    by_group = {f" of {name}": group.weights for name, group in decision.class_groups.items()}
    for of, weights in (by_group or {"": {member.name: member.weight for member in decision.members}}).items():
        say(f"weights{of}: " + ", ".join(f"{name} {weight / 1000:.3f}" for name, weight in weights.items()))
    if of_masks and rows:
        moved = sum(level != HALF_LEVEL for level in decision.levels.values())
        say(f"{moved} of {len(rows)} classes have a threshold other than 0.5 (per_class.csv)")
        say(f"post-processing: {operations_text(decision)}")
    if decision.rule is not None and decision.rule.kind != "none":
        values = ", ".join(f"{value:.3f}" for value in decision.rule.values)
        say(f"decided by {decision.rule.kind}: {values}")


def _say_limits(decision: Decision, of_masks: bool) -> None:
    """Print what the scores leave out, and what replaces folds where there are few."""
    scores = decision.scores
    if decision.unmeasured:
        shout(not_measured(decision.unmeasured, decision.classes, f"none of the {decision.coverage} samples"))
    if scores.oof_crossfit is None and scores.oof is not None:
        kept = "given" if decision.method == "given" else "equal"
        how = f"{kept} weights at threshold 0.5 without post-processing" if of_masks else f"{kept} weights"
        say(f"fewer than three groups are held out by every member, so nothing can be cross-fitted: {how}")
    held_out = set.intersection(*({fold for fold in member.folds if fold != FULL} for member in decision.members))
    if scores.oof_crossfit is not None and len(held_out) < FEWEST_PARTS:
        say(f"with fewer than {FEWEST_PARTS} folds, the groups are split into parts for cross-fitting")


def _say_contributions(track: Track, rows: Rows) -> None:
    """Print a table of the vote's change without each member, if it was measured."""
    if not rows or rows[0]["left_out"] is None:
        return
    shown = [
        [row["member"], f"{row['weight']:.3f}", f"{row['left_out']:+.4f}", f"{row['low']:+.4f} .. {row['high']:+.4f}"]
        for row in rows
    ]
    columns = ["member", "weight", "change when left out", "95 % interval"]
    before = " (before post-processing)" if track.task == "segmentation" else ""
    table(f"contribution of each member{before}", columns, shown)


def say_alone(track: Track, decision: Decision, options: str) -> None:
    """Print the members alone beside a vote of several, with a warning if the vote is below the best of them."""
    if decision.vote is None or len(decision.members) < 2:
        return
    measure = fold_metric(track).label
    alone = {member.name: found for member in decision.members if (found := decision.alone.get(member.name))}
    rows = [_row(name, found) for name, found in ({"the vote": decision.vote} | alone).items()]
    how = "before post-processing" if track.task == "segmentation" else "cross-fitted"
    if isinstance(track.metric, TableMetric) and (rule := rules_of(track.metric, len(track.classes))).fit is not None:
        how += f", decided by {rule.searched}"
    columns = ["voter", measure, "95 % interval", "difference from the vote", "its 95 % interval"]
    table(f"members alone beside the vote ({how})", columns, rows)
    if (warning := below_best(decision, options)) is not None:
        shout(warning)


def below_best(decision: Decision, options: str) -> str | None:
    """Return a warning if the vote is, to four digits, below its best member of all classes; else None."""
    whole = {name: alone for name, alone in decision.alone.items() if alone.over_vote is not None}
    if decision.vote is None or len(decision.members) < 2 or not whole:
        return None
    best = max(whole, key=lambda name: whole[name].score)
    found, vote = whole[best], decision.vote
    if found.over_vote is None or round(found.over_vote, 4) <= 0:
        return None
    interval = "too few groups for an interval"
    if found.over_vote_low is not None and found.over_vote_high is not None:
        interval = f"95 % interval {-found.over_vote_high:+.4f} .. {-found.over_vote_low:+.4f}"
    (member,) = (member for member in decision.members if member.name == best)
    alone = shlex.quote(member.with_folds())
    return (
        f"the vote ({vote.score:.4f}) is below its best member {best} ({found.score:.4f}; difference "
        f"{-found.over_vote:+.4f}, {interval}); to use it alone: ./run.sh tune{options} --members {alone}"
    )


def operations_text(decision: Decision) -> str:
    """Return the chosen post-processing with its classes: "surest (disc, bar), fill (square)", or "none"."""
    classes: dict[str, list[str]] = {}
    for name, operation in decision.operations.items():
        if operation != "none":
            classes.setdefault(operation, []).append(name)
    return ", ".join(f"{operation} ({', '.join(names)})" for operation, names in classes.items()) or "none"


def _row(name: str, found: AloneScore) -> list[str]:
    ahead = "-" if found.over_vote is None else f"{found.over_vote:+.4f}"
    ahead_interval = _interval(found.over_vote_low, found.over_vote_high, "+.4f")
    return [name, f"{found.score:.4f}", _interval(found.low, found.high, ".4f"), ahead, ahead_interval]


def _interval(low: float | None, high: float | None, digits: str) -> str:
    return "-" if low is None or high is None else f"{low:{digits}} .. {high:{digits}}"


def say_expectation(decision: Decision, some_folds: bool, late: bool) -> None:
    """Print the expected score of a submission, of a vote of ``some_folds`` or on a ``late`` test set too."""
    scores = decision.scores
    if some_folds and scores.oof is not None:
        say(
            f"expect about {scores.oof:.4f}: the out-of-fold score of these folds alone, on the {decision.coverage} "
            "training samples that they held out (optimistic: weights and thresholds were chosen on all folds)"
        )
    elif scores.oof_crossfit is not None:
        interval = f"95 % interval {scores.interval_low:.4f} .. {scores.interval_high:.4f}"
        say(f"expect about {scores.oof_crossfit:.4f} (cross-fitted out-of-fold; {interval})")
        if scores.oof_reweighted is not None:
            mix = f"in the test set's mix of images it is {scores.oof_reweighted:.4f}"
            say(f"{mix}, the better estimate if the training set has dozens of each kind")
    elif scores.fold_mean is not None:
        held_out = {fold for member in decision.members for fold in member.folds if fold != FULL}
        folds = ", ".join(map(str, sorted(held_out)))
        at_half = " at threshold 0.5" if decision.task == "segmentation" else ""
        say(f"expect about {scores.fold_mean:.4f}: scored on fold {folds} alone{at_half}, not cross-fitted")
    else:
        if not decision.unmeasured:
            say("the score of these folds is unknown" if some_folds else "the score is unknown: nothing could be tuned")
        return
    if late:
        say("this is expected for groups like those of the training set; those of --test may differ")
