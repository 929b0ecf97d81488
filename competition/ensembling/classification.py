"""Tuning a classification ensemble: weights by the AUROC of the first class, thresholds of the others by cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.auroc_weights import AurocSearch, search_weights_auroc
from competition.ensembling.evidence import auroc_interval
from competition.ensembling.locations import ChosenLocations, choose_locations
from competition.ensembling.members import TrainedMember
from competition.ensembling.weights import candidate_weights
from competition.metrics import AneurysmScore, auroc, score_aneurysm
from competition.prediction.probability_maps import read_scores


@dataclass(frozen=True)
class TunedClassification:
    """What was chosen.

    Attributes:
        search: Weights, with the blended out-of-fold probabilities.
        fold_aurocs: Fold -> AUROC at equal weights, without folds whose samples are all of one kind.
        locations: Thresholds and gate of the other classes, which are handed in as 0 or 1.
        oof: Score of everything chosen, on the samples it was chosen on.
        crossfit: The same with everything chosen on the other folds; None with fewer than two folds.
        interval: 95 % group-bootstrap interval of the cross-fitted AUROC, or of ``oof`` where that is None.
    """

    search: AurocSearch
    fold_aurocs: dict[int, float]
    locations: ChosenLocations
    oof: AneurysmScore
    crossfit: AneurysmScore | None
    interval: tuple[float, float] | None


def tune_classification(
    members: Sequence[TrainedMember],
    samples: Sequence[str],
    classes: Sequence[str],
    truth: NDArray[np.int64],
    folds: NDArray[np.int64],
    groups: Sequence[str],
    trials: int,
) -> TunedClassification:
    """Chooses weights, then thresholds and a gate.

    Args:
        members: Who votes.
        samples: Keys all members cover, (n,).
        classes: (C,).
        truth: 0/1 (n, C).
        folds: (n,).
        groups: (n,).
        trials: Weight vectors to try beside equal and single-member weights.

    Raises:
        CompetitionError: A member's scores are missing or damaged.
    """
    probs = np.stack([member_scores(member, samples, classes) for member in members])
    candidates = candidate_weights(len(members), trials if len(members) > 1 else 0, seed=0)
    search = search_weights_auroc(probs, truth, candidates, folds, groups)
    equal = probs.mean(axis=0)[:, 0]
    by_fold = {int(fold): auroc(truth[folds == fold, 0], equal[folds == fold]) for fold in np.unique(folds)}
    locations = choose_locations(truth[:, 1:], search.probs, folds, groups)
    oof = score_aneurysm(truth, np.column_stack([search.probs[:, 0], locations.rule.decide(search.probs)]))
    crossfit = None
    ranked = search.probs
    if search.crossfit_probs is not None:
        ranked = search.crossfit_probs
        decided = choose_locations(truth[:, 1:], ranked, folds, groups).crossfit
        assert decided is not None  # the folds are the same
        crossfit = score_aneurysm(truth, np.column_stack([ranked[:, 0], decided]))
    return TunedClassification(
        search=search,
        fold_aurocs={fold: value for fold, value in by_fold.items() if not np.isnan(value)},
        locations=locations,
        oof=oof,
        crossfit=crossfit,
        interval=auroc_interval(truth[:, 0], ranked[:, 0], groups, seed=0),
    )


def member_scores(member: TrainedMember, samples: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """Out-of-fold probabilities (n, C) of a member, each from the fold that held the sample out, joined by key."""
    rows = np.empty((len(samples), len(classes)))
    for folder in dict.fromkeys(member.folder_of.values()):
        here = [position for position, sample in enumerate(samples) if member.folder_of[sample] == folder]
        rows[here] = read_scores(folder, [samples[position] for position in here], classes)
    return rows
