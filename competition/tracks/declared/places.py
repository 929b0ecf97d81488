"""What the path of an image says: its key, its group and its stratum, as templates or regular expressions declare."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from competition.names import LONGEST_KEY, file_fault
from competition.text import same_spelling
from competition.tracks.declared.patterns import find_group, find_named
from competition.tracks.declared.templates import CLASS, PATH_FIELDS, SLICE, fields_in, fill, is_template, path_fields

DEFAULT_KEY = "{stem}"


class PathFaultError(Exception):
    """Why the path of one image gives no key or group; the others may."""

    def __init__(self, reason: str, repair: str = "") -> None:
        """Keep the reason, and what the user can do about all such paths."""
        super().__init__(reason)
        self.reason, self.repair = reason, repair


@dataclass(frozen=True)
class Places:
    """The keys ``path``, ``key``, ``group`` and ``stratum`` of a declaration."""

    path: str | None
    key: str
    group: str | None
    stratum: str | None

    @property
    def known_fields(self) -> tuple[str, ...]:
        """Return the fields that templates may hold."""
        return (*PATH_FIELDS, *(re.compile(self.path).groupindex if self.path else ()))

    def fields_of(self, relative: str) -> dict[str, str]:
        """Return the fields of an image.

        Args:
            relative: Its path below the data folder.

        Raises:
            PathFaultError: ``path`` does not match.
            CompetitionError: Its search takes too long.
        """
        fields = path_fields(relative)
        if self.path is None:
            return fields
        named = find_named(self.path, same_spelling(relative))
        if named is None:
            raise PathFaultError(f"path does not match '{self.path}'", "Fix path: in the track's YAML file")
        return fields | named

    def key_of(self, fields: Mapping[str, str]) -> str:
        """Return the key of an image with these fields; raise PathFaultError if it is no file name."""
        key = _filled("key", self.key, fields)
        if self.key != DEFAULT_KEY and (fault := file_fault(key, LONGEST_KEY)):
            repair = "Write key: in the track's YAML file with fields that hold no folders, such as {parent}_{stem}"
            raise PathFaultError(f"its key {key!r} {fault}", repair)
        return key

    def key_of_mask(self, fields: Mapping[str, str]) -> str:
        """Return the key of the image of a mask whose path has these fields; raise PathFaultError if they lack some."""
        image = "/".join(filter(None, (fields.get("dir"), fields.get("stem", ""))))
        named = find_named(self.path, image) if self.path else None
        return self.key_of((named or {}) | dict(fields))

    def group_of(self, relative: str, fields: Mapping[str, str]) -> str:
        """Return the group of an image; raise PathFaultError where a pattern does not match or a field is missing."""
        assert self.group is not None
        group = _searched("group", self.group, relative, fields)
        if group is not None:
            return group
        reason = f"{'path' if '/' in self.group else 'name'} does not match the group '{self.group}'"
        if "/" not in self.group and find_group(self.group, same_spelling(relative)):
            reason += ", which is searched in the file name only and would match the path"
        raise PathFaultError(reason)

    def stratum_of(self, relative: str, fields: Mapping[str, str]) -> str:
        """Return the stratum of an image, "" where its pattern does not match; raise PathFaultError as ``group_of``."""
        return "" if self.stratum is None else _searched("stratum", self.stratum, relative, fields) or ""


def _searched(of: str, declared: str, relative: str, fields: Mapping[str, str]) -> str | None:
    """Return the filled template, or what a pattern finds in the file name (with "/" in it: in the path)."""
    if is_template(declared):
        return _filled(of, declared, fields)
    path = same_spelling(relative)
    return find_group(declared, path if "/" in declared else PurePosixPath(path).name)


def _filled(of: str, template: str, fields: Mapping[str, str]) -> str:
    # The number of a slice fills its field later.
    if missing := [field for field in fields_in(template) if not fields.get(field) and field != SLICE]:
        raise PathFaultError(f"the path has no {{{missing[0]}}}, which {of}: {template} asks for")
    return fill(template, fields)


def pattern_fault(pattern: str, brackets: str) -> str | None:
    """Return why a text is no regular expression with the needed brackets; None if it is one.

    Args:
        pattern: As declared.
        brackets: "one" bracket, or "named" ones, each of which becomes a field.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a later Python may read otherwise
            compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression ({error})"
    if brackets == "one" and compiled.groups < 1:
        return "needs a bracket around the part that names the group, for example '^(\\d+)_', or a field such as {dir}"
    if brackets == "named" and not compiled.groupindex:
        return "needs named brackets, which become fields, for example '(?P<case>case\\d+)/'"
    if taken := sorted({*PATH_FIELDS, CLASS} & compiled.groupindex.keys()):
        return f"names a bracket {taken[0]!r}, which is a field already"
    return None
