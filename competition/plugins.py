"""Plugins: Python files of a user that add losses, networks, metrics and more, named by ``plugins:`` in a YAML file.

A plugin is imported once. Importing it is all that happens: it enters what it adds into the dictionaries that the
program looks names up in (docs/extend.md lists them). It runs with the rights of whoever runs the program.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from competition.errors import CompetitionError
from competition.formats.source_files import first_line

PREFIX = "plugin_"

REGISTRIES = {
    "loss": ("competition.training.losses", "LOSSES"),
    "network": ("competition.models.factory", "NETWORKS"),
    "augmentation": ("competition.data.augmentation", "PRESETS"),
    "preprocessing": ("competition.data.preprocessing", "PREPROCESSINGS"),
    "post-processing": ("competition.ensembling.segmentation.postprocessing", "OPERATIONS"),
    "metric": ("competition.metrics.metric", "METRICS"),
    "form": ("competition.submission", "FORMS"),
}
"""What a plugin can add -> module and name of the dictionary that it is entered into."""

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


def registered() -> list[str]:
    """Return what the imported plugins have added: "loss squared"."""
    dictionaries = {
        kind: getattr(sys.modules[module], name)
        for kind, (module, name) in REGISTRIES.items()
        if module in sys.modules  # what no module has imported, no plugin has changed
    }
    return [f"{kind} {name}" for kind, entries in dictionaries.items() for name in entries if _is_added(entries[name])]


def _is_added(entry: Any) -> bool:
    """Return whether a plugin defines a function, a class, or what an object or a closure holds."""
    held = [cell.cell_contents for cell in getattr(entry, "__closure__", None) or ()]
    parts = (entry, type(entry), *getattr(entry, "__dict__", {}).values(), *held)
    return any(str(getattr(part, "__module__", "")).startswith(PREFIX) for part in parts)
