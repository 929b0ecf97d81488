"""A few of many items, evenly spread over all of them."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return up to ``count`` items in their order, the first and the last among them."""
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, count).astype(int))]
