"""Test-time views at another scale: the network sees the image smaller or larger than the training grid.

What is smaller shows more context to each pixel of the network, what is larger finer edges. No torch, because exported
models predict the same views without it.
"""

SCALES = {"scale75": 0.75, "scale125": 1.25}
"""View -> its rows and columns, relative to those of the training grid."""


def scaled_size(size_hw: tuple[int, int], view: str) -> tuple[int, int]:
    """Return the rows and columns at which a view shows an image of ``size_hw``; those of other views are the same."""
    scale = SCALES.get(view, 1.0)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))
