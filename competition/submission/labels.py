"""Labels that a submission can be scored against, whatever files they come from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ReadLabel = Callable[[str, tuple[int, int] | None], NDArray[np.uint8]]
"""(image name, rows and columns or None where the labels know them) -> label planes uint8 (H, W, ceil(C / 8))."""


class Labels(Protocol):
    """Labels in a track's own form."""

    @property
    def folder(self) -> Path:
        """Return where they lie."""
        ...

    def join(self, names: Sequence[str]) -> ReadLabel:
        """Find the label of each image.

        Args:
            names: As a submission has them.

        Returns:
            A function that reads the label of one of them.

        Raises:
            CompetitionError: An image has no label or several.
        """
        ...
