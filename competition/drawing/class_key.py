"""The key of an overlay: colour, number, name and size of each class, in as many columns as they need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.drawing.lettering import Colour, draw_text, text_width

PAPER, INK, FAINT = (24, 24, 24), (238, 238, 238), (160, 160, 160)


@dataclass(frozen=True)
class KeyRow:
    """A line of the key: a class, or a remark without a colour and a number."""

    number: str
    name: str
    size: str = ""
    colour: Colour | None = None


@dataclass(frozen=True)
class KeyLayout:
    """Widths of the parts of a line in pixels, all of which follow from the rows and the size of the letters."""

    rows: Sequence[KeyRow]
    letters: int  # pixels

    @property
    def line(self) -> int:
        """Return the height of a line."""
        return round(1.5 * self.letters)

    @property
    def number_width(self) -> int:
        """Return the columns of the widest number."""
        return max(text_width(row.number, self.letters) for row in self.rows)

    @property
    def name_width(self) -> int:
        """Return the columns of the widest name."""
        return max(text_width(row.name, self.letters) for row in self.rows)

    @property
    def column_width(self) -> int:
        """Return the columns of a line, with the space around it."""
        sizes = max(text_width(row.size, self.letters) for row in self.rows)
        return round(4.2 * self.letters) + self.number_width + self.name_width + sizes

    def columns_beside(self, height: int) -> int:
        """Return how many columns are needed beside a picture of this height."""
        return -(-len(self.rows) // max(1, (height - self.letters) // self.line))

    def columns_below(self, width: int) -> int:
        """Return how many columns fit below a picture of this width, at least one."""
        return min(len(self.rows), max(1, width // self.column_width))

    def size_hw(self, columns: int) -> tuple[int, int]:
        """Return the size of the key in this many columns."""
        return -(-len(self.rows) // columns) * self.line + self.letters, columns * self.column_width


def draw_key(picture: NDArray[np.uint8], layout: KeyLayout, columns: int) -> None:
    """Draw a key into the top left of an empty RGB picture (h, w, 3), in place."""
    down = -(-len(layout.rows) // columns)
    for position, row in enumerate(layout.rows):
        column, line = divmod(position, down)
        middle = layout.letters // 2 + line * layout.line + layout.line // 2
        _draw_row(picture, layout, row, column * layout.column_width + layout.letters, middle)


def _draw_row(picture: NDArray[np.uint8], layout: KeyLayout, row: KeyRow, left: int, middle: int) -> None:
    letters = layout.letters
    if row.colour is not None:
        half = round(0.38 * letters)
        picture[middle - half : middle + half, left : left + 2 * half] = row.colour
    number_end = left + round(1.2 * letters) + layout.number_width
    draw_text(picture, row.number, (number_end, middle), letters, INK, anchor="rm")
    name_start = number_end + round(0.6 * letters)
    draw_text(picture, row.name, (name_start, middle), letters, FAINT if row.colour is None else INK)
    end = left + layout.column_width - round(1.4 * letters)
    draw_text(picture, row.size, (end, middle), letters, FAINT, anchor="rm")
