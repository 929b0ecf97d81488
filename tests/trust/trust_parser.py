"""What a trust test knows of a parser: valid files, and the call that reads one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Parser:
    """A reader of foreign or stored bytes.

    Attributes:
        name: For the table.
        file: Name that the damaged file is given.
        valid: Contents that are read without an error.
        read: Reads the file; what it returns is not looked at.
        names_file: Whether each refusal must name the file, or a file beside it.
    """

    name: str
    file: str
    valid: tuple[bytes, ...]
    read: Callable[[Path], Any]
    names_file: bool = True
