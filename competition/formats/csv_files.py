"""CSV files as tables of text: read without judging what the cells mean."""

import csv
import sys
from pathlib import Path

from competition.errors import CompetitionError
from competition.files import check_file
from competition.formats.spreadsheets import cut_by_excel, other_encoding, other_format, wrong_separator

LARGEST_TABLE = 4 << 30
"""Bytes of a CSV, which may hold the run lengths of a whole data set."""

# The csv module stops at 131,072 characters per field, and a smeared mask has more; no cell here is ever too long.
csv.field_size_limit(sys.maxsize)


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a CSV without judging it.

    Args:
        path: UTF-8, with or without a byte order mark; any line ends; blank lines are no rows.

    Returns:
        The header, and for each row its line number in the file (the header is line 1) and its fields.

    Raises:
        CompetitionError: The file is missing, empty, no CSV text in UTF-8 (packed, a workbook, another encoding),
            separated by semicolons or tabs, or its longest cells were cut by Excel.
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
    fault = (
        other_format(path, ",".join(header).encode("utf-8", "replace"))
        or wrong_separator(path, header)
        or cut_by_excel(path, lines)
    )
    if fault is not None:
        raise fault
    return header, lines
