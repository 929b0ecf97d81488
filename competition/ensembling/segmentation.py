"""Tuning a segmentation ensemble: weights and cuts on exact histograms, then post-processing on the decided images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import Ticker, say
from competition.data.cache import read_cached_planes
from competition.ensembling.contested import (
    CONTESTED_LIMIT,
    check_contested_share,
    contest,
    contested_curves,
    contested_share,
    load_contested,
    save_contested,
)
from competition.ensembling.histograms import dice_curves, join_histograms, load_histograms
from competition.ensembling.members import TrainedMember
from competition.ensembling.postprocessing import (
    OPERATIONS,
    choose_operations,
    crossfit_operations,
    operation_counts,
)
from competition.ensembling.thresholds import HALF, Window, crossfit_cuts, scores_at, study_cuts
from competition.ensembling.voters import Voters, blend, find_voters
from competition.ensembling.voting import decide
from competition.ensembling.weights import Evaluate, WeightSearch, candidate_weights, search_weights
from competition.metrics import dice, false_positive_owners, pooled_dice
from competition.prediction.probability_maps import read_map
from competition.workspace import Workspace


@dataclass(frozen=True)
class TunedSegmentation:
    """What was chosen, with the Dice of every image and class.

    Attributes:
        search: Weights and cuts.
        at_half: float64 (n, C), equal weights at threshold 0.5.
        study: int64 (C,), the cuts that one-dimensional Optuna studies found; the exact sweep in ``search`` decides.
        operations: Post-processing per class.
        oof: float64 (n, C) of everything chosen: optimistic.
        crossfit: float64 (n, C), everything chosen without the image's own fold; None with fewer than two folds.
        pooled_crossfit: float64 (C,), the same decisions with pixels pooled over images; None likewise.
        owners: int64 (C, C + 1), of ``metrics.false_positive_owners`` summed over the images, each decided at cuts
            tuned without its own fold, before post-processing.
        false_positives: int64 (C,) likewise.
        areas: int64 (C,), true pixels of every class over the images.
        window: Lowest and highest threshold that could be chosen.
        contested: Share of contested pixels between them, None for one member.
    """

    search: WeightSearch
    at_half: NDArray[np.float64]
    study: NDArray[np.int64]
    operations: list[str]
    oof: NDArray[np.float64]
    crossfit: NDArray[np.float64] | None
    pooled_crossfit: NDArray[np.float64] | None
    owners: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    areas: NDArray[np.int64]
    window: Window
    contested: float | None


@dataclass(frozen=True)
class OutOfFold:
    """The images everything is chosen on.

    Attributes:
        members: Who votes.
        workspace: Where the label planes are.
        samples: Keys of the images all members cover, (n,).
        folds: (n,) int64.
        groups: (n,).
        classes: (C,) names, in the order of the label planes.
    """

    members: Sequence[TrainedMember]
    workspace: Workspace
    samples: list[str]
    folds: NDArray[np.int64]
    groups: list[str]
    classes: tuple[str, ...]

    def voters(self) -> Voters:
        """Who votes on which class."""
        return find_voters(self.classes, [member.classes for member in self.members])


def tune_segmentation(
    data: OutOfFold, windows: Sequence[Window], trials: int, folder: Path, ticker: Ticker
) -> TunedSegmentation:
    """Chooses weights, cuts and post-processing.

    Args:
        data: The out-of-fold images.
        windows: Lowest and highest threshold that may be chosen; where too many pixels are contested between them, the
            next pair is tried.
        trials: Weight vectors to try beside equal and single-member weights.
        folder: Where the contested pixels of each image are kept.
        ticker: Advanced twice per image (once with a single member).

    Raises:
        CompetitionError: A map is missing or damaged, or too many pixels are contested in the last window.
    """
    evaluate, window, share = _evaluator(data, windows, folder, ticker)
    candidates = candidate_weights(len(data.members), trials if len(data.members) > 1 else 0, seed=0)
    search = search_weights(evaluate, candidates, data.folds, data.groups, window)
    equal = evaluate(candidates[0])
    chosen = evaluate(np.array(search.weights))
    honest_cuts = crossfit_cuts(chosen, data.folds, window)
    counts, owners, false_positives = _decided_counts(data, search, honest_cuts, ticker)
    by_operation = dice(*counts)
    operations = choose_operations(by_operation, data.folds, data.groups)
    picked = [list(OPERATIONS).index(name) for name in operations]
    processed = by_operation[:, np.arange(len(picked)), picked]
    crossfit, pooled = None, None
    choices = crossfit_operations(by_operation, data.folds, data.groups)
    if search.crossfit is not None and choices is not None:
        held = np.take_along_axis(by_operation, choices[..., None], axis=2)[..., 0]
        # The gain of post-processing is measured at the final weights, but at cuts and choices of the other folds.
        crossfit = search.crossfit + held - by_operation[:, :, 0]
        pooled = pooled_dice(*np.take_along_axis(counts, choices[None, ..., None], axis=3)[..., 0])
    return TunedSegmentation(
        search=search,
        at_half=scores_at(equal, np.full(len(data.classes), HALF)),
        study=study_cuts(chosen, trials=100, seed=0, window=window),
        operations=operations,
        oof=search.oof + processed - by_operation[:, :, 0],
        crossfit=crossfit,
        pooled_crossfit=pooled,
        owners=owners,
        false_positives=false_positives,
        areas=counts[2, :, :, 0].sum(axis=0),
        window=window,
        contested=share,
    )


def _evaluator(
    data: OutOfFold, windows: Sequence[Window], folder: Path, ticker: Ticker
) -> tuple[Evaluate, Window, float | None]:
    """Gives weights -> curves: from histograms of the only member, else from contested pixels."""
    voters = data.voters()
    if len(data.members) == 1:
        stored: dict[str, NDArray[np.int64]] = {}
        for oof in dict.fromkeys(data.members[0].folder_of.values()):
            stored |= load_histograms(oof / "histograms.npz")
        curves = dice_curves(join_histograms(stored, data.samples, data.members[0].name))[:, voters.rows[:, 0]]
        return lambda weights: curves, windows[0], None
    for attempt, window in enumerate(windows):
        if attempt > 0:
            ticker.extend(len(data.samples))
        paths = _contest_all(data, voters, window, folder, ticker)
        share = contested_share(load_contested(path) for path in paths)
        if share <= CONTESTED_LIMIT:
            break
        say(f"{share:.1%} of the pixels are contested between thresholds {window[0]} and {window[1]}: too many")
    check_contested_share(share, window, f"{len(data.members)} members on {len(paths)} images")
    return lambda weights: contested_curves(paths, voters.weights_by_class(weights), window), window, share


def _contest_all(data: OutOfFold, voters: Voters, window: Window, folder: Path, ticker: Ticker) -> list[Path]:
    """Keeps the contested pixels of every image in a file of its own."""
    paths = []
    for sample in data.samples:
        maps = [read_map(member.folder_of[sample], sample) for member in data.members]
        path = folder / f"{sample}.npz"
        save_contested(path, contest(maps, read_cached_planes(data.workspace, sample), window, voters))
        paths.append(path)
        ticker.advance(sample)
    return paths


def _decided_counts(
    data: OutOfFold, search: WeightSearch, honest_cuts: NDArray[np.int64] | None, ticker: Ticker
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixel counts of every image, decided at cuts tuned without its own fold.

    Returns:
        int64 (3, n, C, operations) of every image and operation, and over all images the owners of false positives
        (C, C + 1) and the false positives (C,).
    """
    voters, classes = data.voters(), len(data.classes)
    counts = []
    owners = np.zeros((classes, classes + 1), dtype=np.int64)
    false_positives = np.zeros(classes, dtype=np.int64)
    for position, sample in enumerate(data.samples):
        maps = [read_map(member.folder_of[sample], sample) for member in data.members]
        cuts = search.cuts if honest_cuts is None else honest_cuts[position]
        decided = decide(blend(maps, search.weights, voters), cuts)
        truth = read_cached_planes(data.workspace, sample)
        counts.append(operation_counts(decided, truth, classes))
        here = false_positive_owners(decided, truth, classes)
        owners += here[0]
        false_positives += here[1]
        ticker.advance(sample)
    return np.stack(counts, axis=1), owners, false_positives
