"""Plugins: Python files of a user that add losses, networks, metrics and more, named by ``plugins:`` in a YAML file.

A plugin is imported once. Importing it is all that happens: it enters what it adds into the dictionaries that the
program looks names up in (docs/extend.md lists them). It runs with the rights of whoever runs the program.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from competition.errors import CompetitionError
from competition.formats.source_files import first_line

PREFIX = "plugin_"

_LOADED: dict[Path, ModuleType] = {}


def absolute_plugins(values: Any, folder: Path) -> Any:
    """Return the content of a YAML file with the paths of its ``plugins`` made absolute.

    Args:
        values: As the YAML reader returns it.
        folder: Of the YAML file; relative paths start there.
    """
    if not isinstance(values, dict) or not isinstance(values.get("plugins"), list):
        return values
    return values | {"plugins": [str((folder / str(plugin)).resolve()) for plugin in values["plugins"]]}


def load_plugins(paths: Sequence[str | Path]) -> list[ModuleType]:
    """Import plugins, each once, and return their modules.

    Args:
        paths: Absolute paths of Python files.

    Raises:
        CompetitionError: A file is missing, is no Python file, or raises an error when it is imported.
    """
    for path in map(Path, paths):
        if path not in _LOADED:
            _LOADED[path] = _import(path)
    return [_LOADED[Path(path)] for path in paths]


def _import(path: Path) -> ModuleType:
    if path.suffix != ".py" or not path.is_file():
        raise CompetitionError("no such plugin", path, "Give the path of a Python file, relative to the YAML file")
    name = f"{PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None  # of a .py file there is one
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # as the import system does, so that classes of the plugin can be pickled
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = f"plugin can't be imported ({type(error).__name__}: {first_line(error)})"
        raise CompetitionError(reason, path) from error
    return module


def plugin_hash(paths: Sequence[str | Path]) -> list[str]:
    """Return the SHA-256 of each plugin's content, which shapes whatever is made with it."""
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


def added_by_plugins(dictionary: Mapping[str, Any]) -> list[str]:
    """Return the names in a dictionary that a plugin has entered."""
    return [name for name, value in dictionary.items() if _module_of(value).startswith(PREFIX)]


def _module_of(value: Any) -> str:
    """Return the module of a function or class, else that of the value's class."""
    return str(getattr(value, "__module__", type(value).__module__))
