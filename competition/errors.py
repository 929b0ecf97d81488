"""The one kind of error that is shown to a user as a sentence instead of a traceback."""

import re
from pathlib import Path

SHOWN_WORD = 200
"""Characters shown of a word of more than 1,000."""

LONGEST_SENTENCE = 2500
"""Characters; a longer sentence loses its middle, so that the file and the repair at its end stay."""

_ENDLESS = re.compile(r"\S{1001,}")


class CompetitionError(Exception):
    """A mistake that the user can correct, for example a polygon of an unknown class.

    Attributes:
        what: What is wrong.
        where: The file, column or sample; empty where there is none.
        repair: The command or action that repairs it; empty where there is none.
    """

    def __init__(self, what: str, where: Path | str | None = None, repair: str | None = None) -> None:
        """Build the sentence in the order: what is wrong (with the value), where, and what repairs it."""
        what = what.removesuffix(".")  # of a quoted sentence: the full stop comes at the end
        self.what, self.where, self.repair = what, "" if where is None else str(where), repair or ""
        asks = what.endswith("?")
        sentence = what if where is None else f"{what} ({where})" if asks else f"{what}: {where}"
        end = "" if asks and where is None else "."
        super().__init__(on_one_line(sentence + end + ("" if repair is None else f" {repair}.")))


def on_one_line(text: str) -> str:
    """Return a text that can be printed as one line, whatever names and cells of foreign files it quotes.

    Line ends and control characters become escapes; words longer than any path, and sentences that are too long, are
    shortened.
    """
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
    text = _ENDLESS.sub(lambda word: f"{word[0][:SHOWN_WORD]}...", text)
    half = LONGEST_SENTENCE // 2
    return text if len(text) <= LONGEST_SENTENCE else f"{text[:half]} ... {text[-half:]}"
