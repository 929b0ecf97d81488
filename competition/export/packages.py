"""The packages of the extra [export], which are imported only where a model file is written or run."""

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from competition.errors import CompetitionError

RUNNING = "onnxruntime"
"""What it takes to run a model file."""

EXPORTING = ("onnx", "onnxscript", RUNNING)
"""What it takes to write one."""


def needed(package: str) -> Any:
    """Import a package of the extra.

    Raises:
        CompetitionError: It is not installed; the pip command is given.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        what = f"model files need the package {package}, which is not installed"
        wanted = RUNNING if package == RUNNING else " ".join(EXPORTING)
        raise CompetitionError(what, None, f"Run {sys.executable} -m pip install {wanted}") from error


def program_version() -> str:
    """Return the version of this program."""
    try:
        return version("medical-image-competition")
    except PackageNotFoundError:  # a copy of the sources that pip has not installed
        return "unknown"
