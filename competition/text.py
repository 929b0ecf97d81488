"""Text in messages: long values shortened, and known names that are near to mistyped ones."""

import difflib
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath


def same_spelling(name: str) -> str:
    """Return a name in composed Unicode (NFC), in which the spellings of macOS and other systems are equal."""
    return unicodedata.normalize("NFC", name)


def shortened(text: str, length: int = 200) -> str:
    """Return a text of at most ``length`` characters; a shortened one ends in dots."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def shortened_middle(text: str, length: int = 32) -> str:
    """Return a text of at most ``length`` characters; a longer one keeps its beginning and its end."""
    kept = (length - 3) // 2
    return text if len(text) <= length else f"{text[:kept]}...{text[-kept:]}"


def shown(value: object) -> str:
    """Return ``repr`` of a value, shortened without writing all of a large one first."""
    try:
        return shortened(_SHORT.repr(value))
    except ValueError:  # an integer of more than 4,300 digits
        return "a number that is too long to be shown"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
_SHORT.maxlevel = 3


class NearKeys:
    """Find, for an unknown key, the known key that was probably meant.

    Two keys are near where they are equal apart from paths (with ``/`` or back slashes), surrounding blanks, one file
    ending, capital letters, the Unicode form and leading zeros. A key that is near to two known ones has no answer. A
    lookup takes constant time, so a file of wrong keys is no slower than one of right keys.
    """

    def __init__(self, known: Iterable[str]) -> None:
        """Index the keys that exist."""
        self._near: dict[str, str | None] = {}
        for key in dict.fromkeys(known):
            for form in dict.fromkeys(_forms(key)):
                self._near[form] = None if form in self._near else key

    def find(self, key: str) -> str | None:
        """Return the near known key, or None where there is none or more than one."""
        return next((near for form in _forms(key) if (near := self._near.get(form)) is not None), None)

    def hint(self, key: str) -> str:
        """Return ", did you mean 'KEY'?" for the near key, or an empty string."""
        near = self.find(key)
        return "" if near is None else f", did you mean {near!r}?"


def near_pairs(missing: Iterable[str], strays: Iterable[str]) -> dict[str, str]:
    """Return, for each missing key, the stray one that was probably meant, unless that would fit two missing ones."""
    near = NearKeys(strays)
    found = {key: stray for key in missing if (stray := near.find(key)) is not None}
    uses = Counter(found.values())
    return {key: stray for key, stray in found.items() if uses[stray] == 1}


def difference(written: str, meant: str) -> str:
    """Return how two near keys differ: "leading zeros", "folder and capital letters"; a missing ending is none."""
    one, other = _parts(written), _parts(meant)
    names = ("folder", "leading zeros", "capital letters", "ending")
    found = [name for name, left, right in zip(names, one, other, strict=True) if left != right]
    if "ending" in found and not (one[3] and other[3]):
        found.remove("ending")
    return " and ".join(found) or "spelling"


def _parts(key: str) -> tuple[str, str, str, str]:
    """Return folder, leading zeros, the rest of the name and its ending."""
    path = PurePosixPath(same_spelling(key).strip().replace("\\", "/"))
    name = _without_zeros(path.stem)
    return str(path.parent), path.stem.removesuffix(name), name, path.suffix.lower()


def _forms(key: str) -> tuple[str, str]:
    """Return the key without path, blanks, zeros and capitals, with its ending and without."""
    name = same_spelling(key).strip().replace("\\", "/").casefold()
    base = PurePosixPath(name).name
    stem = PurePosixPath(base).stem
    return _without_zeros(base), _without_zeros(stem)


def _without_zeros(name: str) -> str:
    return name.lstrip("0") or name[-1:]


def size_text(size: Iterable[int]) -> str:
    """Return a size in the form of every message, rows x columns (and further axes): "48x64"."""
    return "x".join(map(str, size))


FARTHER = 0.15
"""How much less like the mistyped name a second suggestion may be than the first, as a share of the letters."""


def nearest_hint(name: str, known: Sequence[str], within: str = "") -> str:
    """Return the known names near a mistyped one: ", did you mean 'train.lr'?", or the list of all.

    Args:
        name: As it was typed, without ``within``.
        known: The possible names; with none there is no hint.
        within: Prefix of every name that is shown.
    """
    name = shortened(name, 100)  # difflib takes minutes for a name of a megabyte
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        likeness = [difflib.SequenceMatcher(None, one, name).ratio() for one in near]
        near = [one for one, alike in zip(near, likeness, strict=True) if alike > likeness[0] - FARTHER]
        return ", did you mean " + " or ".join(repr(within + match) for match in near) + "?"
    return "; known are " + ", ".join(within + one for one in known) if known else ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 row", "1,200 rows"; ``plural`` is needed where it is not noun + "s"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def few(names: Sequence[str]) -> str:
    """Return the first five of many names, and how many more there are."""
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def near_misses(strange: Iterable[str], known: Iterable[str]) -> str:
    """Return which names differ from known ones only in path, ending, leading zeros, capitals or Unicode form.

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
