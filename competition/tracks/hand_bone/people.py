"""``meta_data.xlsx``: age, sex, weight and height of the people, as far as it is readable.

The organiser's sheet is called "ID", has a row for each of 550 people, Korean headings, six spellings of two sexes and
stray columns. It is personal data: it is summarised here, the sexes are balanced over folds, and nothing is stored.
"""

import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from competition.errors import CompetitionError
from competition.files import LARGEST_TEXT, check_file

SHEET = "meta_data.xlsx"
MOST_CELLS = 1_000_000
"""Cells of the rectangle from A1 to the last cell; the organiser's has 550 rows. openpyxl reads the empty ones
too, which takes 20 s with one stray cell in row 9,999,999."""

HEADINGS = {
    "age": ("나이", "연령", "age"),
    "sex": ("성별", "sex", "gender"),
    "weight_kg": ("체중", "몸무게", "weight"),
    "height_cm": ("키", "신장", "height"),
}
"""Words in the heading of each figure; the organiser writes 체중(몸무게) and 키(신장)."""


@dataclass(frozen=True)
class Person:
    """One row; None where a cell is empty or unreadable."""

    age: float | None  # in years
    sex: str | None  # "female" or "male"
    weight_kg: float | None
    height_cm: float | None


def read_people(path: Path) -> dict[str, Person]:
    """Read the sheet.

    Args:
        path: The Excel file: the sheet "ID" where there is one, else the first; headings in the first row.

    Returns:
        "ID001" -> person. Rows without an ID are skipped; of two rows of one ID the first counts.

    Raises:
        CompetitionError: It can't be read as an Excel file, or has no column ID.
    """
    rows = _rows(path)
    headings = [str(cell or "").strip().lower() for cell in next(rows, ())]
    if "id" not in headings:
        raise CompetitionError("the first row has no column ID", path, "Repair the sheet, or remove it from the folder")
    column_of = {figure: _column(headings, words) for figure, words in HEADINGS.items()}
    people: dict[str, Person] = {}
    for row in rows:
        name = _identifier(row[headings.index("id")])
        if name is not None and name not in people:
            cells = {figure: None if column is None else row[column] for figure, column in column_of.items()}
            sex, numbers = _sex(cells.pop("sex")), {figure: _number(cell) for figure, cell in cells.items()}
            people[name] = Person(sex=sex, **numbers)
    return people


def _rows(path: Path) -> Iterator[Any]:
    import openpyxl  # here, because every stage imports the tracks and only prepare reads this file

    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(part.file_size for part in archive.infolist())
        if inflated > LARGEST_TEXT:
            raise ValueError(f"it inflates to {inflated:,} bytes")
        book = openpyxl.load_workbook(path, data_only=True)
        sheet = book["ID"] if "ID" in book.sheetnames else book.worksheets[0]
        if sheet.max_row * sheet.max_column > MOST_CELLS:
            raise ValueError(f"its cells reach to row {sheet.max_row:,} and column {sheet.max_column:,}")
        return iter(list(sheet.iter_rows(values_only=True)))
    except Exception as error:  # openpyxl raises whatever zip, XML and its own code raise
        reason = f"can't be read as an Excel sheet ({type(error).__name__}: {error})"
        raise CompetitionError(reason, path, "Repair it, or remove it: nothing else needs it") from error


def _column(headings: Sequence[str], words: Sequence[str]) -> int | None:
    return next((column for column, heading in enumerate(headings) if any(word in heading for word in words)), None)


def _identifier(cell: object) -> str | None:
    """Return ID001 for "001", 1, 1.0 or "ID001"; None for anything else."""
    text = str(cell or "").strip().upper().removeprefix("ID").removesuffix(".0")
    return f"ID{int(text):03d}" if text.isdecimal() and len(text) <= 18 else None


def _number(cell: object) -> float | None:
    try:
        value = float(str(cell))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _sex(cell: object) -> str | None:
    """Return the sex; the sheet's six spellings are 여 and 남 after blanks or an escaped control character."""
    text = str(cell or "").strip().lower()
    if "여" in text or text in ("f", "female"):
        return "female"
    return "male" if "남" in text or text in ("m", "male") else None


def describe_people(people: dict[str, Person], training: Collection[str], test: Collection[str]) -> str:
    """Return a sentence on the people with these IDs, which shows a shift from training to test."""
    parts = [f"{SHEET}: {len(people)} people"]
    for split, names in (("train", training), ("test", test)):
        found = [people[name] for name in sorted(names) if name in people]
        if names:
            parts.append(f"{split} {len(found)} of {len(names)}{_figures(found)}")
    return "; ".join(parts)


def _figures(people: Sequence[Person]) -> str:
    texts = []
    if sexes := [person.sex for person in people if person.sex is not None]:
        texts.append(f"{sexes.count('female') / len(sexes):.0%} female")
    for figure, unit in (("age", "years"), ("height_cm", "cm"), ("weight_kg", "kg")):
        values = [value for person in people if (value := getattr(person, figure)) is not None]
        if values:
            texts.append(f"{np.mean(values):.1f} {unit} ({min(values):g}-{max(values):g})")
    return f" ({', '.join(texts)})" if texts else ""
