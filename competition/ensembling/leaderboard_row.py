"""The leaderboard row of a submission that followed a decision."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from competition.ensembling.decision import Decision
from competition.submission.leaderboard import Row
from competition.workspace import PHANTOM, git_commit


def leaderboard_row(
    submission_id: str, moment: datetime, decision: Decision, decision_file: Path, path: Path, test_score: float | None
) -> Row:
    """Return the row of the submission at ``path``; ``test_score`` is on test samples whose truth is known."""
    scores = decision.scores
    return Row(
        id=submission_id,
        time=moment.isoformat(timespec="seconds"),
        track=decision.track,
        phantom=decision.dataset.startswith(PHANTOM),
        members="+".join(member.with_folds() for member in decision.members),
        weights=_written_weights(decision),
        cv_fold_mean=scores.fold_mean,
        cv_fold_sd=scores.fold_sd,
        cv_oof=scores.oof,
        cv_crossfit=scores.oof_crossfit,
        cv_low=scores.interval_low,
        cv_high=scores.interval_high,
        cv_reweighted=scores.oof_reweighted,
        test_score=test_score,
        git_commit=git_commit(),
        config_hash=hashlib.sha256(decision_file.read_bytes()).hexdigest()[:10],
        file_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _written_weights(decision: Decision) -> str:
    """Return the members' weights joined by "+"; for class groups "fingers 0.5+0.5, carpals 1+0"."""

    def joined(weights: Iterable[int]) -> str:
        return "+".join(f"{weight / 1000:g}" for weight in weights)

    groups = decision.class_groups.items()
    by_group = [f"{name} {joined(group.weights[m.name] for m in decision.members)}" for name, group in groups]
    return ", ".join(by_group) or joined(decision.weights())
