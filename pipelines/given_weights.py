"""Weights that a user gives, one for each of several things."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from competition.console import say
from competition.ensembling.voting.blend import WHOLE, round_weights
from competition.errors import CompetitionError
from competition.runs.members import Member
from competition.text import shown

# At most 20 digits before the point, 30 after it and two in the exponent: 1e999999999 would take minutes to write out.
_NUMBER = re.compile(r"[+-]?[0-9]{0,20}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?|[0-9]{1,20}/[0-9]{1,20}")


def parse_weights(text: str, count: int, things: str) -> list[Fraction]:
    """Reads "2,1,0.5".

    Args:
        text: One number per thing.
        count: How many things there are.
        things: What they are, for the message.

    Raises:
        CompetitionError: Another number of weights, or one that is no number.
    """
    weights = [parse_fraction(part, "--weights") for part in text.split(",")]
    if len(weights) != count:
        raise CompetitionError(f"--weights names {len(weights)} weights for {count} {things}")
    return weights


def parse_fraction(text: str, option: str) -> Fraction:
    """Reads "0.1" as exactly a tenth.

    Raises:
        CompetitionError: It is no number, or one of very many digits.
    """
    try:
        if not _NUMBER.fullmatch(text.strip()):
            raise ValueError
        return Fraction(text.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise CompetitionError(f"{option} takes numbers such as 0.5, not {shown(text)}") from error


def member_weights(
    text: str | None, members: Sequence[Member], folders: Sequence[Mapping[str, Path]]
) -> tuple[int, ...] | None:
    """Reads the weights of members, where they are given.

    Args:
        text: One number per member, in any scale; None where they are to be searched.
        members: Who votes.
        folders: Of each member, sample -> folder of its out-of-fold prediction.

    Returns:
        Thousandths that sum to 1000; None where they are to be searched.

    Raises:
        CompetitionError: Not one per member, negative, all 0, or none are given and a member was imported without
            out-of-fold predictions, on which weights are searched.
    """
    if text is None:
        if untold := [member.name for member, of in zip(members, folders, strict=True) if not of]:
            raise CompetitionError(
                f"{untold[0]!r} was imported without out-of-fold predictions, on which weights are tuned",
                repair="Give the weights with --weights, or import it again with --oof and --folds",
            )
        return None
    given = parse_weights(text, len(members), "members")
    weights = tuple(round_weights([float(weight) for weight in given]).tolist())
    if sum(given) != 1:
        shares = ", ".join(f"{m.name} {weight / WHOLE:.3f}" for m, weight in zip(members, weights, strict=True))
        say(f"weights, normalised: {shares}")
    return weights
