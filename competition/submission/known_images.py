"""The images of a submission: what is known of them, their labels, and how files are joined by their names."""

import math
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.objects import Objects
from competition.text import few, near_misses

Item = TypeVar("Item")

ReadLabel = Callable[[str, tuple[int, int] | None], NDArray[np.uint8]]
"""(image name, rows and columns, or None where the label has its own) -> label planes uint8 (H, W, ceil(C / 8))."""

ReadObjects = Callable[[str, tuple[int, int]], Objects]
"""(image name, rows and columns) -> its objects."""


@dataclass(frozen=True)
class KnownImages:
    """What is known of the images of a submission."""

    names: Sequence[str] | None = None  # in the organiser's order; None if unknown
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # image name -> rows and columns
    size_hw: tuple[int, int] | None = None  # rows and columns of every image that ``sizes`` lacks; None if unknown
    # image name -> group, because a metric may pool the images of a group
    groups: Mapping[str, str] = field(default_factory=dict)

    def size_of(self, name: str) -> tuple[int, int] | None:
        """Return rows and columns of an image, None if unknown."""
        return self.sizes.get(name, self.size_hw)

    def pixels_of(self, name: str) -> int | None:
        """Return the number of pixels of an image, None if unknown."""
        size = self.size_of(name)
        return None if size is None else math.prod(size)

    def renamed(self, name_in_file: Callable[[str], str]) -> "KnownImages":
        """Return the same images under the names that a submission gives them."""
        names = None if self.names is None else [name_in_file(name) for name in self.names]
        sizes = {name_in_file(name): size for name, size in self.sizes.items()}
        groups = {name_in_file(name): group for name, group in self.groups.items()}
        return KnownImages(names, sizes, self.size_hw, groups)


NOTHING_KNOWN = KnownImages()


class Labels(Protocol):
    """Labels in a track's own form, which a submission can be scored against."""

    @property
    def folder(self) -> Path:
        """Return the folder of the labels."""
        ...

    def join(self, names: Sequence[str]) -> ReadLabel:
        """Find the label of each image of a submission, and return a function that reads one of them.

        Raises:
            CompetitionError: An image has no label or several.
        """
        ...

    def join_objects(self, names: Sequence[str]) -> ReadObjects | None:
        """Return how to read the objects of each image; None where they are the components of its masks.

        Raises:
            CompetitionError: An image has no label or several.
        """
        ...


Truth = Path | Labels
"""A file in submission form, or labels in the track's own form."""


def same_rows(
    expected: Sequence[tuple[str, ...]], found: Sequence[tuple[str, ...]], where: Path | str, extra: str
) -> None:
    """Reject a side that lacks a row of the other; the first word of a row is its image or patient.

    Raises:
        CompetitionError: With the rows, and with the right spelling of a misspelt name.
    """
    in_expected, in_found = set(expected), set(found)
    missing = [row for row in expected if row not in in_found]
    unknown = [row for row in found if row not in in_expected]
    parts = []
    if missing:
        parts.append(f"{len(missing)} rows are missing ({few([' '.join(row) for row in missing])})")
    if unknown:
        parts.append(f"{len(unknown)} rows are {extra} ({few([' '.join(row) for row in unknown])})")
    if parts:
        hint = near_misses((row[0] for row in unknown), {row[0]: None for row in missing})
        raise CompetitionError(" and ".join(parts) + hint, where)


def held_by(missing: Collection[Item], paths: Sequence[Path], files: Sequence[Container[Item]]) -> str:
    """Return which file has what another one lacks, because it may be the wrong one: ", which B.csv has", or ""."""
    holder = next((path for path, file in zip(paths, files, strict=True) if any(key in file for key in missing)), None)
    return "" if holder is None else f", which {holder} has"
