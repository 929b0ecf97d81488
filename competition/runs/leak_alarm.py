"""Leak alarms on scores: shuffled labels predicted better than by chance, true ones better than is possible.

With ``data.shuffle_labels`` the labels of all training samples are permuted once, before the split into folds, and the
held-out samples are scored against the permuted labels, as in a permutation test. A sample that reaches the training of
the fold that holds it out is memorised, and so lifts the score: with shuffled labels nothing else can.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.metrics.tables import auroc
from competition.runs.members import Member, is_imported, split_member
from competition.settings import Experiment, load_experiment
from competition.workspace import Workspace, settings_file

# Single stills of an angiogram: 0.61 is the best figure of the challenge that was not read off training patients, 0.76
# that of a whole series with two projections. What passes 0.9 has seen the answer.
TOO_GOOD = 0.9

# One-sided, in standard errors: of runs without a leak one in 200 is above.
BEYOND_CHANCE = 2.58


def too_good(score: float, phantom: bool) -> str | None:
    """Return a warning for an out-of-fold AUROC of patients that is better than any honest one, else None.

    Synthetic aneurysms (``phantom``) are easy, so that no score of them is suspicious.
    """
    if phantom or not score > TOO_GOOD:
        return None
    return (
        f"LEAK ALARM: an out-of-fold AUROC of {score:.2f} is better than any honest figure known for such data; check "
        "the other alarms first: prepare reports whether files alone reveal the answer and whether two patients share "
        "an image, and a run with --set data.shuffle_labels=true must score about 0.5"
    )


def judge_shuffled(targets: NDArray[np.int64], scores: NDArray[np.float64]) -> tuple[bool, str]:
    """Return whether a run with shuffled labels leaks, and the sentence for it; few patients can't show it.

    Without a leak the AUROC is 0.5 with the standard error of Mann and Whitney's U, which is sqrt((P + N + 1) / (12 P
    N)) for P positives and N negatives. Less than 0.5 is no leak: folds whose share of positives differs rank a little
    backwards when they are pooled. Targets are 0/1 (n,) as they were shuffled.
    """
    positives = int(targets.sum())
    negatives = len(targets) - positives
    pairs = positives * negatives
    highest = 0.5 + BEYOND_CHANCE * math.sqrt((len(targets) + 1) / (12 * pairs)) if pairs else 1.0
    if highest >= 1:
        return False, f"shuffled labels: {positives} and {negatives} held-out patients are too few to show a leak"
    score = auroc(targets, scores)
    said = f"shuffled labels of {len(targets)} held-out patients are predicted with an AUROC of {score:.3f}"
    if score > highest:
        return True, f"LEAK ALARM: {said}, by chance at most {highest:.3f}: held-out data leaks into training"
    return False, f"no leak: {said}, by chance at most {highest:.3f}"


def learned_entries(entries: Sequence[Entry], experiment: Experiment) -> list[Entry]:
    """Return all training samples with the targets that an experiment learns, or shuffled ones."""
    if not experiment.data.shuffle_labels:
        return list(entries)
    order = np.random.default_rng(experiment.train.seed).permutation(len(entries))
    return [replace(entry, targets=entries[index].targets) for entry, index in zip(entries, order, strict=True)]


def learned_by(workspace: Workspace, members: Sequence[Member], training: Sequence[Entry]) -> list[Entry]:
    """Return the training samples with the targets that the members learned.

    Raises:
        CompetitionError: The members learned different labels.
    """
    experiments = [
        load_experiment(settings_file(workspace.fold_folder(split_member(member.name)[0], member.folds[0])))
        for member in members
        if not is_imported(workspace, member.name)  # imported members learned the true labels
    ]
    seeds = {each.train.seed if each.data.shuffle_labels else None for each in experiments}
    if len(seeds | {None for member in members if is_imported(workspace, member.name)}) > 1:
        raise CompetitionError(
            "members trained on shuffled labels can't be weighted with others", repair="Tune --members without them"
        )
    return learned_entries(training, experiments[0]) if experiments else list(training)
