"""Files are written whole or not at all, and the program's own text files are read with care."""

import csv
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from competition.errors import CompetitionError

# The csv module stops at 131,072 characters per field, and a smeared mask has more; no cell here is ever too long.
csv.field_size_limit(sys.maxsize)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; renamed to it when the block ends well, removed otherwise.

    Args:
        path: The file to write. Its folder is made.

    Yields:
        The path to write to.

    Raises:
        CompetitionError: The disk is full or the folder can't be written; the old file, if any, is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
    except OSError as error:
        raise _cannot_write(path, error) from error
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)  # mkstemp makes private files; results are for the whole team
        os.replace(part, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, ours: str) -> Iterator[Path]:
    """Like ``whole_file`` for a folder; an old folder of that name is replaced at the end.

    Args:
        path: The folder to write.
        ours: Pattern of a file that the folder holds where this program made it: only such a folder, or an empty one,
            is replaced.

    Yields:
        An empty folder to write to.

    Raises:
        CompetitionError: As for ``whole_file``, or something else is there; then nothing was written or deleted.
    """
    _check_ours(path, (ours,))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield part
        part.chmod(0o755)
        old = part.with_suffix(".old")
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(part, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_folder(path: Path, *ours: str) -> None:
    """Deletes a folder that this program made, or an empty one; a folder that is not there is no error.

    Args:
        path: The folder.
        ours: Patterns of files, of which it holds one where this program made it.

    Raises:
        CompetitionError: Something else is there; then nothing was deleted.
    """
    _check_ours(path, ours)
    shutil.rmtree(path, ignore_errors=True)


def _check_ours(path: Path, ours: Sequence[str]) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise CompetitionError("a file is where a folder is to be written", path, "Move it away")
    if any(path.iterdir()) and not any(next(path.glob(pattern), None) for pattern in ours):
        what = f"this folder holds no {' or '.join(ours)}, so it may be somebody's own and is not deleted"
        raise CompetitionError(what, path, "Look what is in it and move it away")


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all; NaN is not JSON and is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of one set of columns, whole or not at all."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Reads a CSV without judging it.

    Args:
        path: UTF-8, with or without a byte order mark; any line ends; blank lines are no rows.

    Returns:
        The header, and for each row its line number in the file (the header is line 1) and its fields.

    Raises:
        CompetitionError: The file is missing, empty, separated by semicolons, or no CSV text at all.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, None)
            lines = [(reader.line_num, fields) for fields in reader if fields]
    except OSError as error:
        raise CompetitionError(f"can't read the file ({error.strerror or error})", path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CompetitionError(f"this is not a CSV in UTF-8 ({error})", path) from error
    if header is None:
        raise CompetitionError("the file is empty", path)
    if len(header) == 1 and ";" in header[0]:
        raise CompetitionError("cells are separated by ';', not by ','", path)
    return header, lines


def read_json(path: Path, mend: str) -> Any:
    """Reads a JSON file.

    Raises:
        CompetitionError: It is missing or not JSON; ``mend`` says what makes it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CompetitionError("file not found", path, mend) from error
    except (OSError, ValueError) as error:
        raise CompetitionError(f"can't be read as JSON ({error})", path, mend) from error


def _cannot_write(path: Path, error: OSError) -> CompetitionError:
    reason = error.strerror or str(error)
    mend = (
        "Nothing was changed; make room or choose another place with --workspace DIR, then run the same command again"
    )
    return CompetitionError(f"can't write ({reason})", path, mend)
