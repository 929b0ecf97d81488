"""A leak alarm: whether the files predict the targets without any pixel of the images.

Two consoles write images of two sizes, and their patients may differ in how often they have an aneurysm. A network
finds that out sooner than it finds an aneurysm, and is wrong on the images of a third console.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.metrics.tables import auroc

ALARM = 0.6

# Few samples pass 0.6 by chance: 14 % of the shuffles of 72 synthetic patients did, none of 99 shuffles of 1127.
SHUFFLES = 99


def find_shortcut(training: Sequence[Entry], folds: Folds) -> tuple[float | None, str | None]:
    """Learn the first target of the training samples from their traits.

    Args:
        training: The training samples.
        folds: Whose groups are never learned from and scored on at once.

    Returns:
        The cross-validated AUROC, None where the samples have no traits or are too few or too much alike to rank any;
        and a warning where that is better than ``ALARM`` and than all of ``SHUFFLES`` shuffles of the targets (a
        permutation test: by chance alone one data set in a hundred), else None.
    """
    if not any(entry.traits for entry in training):
        return None, None
    traits = np.array([entry.traits for entry in training])
    targets = np.array([entry.targets[0] for entry in training], dtype=np.int64)
    fold_of = np.array([folds.fold_of[entry.group] for entry in training])
    score = trait_auroc(traits, targets, fold_of)
    if score is None or score <= ALARM:
        return score, None
    random, highest = np.random.default_rng(0), 0.0
    for _ in range(SHUFFLES):
        highest = max(highest, trait_auroc(traits, random.permutation(targets), fold_of) or 0.0)
        if score <= highest:
            return score, None
    return score, (
        f"LEAK ALARM: size, margins, text and numbering of the files, without any image, predict positives with "
        f"an AUROC of {score:.2f} ({SHUFFLES} shuffles of the targets: at most {highest:.2f}); a network may learn "
        f"them instead"
    )


def trait_auroc(traits: NDArray[np.float64], targets: NDArray[np.int64], folds: NDArray[np.int64]) -> float | None:
    """Return the cross-validated AUROC of a logistic regression on traits.

    Only samples of one fold are ranked against each other: every fold has a regression of its own, whose base rate is
    the lower the more positives the fold holds out, so that scores of different folds rank backwards by themselves.

    Args:
        traits: (n, F).
        targets: 0/1 (n,).
        folds: (n,) which fold holds a sample out.

    Returns:
        The share of pairs in the right order over all folds, a tie counting half; None where there is no pair to rank,
        or nothing to learn from.
    """
    # Here, because few data sets have traits, and scikit-learn takes a second to import.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Newton's method takes few steps of a few numbers: 7 ms a fit of 70 samples, and 39 ms by the default solver, whose
    # many small products wait for each other's threads.
    model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
    right, pairs = 0.0, 0
    for fold in np.unique(folds):
        held, learned = folds == fold, folds != fold
        positives = int(targets[held].sum())
        here = positives * (int(held.sum()) - positives)
        if here == 0 or len(np.unique(targets[learned])) < 2:
            continue
        regression = model.fit(traits[learned], targets[learned])
        right += here * auroc(targets[held], regression.decision_function(traits[held]))
        pairs += here
    return right / pairs if pairs else None
