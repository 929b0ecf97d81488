"""What is said about each member alone beside the vote, and about a vote that is below its best member."""

from competition.console import shout, table
from competition.ensembling.decision import Contestant, Decision
from competition.tracks.track import Track


def say_alone(track: Track, decision: Decision, options: str) -> None:
    """Print the members alone beside the vote; warn where the vote is below the best of them.

    Nothing is printed of a vote of one.

    Args:
        track: Its metric.
        decision: What was chosen.
        options: Of the command that was typed, for one that can be typed next (``typed_options``).
    """
    if decision.vote is None or len(decision.members) < 2:
        return
    measure = "Dice" if track.metric == "dice" else "AUROC"
    rows = [_row("the vote", decision.vote)]
    for member in decision.members:
        if (alone := decision.alone.get(member.name)) is not None:
            rows.append(_row(member.name, alone))
    how = "before post-processing" if track.task == "segmentation" else "cross-fitted"
    columns = ["contestant", measure, "95 % interval", "less the vote", "95 % interval of it"]
    table(f"members alone beside the vote ({how})", columns, rows)
    if (warning := below_best(decision, options)) is not None:
        shout(warning)


def below_best(decision: Decision, options: str) -> str | None:
    """Return the sentence on a vote that is below its best member, to the four digits that are printed; else None.

    Members of some classes only are passed over: alone they can't be handed in.
    """
    whole = {name: alone for name, alone in decision.alone.items() if alone.over_vote is not None}
    if decision.vote is None or len(decision.members) < 2 or not whole:
        return None
    best = max(whole, key=lambda name: whole[name].score)
    found, vote = whole[best], decision.vote
    if found.over_vote is None or round(found.over_vote, 4) <= 0:
        return None
    interval = "too few people for an interval"
    if found.over_vote_low is not None and found.over_vote_high is not None:
        interval = f"95 % interval {-found.over_vote_high:+.4f} .. {-found.over_vote_low:+.4f}"
    (member,) = (member for member in decision.members if member.name == best)
    return (
        f"the vote ({vote.score:.4f}) is below its best member {best} ({found.score:.4f}; difference "
        f"{-found.over_vote:+.4f}, {interval}): ./run.sh tune{options} --members {member.with_folds()} would not be"
    )


def operations_text(decision: Decision) -> str:
    """Return the chosen post-processing with its classes: "surest (disc, bar), fill (square)", or "none"."""
    classes: dict[str, list[str]] = {}
    for name, operation in decision.operations.items():
        if operation != "none":
            classes.setdefault(operation, []).append(name)
    return ", ".join(f"{operation} ({', '.join(names)})" for operation, names in classes.items()) or "none"


def _row(name: str, found: Contestant) -> list[str]:
    ahead = "-" if found.over_vote is None else f"{found.over_vote:+.4f}"
    return [
        name,
        f"{found.score:.4f}",
        _interval(found.low, found.high, ".4f"),
        ahead,
        _interval(found.over_vote_low, found.over_vote_high, "+.4f"),
    ]


def _interval(low: float | None, high: float | None, digits: str) -> str:
    return "-" if low is None or high is None else f"{low:{digits}} .. {high:{digits}}"
