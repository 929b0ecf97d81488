"""CSV files as tables of text, whole or by the names of their columns, with a repair for what spreadsheets spoil."""

import codecs
import csv
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from competition.errors import CompetitionError
from competition.files import check_file
from competition.text import few, nearest_hint, shortened

LARGEST_TABLE = 4 << 30
"""Bytes of a CSV, which may hold the run lengths of a whole data set."""
EXCEL_CELL = 32_767
"""Characters that Excel keeps of a cell; it drops the rest silently."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WORKBOOK = "Open it in the spreadsheet and save it as CSV UTF-8"
_AS_UTF_8 = "Save it as CSV UTF-8 (in Python: encoding='utf-8')"
SHOWN_HEADER = 60
"""Characters of a wrong first line that are shown."""

# The csv module stops at 131,072 characters per field, and a smeared mask has more.
csv.field_size_limit(sys.maxsize)


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a CSV in UTF-8 as text; a byte order mark and any line ends are accepted, and blank lines are no rows.

    Returns:
        The header, and for each row its line number in the file (the header is line 1) and its fields.

    Raises:
        CompetitionError: The file is missing, empty, no CSV text in UTF-8 (packed, a workbook, another encoding),
            separated by semicolons or tabs, or its longest cells were truncated by Excel.
    """
    try:
        check_file(path, LARGEST_TABLE)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, None)
            lines = [(reader.line_num, fields) for fields in reader if fields]
    except MemoryError as error:
        raise CompetitionError("the file does not fit into memory", path) from error
    except OSError as error:
        raise CompetitionError(f"can't read the file ({error.strerror or error})", path) from error
    except UnicodeDecodeError as error:
        raise other_encoding(path, error.object) from error
    except csv.Error as error:
        raise CompetitionError(f"this is not a CSV in UTF-8 ({error})", path) from error
    if header is None:
        raise CompetitionError("the file is empty", path)
    content = ",".join(header).encode("utf-8", "replace")
    if fault := _other_format(path, content) or _wrong_separator(path, header) or _cut_by_excel(path, lines):
        raise fault
    return header, lines


def _other_format(path: Path, content: bytes) -> CompetitionError | None:
    """Return the error for a file whose first bytes ``content`` are no plain text, None for what may be UTF-8."""
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
    """Return the error for a text whose bytes ``content`` are not UTF-8, with the likely encoding."""
    if (foreign := _other_format(path, content)) is not None:
        return foreign
    # Whole characters only: a piece may end within one of two bytes.
    lines = content.rpartition(b"\n")[0] or content
    try:
        korean = any("\uac00" <= character <= "\ud7a3" for character in lines.decode("cp949"))
    except UnicodeDecodeError:
        return CompetitionError("this is no text in UTF-8", path, _AS_UTF_8)
    name = "cp949 (as Korean Excel saves it)" if korean else "another encoding"
    return CompetitionError(f"this is text in {name}, not in UTF-8", path, _AS_UTF_8)


def _wrong_separator(path: Path, header: Sequence[str]) -> CompetitionError | None:
    """Return the error for a CSV whose header is separated by something other than commas, else None."""
    for separator, name in ((";", "';'"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            file = repr(path.name)
            repair = f"Write commas: pandas.read_csv({file}, sep={separator!r}).to_csv({file}, index=False)"
            return CompetitionError(f"cells are separated by {name}, not by ','", path, repair)
    return None


def _cut_by_excel(path: Path, rows: Sequence[tuple[int, list[str]]]) -> CompetitionError | None:
    """Return the error for a CSV (line numbers and fields) whose longest cells Excel has truncated, else None.

    Only where no cell is longer than Excel's limit: a file with a longer one was not saved by Excel.
    """
    if max((len(field) for _, fields in rows for field in fields), default=0) != EXCEL_CELL:
        return None
    lines = [line for line, fields in rows for field in fields if len(field) == EXCEL_CELL]
    reason = f"{len(lines)} cells have exactly {EXCEL_CELL:,} characters, Excel's limit (first in row {lines[0]})"
    return CompetitionError(reason, path, "Use the file as it was before Excel saved it")


def _is_workbook(path: Path) -> bool:
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # a damaged zip is still reported as a zip
        return "xl/workbook.xml" in archive.namelist()
    return False


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Read some columns of a CSV; blanks around names and cells don't count, and other columns are skipped.

    Yields:
        Line number in the file (the header is line 1), and the cells in the order of ``columns``.

    Raises:
        CompetitionError: The file can't be read, a column is missing or named twice, or a row has more or fewer cells
            than the header.
    """
    header, lines = read_csv(path)
    names = [name.strip() for name in header]
    if (problem := header_problem(names, columns, others=True)) is not None:
        raise CompetitionError(problem, path)
    positions = [names.index(column) for column in columns]
    for line, fields in lines:
        if len(fields) != len(names):
            raise CompetitionError(f"row {line} has {len(fields)} fields, not {len(names)}", path)
        yield line, [fields[at].strip() for at in positions]


def header_problem(header: Sequence[str], columns: Sequence[str], others: bool = False) -> str | None:
    """Return a sentence on the columns that are missing, named twice or too many, None where the set is right.

    Args:
        header: Names of the columns that are there.
        columns: Those that are wanted, in any order.
        others: Whether further columns are allowed.
    """
    counts, wanted = Counter(header), set(columns)
    missing = [column for column in columns if column not in counts]
    extra = [column for column in counts if column not in wanted]
    twice = sorted(column for column, count in counts.items() if count > 1 and not (others and column not in wanted))
    if not missing and not twice and (others or not extra):
        return None
    found = {"missing": missing, "too many": extra, "twice": twice}
    parts = [f"{what} {few(list(map(repr, names)))}" for what, names in found.items() if names]
    expected = f"the columns are not {','.join(columns)}"
    if len(missing) == len(columns):
        shown = shortened(",".join(header), SHOWN_HEADER)
        return f"{expected}: the first line is {shown!r} (no header, or a file of another track? See --track)"
    if others and missing:
        # A misspelt name is among the columns that are not wanted; if none is near, all are listed.
        hint = nearest_hint(missing[0], extra)
        hint = hint if hint.startswith(", did") else f"; known are {', '.join(counts)}"
        return f"there is no column {missing[0]!r}{hint}"
    hint = " (a file of another track? See --track)" if missing else ""
    hint = " (an unnamed column is a row number: write with index=False)" if "" in extra else hint
    return f"{expected}: {'; '.join(parts)}{hint}"
