"""Where masks are: the paths that a template such as "{dir}/{stem}_mask*.png" gives, and the files that fit it."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from competition.errors import CompetitionError
from competition.file_listing import escape_wild, find_files, is_wild
from competition.text import near_pairs, same_spelling
from competition.tracks.declared.templates import CLASS, fields_in, fill

_TOKENS = re.compile(r"(\{[^\W\d]\w*\}|\*\*/|\*|\?)")
_WITHIN_A_NAME = ("stem", "name", "parent", CLASS)
_SIGNS = {"**/": "(?:.+/)?", "*": "[^/]*", "?": "[^/]"}
_LAST = chr(0x10FFFF)


class MaskFiles:
    """All files below the data folder that fit a template of masks.

    Attributes:
        fields_of: File -> the fields that its path would have been filled with.
    """

    def __init__(self, root: Path, template: str, classes: Sequence[str]) -> None:
        """Find the files.

        Raises:
            CompetitionError: The paths of two masks differ in spelling only.
        """
        self._root, self._template, self._classes = root, template, classes
        self._by_path: dict[str, Path] = {}
        self._found: dict[str, list[Path]] = {}  # pattern -> files, because each image is asked for several times
        self.fields_of: dict[Path, dict[str, str]] = {}
        regex = re.compile(_regex(template, classes))
        for path in find_files(root, search_pattern(template)):
            relative = _plain(path.relative_to(root).as_posix())
            if (match := regex.fullmatch(relative)) is None:
                continue
            if other := self._by_path.get(relative):
                reason = f"the names of two masks differ in spelling only (the other is {other})"
                raise CompetitionError(reason, path, "Remove one of them")
            self._by_path[relative] = path
            self.fields_of[path] = _given(match)

    def files_of(self, fields: Mapping[str, str]) -> list[list[Path]]:
        """Return the files of an image's mask: one list, or one per class where the template holds {class}."""
        names = self._classes if CLASS in fields_in(self._template) else [""]
        return [self._fitting(_filled(self._template, fields).replace("{class}", name)) for name in names]

    def missing_of(self, fields: Mapping[str, str]) -> list[str]:
        """Return the paths of an image's mask, below the data folder, that no file has; patterns if it is wild."""
        path, names = _filled(self._template, fields), self._classes if CLASS in fields_in(self._template) else [""]
        return [
            path.replace("{class}", name) for name, files in zip(names, self.files_of(fields), strict=True) if not files
        ]

    def label_of(self, fields: Mapping[str, str]) -> str:
        """Return the label of an image as ``file_listing.class_files`` reads it, its path below the data folder."""
        pattern = _filled(self._template, fields)
        if CLASS in fields_in(self._template):
            return pattern
        files = [file.relative_to(self._root) for file in self._fitting(pattern)]
        if len(files) == 1 or (files and not is_wild(self._template)):
            return files[0].as_posix()
        folders = {file.parent.as_posix() for file in files}
        if len(folders) == 1 and is_wild(name := PurePosixPath(pattern).name):
            return f"{escape_wild(folders.pop())}/{name}".removeprefix("./")
        return pattern

    def _fitting(self, pattern: str) -> list[Path]:
        if not is_wild(self._template):
            file = self._by_path.get(_plain(pattern))
            return [] if file is None else [file]
        if (found := self._found.get(pattern)) is not None:
            return found
        plain = _plain(pattern)
        regex = re.compile(_glob_regex(plain))
        # The files of one folder, or those of one beginning of their names, whichever are fewer.
        by_path = _between(self._sorted_paths, _literal(plain))
        by_name = _between(self._sorted_names, _literal(PurePosixPath(plain).name))
        paths = sorted(path for _, path in min(by_path, by_name, key=len))
        self._found[pattern] = [self._by_path[path] for path in paths if regex.fullmatch(path)]
        return self._found[pattern]

    @cached_property
    def _sorted_paths(self) -> list[tuple[str, str]]:
        return sorted((path, path) for path in self._by_path)

    @cached_property
    def _sorted_names(self) -> list[tuple[str, str]]:
        return sorted((PurePosixPath(path).name, path) for path in self._by_path)


def search_pattern(template: str) -> str:
    """Return a glob pattern of files among which are all masks of a template."""
    parts: list[str] = []
    for part in PurePosixPath(template).parts:
        if part == "{dir}":
            parts.append("**")
        elif set(fields_in(part)).difference(_WITHIN_A_NAME):  # which may be several folders
            return "/".join([*parts, "**", "*"])
        else:
            parts.append(fill(part.replace("[", "[[]"), dict.fromkeys(_WITHIN_A_NAME, "*")))
    return "/".join(parts)


def find_masks(
    folder: Path, template: str, classes: Sequence[str], key_of: Callable[[Mapping[str, str]], str]
) -> dict[str, list[Path]]:
    """Find the masks below any folder that are named like the training masks.

    Args:
        folder: Searched with all folders below it.
        template: The track's ``masks``, of which the part from the first "{" counts: "{class}/{stem}_mask.png".
        classes: All of them.
        key_of: Fields of a mask's path -> the key of its image.

    Returns:
        Key of an image -> labels as ``file_listing.class_files`` reads them.

    Raises:
        CompetitionError: Two masks of one class differ only in spelling.
    """
    parts = PurePosixPath(template).parts
    tail = same_spelling("/".join(parts[next(at for at, part in enumerate(parts) if "{" in part) :]))
    regex = re.compile(f"(?:^|/){_regex(tail, classes)}$")
    found: dict[str, dict[Path, None]] = {}
    first: dict[tuple[Path, str], Path] = {}
    for path in find_files(folder, "**/*"):
        relative = _plain(path.relative_to(folder).as_posix())
        if (match := regex.search(relative)) is None:
            continue
        above = Path(escape_wild(str(folder)) if is_wild(tail) else folder, relative[: match.start()])
        fields = _given(match)
        of_class, label = fields.pop(CLASS, ""), above / _filled(tail, fields)
        other = first.setdefault((label, of_class), path)
        if other != path and not is_wild(tail):
            reason = f"the names of two masks differ in spelling only (the other is {other})"
            raise CompetitionError(reason, path, "Remove one of them")
        whole = label if of_class or is_wild(tail) else path
        found.setdefault(key_of(fields), {})[whole] = None
    return {key: list(labels) for key, labels in found.items()}


def near_masks(missing: Sequence[Path], there: Sequence[Path]) -> dict[Path, Path]:
    """Return, for each missing mask, the file of the same folder that was probably meant."""
    wanted, names = defaultdict[Path, list[str]](list), defaultdict[Path, list[str]](list)
    for paths, by_folder in ((missing, wanted), (there, names)):
        for path in paths:
            by_folder[path.parent].append(path.name)
    pairs = ((folder, near_pairs(keys, names[folder])) for folder, keys in wanted.items())
    return {folder / name: folder / near for folder, meant in pairs for name, near in meant.items()}


def _filled(template: str, fields: Mapping[str, str]) -> str:
    """Return the path of an image's mask; a pattern, if the template is one, whose fields fit themselves alone."""
    if is_wild(template):
        fields = {name: escape_wild(value) for name, value in fields.items()}
        template = template.replace("[", "[[]")
    return str(PurePosixPath(fill(template, fields).lstrip("/")))


def _plain(path: str) -> str:
    """Return a path as it is compared: in composed Unicode (NFC), the ending of the file in small letters."""
    path = same_spelling(path)
    ending = PurePosixPath(path).suffix
    return path.removesuffix(ending) + ending.lower()


def _regex(template: str, classes: Sequence[str]) -> str:
    """Return a template as a regular expression of plain paths, with a group for each field."""
    known = {"dir": ".+"} | dict.fromkeys(_WITHIN_A_NAME, "[^/]+")
    known[CLASS] = "|".join(map(re.escape, map(same_spelling, classes)))
    seen, regex = set[str](), ""
    for token in _TOKENS.split(_plain(template)):
        field = token[1:-1]
        if not (token.startswith("{") and token.endswith("}")):
            regex += _SIGNS.get(token, re.escape(token))
        elif field in seen:
            regex += f"(?P={field})"
        else:
            regex += f"(?P<{field}>{known.get(field, '.+')})"
            seen.add(field)
    return regex.replace("(?P<dir>.+)/", "(?:(?P<dir>.+)/)?")


def _glob_regex(pattern: str) -> str:
    """Return a pattern of paths as a regular expression; "[*]" is the sign itself."""
    parts = re.split(r"(\[[*?[]\]|\*\*/|\*|\?)", pattern)
    return "".join(
        _SIGNS.get(part) or re.escape(part[1] if re.fullmatch(r"\[[*?[]\]", part) else part) for part in parts
    )


def _given(match: re.Match[str]) -> dict[str, str]:
    return {name: value for name, value in match.groupdict().items() if value is not None}


def _literal(pattern: str) -> str:
    return re.split(r"[*?[]", pattern)[0]


def _between(pairs: Sequence[tuple[str, str]], beginning: str) -> Sequence[tuple[str, str]]:
    """Return those of sorted pairs whose first text has a beginning."""
    first = bisect_left(pairs, (beginning, ""))
    return pairs[first : bisect_left(pairs, (beginning + _LAST, ""), lo=first)]
