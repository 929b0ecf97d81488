"""Pictures in the page: RGB arrays as data URLs, alone or as a gallery with captions."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

QUALITY = 82
"""Of WebP: a hand of 512 pixels with outlines takes 12 to 25 kB."""


FEW = 3
"""Pictures that share a row: they are larger than those of a full gallery."""


def picture(array: NDArray[np.uint8], description: str) -> Markup:
    """Return an image tag of an RGB picture (H, W, 3) uint8 or grey (H, W), with its alternative text."""
    coded = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    data = cv2.imencode(".webp", coded, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()
    url = "data:image/webp;base64," + base64.b64encode(data).decode()
    height, width = array.shape[:2]
    return Markup('<img loading="lazy" src="{}" width="{}" height="{}" alt="{}">').format(
        url, width, height, description
    )


def gallery(items: Sequence[tuple[NDArray[np.uint8], str]], wide: bool = False) -> Markup:
    """Return pictures side by side, each with its caption; a click or Enter shows one at its full size.

    Pictures that are much wider than high, such as pairs, get more room; ``wide`` gives it to others too.
    """
    cells = [
        Markup('<figure class="tile"><button type="button">{}</button><figcaption>{}</figcaption></figure>').format(
            picture(array, caption), caption
        )
        for array, caption in items
    ]
    wide = wide or any(array.shape[1] > 1.5 * array.shape[0] for array, _ in items)
    kind = " wide" if wide else " few" if len(items) <= FEW else ""
    return Markup('<div class="gallery{}">{}</div>').format(Markup(kind), Markup("").join(cells))
