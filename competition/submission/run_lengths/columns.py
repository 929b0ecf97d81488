"""The columns of a CSV of run lengths, read or written, and how its pixels are counted."""

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from competition.errors import CompetitionError
from competition.masks.run_length_text import format_runs, parse
from competition.masks.run_lengths import Order
from competition.settings import Section
from competition.submission.run_lengths.id_template import possible_splits, split_id, template_fault, write_id

# pandas writes an empty cell of a float column as "nan".
NO_MASK = frozenset(("", "-1", "nan", "NaN"))

COUNTED = (
    "row if pixels are counted row by row (left to right, then down), column if column by column (as in most Kaggle "
    "competitions)"
)
"""What ``order`` says, for the message where it is missing."""


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

    @property
    def counting(self) -> str:
        """Return how pixels are counted, in words."""
        relative = ", each run from the end of the one before" if self.relative else ""
        return f"pixels {self.order} by {self.order} from {self.start}{relative}"

    def id_columns(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that identify a row."""
        return tuple(name for name in (self.image, self.class_column) if name is not None)

    def masks(
        self, cells: Sequence[str], classes: Sequence[str], known: Collection[str] = ()
    ) -> list[tuple[str, str, str]]:
        """Return images, classes and run lengths as a row has them.

        Args:
            cells: In the order of ``header``.
            classes: Of the track.
            known: Images that are known, for ids that can be read in several ways.
        """
        if self.rle is None:
            return [(cells[0], name, rle) for name, rle in zip(classes, cells[1:], strict=True)]
        return [(cells[0], classes[0] if self.class_column is None else cells[1], cells[-1])]

    def certain_images(self, cells: Iterable[str], classes: Sequence[str]) -> frozenset[str]:
        """Return images that are certain by the cells of the first column, as far as reading a cell needs them."""
        return frozenset()

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

    id: str | None = None
    """What the column ``image`` holds, if not the name of the image: "{image}_{class}"."""
    ending: bool
    """Whether image names are written with their ending (".png")."""
    empty: Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))] = ""
    """How an empty mask is written: "", -1 or any text that is no run lengths, such as "-"."""
    several_rows: bool = False
    """Whether an image and class may have several rows, one per object. They are joined when read; one is written."""

    @property
    def if_more(self) -> str:
        """Return what to do about columns in a file beside those declared, "" where none are declared."""
        own = self == IMAGE_CLASS_RLE
        return "" if own else "; if the organiser wants them, name the sample submission in the YAML file, as sample:"

    def masks(
        self, cells: Sequence[str], classes: Sequence[str], known: Collection[str] = ()
    ) -> list[tuple[str, str, str]]:
        """Return images, classes and run lengths as a row has them; arguments as those of other columns."""
        if self.id is None:
            return super().masks(cells, classes, known)
        return [(*split_id(self.id, cells[0], classes, known), cells[-1])]

    def certain_images(self, cells: Iterable[str], classes: Sequence[str]) -> frozenset[str]:
        """Return the images of which there is an id of every class."""
        if self.id is None:
            return frozenset()
        ids, template = frozenset(cells), self.id
        images = {image for one in ids for image, _ in possible_splits(template, one, classes)}
        return frozenset(one for one in images if all(write_id(template, one, name) in ids for name in classes))

    def named(self, image: str, class_name: str) -> str:
        """Return what the first column holds for an image and class."""
        return image if self.id is None else write_id(self.id, image, class_name)

    def row_ids(self, images: Iterable[str], classes: Sequence[str]) -> list[str]:
        """Return the ids of all rows of images, the cells of ``id_columns`` joined by a blank, each once."""
        of_class = "" if self.class_column is None else " {}"
        ids = (self.named(image, name) + of_class.format(name) for image in images for name in classes)
        return list(dict.fromkeys(ids))

    def contradiction(self, key: str, classes: int) -> str | None:
        """Return why columns, id and number of classes contradict each other, None if they fit."""
        if self.id is None:
            return super().contradiction(key, classes)
        if self.class_column or not self.rle:
            return f"{key}: with id there is a column of run lengths (rle) and none of classes (class)"
        fault = template_fault(self.id, classes)
        return None if fault is None else f"{key}.id {fault}"

    @field_validator("empty")
    @classmethod
    def _no_run_lengths(cls, empty: str) -> str:
        if empty.replace(" ", "").isdigit() or len(empty.splitlines()) > 1 or empty != empty.strip():
            raise ValueError(f"must be a text that can't be taken for run lengths, not {empty!r}")
        return empty

    @property
    def plain(self) -> bool:
        """Return whether a cell is that text already."""
        return self.start == 1 and not self.relative

    def read(self, cell: str, where: str) -> str:
        """Return the mask of a cell; -1 is an empty one only if the form declares it.

        Raises:
            CompetitionError: Malformed run lengths that have to be converted; ``where`` is the file and row.
        """
        if cell == self.empty or (cell in NO_MASK and cell != "-1"):
            return ""
        if self.plain:
            return cell
        runs = parse(cell, where, None, self.start, self.relative)
        return format_runs(runs, np.array([len(runs)]))[0]

    def is_empty(self, cell: str) -> bool:
        """Return whether a cell means an empty mask, as it is declared or as other programs write it."""
        return cell == self.empty or cell in NO_MASK

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
        if self.is_empty(cell):
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
