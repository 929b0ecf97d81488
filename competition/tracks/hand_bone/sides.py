"""Which hand an X-ray shows: by its name, else by its place in the person's folder, else by its bones.

Of the 1,088 public X-rays only two carry a suffix (_R, _L). The names are times in milliseconds, and the right hand was
always taken first: by 144 of 144 test people's predicted bones.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from competition.errors import CompetitionError
from competition.tracks.hand_bone.labels import read_annotations
from competition.tracks.track import Sample

RIGHT, LEFT = "right", "left"


def with_sides(root: Path, samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Set the side of every X-ray, and compare its name, its place and its bones.

    Args:
        root: What the samples' paths are relative to.
        samples: All X-rays, none left out yet, because a hand's place is that among both.

    Returns:
        The same samples with their side, "" if unknown, and a sentence on X-rays of contradictory sides.
    """
    by_place = _sides_by_place(samples)
    known, disagreements = [], []
    for sample in samples:
        drawn = "" if sample.label is None else side_by_bones(root / sample.label)
        found = {"name": side_by_name(sample.key), "place": by_place.get(sample.key, ""), "bones": drawn}
        sides = [side for side in found.values() if side]
        known.append(replace(sample, side=sides[0] if sides else ""))
        if len(set(sides)) > 1:
            which = ", ".join(f"{side} by its {source}" for source, side in found.items() if side)
            disagreements.append(f"{sample.group}/{sample.name} ({which})")
    remark = f"left or right is contradictory for {len(disagreements)} X-rays: {', '.join(disagreements)}"
    return known, [remark] if disagreements else []


def side_by_name(stem: str) -> str:
    """Return the side of a file name that ends in _R or _L, else ""."""
    return {"_R": RIGHT, "_L": LEFT}.get(stem[-2:], "")


def _sides_by_place(samples: Sequence[Sample]) -> dict[str, str]:
    """Return key -> side for people with exactly two X-rays: the name that sorts first is the right hand."""
    keys_of: dict[tuple[str, str], list[str]] = {}
    for sample in samples:
        keys_of.setdefault((sample.split, sample.group), []).append(sample.key)
    pairs = [sorted(keys) for keys in keys_of.values() if len(keys) == 2]
    return {key: side for pair in pairs for key, side in zip(pair, (RIGHT, LEFT), strict=True)}


def side_by_bones(label: Path) -> str:
    """Return "right" if the Radius is left of the Ulna in an annotation file, else "left"; "" if undetermined."""
    try:
        points_of = {str(annotation["label"]): annotation["points"] for annotation in read_annotations(label)}
    except CompetitionError:
        return ""  # the file is reported when its bones are drawn
    radius, ulna = (_middle(points_of.get(name)) for name in ("Radius", "Ulna"))
    if radius < ulna:
        return RIGHT
    return LEFT if radius > ulna else ""


def _middle(points: object) -> float:
    """Return the mean x of a polygon; NaN, which is neither left nor right of anything, if it is unreadable."""
    try:
        x = np.asarray(points, dtype=np.float64).reshape(-1, 2)[:, 0]
    except (ValueError, TypeError, OverflowError):  # the last of an integer with 400 digits
        return float("nan")
    return float(x.mean()) if x.size else float("nan")
