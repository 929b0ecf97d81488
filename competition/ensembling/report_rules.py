"""How the aneurysm report decided the locations, to be compared with ``locations.choose_locations`` on one network.

Both thresholds come from what the network says about its own training images: the gate is their median score, and every
location is cut at its own 90th percentile. A tenth of the training patients is therefore called for every location,
the commonest (9 %) and the rarest (0.1 %) alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.ensembling.locations import LocationRule
from competition.ensembling.members import TrainedMember
from competition.ensembling.training_scores import training_scores
from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_scores
from competition.tracks.track import Track
from competition.workspace import Workspace

CALLED_BEFORE = 0.9


def report_rule(training_probs: NDArray[np.floating]) -> LocationRule:
    """Gives the report's rule from the scores of the training samples.

    Args:
        training_probs: (n, 1 + L), the patient's own score first.

    Raises:
        CompetitionError: There is no sample, or a score is not a number.
    """
    if not len(training_probs) or not np.isfinite(training_probs).all():
        raise CompetitionError("the report's rule needs scores of training samples, and all of them numbers")
    exact = np.asarray(training_probs, dtype=np.float64)
    return LocationRule(float(np.median(exact[:, 0])), np.quantile(exact[:, 1:], CALLED_BEFORE, axis=0))


def decide_as_the_report(
    track: Track, workspace: Workspace, folds: Folds, member: TrainedMember, training: Sequence[Entry]
) -> NDArray[np.float64]:
    """Hands in the out-of-fold samples of a run as the report would: each fold with the rule of its own training set.

    Args:
        track: A classification.
        workspace: Of the data set.
        folds: The fold file in force.
        member: The run; its best weights are asked.
        training: All training samples.

    Returns:
        (n, 1 + L) in the order of ``training``: the score, and the locations 0 or 1, as ``metrics.score_aneurysm``
        takes it.

    Raises:
        CompetitionError: A sample was held out by no fold of the run.
    """
    table = np.full((len(training), len(track.classes)), np.nan)
    for fold in member.folds:
        here = [row for row, entry in enumerate(training) if folds.fold_of[entry.group] == fold]
        if not here:  # FULL holds nothing out
            continue
        learned = folds.training(training, fold)
        rule = report_rule(training_scores(track, workspace, member.name, fold, learned))
        samples = [training[row].sample for row in here]
        probs = read_scores(member.folder_of[samples[0]], samples, track.classes)
        table[here] = np.column_stack([probs[:, 0], rule.decide(probs)])
    if np.isnan(table).any():
        missing = training[int(np.argmax(np.isnan(table).any(axis=1)))].sample
        raise CompetitionError(
            f"sample {missing!r} was held out by no fold of run {member.name!r}",
            workspace.run_folder(member.name),
            "Train all folds",
        )
    return table
