"""Confusions: which class is taken for which, by the pixels that each class claims wrongly.

Networks that were trained for long with horizontal flips began to label index and ring finger at once; by the Dice of
each bone alone this looks like any other error.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORST = 3


def confusion_rows(
    classes: Sequence[str], owners: NDArray[np.int64], false_positives: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Return a row per class for confusions.csv: its false-positive pixels, and the share in each other class.

    ``owners`` (C, C + 1) and ``false_positives`` (C,) are of ``metrics.false_positive_owners``. Where classes overlap a
    pixel counts for each of them, so shares may sum to more than 1. A share is empty where a class has no false
    positive, and for a class against itself.
    """
    rows = []
    for index, name in enumerate(classes):
        total = int(false_positives[index])
        shares = ["" if not total else round(int(count) / total, 4) for count in owners[index]]
        by_class = {other: "" if other == name else share for other, share in zip(classes, shares, strict=False)}
        rows.append({"class": name, "false_positives": total, "no_class": shares[-1]} | by_class)
    return rows


def worst_confusions(classes: Sequence[str], owners: NDArray[np.int64], areas: NDArray[np.int64]) -> list[str]:
    """Name the classes that cover most of another's area wrongly: at most three pairs, none of 0 pixels.

    The largest share of the other's area (true pixels, (C,)) comes first: by pixels, large bones always would. Equal
    pairs are in the order of the classes. ``owners`` as for ``confusion_rows``.
    """
    pixels = owners[:, : len(classes)]
    shares = pixels / np.maximum(areas, 1)
    order = np.argsort(-shares, axis=None, kind="stable")[:WORST]
    pairs = [divmod(int(position), len(classes)) for position in order]
    return [
        f"{classes[one]} covers {shares[one, other]:.2%} of {classes[other]} wrongly ({pixels[one, other]} pixels)"
        for one, other in pairs
        if pixels[one, other]
    ]
