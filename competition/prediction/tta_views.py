"""Test-time views: the same image transformed, its prediction transformed back (ttach turns and mirrors).

Views are averaged as probabilities, after the sigmoid, like members in a soft vote; the mean of logits differs.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
import ttach

from competition.errors import CompetitionError
from competition.masks.memory_order import class_by_class
from competition.prediction.scaled_views import SCALES, scaled_size
from competition.text import nearest_hint
from competition.tracks.track import Track, not_mirrored


def _chains() -> dict[str, Any]:
    """Return the eight views of a square: 0/90/180/270 degrees, plain and mirrored, by name."""
    compose = ttach.Compose([ttach.HorizontalFlip(), ttach.Rotate90([0, 90, 180, 270])])
    names = []
    for mirrored, angle in compose.aug_transform_parameters:
        parts = (["hflip"] if mirrored else []) + ([f"rotate{angle}"] if angle else [])
        names.append("_".join(parts) or "identity")
    return dict(zip(names, compose, strict=True))


VIEWS = _chains()


def see(image: torch.Tensor, view: str) -> torch.Tensor:
    """Return an image (1, channels, h, w) as a view shows it."""
    if view in SCALES:
        return _resize(image, scaled_size((image.shape[-2], image.shape[-1]), view))
    seen: torch.Tensor = VIEWS[view].augment_image(image)
    return seen


def scale_back(probs: torch.Tensor, view: str, seen: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Bring the answer (1, C, k * rows, k * columns) to what a view has ``seen`` to k times the size of the image."""
    if view not in SCALES:
        return probs
    finer = probs.shape[-1] // seen.shape[-1]
    return _resize(probs, (finer * image.shape[-2], finer * image.shape[-1]))


def turn_back(probs: torch.Tensor, view: str) -> torch.Tensor:
    """Turn and mirror probabilities (1, C, h, w) back."""
    if view == "identity" or view in SCALES:
        return class_by_class(probs)  # as ttach, which copies in any case
    turned: torch.Tensor = VIEWS[view].deaugment_mask(probs)
    return turned


def _resize(values: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(values, size=size_hw, mode="bilinear", align_corners=False)


def check_views(names: Sequence[str], track: Track) -> None:
    """Reject views that are unknown, or that the track's anatomy does not allow.

    Raises:
        CompetitionError: With the reason.
    """
    if not names:
        raise CompetitionError("predict.views is empty; [identity] is the plain image")
    for name in names:
        if name not in VIEWS and name not in SCALES:
            raise CompetitionError(f"unknown view {name!r}{nearest_hint(name, [*VIEWS, *SCALES])}")
        if name in SCALES and track.task == "classification":
            raise CompetitionError(f"view {name!r} is for masks, and track {track.name} has none")
        if is_mirrored(name) and track.mirror is None:
            raise not_mirrored(track, f"predict.views: {name}")
        if track.upright and name != "identity" and name not in SCALES:
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
