"""The columns of a CSV of run lengths, read or written, and how its pixels are counted."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from competition.errors import CompetitionError
from competition.masks.run_length_text import format_runs, parse
from competition.masks.run_lengths import Order
from competition.settings import Section

# pandas writes an empty cell of a float column as "nan".
NO_MASK = frozenset(("", "-1", "nan", "NaN"))


class RunLengthColumns(Section):
    """Columns and counting."""

    image: str
    """The column of image names."""
    class_column: Annotated[str | None, Field(alias="class")] = None
    """The column of class names. Left out with one class, or where each class has a column of run lengths."""
    rle: str | None = None
    """The column of run lengths. Left out where each class has a column of its own, named as the class."""
    order: Order = "row"
    """Whether pixels are counted row by row or column by column."""
    start: Literal[0, 1] = 1
    """The number of the first pixel."""
    relative: bool = False
    """Whether a start counts from the end of the run before it instead of from the first pixel."""

    def header(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return all columns."""
        between = () if self.class_column is None else (self.class_column,)
        return (self.image, *between, *(classes if self.rle is None else (self.rle,)))

    def masks(self, cells: Sequence[str], classes: Sequence[str]) -> list[tuple[str, str]]:
        """Return classes and run lengths as a row has them; its cells are in the order of ``header``."""
        if self.rle is None:
            return list(zip(classes, cells[1:], strict=True))
        return [(classes[0] if self.class_column is None else cells[1], cells[-1])]

    def contradiction(self, key: str, classes: int) -> str | None:
        """Return why columns and number of classes contradict each other, None if they fit; ``key`` is for messages."""
        if self.class_column and not self.rle:
            return f"{key} names a class column, so it needs an rle column too"
        if classes > 1 and self.rle and not self.class_column:
            return f"several classes need a class column in {key}, or a column of run lengths each (leave out rle)"
        return None


class SubmissionColumns(RunLengthColumns):
    """Columns of a submission: also how a name and an empty mask are written.

    Between files, a mask is always text of one kind: "start length ...", pixels counted from 1 in the form's order, ""
    for an empty mask. ``read`` and ``write`` convert a cell into it and back.
    """

    ending: bool
    """Whether image names are written with their ending (".png")."""
    empty: Annotated[Literal["", "-1"], BeforeValidator(lambda value: "" if value is None else str(value))] = ""
    """How an empty mask is written: "" or -1."""
    several_rows: bool = False
    """Whether an image and class may have several rows, one per object. They are joined when read; one is written."""

    @property
    def plain(self) -> bool:
        """Return whether a cell is that text already."""
        return self.start == 1 and not self.relative

    def read(self, cell: str, where: str) -> str:
        """Return the mask of a cell; any text for no mask is accepted where an empty mask is -1.

        Raises:
            CompetitionError: Malformed run lengths that have to be converted; ``where`` is the file and row.
        """
        if cell in NO_MASK and (cell != "-1" or self.empty == "-1"):
            return ""
        if self.plain:
            return cell
        runs = parse(cell, where, None, self.start, self.relative)
        return format_runs(runs, np.array([len(runs)]))[0]

    def write(self, rle: str) -> str:
        """Return the cell of a mask."""
        if not rle:
            return self.empty
        if self.plain:
            return rle
        numbers = np.array(rle.split(), dtype=np.int64)
        starts, lengths = numbers[0::2] - 1 + self.start, numbers[1::2]
        if self.relative:
            starts[1:] -= starts[:-1] + lengths[:-1]
        return " ".join(map(str, np.stack([starts, lengths], axis=1).ravel().tolist()))

    def check(self, cell: str, where: str, pixels: int | None) -> bool:
        """Return whether a cell holds a mask that is not empty.

        Args:
            cell: As it is written.
            where: Row, image and class, for the message.
            pixels: Height times width, if known.

        Raises:
            CompetitionError: The cell is invalid.
        """
        if cell in NO_MASK:
            wanted = NO_MASK - {"-1"} if self.empty == "" else {self.empty}
            if cell not in wanted:
                how = "an empty cell" if self.empty == "" else f"{self.empty!r}"
                raise CompetitionError(f"an empty mask is {how}, not {cell!r}", where)
            return False
        parse(cell, where, pixels, self.start, self.relative)
        return True


IMAGE_CLASS_RLE = SubmissionColumns.model_validate(
    {"image": "image_name", "class": "class", "rle": "rle", "ending": True}
)
"""A row per image and class, pixels row by row from 1: the form of the built-in tracks."""
