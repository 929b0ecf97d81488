"""A leak alarm: can the targets be told from what the files give away beside the picture?

Two consoles write pictures of two sizes, and their patients may differ in how often they have an aneurysm. A network
finds that out sooner than it finds an aneurysm, and is wrong on the pictures of a third console.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.metrics import auroc

ALARM = 0.6


def shortcut_warning(training: Sequence[Entry], folds: Folds) -> str | None:
    """Says so where the traits of the training samples tell their first target better than ``ALARM``.

    Args:
        training: The training samples, with ``traits``.
        folds: Whose groups are never learned from and scored on at once.

    Returns:
        A sentence for people, or None where there are no traits or no reason for alarm.
    """
    if not training or not training[0].traits:
        return None
    traits = np.array([entry.traits for entry in training])
    targets = np.array([entry.targets[0] for entry in training], dtype=np.int64)
    score = trait_auroc(traits, targets, np.array([folds.fold_of[entry.group] for entry in training]))
    if not score > ALARM:
        return None
    spread = chance_deviation(targets)
    return (
        f"LEAK ALARM: size, margins, text and numbering of the files alone, without any picture, tell who is positive "
        f"with an AUROC of {score:.2f} (chance: 0.50 +- {spread:.2f}); a network may learn them instead"
    )


def trait_auroc(traits: NDArray[np.float64], targets: NDArray[np.int64], folds: NDArray[np.int64]) -> float:
    """Cross-validated AUROC of a logistic regression on traits.

    Only samples of one fold are ranked against each other: every fold has a regression of its own, whose base rate is
    the lower the more positives the fold holds out, so that scores of different folds rank backwards by themselves.

    Args:
        traits: (n, F).
        targets: 0/1 (n,).
        folds: (n,) which fold holds a sample out.

    Returns:
        The share of pairs in the right order over all folds; nan where there is no pair to rank, or nothing to learn
        from.
    """
    right, pairs = 0.0, 0
    for fold in np.unique(folds):
        held, learned = folds == fold, folds != fold
        positives = int(targets[held].sum())
        here = positives * (int(held.sum()) - positives)
        if here == 0 or len(np.unique(targets[learned])) < 2:
            continue
        regression = make_pipeline(StandardScaler(), LogisticRegression()).fit(traits[learned], targets[learned])
        right += here * auroc(targets[held], regression.decision_function(traits[held]))
        pairs += here
    return right / pairs if pairs else float("nan")


def chance_deviation(targets: NDArray[np.int64]) -> float:
    """Standard deviation of the AUROC of a score that knows nothing (Mann and Whitney 1947, without ties)."""
    positives = int(targets.sum())
    negatives = len(targets) - positives
    return float(np.sqrt((len(targets) + 1) / (12 * positives * negatives)))
