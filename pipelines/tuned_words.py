"""What tune says about a decision: the honest numbers, the weights, and what each member is worth."""

from collections.abc import Sequence

import numpy as np

from competition.console import say, shout, table
from competition.data.folds import FULL
from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.thresholds import HALF
from competition.ensembling.selection.parts import FEWEST_PARTS
from competition.tracks.track import Track
from pipelines.alone_words import operations_text
from pipelines.tuned import Rows


def say_scores(track: Track, decision: Decision, rows: Rows) -> None:
    """The honest numbers, the weights, and how many classes are decided otherwise than at 0.5.

    Args:
        track: Its metric.
        decision: What was chosen.
        rows: A row per class.
    """
    scores = decision.scores
    measure = "Dice" if track.metric == "dice" else "AUROC"

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    spread = "" if scores.fold_sd is None else f" +- {scores.fold_sd:.4f}"
    lines = [
        ["fold mean at threshold 0.5", shown(scores.fold_mean) + spread],
        ["out-of-fold, tuned (optimistic)", shown(scores.oof)],
        ["out-of-fold, cross-fitted (rank by this)", shown(scores.oof_crossfit)],
        ["95 % interval (groups drawn)", f"{shown(scores.interval_low)} .. {shown(scores.interval_high)}"],
    ]
    if scores.gain is not None:
        interval = f"{scores.gain_low:+.4f} .. {scores.gain_high:+.4f}"
        plain = "equal weights at 0.5" if track.task == "segmentation" else "plain mean of probabilities"
        lines.append([f"cross-fitted less {plain}", f"{scores.gain:+.4f} ({interval})"])
    if track.test_mix is not None:
        mix = ", ".join(f"{share:.0%} {stratum}" for stratum, share in track.test_mix.items())
        lines.append([f"re-weighted to the test's mix ({mix})", shown(scores.oof_reweighted)])
    pooled = [row["oof_crossfit_pooled"] for row in rows if row.get("oof_crossfit_pooled") is not None]
    if pooled:
        lines.append(["cross-fitted, pixels pooled over images", f"{np.mean(pooled):.4f}"])
    if track.task == "segmentation":
        processed = sum(operation != "none" for operation in decision.operations.values())
        shown_operations = f"{processed} of {len(decision.operations)} classes" if processed else "none"
        lines.append(["post-processing", shown_operations])
    table(f"{measure} on {decision.coverage} samples", ["honest numbers", measure], lines)
    _say_limits(decision)
    by_group = {f" of {name}": group.weights for name, group in decision.class_groups.items()}
    for of, weights in (by_group or {"": {member.name: member.weight for member in decision.members}}).items():
        say(f"weights{of}: " + ", ".join(f"{name} {weight / 1000:.3f}" for name, weight in weights.items()))
    if track.task == "segmentation" and rows:
        moved = sum(cut != HALF for cut in decision.cuts.values())
        say(f"{moved} of {len(rows)} classes have a threshold other than 0.5 (per_class.csv)")
        say(f"post-processing: {operations_text(decision)}")


def _say_limits(decision: Decision) -> None:
    """Says what the honest numbers leave out, and what takes the place of folds where there are few."""
    scores = decision.scores
    if decision.unmeasured:
        shout(not_measured(decision.unmeasured, decision.classes, f"none of the {decision.coverage} samples"))
    if scores.oof_crossfit is None and scores.oof is not None:
        kept = "given" if decision.method == "given" else "equal"
        say(
            "fewer than three people are held out by every member, so nothing can be cross-fitted: "
            f"{kept} weights at threshold 0.5 without post-processing"
        )
    held_out = set.intersection(*({fold for fold in member.folds if fold != FULL} for member in decision.members))
    if scores.oof_crossfit is not None and len(held_out) < FEWEST_PARTS:
        say(f"with fewer than {FEWEST_PARTS} folds, the people are split into parts for cross-fitting")


def not_measured(unmeasured: Sequence[str], classes: Sequence[str], images: str) -> str:
    """Says which classes a Dice leaves out, because two empty masks agree whatever a network has learned.

    Args:
        unmeasured: Classes without a pixel in the truth.
        classes: All that were to be scored.
        images: Whose truth it is: "none of the 8 samples".
    """
    rest = "" if len(unmeasured) == len(classes) else "; the Dice is the mean over the other classes"
    return f"not measured: {images} has a pixel of class {', '.join(unmeasured)}{rest}"


def say_worth(track: Track, rows: Rows) -> None:
    """Print a table of what the vote loses without each member; nothing where it could not be measured."""
    if not rows or rows[0]["left_out"] is None:
        return
    shown = [
        [row["member"], f"{row['weight']:.3f}", f"{row['left_out']:+.4f}", f"{row['low']:+.4f} .. {row['high']:+.4f}"]
        for row in rows
    ]
    columns = ["member", "weight", "change when left out", "95 % interval"]
    before = " (before post-processing)" if track.task == "segmentation" else ""
    table(f"what each member is worth{before}", columns, shown)
