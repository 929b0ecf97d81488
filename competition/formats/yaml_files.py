"""YAML files that users write: experiments, tracks and comparisons."""

from pathlib import Path
from typing import Any

import yaml

from competition.errors import CompetitionError
from competition.files import read_text
from competition.text import shown

LARGEST_YAML = 1 << 20
"""Bytes; a track of 1,000 classes has 30,000."""
MOST_VALUES = 100_000
"""Values of a file with its aliases expanded; ten lines of aliases to aliases can make billions."""

_QUOTES = "Put a value in single quotes if it begins with * { or [, holds a backslash, or a colon or # next to a blank"


# The loader in C (libyaml) is part of PyYAML's wheels. That in Python takes 30 times as long, and 1.4 s for 9,000 open
# brackets, because it looks at all of them again at each character.
class _UniqueKeys(yaml.CSafeLoader):
    """Make a key that appears twice an error: YAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node; raise ConstructorError if it holds a key twice."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key.value!r} appears twice", key.start_mark
                    )
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path, missing: str) -> Any:
    """Read a YAML file in UTF-8.

    Raises:
        CompetitionError: It is missing (``missing`` is the sentence), can't be read, is too large or is not YAML.
    """
    try:
        text = read_text(path, LARGEST_YAML)
    except FileNotFoundError as error:
        raise CompetitionError(missing, path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CompetitionError(f"can't be read ({getattr(error, 'strerror', None) or error})", path) from error
    return parse_yaml(text, path)


def parse_yaml(text: str, where: Path | str) -> Any:
    """Read YAML text of a file or of a value after --set.

    Raises:
        CompetitionError: It is not YAML, holds an impossible value (2001-13-45 as a date), or its aliases expand to
            more than ``MOST_VALUES`` values.
    """
    loader = None
    try:
        loader = _UniqueKeys(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > MOST_VALUES:
            raise CompetitionError(f"aliases (*name) expand to more than {MOST_VALUES:,} values", where)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        repair = _QUOTES if isinstance(error, (yaml.scanner.ScannerError, yaml.parser.ParserError)) else None
        raise CompetitionError(f"not valid YAML ({_place_of(error, text)})", where, repair) from error
    except RecursionError as error:
        raise CompetitionError("not valid YAML (brackets are nested too deeply)", where) from error
    except MemoryError as error:
        raise CompetitionError("the text does not fit into memory", where) from error
    except CompetitionError:
        raise
    except Exception as error:  # the makers of values raise whatever Python does: ValueError, KeyError, IndexError ...
        raise CompetitionError(f"not valid YAML (a value can't be read: {_first(error)})", where) from error
    finally:
        if loader is not None:
            loader.dispose()


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values of a node with all aliases expanded; each node is counted only once."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_VALUES + 1  # of a node that holds itself
    if isinstance(node, yaml.ScalarNode):
        node.value.encode()  # "\ud800" is half of a character, which nothing after this can write
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    else:
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
    known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]


def _place_of(error: yaml.YAMLError, text: str) -> str:
    """Return where YAML text is wrong, and how: "line 4, column 5, 'test: y': did not find expected ',' or '}'"."""
    if not isinstance(error, yaml.error.MarkedYAMLError) or error.problem_mark is None:
        return _first(error)
    mark = error.problem_mark
    lines = text.splitlines()
    line = f", {shown(lines[mark.line].strip())}" if mark.line < len(lines) else ""
    return f"line {mark.line + 1}, column {mark.column + 1}{line}: {' '.join(str(error.problem).split())[:300]}"


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
