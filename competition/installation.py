"""Where the program is installed: a checkout of the repository, or the packages of a Python environment."""

import hashlib
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

from competition.errors import CompetitionError

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent
CHECKOUT = (REPOSITORY / "run.sh").is_file()
"""Whether the package lies in a checkout; otherwise pip copied it, and its command is ``medcomp``."""


def needs_package(package: str, option: str) -> None:
    """Make sure, without importing it, that the package an option needs is installed.

    Raises:
        CompetitionError: It is not; the command that installs it is given.
    """
    if importlib.util.find_spec(package) is None:
        what = f"{option} needs the package {package}, which is not installed"
        raise CompetitionError(what, None, f"Run {sys.executable} -m pip install {package}")


@cache
def source_hash(*folders: str) -> str:
    """Return ten characters that differ when the code in folders of the package differs: as of the first call."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def typed(text: str) -> str:
    """Return a text with its commands as they are typed here: ``./run.sh train``, or ``medcomp train``."""
    return text if CHECKOUT else text.replace("./run.sh", "medcomp")


def commands_as_typed(text: str, options: str) -> str:
    """Return a text whose commands get the options of the command that was typed.

    ``options`` are track, --phantom and --workspace, the last one last. A command that names its track gets the
    workspace alone.
    """
    place = options[options.find(" --workspace") :] if " --workspace" in options else ""
    command = re.compile(r"(\./run\.sh [a-z]+)\b( --track)?")
    return typed(command.sub(lambda found: found[1] + (place + found[2] if found[2] else options), text))
