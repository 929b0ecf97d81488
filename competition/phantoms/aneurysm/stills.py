"""From arteries to an exported angiogram: absorption, background, noise, and what consoles add around it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms.aneurysm.tree import GRID, Vessel
from competition.phantoms.drawing import Uint8

SUBPIXEL_BITS = 4
SUBPIXELS = 16
DENSITY_UNIT = 80  # one unit of absorption (a factor e) in the uint8 density map; 255 is 4 % transmission
STAGNATION = 1.6  # a sac holds its contrast while that of the arteries is washed out: it absorbs so much more
NOISE_SIGMA = 4.0
LEFT_TEXT = ("FOV: 20x20 cm", "RAO: 0.1 deg", "CRA: 27.5 deg", "L: -0.1 deg", "Tilt: 0 deg")
RIGHT_TEXT = ("(Filt. 7) (Shut.)", "FRNT", "Seq: 3", "FRAME = 27 / 52", "MASK = 1")


@dataclass(frozen=True)
class Sac:
    """An aneurysm in the image."""

    centre: NDArray[np.float64]  # (2,), fractions of the image side
    radius: float  # pixels of a 720 image
    stretch: float  # short over long axis, 0 to 1
    turn: float  # of the long axis, degrees


def absorption(width: float) -> float:
    """Return the absorption (natural logarithm) of a vessel ``width`` pixels of a 720 image wide.

    Beer and Lambert ask for a straight line; angiograms are windowed so that twigs show and the carotid does not clip,
    which a square root imitates: 2 pixels wide 0.35, 20 pixels 1.1.
    """
    return 0.25 * float(np.sqrt(width))


def density_map(vessels: list[Vessel], sacs: list[Sac], size: int, mirrored: bool) -> Uint8:
    """Draw arteries and aneurysms as absorption: (size, size) uint8 in units of 1 / ``DENSITY_UNIT``."""
    density = np.zeros((size, size), dtype=np.uint8)
    layer = np.zeros_like(density)
    for vessel in vessels:
        reach = int(np.ceil(max(vessel.radii) * size / GRID)) + 2
        points = _pixels(vessel.points, size, mirrored)
        region = _region(points, reach, size)
        layer[region] = 0
        _draw_tapered(layer, points, vessel.radii, size)
        _overlay(density, layer, region)
    for sac in sacs:
        centre = _pixels(sac.centre[None], size, mirrored)
        radius = sac.radius * size / GRID
        region = _region(centre, int(np.ceil(radius)) + 2, size)
        layer[region] = 0
        turn = 180.0 - sac.turn if mirrored else sac.turn
        middle = (_fixed(centre[0, 0]), _fixed(centre[0, 1]))
        axes = (_fixed(radius), _fixed(radius * sac.stretch))
        value = min(STAGNATION * absorption(2 * sac.radius) * DENSITY_UNIT, 255)
        cv2.ellipse(layer, middle, axes, turn, 0, 360, value, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        _overlay(density, layer, region)
    return np.asarray(cv2.GaussianBlur(density, (0, 0), max(1.3 * size / GRID, 0.4)), dtype=np.uint8)


def _pixels(points: NDArray[np.float64], size: int, mirrored: bool) -> NDArray[np.float64]:
    placed = points * size - 0.5
    if mirrored:
        placed[:, 0] = size - 1 - placed[:, 0]
    return placed


def _fixed(value: float) -> int:
    """Return pixels as OpenCV's fixed-point number."""
    return round(value * SUBPIXELS)


def _region(points: NDArray[np.float64], reach: int, size: int) -> tuple[slice, slice]:
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - reach, 0, size)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + reach + 1, 0, size)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _draw_tapered(layer: Uint8, points: NDArray[np.float64], radii: tuple[float, float], size: int) -> None:
    """Draw a course in up to four pieces of falling width; below one pixel the value falls instead of the width."""
    pieces = 4 if abs(radii[0] - radii[1]) * size / GRID > 0.5 else 1
    cuts = np.linspace(0, len(points) - 1, pieces + 1).round().astype(int)
    fixed = np.rint(points * SUBPIXELS).astype(np.int32)
    for piece in range(pieces):
        radius = radii[0] + (radii[1] - radii[0]) * (piece + 0.5) / pieces
        width = 2 * radius * size / GRID
        value = absorption(2 * radius) * DENSITY_UNIT * min(width, 1.0)
        course = fixed[cuts[piece] : cuts[piece + 1] + 1]
        cv2.polylines(layer, [course], False, value, max(round(width), 1), cv2.LINE_AA, SUBPIXEL_BITS)


def _overlay(density: Uint8, layer: Uint8, region: tuple[slice, slice]) -> None:
    """Add a vessel: the deeper of the two and a third of the other, so that a junction is no dark knot."""
    old, new = density[region], layer[region]
    if old.size:
        density[region] = cv2.addWeighted(cv2.max(old, new), 1.0, cv2.min(old, new), 1 / 3, 0.0)


def background(size: int, frontal: bool, mirrored: bool, rng: np.random.Generator) -> Uint8:
    """Draw what subtraction leaves of the head: uneven grey, a faint skull, lighter and darker residue of bone.

    Args:
        size: Image side, pixels.
        frontal: Frontal or lateral.
        mirrored: Whether left and right change places.
        rng: Advanced by the head's own draws.

    Returns:
        (size, size) uint8 around 185 to 200.
    """
    level = rng.uniform(185, 199)
    shading = cv2.resize(rng.normal(0, 2.5, (5, 5)).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    relief = np.full((size, size), 128, dtype=np.uint8)
    line = max(round(6 * size / GRID), 1)
    middle, axes = ((0.5, 0.52), (0.43, 0.47)) if frontal else ((0.52, 0.47), (0.46, 0.41))
    jitter = rng.uniform(-0.02, 0.02, 4)
    centre = (int((middle[0] + jitter[0]) * size), int((middle[1] + jitter[1]) * size))
    radii = (int((axes[0] + jitter[2]) * size), int((axes[1] + jitter[3]) * size))
    cv2.ellipse(relief, centre, radii, 0, 0, 360, 121, line, cv2.LINE_AA)
    cv2.ellipse(relief, centre, (radii[0] - line, radii[1] - line), 0, 0, 360, 133, max(line // 2, 1), cv2.LINE_AA)
    for _ in range(int(rng.integers(2, 6))):
        _draw_residue(relief, size, frontal, rng)
    relief = cv2.GaussianBlur(relief, (0, 0), max(2.6 * size / GRID, 0.4))
    if mirrored:
        relief = cv2.flip(relief, 1)
    return np.asarray(cv2.add(relief, shading + (level - 128), dtype=cv2.CV_8U), dtype=np.uint8)


def _draw_residue(relief: Uint8, size: int, frontal: bool, rng: np.random.Generator) -> None:
    """Draw a spot of skull base or teeth that moved between mask and frame: a light and a dark side."""
    across = rng.uniform(0.25, 0.75) if frontal else rng.uniform(0.08, 0.5)
    centre = np.array([across, rng.uniform(0.68, 0.97)]) * size
    axes = rng.uniform(5, 20, 2) * size / GRID
    moved = rng.uniform(-7, 7, 2) * size / GRID
    strength = rng.uniform(12, 55)
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    edge = np.column_stack([np.cos(angle), np.sin(angle)]) * axes * rng.uniform(0.5, 1.2, (12, 1))
    for place, value in ((centre, 128 + strength), (centre + moved, 128 - strength)):
        corners = np.rint((place + edge) * SUBPIXELS).astype(np.int32)
        cv2.fillPoly(relief, [corners], value, cv2.LINE_AA, SUBPIXEL_BITS)


def noise_tile(size: int, seed: int) -> NDArray[np.int8]:
    """Return slightly blurred noise, (2 * size, 2 * size) int8, from which every image cuts its own piece.

    Fresh normal noise for each image would cost more than everything else in it.
    """
    noise = np.random.default_rng([seed, size]).standard_normal((2 * size, 2 * size), dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.6)
    return np.asarray(np.rint(noise * (NOISE_SIGMA / noise.std())).clip(-127, 127), dtype=np.int8)


def expose(density: Uint8, behind: Uint8, noise: NDArray[np.int8], contrast: float, rng: np.random.Generator) -> Uint8:
    """Return the background (s, s) seen through the vessels, with noise.

    Args:
        density: (s, s) uint8, from ``density_map``.
        behind: (s, s) uint8, from ``background``.
        noise: (2 s, 2 s) int8, from ``noise_tile``.
        contrast: Factor on the absorption: how well the injection was filled.
        rng: For the place of the noise.
    """
    size = density.shape[0]
    passing = np.rint(255 * np.exp(-contrast * np.arange(256) / DENSITY_UNIT)).astype(np.uint8)
    seen = cv2.multiply(behind, cv2.LUT(density, passing), scale=1 / 255)
    row, column = rng.integers(0, size + 1, 2)
    return np.asarray(cv2.add(seen, noise[row : row + size, column : column + size], dtype=cv2.CV_8U), dtype=np.uint8)


def export(still: Uint8, rng: np.random.Generator) -> Uint8:
    """Return an image as consoles export it: mostly as it is or with edge lines, one in six with margins.

    A third of those with margins have text. The margins make a wider or higher black canvas.
    """
    kind = rng.random()
    if kind < 1 / 6:
        canvas, box = add_margins(still, ("5:4", "5:3", "thin frame", "wide frame", "bars")[int(rng.integers(5))], rng)
        if rng.random() < 1 / 3:
            burn_text(canvas, box)
        return canvas
    if kind < 1 / 2:
        return add_edge_lines(still)
    return still


def add_margins(still: Uint8, kind: str, rng: np.random.Generator) -> tuple[Uint8, tuple[int, int, int, int]]:
    """Put an image on a black canvas.

    Args:
        still: (s, s) uint8.
        kind: "5:4" or "5:3" (side bars), "thin frame", "wide frame" (the image shrunk to two thirds and darker),
            "bars" (above and below).
        rng: For the width of the margins.

    Returns:
        The canvas (h, w) uint8 and the place of the image in it (top, bottom, left, right), half-open.
    """
    size = still.shape[0]
    if kind == "wide frame":
        side = round(size * 2 / 3)
        still = np.asarray(cv2.resize(still, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        still = np.asarray(cv2.convertScaleAbs(still, alpha=130 / 192), dtype=np.uint8)
    margin = {
        "5:4": (0, round(size * 0.125)),
        "5:3": (0, round(size / 3)),
        "thin frame": (round(size * rng.uniform(0.01, 0.04)),) * 2,
        "wide frame": ((size - still.shape[0]) // 2,) * 2,
        "bars": (round(size * rng.uniform(0.03, 0.12)), 0),
    }[kind]
    side = still.shape[0]
    canvas = np.zeros((side + 2 * margin[0], side + 2 * margin[1]), dtype=np.uint8)
    box = (margin[0], margin[0] + side, margin[1], margin[1] + side)
    canvas[box[0] : box[1], box[2] : box[3]] = still
    return canvas, box


def add_edge_lines(still: Uint8) -> Uint8:
    """Return a copy with what exports of 720 x 720 show: black lines on all sides, ticks down the left column."""
    lined = still.copy()
    size = len(still)
    lined[0], lined[-2:], lined[:, -2:] = 0, 0, 0
    lined[1, : size // 2] //= 2
    dash = max(round(27 * size / GRID), 4)
    down = np.arange(size) % dash
    lined[down == 0, 0], lined[down == dash // 2, 0] = 255, 0
    return lined


def burn_text(canvas: Uint8, box: tuple[int, int, int, int]) -> None:
    """Write two blocks of white text, in place, in the lower corners across the edge of the image.

    Args:
        canvas: (h, w) uint8.
        box: The place of the image in it (top, bottom, left, right).
    """
    top, bottom, left, right = box
    height, width = canvas.shape
    scale, pitch = max(0.42 * height / GRID, 0.25), max(round(0.026 * height), 7)
    font = cv2.FONT_HERSHEY_SIMPLEX
    ink = np.zeros_like(canvas)
    for lines, on_left in ((LEFT_TEXT, True), (RIGHT_TEXT, False)):
        long = max(cv2.getTextSize(line, font, scale, 1)[0][0] for line in lines)
        start = max(left - long // 3, 4) if on_left else min(right - long * 2 // 3, width - long - 4)
        for row, line in enumerate(lines):
            base = top + round(0.79 * (bottom - top)) + row * pitch
            cv2.putText(ink, line, (start, base), font, scale, 255, 1, cv2.LINE_AA)
    canvas[ink > 100] = 255  # consoles write bitmap letters
