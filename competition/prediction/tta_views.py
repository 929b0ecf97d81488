"""Test-time views: the same image transformed, its prediction transformed back (ttach does both).

Views are averaged as probabilities, after the sigmoid, like members in a soft vote; the mean of logits differs.
"""

from collections.abc import Sequence
from typing import Any

import ttach

from competition.errors import CompetitionError
from competition.text import nearest_hint
from competition.tracks.track import Track


def _chains() -> dict[str, Any]:
    """Return the eight views of a square: 0/90/180/270 degrees, plain and mirrored, by name."""
    compose = ttach.Compose([ttach.HorizontalFlip(), ttach.Rotate90([0, 90, 180, 270])])
    names = []
    for mirrored, angle in compose.aug_transform_parameters:
        parts = (["hflip"] if mirrored else []) + ([f"rotate{angle}"] if angle else [])
        names.append("_".join(parts) or "identity")
    return dict(zip(names, compose, strict=True))


VIEWS = _chains()


def check_views(names: Sequence[str], track: Track) -> None:
    """Reject views that are unknown, or that the track's anatomy does not allow.

    Raises:
        CompetitionError: With the reason.
    """
    if not names:
        raise CompetitionError("predict.views is empty; [identity] is the plain image")
    for name in names:
        if name not in VIEWS:
            raise CompetitionError(f"unknown view {name!r}{nearest_hint(name, list(VIEWS))}")
        if is_mirrored(name) and track.mirror is None:
            raise CompetitionError(f"view {name!r} mirrors the image, which track {track.name} does not allow")
        if track.upright and name != "identity":
            raise CompetitionError(
                f"view {name!r} turns or mirrors the image, and track {track.name} orders its classes "
                "from the top, seen from one side: use [identity]"
            )
        if len(track.views) > 1 and name not in ("identity", "hflip"):
            raise CompetitionError(
                f"view {name!r} is not defined for the {len(track.views)} views of track {track.name}"
            )


def is_mirrored(name: str) -> bool:
    """Return whether left and right change places in this view."""
    return name.startswith("hflip")
