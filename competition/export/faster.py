"""A faster vote: test-time views, members and folds are left out up to a share of the time, at a score that is stated.

Out-of-fold predictions show exactly what a vote loses without a member, and, where the held-out samples are predicted
again, without some of the views: whichever costs less goes first. Folds go last, because each of these predictions
comes from a single fold, while an image that is new is predicted by the mean of all.
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from competition.console import say
from competition.ensembling.decision import Decision, WeightedMember
from competition.ensembling.expectation import expect_of_folds
from competition.ensembling.voting.blend import round_weights
from competition.errors import CompetitionError
from competition.inference.loaded_members import LoadedMember, load_vote
from competition.models.layers import stride_of
from competition.prediction.tile_grid import tile_starts
from competition.runs.held_out_predictions import predict_held_out
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace

PASSES = 3
"""Timed passes of a network after one that warms up; the median counts."""


@dataclass(frozen=True)
class Times:
    """What a fold of a member takes for an image, on this machine.

    Attributes:
        views: Test-time views of its experiment.
        view: Seconds per view, with all of its tiles.
        stage: Seconds of its share of a first stage.
    """

    views: tuple[str, ...]
    view: float
    stage: float = 0.0


@dataclass(frozen=True)
class Faster:
    """A decision with fewer views, members or folds.

    Attributes:
        decision: Where views or members were left out, its scores are those of the vote without them.
        share: Of the time of the whole decision, as measured.
        before: Out-of-fold score of the whole decision; None where nothing is held out.
        after: The same without the views and members that were left out.
        sentence: All of it in words.
    """

    decision: Decision
    share: float
    before: float | None
    after: float | None
    sentence: str

    def figures(self) -> dict[str, Any]:
        """Return it for --json."""
        members = [member.with_folds() for member in self.decision.members]
        views = {member.name: list(member.views) for member in self.decision.members if member.views is not None}
        scores = {"oof_before": self.before, "oof_after": self.after}
        return {"members": members, "views": views, "share": round(self.share, 4)} | scores


def make_faster(track: Track, workspace: Workspace, decision: Decision, ratio: float) -> Faster:
    """Leave out views and members, and then folds, until at most ``ratio`` of the time is left.

    In each step all members keep as many views as fit, at least one, or a member is left out: whichever has the higher
    out-of-fold score. Weights keep their ratios, thresholds stay.

    Raises:
        CompetitionError: A view of one fold of one member takes longer already, or a prediction or the prepared data is
            missing.
    """
    times = time_members(track, workspace, decision)
    voting = decision if len(times) == len(decision.members) else _keep(decision, list(times))
    budget = ratio * _seconds(voting, times)
    whole = expect_of_folds(track, workspace, voting)
    scored = whole
    while _seconds(scored, times) > budget and (smaller := _fewer_views(scored, times, budget) + _without_each(scored)):
        expected = [_expect(track, workspace, one) for one in smaller]
        scored = max(expected, key=lambda one: _or_lowest(one.scores.oof))
    kept = voting if scored is whole else scored  # the tuned scores hold for fewer folds too
    folds = max(len(member.folds) for member in kept.members)
    while _seconds(kept, times) > budget and folds > 1:
        folds -= 1
        kept = _first_folds(kept, folds)
    share = _seconds(kept, times) / _seconds(voting, times)
    if share > ratio:
        least = f"one fold and view of {kept.members[0].name}"
        what = f"--fast {ratio:g}: {least} takes {share:.3f} of the time already"
        raise CompetitionError(what, None, f"Give --fast {min(0.999, share + 0.001):.3f}, or tune with a faster member")
    cost = "" if scored is whole else _cost(track, whole, scored)
    sentence = _sentence(voting, kept, times, share, cost)
    return Faster(kept, share, whole.scores.oof, scored.scores.oof, sentence)


def _expect(track: Track, workspace: Workspace, decision: Decision) -> Decision:
    """Return a decision with its out-of-fold score; what is held out is predicted again where views were left out."""
    if decision.coverage:  # otherwise nothing is held out
        for member in decision.members:
            if member.views is not None:
                predict_held_out(track, workspace, member)
    return expect_of_folds(track, workspace, decision)


def _or_lowest(score: float | None) -> float:
    return float("-inf") if score is None else score


def time_members(track: Track, workspace: Workspace, decision: Decision) -> dict[str, Times]:
    """Return what a fold of each member with a weight takes for an image."""
    with TemporaryDirectory(prefix="medcomp-export-") as place:
        vote = load_vote(track, workspace, Workspace(Path(place), workspace.dataset), decision)
        times = {one.member.name: _times(track, one) for one in vote.members if isinstance(one, LoadedMember)}
    each = ", ".join(f"{name} {len(one.views) * one.view + one.stage:.3f} s" for name, one in times.items())
    say(f"network time per fold: {each}")
    return times


def _times(track: Track, loaded: LoadedMember) -> Times:
    """Return the time of a fold of a member, with its share of a first stage."""
    views, view = loaded.predictor.experiment.predict.views, _view_seconds(track, loaded)
    if loaded.stage is None or not isinstance(loaded.stage.member, LoadedMember):
        return Times(views, view)
    first = _times(track, loaded.stage.member)
    folds = loaded.stage.member.networks / loaded.networks
    return Times(views, view, folds * (len(first.views) * first.view + first.stage))


def _view_seconds(track: Track, loaded: LoadedMember) -> float:
    """Return the time of all passes of a fold for one view of an image: those of its tiles."""
    experiment, network = loaded.predictor.experiment, loaded.predictor.models[0]
    tile, side = experiment.predict.tile, experiment.data.size
    passes = 1 if tile is None else len(tile_starts(side, tile, experiment.predict.overlap)) ** 2
    shown: tuple[torch.Tensor, ...]
    if track.task == "classification":
        present = torch.ones(1, len(track.views), dtype=torch.bool)
        shown = (torch.zeros(1, len(track.views), track.channels, side, side), present)
    else:
        rounded = -(-(tile or side) // stride_of(network)) * stride_of(network)
        shown = (torch.zeros(1, track.channels, rounded, rounded),)
    shown = tuple(one.to(loaded.predictor.device) for one in shown)
    seconds = []
    with torch.inference_mode():
        for _ in range(PASSES + 1):
            start = time.perf_counter()
            network(*shown)[0].cpu()
            seconds.append(time.perf_counter() - start)
    return passes * statistics.median(seconds[1:])


def _seconds(decision: Decision, times: Mapping[str, Times]) -> float:
    return sum(
        len(member.folds) * (len(_views(member, times)) * times[member.name].view + times[member.name].stage)
        for member in decision.members
    )


def _views(member: WeightedMember, times: Mapping[str, Times]) -> tuple[str, ...]:
    return member.views or times[member.name].views


def _fewer_views(decision: Decision, times: Mapping[str, Times], budget: float) -> list[Decision]:
    """Return the decision with as many views as fit, at least one; nothing where no member has more than one."""
    most = max(len(_views(member, times)) for member in decision.members)
    for count in range(most - 1, 0, -1):
        members = tuple(
            member
            if len(_views(member, times)) <= count
            else member.model_copy(update={"views": _views(member, times)[:count]})
            for member in decision.members
        )
        fewer = decision.model_copy(update={"members": members})
        if count == 1 or _seconds(fewer, times) <= budget:
            return [fewer]
    return []


def _without_each(decision: Decision) -> list[Decision]:
    """Return the decision without each member that can be spared: others predict all of its classes."""
    names = [member.name for member in decision.members]
    smaller = []
    for name in names if len(names) > 1 else []:
        others = [member for member in decision.members if member.name != name]
        covered = {one for member in others for one in (member.classes or decision.classes)}
        if covered == set(decision.classes):
            smaller.append(_keep(decision, [member.name for member in others]))
    return smaller


def _keep(decision: Decision, names: list[str]) -> Decision:
    """Return the decision with these members, whose weights keep their ratios; equal ones where all are 0."""
    members = [member for member in decision.members if member.name in names]
    weights = _scaled([member.weight for member in members])
    groups = {
        name: group.model_copy(
            update={"weights": dict(zip(names, _scaled([group.weights[one] for one in names]), strict=True))}
        )
        for name, group in decision.class_groups.items()
    }
    changed = {
        "members": tuple(one.model_copy(update={"weight": own}) for one, own in zip(members, weights, strict=True)),
        "class_groups": groups,
        "alone": {name: score for name, score in decision.alone.items() if name in names},
    }
    return Decision.model_validate(decision.model_copy(update=changed).model_dump())


def _scaled(weights: list[int]) -> list[int]:
    return [int(one) for one in round_weights(weights if any(weights) else [1] * len(weights))]


def _first_folds(decision: Decision, count: int) -> Decision:
    """Return the decision with at most ``count`` folds of each member."""
    members = tuple(member.model_copy(update={"folds": member.folds[:count]}) for member in decision.members)
    return decision.model_copy(update={"members": members})


def _sentence(voting: Decision, kept: Decision, times: Mapping[str, Times], share: float, cost: str) -> str:
    """Return what was left out of a decision, and what it costs."""
    whole, left = (" + ".join(_described(member, times) for member in one.members) for one in (voting, kept))
    text = f"{left} of {whole}: {100 * share:.0f} % of the network time.{cost}"
    if any(len(one.folds) < len(_named(voting, one.name).folds) for one in kept.members):
        text += " Held-out samples are predicted by one fold each, so no score shows what averaging fewer folds costs."
    return text + " Weights keep their ratios, and thresholds are not tuned again."


def _cost(track: Track, whole: Decision, scored: Decision) -> str:
    """Return how the out-of-fold score has changed, as a sentence."""
    before, after = whole.scores.oof, scored.scores.oof
    if before is None or after is None:
        return " What it costs is not known, because no sample is held out by all of them."
    change = f"{after:.4f}, {before:.4f} with all ({after - before:+.4f})"
    return f" Out-of-fold {track.metric.label} {change}, on {counted(scored.coverage, 'sample')}."


def _described(member: WeightedMember, times: Mapping[str, Times]) -> str:
    """Return a member with its folds, and its views where it has several or had: "quick:0,1 (2 views)"."""
    if len(times[member.name].views) == 1:
        return member.with_folds()
    return f"{member.with_folds()} ({counted(len(_views(member, times)), 'view')})"


def _named(decision: Decision, name: str) -> WeightedMember:
    return next(member for member in decision.members if member.name == name)
