"""Weights that a user gives, one for each of several things."""

import re
from fractions import Fraction

from competition.errors import CompetitionError
from competition.text import shown

# At most 20 digits before the point, 30 after it and two in the exponent: 1e999999999 would take minutes to write out.
_NUMBER = re.compile(r"[+-]?[0-9]{0,20}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?|[0-9]{1,20}/[0-9]{1,20}")


def parse_weights(text: str, count: int, things: str) -> list[Fraction]:
    """Read "2,1,0.5".

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
    """Read "0.1" as exactly a tenth.

    Raises:
        CompetitionError: It is no number, or one of very many digits.
    """
    try:
        if not _NUMBER.fullmatch(text.strip()):
            raise ValueError
        return Fraction(text.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise CompetitionError(f"{option} takes numbers such as 0.5, not {shown(text)}") from error
