"""Where the program is installed: a checkout of the repository, or the packages of a Python environment."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent
CHECKOUT = (REPOSITORY / "run.sh").is_file()
"""Whether the package lies in a checkout; otherwise pip copied it, and its command is ``medcomp``."""


def typed(text: str) -> str:
    """Return a text with its commands as they are typed here: ``./run.sh train``, or ``medcomp train``."""
    return text if CHECKOUT else text.replace("./run.sh", "medcomp")
