"""A faster vote: members, then folds, are left out up to a share of the time, with the score that this costs.

Members first, because out-of-fold predictions show exactly what a vote loses without one. They can't show what folds
add: each of them comes from a single fold, while an image that is new is predicted by the mean of all. Test-time views
are kept, because without them every held-out sample would have to be predicted again.
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
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace

PASSES = 3
"""Timed passes of a network after one that warms up; the median counts."""


@dataclass(frozen=True)
class Faster:
    """A decision with fewer members or folds.

    Attributes:
        decision: Where members were left out, its scores are those of the others' vote.
        share: Of the time of the whole decision, as measured.
        before: Out-of-fold score of the whole decision; None where nothing is held out.
        after: The same without the members that were left out.
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
        return {"members": members, "share": round(self.share, 4), "oof_before": self.before, "oof_after": self.after}


def make_faster(track: Track, workspace: Workspace, decision: Decision, ratio: float) -> Faster:
    """Leave out members, and then folds, until at most ``ratio`` of the time is left.

    Of the members, the one without which the out-of-fold score of the others' vote is highest is left out first, and so
    on; weights keep their ratios, thresholds stay.

    Raises:
        CompetitionError: One fold of one member takes longer already, or a prediction or the prepared data is missing.
    """
    seconds = time_members(track, workspace, decision)
    voting = decision if len(seconds) == len(decision.members) else _keep(decision, list(seconds))
    budget = ratio * _cost(voting, seconds)
    whole = expect_of_folds(track, workspace, voting)
    kept, scored = voting, whole
    while _cost(kept, seconds) > budget and (smaller := _without_each(kept)):
        expected = [expect_of_folds(track, workspace, one) for one in smaller]
        best = max(range(len(smaller)), key=lambda number: _or_lowest(expected[number].scores.oof))
        kept, scored = smaller[best], expected[best]
    if len(kept.members) < len(voting.members):
        kept = scored  # its scores are no longer those of the whole vote; they don't depend on the number of folds
    folds = max(len(member.folds) for member in kept.members)
    while _cost(kept, seconds) > budget and folds > 1:
        folds -= 1
        kept = _first_folds(kept, folds)
    share = _cost(kept, seconds) / _cost(voting, seconds)
    if share > ratio:
        what = f"--fast {ratio:g}: one fold of {kept.members[0].name} takes {share:.3f} of the time already"
        raise CompetitionError(what, None, f"Give --fast {min(0.999, share + 0.001):.3f}, or tune with a faster member")
    before, after = whole.scores.oof, scored.scores.oof
    sentence = _sentence(track, voting, kept, share, (before, after), scored.coverage)
    return Faster(kept, share, before, after, sentence)


def _or_lowest(score: float | None) -> float:
    return float("-inf") if score is None else score


def time_members(track: Track, workspace: Workspace, decision: Decision) -> dict[str, float]:
    """Return the seconds that a fold of each member with a weight takes for an image, on this machine."""
    with TemporaryDirectory(prefix="medcomp-export-") as place:
        vote = load_vote(track, workspace, Workspace(Path(place), workspace.dataset), decision)
        loaded = [member for member in vote.members if isinstance(member, LoadedMember)]
        seconds = {member.member.name: _seconds(track, member) for member in loaded}
    say("network time per fold: " + ", ".join(f"{name} {one:.3f} s" for name, one in seconds.items()))
    return seconds


def _seconds(track: Track, loaded: LoadedMember) -> float:
    """Return the time of all passes of a fold for one image: its views and tiles, and its share of a first stage."""
    experiment, network = loaded.predictor.experiment, loaded.predictor.models[0]
    tile, side = experiment.predict.tile, experiment.data.size
    passes = len(experiment.predict.views)
    shown: tuple[torch.Tensor, ...]
    if track.task == "classification":
        present = torch.ones(1, len(track.views), dtype=torch.bool)
        shown = (torch.zeros(1, len(track.views), track.channels, side, side), present)
    else:
        if tile is not None:
            passes *= len(tile_starts(side, tile, experiment.predict.overlap)) ** 2
        rounded = -(-(tile or side) // stride_of(network)) * stride_of(network)
        shown = (torch.zeros(1, track.channels, rounded, rounded),)
    shown = tuple(one.to(loaded.predictor.device) for one in shown)
    times = []
    with torch.inference_mode():
        for _ in range(PASSES + 1):
            start = time.perf_counter()
            network(*shown)[0].cpu()
            times.append(time.perf_counter() - start)
    own = passes * statistics.median(times[1:])
    if loaded.stage is None or not isinstance(loaded.stage.member, LoadedMember):
        return own
    return own + _seconds(track, loaded.stage.member) * loaded.stage.member.networks / loaded.networks


def _cost(decision: Decision, seconds: Mapping[str, float]) -> float:
    return sum(seconds[member.name] * len(member.folds) for member in decision.members)


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


def _sentence(
    track: Track,
    voting: Decision,
    kept: Decision,
    share: float,
    scores: tuple[float | None, float | None],
    samples: int,
) -> str:
    """Return what was left out and what it costs."""
    left = " + ".join(member.with_folds() for member in kept.members)
    whole = " + ".join(member.with_folds() for member in voting.members)
    text = f"{left} of {whole}: {100 * share:.0f} % of the network time."
    before, after = scores
    if before is None or after is None:
        text += " What it costs is not known, because no sample is held out by all of them."
    else:
        text += f" Out-of-fold {track.metric.label} {after:.4f}, {before:.4f} with all ({after - before:+.4f}), "
        text += f"on {counted(samples, 'sample')}."
    if any(len(one.folds) < len(_named(voting, one.name).folds) for one in kept.members):
        text += (
            " Held-out samples are predicted by one fold each, so that doesn't show what averaging fewer folds costs."
        )
    return text + " Test-time views are kept, weights keep their ratios, and thresholds are not tuned again."


def _named(decision: Decision, name: str) -> WeightedMember:
    return next(member for member in decision.members if member.name == name)
