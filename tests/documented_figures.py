"""The keys that a stage returned are those that its ``FIGURES`` documents; used wherever tests run a stage."""

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.__main__ import ALIASES
from pipelines.json_page import COMMON, always


def check_keys(name: str, keys: Iterable[str], written: bool = True) -> None:
    """Every key is documented, and every key that is documented as always there is there.

    Args:
        name: The stage.
        keys: What ``run`` returned or --json wrote.
        written: Whether the keys of every stage are among them.
    """
    figures = importlib.import_module(f"pipelines.{ALIASES.get(name, name)}").FIGURES
    common = COMMON if written else {}
    assert sorted(set(keys) - figures.keys() - common.keys()) == [], f"{name}: not in FIGURES"
    assert sorted((always(figures) | common.keys()) - set(keys)) == [], f"{name}: in FIGURES, and not there"


def written_figures(name: str, path: Path) -> dict[str, Any]:
    """Read what a stage wrote with --json, and check its keys."""
    figures: dict[str, Any] = json.loads(path.read_text())
    check_keys(name, figures)
    return figures
