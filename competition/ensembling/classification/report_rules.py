"""How the aneurysm report decided the locations, to be compared with ``locations.choose_locations`` on one network.

Gate and thresholds come from the network's scores of its own training images: the gate is their median, the threshold
of every location its own 90th percentile. So a tenth of the training patients is called for every location, the
commonest (9 %) and the rarest (0.1 %) alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.folds import Fold, Folds
from competition.data.manifest import Entry
from competition.ensembling.classification.locations import LocationRule
from competition.errors import CompetitionError
from competition.files import whole_folder
from competition.prediction.probability_maps import INDEX, index_file, read_index, read_scores
from competition.prediction.store import store_predictions
from competition.runs.members import Member, out_of_fold_folders
from competition.tracks.track import Track
from competition.training.checkpoints import load_trained, open_predictor, weights_hash
from competition.workspace import Workspace, checkpoint_file, training_scores_folder

CALLED_BEFORE = 0.9


def report_rule(training_probs: NDArray[np.floating]) -> LocationRule:
    """Return the report's rule from the scores (n, 1 + L) of the training samples, the patient's own score first.

    Raises:
        CompetitionError: There is no sample, or a score is not a number.
    """
    if not len(training_probs) or not np.isfinite(training_probs).all():
        raise CompetitionError("the report's rule needs finite scores of training samples")
    exact = np.asarray(training_probs, dtype=np.float64)
    return LocationRule(float(np.median(exact[:, 0])), np.quantile(exact[:, 1:], CALLED_BEFORE, axis=0))


def decide_as_the_report(
    track: Track,
    workspace: Workspace,
    folds: Folds,
    member: Member,
    training: Sequence[Entry],
    entries: Sequence[Entry],
) -> NDArray[np.float64]:
    """Decide out-of-fold samples of a run as the report would, each fold by the rule of its own training set.

    Args:
        track: A classification.
        workspace: Of the data set.
        folds: The current fold file.
        member: The run, at its last weights.
        training: All training samples.
        entries: Those to decide.

    Returns:
        (n, 1 + L) in the order of ``entries``: the score, and the locations 0 or 1, as ``metrics.score_aneurysm``
        takes it.

    Raises:
        CompetitionError: A sample was held out by no fold of the run.
    """
    folder_of = out_of_fold_folders(workspace, member)
    for entry in entries:
        if entry.sample not in folder_of:
            place = workspace.run_folder(member.name)
            raise CompetitionError(
                f"no fold of run {member.name!r} held out sample {entry.sample!r}", place, "Train all"
            )
    table = np.empty((len(entries), len(track.classes)))
    fold_of = np.array([folds.fold_of[entry.group] for entry in entries])
    for fold in np.unique(fold_of).tolist():
        rule = report_rule(training_scores(track, workspace, member.name, fold, folds.training(training, fold)))
        here = np.flatnonzero(fold_of == fold)
        samples = [entries[row].sample for row in here.tolist()]
        probs = read_scores(folder_of[samples[0]], samples, track.classes)
        table[here] = np.column_stack([probs[:, 0], rule.decide(probs)])
    return table


def training_scores(
    track: Track, workspace: Workspace, run: str, fold: Fold, training: Sequence[Entry]
) -> NDArray[np.float64]:
    """Return probabilities (n, C) of what a fold learned from, by its last weights, predicted now or before.

    Raises:
        CompetitionError: The fold is not trained.
    """
    folder = workspace.fold_folder(run, fold)
    trained = load_trained(checkpoint_file(folder))
    kept, samples = training_scores_folder(folder), [entry.sample for entry in training]
    made_by = {"weights": weights_hash(trained)}
    index = read_index(kept, "Delete it") if index_file(kept).exists() else None
    if index is None or index.made_by != made_by or not set(samples) <= set(index.samples):
        with whole_folder(kept, INDEX) as part:
            title = f"fold {fold}: what it learned from"
            store_predictions(open_predictor([trained], track, workspace), training, part, made_by, title)
    return read_scores(kept, samples, track.classes)
