"""Synthetic knees, seen from the front, in the form of the knee course's data.

Under the data root::

    train/images/012_L.png    8-bit grey, about 240x220, sizes differ; the number is the person
    train/labels/012_L.png    the femur
    test/images/020_R.png
    truth/labels/020_R.png    the test knees' labels: the organisers do NOT give these

Most training labels hold 0 and 255. As in the real ones, a few hold 0 and 1, a few are palette files, and a few have
grey edges; the femur is always what lies above half of the file's maximum. A few images are RGB or palette files.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms import drawing
from competition.phantoms.drawing import Picture, Points, Polygon

LabelForm = Literal["plain", "zero_one", "palette", "grey_edges"]
PictureForm = Literal["grey", "rgb", "palette"]
Side = Literal["R", "L"]
_SIDES: tuple[Side, Side] = ("R", "L")

_BLACK_AND_RED = bytes([0, 0, 0, 255, 0, 0])
_GREYS = bytes(level for level in range(256) for _ in range(3))

# Of 2 * person + (1 for the left), the odd forms: one in twelve labels and one in fourteen images of each.
_LABEL_FORMS: dict[int, LabelForm] = {3: "zero_one", 6: "palette", 9: "grey_edges"}
_PICTURE_FORMS: dict[int, PictureForm] = {4: "rgb", 11: "palette"}

HEIGHT_MM = 190.0  # of the picture
_JOINT_MM = 104.0  # the joint line below the upper edge

# Outlines of a right knee in mm: x to the inner side, y upwards from the joint line.
_FEMUR = (
    (-15, 130), (-14.5, 100), (-15.5, 72), (-19, 54), (-27, 40), (-36, 31), (-40.5, 21), (-39.5, 9), (-34, 2.5),
    (-22, 0.5), (-12, 3), (-7.5, 10), (-4.5, 18), (0, 20.5), (5, 18), (8, 9), (12, 2), (23, -0.5), (34, 1.5), (40.5, 8),
    (42, 21), (39.5, 33), (34.5, 38), (26, 47), (19, 60), (15.5, 78), (15, 100), (15.5, 130),
)  # fmt: skip
_TIBIA = (
    (-39, -7), (-31, -3.5), (-14, -4.5), (-6.5, -0.5), (-2.5, -3.5), (3, 0.5), (11, -5), (32, -5.5), (39.5, -8.5),
    (39, -18), (31, -33), (21, -52), (16, -76), (14.5, -128), (-13.5, -128), (-15, -76), (-19.5, -54), (-29, -36),
    (-38, -20),
)  # fmt: skip
_FIBULA = (
    (-46.5, -23), (-43, -16), (-37, -14.5), (-31.5, -19), (-30.5, -30), (-33.5, -44), (-34, -78), (-34.5, -130),
    (-43.5, -130), (-43.5, -78), (-43, -46), (-46.5, -34),
)  # fmt: skip
_PATELLA = ((-22, 37), (-18, 48), (-4, 53), (11, 49), (17, 38), (12, 24), (-1, 15), (-14, 22))
# Name, outline, half the depth in mm, cortex in mm, marrow's share of hard bone.
_BONES = (
    ("femur", _FEMUR, 20.0, 2.6, 0.26),
    ("tibia", _TIBIA, 19.0, 2.4, 0.25),
    ("fibula", _FIBULA, 6.5, 1.8, 0.22),
    ("patella", _PATELLA, 9.0, 1.0, 0.26),
)


def draw_knee(seed: int, person: int, side: Side, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one knee.

    Args:
        seed: Of the whole data set.
        person: From 1.
        side: Right or left.
        size: Usual height in pixels; each image differs from it by up to 6 %.

    Returns:
        (H, W) uint8 image and the femur's mask of 0 and 1.
    """
    body = np.random.default_rng([seed, person])
    build = float(np.clip(body.normal(1.0, 0.06), 0.87, 1.13))
    thickness, flesh, cortex = body.uniform(0.92, 1.08), body.uniform(0.85, 1.2), body.uniform(0.8, 1.3)
    rng = np.random.default_rng([seed, person, 1 if side == "R" else 2])
    height = round(size * rng.uniform(0.94, 1.06))
    width = round(height * 0.915 * rng.uniform(0.95, 1.05))
    per_mm = height / HEIGHT_MM
    turn = np.deg2rad(rng.normal(0, 4))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * build
    middle = np.array([width / 2 / per_mm + rng.normal(0, 5), _JOINT_MM + rng.normal(0, 6)])

    def pixels(points: Points) -> Polygon:
        placed = (points @ matrix) * [1, -1] + middle
        if side == "L":
            placed[:, 0] = width / per_mm - placed[:, 0]
        return np.asarray(np.round(placed * per_mm - 0.5), np.int32)

    path = np.zeros((height, width), np.float32)
    struts = drawing.grain(rng, (height, width), 0.55 * per_mm)
    femur = np.zeros((height, width), np.uint8)
    for name, outline, depth, shell, marrow in _BONES:
        controls = np.array(outline, np.float64)
        controls += rng.normal(0, 0.45, controls.shape)
        controls[:, 0] *= thickness
        if name == "patella":
            controls += (rng.normal(-1, 3), rng.normal(0, 4))
        mask = drawing.fill_polygon(pixels(drawing.smooth_outline(controls, 160)), (height, width))
        path += drawing.crossed_bone(mask, per_mm, depth, shell * cortex, marrow, 1 + 0.15 * struts)
        femur = mask if name == "femur" else femur
    attenuation = rng.uniform(0.034, 0.05) * path
    attenuation = attenuation + rng.uniform(0.45, 0.75) * _soft_tissue(pixels, path.shape, per_mm, flesh)
    light = rng.uniform(0.04, 0.10) + rng.uniform(0.88, 1.05) * (1 - np.exp(-attenuation))
    light *= 1 + rng.normal(0, 0.08) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = cv2.GaussianBlur(np.asarray(light, np.float32), (0, 0), rng.uniform(0.35, 0.6) * per_mm)
    light += rng.uniform(0.008, 0.02) * drawing.grain(rng, (height, width), 0.3 * per_mm)
    return drawing.to_grey(light), femur


def _soft_tissue(pixels: Callable[[Points], Polygon], size_hw: tuple[int, ...], per_mm: float, flesh: float) -> Picture:
    """Return the soft tissue's thickness, 1 = in the middle of a thick thigh."""
    sides = [(-62, 150), (-58, 80), (-53, 35), (-51, 0), (-54, -40), (-56, -80), (-52, -150)]
    outline = np.array([*sides, *((-x + 4, y) for x, y in reversed(sides))], np.float64) * [flesh, 1]
    # A wide margin, so that the edge of the image isn't taken for skin.
    margin = round(40 * per_mm)
    mask = drawing.fill_polygon(pixels(outline) + margin, (size_hw[0] + 2 * margin, size_hw[1] + 2 * margin))
    depth = drawing.inner_distance(mask, 1 / per_mm)[margin:-margin, margin:-margin]
    return np.asarray(cv2.GaussianBlur(1 - np.exp(-depth / 20), (0, 0), 0.8 * per_mm), np.float32)


def write_palette_png(path: Path, indices: NDArray[np.uint8], colours: bytes) -> None:
    """Write an 8-bit palette PNG, which OpenCV can't: (H, W) indices, and red, green and blue of each."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = indices.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter's number, 0 = none
    rows[:, 1:] = indices
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"PLTE", colours) + chunk(b"IDAT", zlib.compress(rows.tobytes()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b""))


def _write_label(path: Path, femur: NDArray[np.uint8], form: LabelForm) -> None:
    """Write a label (0 and 1) in one of the forms of the real data; grey edges are equal to the mask above half."""
    if form == "palette":
        write_palette_png(path, femur, _BLACK_AND_RED)
        return
    label = femur if form == "zero_one" else np.asarray(femur * 255, np.uint8)
    if form == "grey_edges":
        soft = cv2.GaussianBlur(label, (0, 0), 0.7)
        label = np.where(femur > 0, np.maximum(soft, 140), np.minimum(soft, 115)).astype(np.uint8)
    drawing.write_png(path, label, channels=1)


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw two knees per person and their labels, see ``Draw``; test labels are all 0 and 255."""
    for person in range(1, people + test_people + 1):
        train = person <= people
        pictures, answers = ("train/images", "train/labels") if train else ("test/images", "truth/labels")
        for side in _SIDES:
            name = f"{person:03d}_{side}.png"
            grey, femur = draw_knee(seed, person, side, size)
            number = 2 * person + (side == "L")
            form = _PICTURE_FORMS.get(number % 14, "grey")
            if form == "palette":
                write_palette_png(root / pictures / name, grey, _GREYS)
            else:
                drawing.write_png(root / pictures / name, grey, channels=3 if form == "rgb" else 1)
            _write_label(root / answers / name, femur, _LABEL_FORMS.get(number % 12, "plain") if train else "plain")
            advance()
