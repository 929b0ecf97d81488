"""Tuning: everything that is chosen on out-of-fold predictions, frozen in one decision. It never sees test data."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from competition.console import say, shout
from competition.data.manifest import data_hash, read_manifest
from competition.ensembling.classification.decision import decide_classification
from competition.ensembling.classification.rules import plain_rule
from competition.ensembling.classification.table_tuning import check_combination
from competition.ensembling.classification.thresholds import NEVER
from competition.ensembling.decision import Decision, Scores, save_decision
from competition.ensembling.segmentation.decision import decide_segmentation
from competition.ensembling.segmentation.scored_vote import SCORED_VOTE, save_scored_vote
from competition.ensembling.segmentation.thresholds import Window
from competition.ensembling.segmentation.tuning import Search
from competition.ensembling.selection.weight_methods import METHODS
from competition.ensembling.tuning_data import TuningData, Wanted, open_tuning_data
from competition.ensembling.tuning_result import Tuning, weigh
from competition.ensembling.voting.blend import WHOLE, round_weights
from competition.ensembling.voting.class_groups import declared_groups, one_group
from competition.ensembling.voting.combination import Combination
from competition.errors import CompetitionError
from competition.files import whole_folder, write_csv
from competition.metrics.masks import MaskMetric
from competition.metrics.tables import AneurysmMetric, TableMetric
from competition.names import check_name, shortened_name
from competition.prediction.probability_maps import HALF_LEVEL, threshold_of
from competition.runs.members import trained_folds
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import DECISION, Workspace

# With one member, or given weights, the whole range of thresholds is exact at no cost. Where weights are searched, a
# pixel is left out of the search only where no admissible threshold could change it, so a wider range leaves more. Weak
# members contest more pixels: then a narrower range is searched, in the end only their weights.
ALONE: tuple[Window, ...] = ((0.05, 0.95),)
TOGETHER: tuple[Window, ...] = ((0.2, 0.8), (0.35, 0.65), (0.5, 0.5))
# Of normal values of groups, a 95 % interval by drawing groups contains the mean in 0.84 of all cases with 5 groups,
# 0.90 with 10 and 0.93 with 30.
FEW_GROUPS = 10


@dataclass(frozen=True)
class TuneRequest:
    """What is to be tuned, and how."""

    members: Wanted | None = None  # who votes; None means all trained runs
    weights: Sequence[Fraction] | None = None  # of ``members``, in any scale, where they are not to be searched
    name: str | None = None  # of the decision; None means the members' names, joined by "+"
    method: str = "optuna"  # how weights are searched, a name of ``METHODS``
    trials: int = 300  # weight vectors that the method "optuna" tries
    by_group: bool = False  # whether each group of classes that the track declares gets weights of its own
    thresholds: str = "sweep"  # how the thresholds of masks are searched, a name of ``THRESHOLDS``
    combine: Combination = "mean"  # how the members of a classification become one
    window: Window | None = None  # lowest and highest threshold that may be chosen; None tries ALONE or TOGETHER


def request_of(decision: Decision) -> TuneRequest:
    """Return the request that a decision on all runs was made by."""
    return TuneRequest(
        method=decision.method,
        trials=decision.trials,
        by_group=bool(decision.class_groups),
        thresholds=decision.threshold_search,
        combine=decision.combine,
        window=decision.window,
    )


def tune(track: Track, workspace: Workspace, request: TuneRequest) -> tuple[Path, Tuning]:
    """Choose weights, thresholds and post-processing, and write the decision with its tables; return its file too.

    Raises:
        CompetitionError: The options contradict each other or the track, nothing is prepared or trained, or a member
            can't be tuned.
    """
    _check_request(request, track)
    class_groups = declared_groups(track) if request.by_group else one_group(len(track.classes))
    trained = trained_folds(workspace)  # before the members are opened: a fold that finishes meanwhile is news
    data = open_tuning_data(track, workspace, read_manifest(workspace, track).of("train"), request.members)
    members = data.members
    given = _given_weights(request.weights, data)
    name = shortened_name("+".join(member.name for member in members)) if request.name is None else request.name
    covered_by = ", ".join(f"{member.name} (folds {','.join(map(str, member.folds))})" for member in members)
    groups = len({entry.group for entry in data.entries})
    covered = f"{len(data.entries)} of {len(data.training)} samples, of {counted(groups, 'group')},"
    say(f"{covered} are covered by {covered_by}")
    if 0 < groups < FEW_GROUPS:
        more = "; train the other folds" if len(data.entries) < len(data.training) else ""
        say(f"with only {counted(groups, 'group')}, the 95 % intervals below are too narrow{more}")
    with whole_folder(workspace.ensemble_folder(name), DECISION) as folder:
        if not data.entries:
            whose = "equal" if given is None else "given"
            shout(f"no sample is held out by all members, so nothing is tuned ({whose} weights): train the same folds")
            tuned = Tuning(_untuned(data, request.combine, given))
        elif track.task == "classification":
            propose = METHODS[request.method](len(members), request.trials)
            tuned = decide_classification(data, propose, request.combine, given)
        else:
            searched = len(members) > 1 and given is None
            windows = [request.window] if request.window is not None else TOGETHER if searched else ALONE
            ranking = track.metric if isinstance(track.metric, MaskMetric) else None
            splits = track.form.of_objects
            method, trials = request.method, request.trials
            search = Search(method, trials, class_groups, windows, given, request.thresholds, ranking, splits)
            tuned = decide_segmentation(data, search)
        decision = tuned.decision.model_copy(
            update={
                "everything": request.members is None,
                "trained": trained,
                "method": request.method if given is None else "given",
                "trials": request.trials,
                "threshold_search": request.thresholds,
                "window": request.window,
                "data_hash": data_hash(data.training),
                "metric": track.metric.key,
            }
        )
        for file, rows in tuned.tables.items():
            write_csv(folder / file, rows)
        if tuned.class_rows:
            write_csv(folder / "per_class.csv", tuned.class_rows)
            write_csv(folder / "members.csv", tuned.member_rows)
        if tuned.vote is not None:
            save_scored_vote(folder / SCORED_VOTE, tuned.vote)
        save_decision(folder / DECISION, decision)
    return workspace.decision_file(name), Tuning(decision, tuned.class_rows, tuned.member_rows)


def _check_request(request: TuneRequest, track: Track) -> None:
    """Reject options that contradict each other or the track."""
    if request.name is not None:
        check_name(request.name, "a decision", "Give another --name")
    if request.trials < 1:
        raise CompetitionError(f"--trials {request.trials} tries nothing; --method equal searches no weights")
    if request.weights is not None and (request.by_group or request.method != "optuna"):
        raise CompetitionError("--weights are not searched, so --method and --by-group have nothing to choose")
    if track.task == "classification" and request.by_group:
        raise CompetitionError("--by-group is for masks; in a classification all classes have the same weights")
    if track.task == "classification" and request.thresholds != "sweep":
        raise CompetitionError("--thresholds is for masks; tables have rules of their own")
    if isinstance(track.metric, TableMetric) and not isinstance(track.metric, AneurysmMetric):
        check_combination(request.combine, track.metric)
    if track.task == "segmentation" and request.combine != "mean":
        raise CompetitionError(
            f"--combine {request.combine} is for classifications: maps are 8-bit, and most of their pixels are exactly "
            "0 or 255, which have no logit and no rank",
            repair="Omit --combine",
        )


def _given_weights(weights: Sequence[Fraction] | None, data: TuningData) -> tuple[int, ...] | None:
    """Return the given weights in thousandths that sum to 1000; None where they are to be searched.

    Raises:
        CompetitionError: They are negative or all 0, or none are given and a member has no out-of-fold predictions.
    """
    members = data.members
    if weights is None:
        if unknown := [member.name for member, of in zip(members, data.folders, strict=True) if not of]:
            what = f"{unknown[0]!r} was imported without out-of-fold predictions, on which weights are tuned"
            repair = "Give the weights with --weights, or import it again with --oof and --folds"
            raise CompetitionError(what, repair=repair)
        return None
    rounded = tuple(round_weights([float(weight) for weight in weights]).tolist())
    if sum(weights) != 1:
        shares = ", ".join(f"{m.name} {weight / WHOLE:.3f}" for m, weight in zip(members, rounded, strict=True))
        say(f"weights, normalised: {shares}")
    return rounded


def _untuned(data: TuningData, combination: Combination, given: tuple[int, ...] | None) -> Decision:
    """Return given or equal weights, threshold 0.5 (locations: never), no post-processing and no scores."""
    track, members = data.track, data.members
    segments = track.task == "segmentation"
    weights = given or round_weights(np.ones(len(members))).tolist()
    half = dict.fromkeys(track.classes, float(threshold_of(np.array(HALF_LEVEL))))
    # Probabilities as they are, unless the metric decides them without tuning.
    metric, classes = track.metric, len(track.classes)
    located = isinstance(metric, AneurysmMetric)
    rule = plain_rule(metric, classes) if isinstance(metric, TableMetric) and not located else None
    never = dict.fromkeys(track.classes[1:], NEVER) if rule is None else {}
    return Decision(
        track=track.name,
        dataset=data.workspace.dataset,
        task=track.task,
        classes=track.classes,
        members=weigh(members, weights),
        levels=dict.fromkeys(track.classes, HALF_LEVEL) if segments else {},
        thresholds=half if segments else never,
        operations=dict.fromkeys(track.classes, "none") if segments else {},
        scores=Scores(fold_mean=None, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None),
        coverage=0,
        rule=rule,
        reason=f"{'equal' if given is None else 'given'} weights: no sample is covered by all members",
        combine=combination,
    )
