"""The result of a check: all errors at once, what was checked and what was not."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from competition.errors import on_one_line
from competition.submission.known_images import KnownImages
from competition.text import few, near_misses, size_text

# Errors of one kind differ in quoted names and numbers.
_VARIES = re.compile(r"'[^']*'|[0-9]+")


@dataclass
class CheckResult:
    """What is wrong with a submission, and what is in it."""

    warnings: list[str] = field(default_factory=list)  # what is valid but probably a mistake
    rows: int = 0  # rows below the header, or files
    images: int = 0  # different images (samples in a table)
    # class -> share of the images with a mask (in a table: of the rows above 0.5)
    positive_share: dict[str, float] = field(default_factory=dict)
    size_bytes: int = 0  # size of the file
    checked: list[str] = field(default_factory=list)  # what was checked
    unchecked: list[str] = field(default_factory=list)  # what could not be checked, and what is needed for it
    _first: dict[str, str] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        """Return whether no error was found."""
        return not self._counts

    @property
    def faults(self) -> int:
        """Return the number of errors."""
        return self._counts.total()

    @property
    def errors(self) -> list[str]:
        """Return a sentence for each kind of error: the first of that kind, and how many more there are."""
        return [
            f"{first.removesuffix('.')} (and {self._counts[kind] - 1:,} more like it)"
            if self._counts[kind] > 1
            else first
            for kind, first in self._first.items()
        ]

    def enter_scope(
        self, checked: Sequence[str], images: KnownImages, *, unbounded: str | None = None, ordered: bool = True
    ) -> None:
        """Record what a check covers, as far as the images are known.

        Args:
            checked: What is checked of any submission.
            images: What is known of them.
            unbounded: What can't be checked without their sizes; None where sizes don't matter.
            ordered: Whether the order of the images is compared too.
        """
        self.checked += checked
        if images.names is None:
            self.unchecked.append("whether images are missing or unknown (no test images are prepared: run prepare)")
        if unbounded is not None and (images.sizes or images.size_hw):
            self.checked.append("bounds" if images.sizes else f"bounds of {size_text(images.size_hw or ())}")
        elif unbounded is not None:
            self.unchecked.append(f"{unbounded} (no sizes are known: run prepare, or give --size ROWSxCOLUMNS)")
        if images.names is not None:
            self.checked += ["image set", "order"] if ordered else ["image set"]

    def refuse(self, sentence: str, kind: str | None = None) -> None:
        """Record an error.

        Args:
            sentence: What is wrong and where.
            kind: What it has in common with others like it, apart from numbers and quoted names; by default the
                sentence itself.
        """
        key = _VARIES.sub("", sentence if kind is None else kind)
        self._first.setdefault(key, on_one_line(sentence))
        self._counts[key] += 1


def compare_names(result: CheckResult, kind: str, found: Sequence[str], expected: Sequence[str]) -> None:
    """Record which expected images, rows or files (``kind``) are missing, and which are unknown, with a hint."""
    in_found, in_expected = set(found), set(expected)
    missing = [name for name in expected if name not in in_found]
    unknown = [name for name in found if name not in in_expected]
    if missing:
        result.refuse(f"{len(missing)} of {len(expected)} {kind} missing: {few(missing)}")
    if unknown:
        hint = near_misses(unknown, missing)
        result.refuse(f"{len(unknown)} of {len(found)} {kind} not in the test set: {few(unknown)}{hint}")
