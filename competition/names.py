"""Names from users and files: what may become a file name, the name of a run or a cell of a table.

A name is never a path. Whatever becomes part of a path is checked where it is given, with a message, and again where
the path is built (``inside``), so that nothing can be written outside its folder.
"""

import hashlib
import re
from pathlib import Path

from competition.errors import CompetitionError
from competition.text import shortened

LONGEST_NAME = 100
"""Bytes of UTF-8. File systems end at 255; submission ids and temporary files add to a name."""
LONGEST_KEY = 200
"""Bytes of a sample's key, often a file name of the organisers; the cache adds a view and an ending."""
_LONGEST_FILE = 255

# Line breaks and terminal codes; halves of surrogate pairs, which are what bytes that are not UTF-8 become.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_FORMULA_SIGNS = "=+-@"
_MEMBER_SIGNS = ",:@"
_NOT_RUNS = ("ensembles", "search")


def check_name(name: str, of: str, repair: str) -> None:
    """Reject what can't be the name of a run, a decision, a search, a comparison or a track.

    Args:
        name: As it was given.
        of: What it names, with its article: "a run".
        repair: How to correct it.

    Raises:
        CompetitionError: With what is wrong.
    """
    if fault := name_fault(name):
        raise CompetitionError(f"{of} can't be called {shortened(name, 60)!r} (the name {fault})", None, repair)


def name_fault(name: str) -> str | None:
    """Return the rest of a sentence on why this is no name ("is empty"); None where it is one."""
    return file_fault(name, LONGEST_NAME) or _edge_fault(name)


def check_run_name(name: str) -> None:
    """Reject a name that no run may have, with a CompetitionError: every run can be named in --members."""
    if fault := run_fault(name):
        what = f"a run can't be called {shortened(name, 60)!r} (the name {fault})"
        raise CompetitionError(what, None, "Give another --name")


def run_fault(name: str) -> str | None:
    """Return why a run can't have this name; None where it can."""
    if fault := name_fault(name):
        return fault
    if name.casefold() in _NOT_RUNS:  # some file systems take Search and search for one
        return f"is reserved for the folder {name.casefold()!r} next to the runs"
    if signs := [sign for sign in _MEMBER_SIGNS if sign in name]:
        return f"contains {signs[0]!r}, which has a meaning in --members"
    return None


def label_fault(label: str) -> str | None:
    """Return why this can't be a label in tables, such as a class or a group; None where it can.

    A label may hold slashes, because it is no file name. A spreadsheet must not read it as a formula; numbers with a
    sign are no formulas.
    """
    return _text_fault(label, LONGEST_NAME) or (None if _NUMBER.fullmatch(label) else _edge_fault(label, dots=True))


def file_fault(name: str, longest: int = _LONGEST_FILE) -> str | None:
    """Return why this can't be a file or folder of at most ``longest`` bytes of UTF-8; None where it can."""
    if fault := _text_fault(name, longest):
        return fault
    if "/" in name or "\\" in name:
        return "contains a slash, but a name is not a path"
    return "would lead to another folder" if name in (".", "..") else None


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file or folder directly in ``folder``.

    Raises:
        CompetitionError: The name would lead elsewhere or is no file name.
    """
    if fault := file_fault(name):
        raise CompetitionError(f"{shortened(name, 60)!r} can't be a file name, because it {fault}", folder)
    return folder / name


def shortened_name(name: str) -> str:
    """Return a composed name, shortened where it is too long; a hash keeps different ones apart."""
    encoded = name.encode(errors="replace")
    if len(encoded) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:10]
    return f"{encoded[: LONGEST_NAME - 11].decode(errors='ignore')}-{digest}"


def _text_fault(text: str, longest: int) -> str | None:
    if not text.strip():
        return "is empty"
    if _NOT_UTF8.search(text):
        return "is not valid UTF-8"
    if _CONTROL.search(text):
        return "contains a line break or another control character"
    if (size := len(text.encode())) > longest:
        return f"has {size} bytes; at most {longest} are allowed"
    return None


def _edge_fault(text: str, dots: bool = False) -> str | None:
    if text[0] in _FORMULA_SIGNS or (text[0] == "." and not dots):
        return f"begins with {text[0]!r}"
    return "begins or ends with a space" if text != text.strip() else None
