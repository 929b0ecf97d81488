"""Where a hand lies on the film: millimetres of the hand's own frame to pixels of the picture."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.phantoms.hand_bone.anatomy import CANVAS_MM
from competition.phantoms.hand_bone.pose import PlacedHand, turned

Points = NDArray[np.float64]
Side = Literal["right", "left"]

_MARGIN_MM = 9.0  # the radiographer keeps the fingers this far inside the film


@dataclass(frozen=True)
class Film:
    """Where millimetres of a hand land on a square film of any number of pixels.

    Attributes:
        side: Which hand; a left hand is the mirror image.
        scale: Size of the hand.
        turn: Degrees, as in ``Pose``.
        origin_mm: x and y (downwards) of the wrist's middle on the film, as a right hand.
    """

    side: Side
    scale: float
    turn: float
    origin_mm: tuple[float, float]

    def pixels(self, points_mm: Points, size: int) -> Points:
        """Return (n, 2) x, y in pixels of a film of ``size`` x ``size``; pixel centres are whole numbers."""
        upright = turned(points_mm, self.turn, (0.0, 0.0)) * self.scale
        x, y = self.origin_mm[0] + upright[:, 0], self.origin_mm[1] - upright[:, 1]
        if self.side == "left":
            x = CANVAS_MM - x
        return np.stack([x, y], axis=1) * (size / CANVAS_MM) - 0.5


def lay_on_film(hand: PlacedHand, side: Side) -> Film:
    """Choose where the hand lies on the film: as its pose says, but with every finger inside.

    Args:
        hand: The bones.
        side: Which hand.

    Returns:
        The film.
    """
    tips = np.vstack([bone.outline_mm for bone in hand.bones if bone.name.startswith("finger")])
    upright = turned(tips, hand.pose.turn, (0.0, 0.0)) * hand.build.scale
    wish_x, wish_y = 160.0 + hand.pose.shift_mm[0], 229.0 + hand.pose.shift_mm[1]
    low, high = _MARGIN_MM - upright[:, 0].min(), CANVAS_MM - _MARGIN_MM - upright[:, 0].max()
    origin = (float(np.clip(wish_x, low, high)), float(max(wish_y, _MARGIN_MM + upright[:, 1].max())))
    return Film(side, hand.build.scale, hand.pose.turn, origin)
