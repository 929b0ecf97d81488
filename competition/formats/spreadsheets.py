"""What spreadsheets and packers leave in a file that should be plain text, named with the repair."""

import codecs
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from competition.errors import CompetitionError

EXCEL_CELL = 32_767
"""Characters that Excel keeps of a cell; it drops the rest without a word."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WORKBOOK = "Open it in the spreadsheet and save it as CSV UTF-8"
_AS_UTF_8 = "Save it as CSV UTF-8 (in Python: encoding='utf-8')"


def other_format(path: Path, content: bytes) -> CompetitionError | None:
    """Says what a file is that its name calls plain text.

    Args:
        path: The file.
        content: Its first bytes, or all of them.

    Returns:
        One sentence with the repair; None for what may be text in UTF-8, with or without a byte-order mark.
    """
    if content.startswith(b"\x1f\x8b"):
        return CompetitionError("this is packed with gzip, not plain text", path, f"Unpack it: gzip -dc {path} > FILE")
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if _is_workbook(path):
            return CompetitionError("this is an Excel workbook (.xlsx), not plain text", path, _WORKBOOK)
        return CompetitionError("this is a zip, not plain text", path, "Unpack it and name the file in it")
    if content.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return CompetitionError("this is an old Excel workbook (.xls), not plain text", path, _WORKBOOK)
    if content.startswith((b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c")):
        return CompetitionError("this is a packed archive, not plain text", path, "Unpack it")
    if content.startswith(_UTF_16) or b"\0" in content[:200]:
        return CompetitionError("this is text in UTF-16, not in UTF-8", path, _AS_UTF_8)
    return None


def other_encoding(path: Path, content: bytes) -> CompetitionError:
    """Says in which encoding a text is that is not UTF-8.

    Args:
        path: The file.
        content: Some of it, with the bytes that are not UTF-8.
    """
    other = other_format(path, content)
    if other is not None:
        return other
    # Whole characters only: a piece may end within one of two bytes.
    lines = content.rpartition(b"\n")[0] or content
    try:
        text = lines.decode("cp949")
    except UnicodeDecodeError:
        return CompetitionError("this is no text in UTF-8", path, _AS_UTF_8)
    korean = any("\uac00" <= character <= "\ud7a3" for character in text)
    name = "cp949 (as Korean Excel saves it)" if korean else "another encoding"
    return CompetitionError(f"this is text in {name}, not in UTF-8", path, _AS_UTF_8)


def wrong_separator(path: Path, header: Iterable[str]) -> CompetitionError | None:
    """Says that the cells of a CSV's header are separated by something else than commas."""
    cells = list(header)
    for separator, name in ((";", "';'"), ("\t", "tabs")):
        if len(cells) == 1 and separator in cells[0]:
            repair = (
                f"Write commas: pandas.read_csv({path.name!r}, sep={separator!r}).to_csv({path.name!r}, index=False)"
            )
            return CompetitionError(f"cells are separated by {name}, not by ','", path, repair)
    return None


def cut_by_excel(path: Path, rows: Sequence[tuple[int, list[str]]]) -> CompetitionError | None:
    """Says that Excel has cut the longest cells of a CSV.

    Only where no cell is longer than its limit: a file that holds a longer one was not saved by Excel.

    Args:
        path: The CSV.
        rows: Line numbers and fields.
    """
    if max((len(field) for _, fields in rows for field in fields), default=0) != EXCEL_CELL:
        return None
    lines = [line for line, fields in rows for field in fields if len(field) == EXCEL_CELL]
    return CompetitionError(
        f"{len(lines)} cells have exactly {EXCEL_CELL:,} characters, where Excel cuts them (first in row {lines[0]})",
        path,
        "Use the file as it was before Excel saved it",
    )


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except Exception:  # whatever is wrong with it, it is a zip, and that is said
        return False
