"""Run lengths as text, "start length start length ...": mistakes are named, all classes are written at once."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.text import shortened

LONGEST_NUMBER = 8  # digits that are read at once; strings with longer numbers take the slow way

LARGEST_IMAGE = 2**31
"""Pixels that an image of unknown size may have. Classes are laid one behind the other in an int64, which a start of
9e17 would overflow."""

# The only definition of a number: 1 to 18 digits of ASCII (no sign, no "1.0", no "0_1", no other alphabet's
# digits), so that a start plus a length still fits an int64. Possessive, because a pattern that remembers every word
# takes 1.1 GB for a mask of 24 MB. The second pattern names the word that breaks the first; searching it alone takes
# 4 ms for 29 bones instead of 0.6.
_NUMBERS = re.compile(r"\s*+(?:[0-9]{1,18}+(?:\s++|$))*+", re.ASCII)
_NO_NUMBER = re.compile(r"(?<!\S)(?:[0-9]{0,18}+[^0-9\s]\S*|\S{19,})", re.ASCII)
_LARGEST = 2**62  # no sum of this many pixels and one more number leaves an int64
SHOWN_WORD = 40
"""Characters of a wrong word that are shown."""


def parse(rle: str, where: str, pixels: int | None = None, first: int = 1, relative: bool = False) -> NDArray[np.int64]:
    """Read run lengths.

    Runs that touch are kept apart; those written here never touch.

    Args:
        rle: "start length start length ...", separated by any blanks; "" for an empty mask.
        where: File and row, for the message.
        pixels: Height times width, where it is known.
        first: Number of the first pixel, 1 or 0.
        relative: Whether a start counts from the end of the run before it (0: the two touch), the first one as always.

    Returns:
        (n, 2) int64, half-open, zero-based.

    Raises:
        CompetitionError: Not whole numbers, a start without a length, a start before the first pixel, a length below 1,
            runs that overlap or aren't in ascending order, or a run that ends beyond the image (where its size is not
            known, beyond ``LARGEST_IMAGE``).
    """

    def mistake(what: str) -> CompetitionError:
        form = f"'{'gap' if relative else 'start'} length' pairs of whole numbers, counted from {first}"
        return CompetitionError(what, where or None, f"Write {form}, in ascending order and without overlap")

    if not _NUMBERS.fullmatch(rle):
        found = _NO_NUMBER.search(rle)
        word = "" if found is None else found[0]
        raise mistake(f"{shortened(word, SHOWN_WORD)!r} in run lengths is no pixel number")
    numbers = np.array(rle.split(), dtype=np.int64)
    if numbers.size % 2:
        raise mistake(f"run lengths of {numbers.size} number{'s' * (numbers.size > 1)}, the last start has no length")
    if relative and numbers.sum(dtype=np.float64) > _LARGEST:
        raise mistake("the run lengths add up to more than any image has")
    lengths = numbers[1::2]
    starts = np.cumsum(numbers)[0::2] if relative else numbers[0::2]
    ends = starts + lengths
    for wrong, what in (
        (starts < first, f"starts at 0, but pixels are counted from {first}"),
        (lengths < 1, "has length 0"),
        (np.concatenate([[False], starts[1:] < ends[:-1]]), "starts before the one ahead of it has ended"),
    ):
        if wrong.any():
            run = int(wrong.argmax())
            raise mistake(f"run {run + 1} ('{numbers[2 * run]} {lengths[run]}') {what}")
    if ends.size and ends[-1] - first > (LARGEST_IMAGE if pixels is None else pixels):
        has = f"the image has {pixels}" if pixels is not None else f"no image has more than {LARGEST_IMAGE}"
        raise mistake(f"a run ends at pixel {ends[-1] - 1}, but {has}")
    return np.stack([starts, ends], axis=1) - first


def parse_image(
    rles: Sequence[str], places: Sequence[str], pixels: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read the run lengths of all classes of an image at once; errors as ``parse``.

    Args:
        rles: One string per class.
        places: File, image and class of each string, for the message.
        pixels: Height times width, where it is known.

    Returns:
        Runs (n, 2) int64, half-open and zero-based, class after class; and the number of runs of each class.
    """
    numbers, words = _read_numbers(rles)
    counts = words // 2
    if not (words % 2).any():
        starts, lengths = numbers[0::2], numbers[1::2]
        ends = starts + lengths
        first_of_class = np.zeros(len(starts) + 1, dtype=bool)
        first_of_class[np.cumsum(counts)] = True
        ascending = (starts[1:] >= ends[:-1]) | first_of_class[1:-1]
        inside = pixels is None or int(ends.max(initial=0)) - 1 <= pixels
        if (numbers >= 1).all() and ascending.all() and inside:
            return np.stack([starts, ends], axis=1) - 1, counts
    # Something is unusual: class by class it is named, or read all the same.
    runs = [parse(rle, place, pixels) for rle, place in zip(rles, places, strict=True)]
    return np.concatenate([np.empty((0, 2), np.int64), *runs]), np.array([len(one) for one in runs])


def _read_numbers(rles: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all numbers of all strings, and how many each string has; (-1) if one has more than digits and blanks.

    The eight bytes that end with a number's last digit are taken as one word: 14,000 numbers take 0.2 ms, through
    ``str.split`` and ``int`` 2 ms.
    """
    text = np.frombuffer(" ".join([" " * LONGEST_NUMBER, *rles, ""]).encode(), dtype=np.uint8)
    is_digit = (text >= ord("0")) & (text <= ord("9"))
    if not (is_digit | (text == ord(" "))).all():
        return np.empty(0, np.int64), np.array([-1])
    edges = np.flatnonzero(np.diff(is_digit, prepend=False))
    first, behind = edges[0::2], edges[1::2]
    digits = behind - first
    if int(digits.max(initial=0)) > LONGEST_NUMBER:
        return np.empty(0, np.int64), np.array([-1])
    eight_bytes_from = np.ndarray(text.size - 7, dtype="<u8", buffer=text, strides=(1,))
    string_ends = LONGEST_NUMBER + 1 + np.cumsum([len(rle) + 1 for rle in rles])
    return (_numbers_of(eight_bytes_from[behind - 8], digits), np.diff(np.searchsorted(first, string_ends), prepend=0))


def _numbers_of(words: NDArray[np.uint64], digits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers that end in the last of a word's eight characters, of which the first is the lowest byte."""
    words = words & (np.uint64(2**64 - 1) << (8 * (8 - digits)).astype(np.uint64))  # what comes before counts as 0
    # Neighbours are joined: digits to pairs, pairs to fours, fours to the number.
    words = (words & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(10 * 2**8 + 1) >> np.uint64(8)
    words = (words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * 2**16 + 1) >> np.uint64(16)
    words = (words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * 2**32 + 1) >> np.uint64(32)
    return words.astype(np.int64)


def format_runs(runs: NDArray[np.int64], counts: NDArray[np.int64]) -> list[str]:
    """Write the runs of several classes as "start length start length ...", starts 1-based, "" for no runs.

    All numbers are turned into digits at once: 14,000 of them take 1 ms, one by one through ``str`` 4 ms.

    Args:
        runs: (n, 2) int64, half-open, zero-based, class after class.
        counts: Number of runs of each class, n in sum.
    """
    numbers = np.stack([runs[:, 0] + 1, runs[:, 1] - runs[:, 0]], axis=1).ravel()
    width = len(str(int(numbers.max(initial=0))))
    digits = np.full((numbers.size, width + 1), ord(" "), dtype=np.uint8)
    rest = numbers
    for column in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        digits[:, column] = digit + ord("0")
    used = np.ones(numbers.size, dtype=np.int64)
    for power in range(1, width):
        used += numbers >= 10**power
    text = digits[np.arange(width + 1) >= width - used[:, None]].tobytes().decode("ascii")
    ends = np.concatenate([[0], np.cumsum(used + 1)])[np.concatenate([[0], np.cumsum(2 * counts)])].tolist()
    return [text[start : end - 1] if end > start else "" for start, end in pairwise(ends)]
