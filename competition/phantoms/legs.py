"""Synthetic legs of standing persons, seen from the front: narrow X-rays from hip to ankle with two bones to find.

Under the data root::

    train/images/012_L.png         8-bit grey, 1024x128; the number is the person
    train/masks/femur/012_L.png    0 and 255
    train/masks/tibia/012_L.png
    test/images/041_R.png
    truth/masks/femur/041_R.png    the test legs' labels, and the same for the tibia

Fibula, patella, hip socket and ankle are as bright as the two bones, and so are a ruler, a lead letter and the edge of
the other leg, which some images show.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms import drawing
from competition.phantoms.drawing import Picture, Points, Polygon

Side = Literal["R", "L"]
Bone = Literal["femur", "tibia"]

BONES: tuple[Bone, Bone] = ("femur", "tibia")
SIDES: tuple[Side, Side] = ("R", "L")
HEIGHT_MM = 960.0  # of the picture
ROWS_PER_COLUMN = 8

# Outlines of a right leg in mm: x to the inner side, y upwards from the knee's joint line.
_FEMUR = (
    (-15, 300), (-14, 180), (-15.5, 90), (-20, 56), (-34, 33), (-40, 20), (-38, 7), (-22, 0.5), (-9, 6), (0, 16),
    (8, 8), (22, -0.5), (37, 4), (42, 20), (37, 35), (22, 55), (16, 90), (14, 180), (14, 300), (16, 350), (22, 372),
    (34, 392), (44, 402), (57, 409), (62, 424), (57, 440), (43, 447), (29, 441), (22, 428), (8, 416), (-6, 420),
    (-19, 421), (-26, 405), (-23, 380), (-18, 350),
)  # fmt: skip
_TIBIA = (
    (-38, -8), (-24, -4), (-6, -1), (3, 0), (26, -5), (39, -9), (37, -22), (27, -42), (18, -75), (14, -160),
    (11.5, -270), (14, -330), (22, -352), (24, -374), (17, -380), (12, -366), (-12, -364), (-20, -362), (-21, -345),
    (-14, -318), (-11.5, -270), (-14, -160), (-17, -75), (-25, -44), (-37, -24),
)  # fmt: skip
_FIBULA = (
    (-42, -20), (-34, -18), (-31, -32), (-34, -60), (-31, -180), (-28, -300), (-23, -345), (-23, -384), (-29, -394),
    (-36, -378), (-36, -340), (-38, -180), (-42, -60), (-45, -32),
)  # fmt: skip
_PATELLA = ((-20, 30), (-16, 42), (-3, 47), (11, 43), (17, 31), (11, 18), (-2, 11), (-14, 17))
_SOCKET = ((8, 462), (22, 452), (43, 456), (64, 446), (75, 424), (92, 430), (92, 520), (10, 520))
_ANKLE = ((-26, -372), (-16, -370), (10, -372), (21, -380), (24, -400), (30, -450), (-30, -450), (-24, -398))

# Strokes of the lead letters, one high, y downwards.
_LETTERS: dict[Side, Points] = {
    "L": np.array([(0, 0), (0, 1), (0.6, 1)]),
    "R": np.array([(0, 1), (0, 0), (0.6, 0), (0.6, 0.5), (0, 0.5), (0.6, 1)]),
}

# Outline, half the depth in mm, cortex in mm, marrow's share of hard bone.
_FORMS: dict[str, tuple[Points, float, float, float]] = {
    "femur": (np.array(_FEMUR, np.float64), 20.0, 5.0, 0.24),
    "tibia": (np.array(_TIBIA, np.float64), 18.0, 4.5, 0.24),
    "fibula": (np.array(_FIBULA, np.float64), 8.0, 3.5, 0.24),
    "patella": (np.array(_PATELLA, np.float64), 9.0, 1.2, 0.26),
    "socket": (np.array(_SOCKET, np.float64), 14.0, 3.0, 0.28),
    "ankle": (np.array(_ANKLE, np.float64), 16.0, 1.5, 0.28),
}


def draw_leg(seed: int, person: int, side: Side, size: int) -> tuple[NDArray[np.uint8], dict[Bone, NDArray[np.uint8]]]:
    """Draw one leg.

    Args:
        seed: Of the whole data set.
        person: From 1.
        side: Right or left.
        size: Rows; there is one column to eight rows.

    Returns:
        (H, W) uint8 image, and the masks of femur and tibia, each (H, W) of 0 and 1.
    """
    body = np.random.default_rng([seed, person])
    lengths = np.clip(body.normal(1.0, [0.06, 0.07]), 0.84, 1.12)  # of thigh and shank, which need not go together
    breadth, flesh, hardness = body.uniform(0.85, 1.15), body.uniform(0.75, 1.25), body.uniform(0.7, 1.25)
    bend = body.normal(0, 2.0)  # bow legs and knock knees: the same way on both sides
    rng = np.random.default_rng([seed, person, SIDES.index(side)])
    rows, columns = size, max(1, round(size / ROWS_PER_COLUMN))
    per_mm = rows / HEIGHT_MM
    knee = np.array([columns / 2 / per_mm + rng.normal(0, 6), 0.52 * HEIGHT_MM + rng.normal(0, 28)])
    lean = rng.normal(0, 1.2)
    turns = {"thigh": np.deg2rad(lean + bend), "shank": np.deg2rad(lean - bend)}

    def pixels(points: Points, part: str) -> Polygon:
        scaled, turn = points * [breadth, lengths[0 if part == "thigh" else 1]], turns[part]
        turned = scaled @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        placed = turned * [1, -1] + knee
        if side == "L":
            placed[:, 0] = columns / per_mm - placed[:, 0]
        return np.asarray(np.round(placed * per_mm - 0.5), np.int32)

    masks, path = {}, np.zeros((rows, columns), np.float32)
    struts = 1 + 0.2 * drawing.grain(rng, (rows, columns), max(0.8 * per_mm, 0.5))
    for name, (outline, depth, cortex, marrow) in _FORMS.items():
        controls = outline + rng.normal(0, 0.8, outline.shape)
        if name == "patella":
            controls += (rng.normal(0, 3), rng.normal(0, 6))
        part = "thigh" if name in ("femur", "patella", "socket") else "shank"
        mask = drawing.fill_polygon(pixels(drawing.smooth_outline(controls, 240), part), (rows, columns))
        # The small bones lie in few rows; one row beyond them shows where they end.
        held = np.flatnonzero(mask.any(axis=1))
        window = slice(max(0, held[0] - 1), held[-1] + 2) if held.size else slice(0, 0)
        path[window] += drawing.crossed_bone(mask[window], per_mm, depth, cortex * hardness, marrow, struts[window])
        masks[name] = mask
    # Where a bent knee's bones overlap, the pixel is the femur's, as in a label picture that holds one value a pixel.
    masks["tibia"][masks["femur"] > 0] = 0
    attenuation = rng.uniform(0.016, 0.034) * path + _soft_tissue(pixels, (rows, columns), per_mm, flesh)
    attenuation *= rng.uniform(0.75, 1.35)
    # A long film is exposed in pieces: thigh and ankle differ in light, and some films have a seam.
    places = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    light = rng.uniform(0.02, 0.12) + rng.uniform(0.7, 1.05) * (1 - np.exp(-attenuation))
    light *= 1 + rng.normal(0, 0.15) * places + rng.normal(0, 0.06) * (places > rng.uniform(-0.5, 0.5))
    light = cv2.GaussianBlur(np.asarray(light, np.float32), (0, 0), max(rng.uniform(0.6, 1.1) * per_mm, 0.3))
    _add_foreign_objects(light, rng, side, per_mm)
    light += rng.uniform(0.015, 0.05) * drawing.grain(rng, (rows, columns), max(0.4 * per_mm, 0.3))
    return drawing.to_grey(light), {bone: masks[bone] for bone in BONES}


def _soft_tissue(
    pixels: Callable[[Points, str], Polygon], size_hw: tuple[int, int], per_mm: float, flesh: float
) -> Picture:
    """Return how much soft tissue attenuates, 1 = in the middle of a thick thigh; the shank is thinner."""
    sides = [(-95, 520), (-85, 300), (-64, 90), (-56, 20), (-52, -20), (-58, -100), (-50, -220), (-38, -340)]
    outline = np.array([*sides, (-40, -480), (42, -480), *((-x + 6, y) for x, y in reversed(sides))], np.float64)
    # A wide margin, so that the edge of the image isn't taken for skin.
    margin = round(90 * per_mm)
    points = pixels(outline * [flesh, 1], "shank")
    mask = drawing.fill_polygon(points + margin, (size_hw[0] + 2 * margin, size_hw[1] + 2 * margin))
    depth = drawing.inner_distance(mask, 1 / per_mm)[margin : margin + size_hw[0], margin : margin + size_hw[1]]
    return np.asarray(0.9 * (1 - np.exp(-depth / 45)), np.float32)


def _add_foreign_objects(light: Picture, rng: np.random.Generator, side: Side, per_mm: float) -> None:
    """Draw, in place, bright objects other than this leg's bones: the other leg, a ruler, a lead letter."""
    rows, columns = light.shape
    inner = 1 if side == "R" else -1  # the inner side is at the picture's right on a right leg
    if rng.random() < 0.5:
        # Skin and, further out, the hard edge of the other leg's bones.
        reach = rng.uniform(4, 16) + 6 * np.sin(np.linspace(rng.uniform(0, 3), rng.uniform(4, 8), rows))
        x = np.arange(columns) if inner < 0 else columns - 1 - np.arange(columns)
        inside = np.clip(np.float32(reach[:, None] * per_mm) - x[None, :].astype(np.float32), 0, 4 * per_mm)
        light += np.asarray(rng.uniform(0.1, 0.35) / (4 * per_mm) * inside, np.float32)
    if rng.random() < 0.5:
        column = round((0.06 if rng.random() < 0.5 else 0.94) * columns)
        step, length = max(2, round(10 * per_mm)), max(1, round(4 * per_mm))
        ticks = np.arange(rng.integers(step), rows, step)
        start = max(0, column - length // 2)
        light[ticks, start : start + length] = rng.uniform(0.75, 1.0)
    if rng.random() < 0.6:
        corner = rng.uniform([0.05, 0.03], [0.75, 0.95]) * [columns, rows]
        strokes = np.asarray(np.round(corner + _LETTERS[side] * 22 * per_mm), np.int32)
        cv2.polylines(light, [strokes], False, (0.95,), max(1, round(2.5 * per_mm)))


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw two legs per person and their masks, see ``Draw``; ``size`` is the rows, an eighth of it the columns."""
    for person in range(1, people + test_people + 1):
        images, answers = ("train/images", "train/masks") if person <= people else ("test/images", "truth/masks")
        for side in SIDES:
            name = f"{person:03d}_{side}.png"
            grey, masks = draw_leg(seed, person, side, size)
            drawing.write_png(root / images / name, grey, channels=1)
            for bone, mask in masks.items():
                drawing.write_png(root / answers / bone / name, np.asarray(mask * 255, np.uint8), channels=1)
            advance()
