"""The problem of an image without a row in a CSV, with the row that was probably meant."""

from collections.abc import Mapping
from typing import Protocol

from competition.text import difference
from competition.tracks.track import Problem


class NamedColumn(Protocol):
    """A declaration of a CSV and its column of images."""

    @property
    def csv(self) -> str:
        """Return the CSV below the data folder."""

    @property
    def image(self) -> str:
        """Return the column of images."""


def no_row(key: str, image: str, meant: str | None, lines: Mapping[str, int], form: NamedColumn) -> Problem:
    """Return the problem of an image without row.

    Args:
        key: Of the sample.
        image: As it would be called in the CSV.
        meant: The name in the CSV that was probably meant; None if there is none.
        lines: Name in the CSV -> line of its first row.
        form: The declaration.
    """
    reason, kind = f"annotation missing: no row of image {image!r}", "no row"
    if meant is None:
        return Problem(key, "train", form.csv, reason, kind=kind)
    how = difference(meant, image)
    reason += f", did you mean row {lines[meant]} for {meant!r}, which differs in its {how}?"
    repair = f"Write column {form.image!r} of {form.csv} as the image files are called"
    if "zeros" in how:
        repair += " (spreadsheets drop leading zeros: keep the column as text)"
    return Problem(key, "train", form.csv, reason, kind=f"{kind}: {how}", repair=repair)
