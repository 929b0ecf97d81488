"""Names that two files spell differently: one sentence with an example and a count, instead of a row each."""

from collections.abc import Iterable

from competition.text import NearKeys


def near_misses(strange: Iterable[str], known: Iterable[str]) -> str:
    """Says which names differ from known ones in nothing but path, ending, leading zeros, capitals or Unicode form.

    Args:
        strange: Names as they were found; one that is also known is spelled right.
        known: The names that are wanted.

    Returns:
        ", did you mean '0047' instead of '47'?", with the number of such names where there are more; "" for none.
    """
    right = set(known)
    nearest = NearKeys(right)
    wrong = [name for name in dict.fromkeys(strange) if name not in right]
    pairs = [(name, near) for name in wrong if (near := nearest.find(name)) is not None]
    if not pairs:
        return ""
    name, near = pairs[0]
    more = f" ({len(pairs)} names differ like this)" if len(pairs) > 1 else ""
    return f", did you mean {near!r} instead of {name!r}{more}?"
