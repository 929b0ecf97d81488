"""An X-ray image from a hand's outlines: every bone and the soft tissue attenuate, and what overlaps adds up."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms.drawing import (
    Picture,
    Polygon,
    Uint8,
    fill_polygon,
    grain,
    inner_distance,
    shell_path,
    standardise,
    to_grey,
)
from competition.phantoms.hand_bone.anatomy import CANVAS_MM, FOREARM_END_MM
from competition.phantoms.hand_bone.pose import Film, PlacedBone, PlacedHand

_FLESH_GRID = 512  # soft tissue has no fine detail: a coarse grid saves two thirds of the time at 2048
_LONG_CORTEX_MM = 1.75  # middle of a finger bone's shaft; 0.55 at its ends
_CARPAL_CORTEX_MM = 0.65


@dataclass(frozen=True)
class Exposure:
    """What differs from film to film."""

    bone: float  # attenuation per millimetre of cortical bone
    flesh: float  # attenuation of a thick palm
    gain: float  # brightness of a film that lets nothing through
    background: float  # brightness beside the hand
    tilt: tuple[float, float]  # brightness added from one edge to the other, x and y
    noise: float  # standard deviation of the noise
    blur_mm: float  # standard deviation of the focus' blur
    marker_left: bool | None  # whether the letter lies in the upper left corner; None for no letter
    ring: bool  # whether the ring finger wears a ring
    collimated_mm: tuple[float, float]  # width of the shutter's shadow on the left and the right


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Draw how a film was exposed."""
    marker, shutter = rng.random(), rng.random()
    widths = rng.uniform(4.0, 22.0, 2)
    return Exposure(
        bone=float(rng.uniform(0.058, 0.098)),
        flesh=float(rng.uniform(0.46, 0.78)),
        gain=float(rng.uniform(0.85, 1.12)),
        background=float(rng.uniform(0.012, 0.055)),
        tilt=(float(rng.normal(0.0, 0.018)), float(rng.normal(0.0, 0.018))),
        noise=float(rng.uniform(0.008, 0.022)),
        blur_mm=float(rng.uniform(0.13, 0.24)),
        marker_left=None if marker < 0.3 else bool(marker < 0.65),
        ring=bool(rng.random() < 0.06),
        collimated_mm=(float(widths[0]), float(widths[1])) if shutter < 0.25 else (0.0, 0.0),
    )


def _radius_and_cortex(bone: PlacedBone, film: Film, size: int, box: tuple[int, int, int, int]) -> tuple[Picture, ...]:
    """Return a long bone's half width and cortex (mm) and marrow density (of cortical 1) over a box x0, y0, x1, y1."""
    axis = bone.axis_mm
    assert axis is not None
    (base_x, base_y), (tip_x, tip_y) = film.pixels(axis, size)
    reach = (tip_x - base_x, tip_y - base_y)
    square = reach[0] ** 2 + reach[1] ** 2
    xs = ((np.arange(box[0], box[2], dtype=np.float32) - np.float32(base_x)) * np.float32(reach[0] / square))[None, :]
    ys = ((np.arange(box[1], box[3], dtype=np.float32) - np.float32(base_y)) * np.float32(reach[1] / square))[:, None]
    place = np.clip(ys + xs, 0.0, 1.0)
    # A table of 256 stations along the bone, looked up per pixel.
    stations = np.linspace(0.0, 1.0, 256)
    radius = np.interp(stations, bone.stations, bone.half_width_mm)
    forearm = bone.name in ("Radius", "Ulna")
    # 0 at the joints, 1 in the shaft: thick cortex, empty marrow. The forearm's other end is off the film.
    shaft = np.clip((stations - 0.05) / 0.22 if forearm else np.minimum(stations, 1 - stations) / 0.33, 0, 1)
    shaft = shaft * shaft * (3 - 2 * shaft)
    cortex = np.minimum(0.5 + (_LONG_CORTEX_MM * (1.5 if forearm else 1.0) - 0.5) * shaft, 0.6 * radius)
    # The forearm's flared end is half as deep as it is wide, hence less marrow.
    marrow = (0.21 if forearm else 0.40) * (1 - 0.67 * shaft)
    index = (place * 255).astype(np.uint8)
    return tuple(table.astype(np.float32)[index] for table in (radius, cortex, marrow))


def _bone_path(
    bone: PlacedBone, film: Film, mask: Uint8, texture: Picture, size: int
) -> tuple[Picture, tuple[slice, slice]]:
    """Return the hard bone in mm that a ray crosses, within the bone's box, and that box.

    A bone is taken as a rod: a hard shell (cortex) around marrow, whose fine struts show as texture.
    """
    x, y, width, height = cv2.boundingRect(mask)
    x0, y0, x1, y1 = max(x - 1, 0), max(y - 1, 0), min(x + width + 1, size), min(y + height + 1, size)
    window = (slice(y0, y1), slice(x0, x1))
    inside = np.ascontiguousarray(mask[window])
    edge = inner_distance(inside, CANVAS_MM / size)
    if bone.axis_mm is None:
        radius = np.full(edge.shape, float(edge.max()), np.float32)
        cortex, marrow = np.full_like(radius, _CARPAL_CORTEX_MM), np.full_like(radius, 0.30)
    else:
        radius, cortex, marrow = _radius_and_cortex(bone, film, size, (x0, y0, x1, y1))
    struts = marrow * (1 + np.float32(0.12) * texture[window])
    return shell_path(edge, radius, cortex, struts), window


def _flesh(hand: PlacedHand, film: Film, size: int) -> Picture:
    """Return the soft tissue's thickness, 1 = a thick palm, on a film of ``size`` pixels."""
    grid = _FLESH_GRID
    per_mm = grid / CANVAS_MM * film.scale
    mask = np.zeros((grid, grid), np.uint8)

    def polygon(points: NDArray[np.float64]) -> None:
        corners = np.round(film.pixels(points, grid)).astype(np.int32)
        cv2.fillPoly(mask, [cv2.convexHull(corners.reshape(-1, 1, 2))], (1,))

    fat = hand.build.flesh
    ring = np.stack([np.cos(np.linspace(0, 2 * np.pi, 16)), np.sin(np.linspace(0, 2 * np.pi, 16))], axis=1)
    for joints, (root, tip) in hand.fingers:
        radii = np.linspace(root, tip, len(joints)) * fat
        radii[-1] *= 0.86
        discs = [joint + radius * ring for joint, radius in zip(joints, radii, strict=True)]
        # The fingertip's pulp reaches some 3 mm beyond the bone.
        discs[-1] = discs[-1] + 0.5 * (joints[-1] - joints[-2]) / np.hypot(*(joints[-1] - joints[-2])) * 3.0
        for near, far in pairwise(discs):
            polygon(np.vstack([near, far]))
    thumb, index, middle, fourth, little = (joints for joints, _ in hand.fingers)
    webs = [0.70 * middle[1] + 0.30 * middle[2], 0.78 * fourth[1] + 0.22 * fourth[2]]
    heads = [0.82 * index[1] + 0.18 * index[2], *webs, 0.85 * little[1] + 0.15 * little[2]]
    palm = [*heads, thumb[0], index[0], little[0], little[1] + [8 * fat, -4], little[0] + [12 * fat, 2]]
    wrist = np.array([[-29.0 * fat, 10.0], [32.0 * fat, 8.0], [-28.0 * fat, -10.0], [31.0 * fat, -12.0]])
    polygon(np.vstack([*palm, wrist[:2]]))
    ball = [thumb[0], thumb[0] + [-9 * fat, -6], 0.2 * thumb[0] + 0.8 * thumb[1], 0.5 * (index[0] + index[1])]
    polygon(np.vstack([*ball, index[0], wrist[0]]))
    polygon(wrist)
    forearm = [(-31.0 * fat, -70.0), (33.0 * fat, -70.0), (-36.0 * fat, FOREARM_END_MM), (38.0 * fat, FOREARM_END_MM)]
    polygon(np.vstack([wrist[2:], forearm]))
    # Round off the webs between the fingers: blur over 1.6 mm and cut at half.
    mask = (cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.6 * per_mm) > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5) / per_mm
    thickness = 1.0 - np.exp(-depth / 12.0)
    balls = [
        (0.55 * thumb[0] + 0.45 * thumb[1] + [8.0, -3.0], 17.0, 0.32),
        (0.6 * little[0] + 0.4 * little[1] + [3.0, 0.0], 15.0, 0.22),
    ]
    rows, columns = np.mgrid[0:grid, 0:grid].astype(np.float32)
    for centre, spread, height in balls:
        x, y = film.pixels(np.asarray(centre)[None], grid)[0]
        square = (columns - x) ** 2 + (rows - y) ** 2
        thickness += height * np.exp(-square / (2 * (spread * per_mm) ** 2)) * (mask > 0)
    smooth = cv2.GaussianBlur(thickness.astype(np.float32), (0, 0), 0.3 * per_mm)
    return np.asarray(cv2.resize(smooth, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _add_disc(path: Picture, centre_px: NDArray[np.float64], radius_px: float, height: float) -> None:
    """Add a lens-shaped piece of bone (a sesamoid, the Hamate's hook) to the crossed bone."""
    x0, y0 = np.maximum(np.floor(centre_px - radius_px).astype(int), 0)
    x1, y1 = np.ceil(centre_px + radius_px).astype(int) + 1
    box = path[y0:y1, x0:x1]
    rows, columns = np.mgrid[y0 : y0 + box.shape[0], x0 : x0 + box.shape[1]]
    square = ((columns - centre_px[0]) ** 2 + (rows - centre_px[1]) ** 2) / radius_px**2
    box += (height * np.sqrt(np.maximum(1 - square, 0))).astype(np.float32)


def _add_ornaments(path: Picture, hand: PlacedHand, film: Film, size: int) -> None:
    """Add the thumb's two sesamoid bones and the Hamate's hook, which belong to no class of their own."""
    per_mm = size / CANVAS_MM * film.scale
    thumb = hand.fingers[0][0]
    along = (thumb[1] - thumb[0]) / np.hypot(*(thumb[1] - thumb[0]))
    across = np.array([along[1], -along[0]])
    for sideways, radius in ((3.6, 2.7), (-4.4, 2.2)):
        _add_disc(path, film.pixels((thumb[1] - 2.6 * along + sideways * across)[None], size)[0], radius * per_mm, 2.6)
    _add_disc(path, film.pixels(hand.hook_mm[None], size)[0], 3.4 * per_mm, 2.4)


def _add_ring(path: Picture, hand: PlacedHand, film: Film, size: int) -> None:
    """Draw a metal ring on the ring finger's first bone."""
    joints = hand.fingers[3][0]
    middle, along = 0.45 * joints[1] + 0.55 * joints[2], joints[2] - joints[1]
    across = np.array([along[1], -along[0]]) / np.hypot(*along) * 9.6
    ends = np.round(film.pixels(np.stack([middle - across, middle + across]), size)).astype(int)
    cv2.line(path, ends[0].tolist(), ends[1].tolist(), (17.0,), max(round(2.3 * size / CANVAS_MM), 1), cv2.LINE_AA)


def expose(
    hand: PlacedHand, film: Film, polygons: list[Polygon], exposure: Exposure, size: int, rng: np.random.Generator
) -> Uint8:
    """Return the X-ray image of a hand, (size, size) uint8.

    Each bone is drawn from the mask of its integer polygon, so that cv2.fillPoly gives exactly that bone back.

    Args:
        hand: Bones in class order, in millimetres.
        film: Where they lie.
        polygons: Per bone its polygon (n, 2) in pixels.
        exposure: How the film is taken.
        size: Width and height in pixels.
        rng: Source of texture and noise.
    """
    per_mm = size / CANVAS_MM
    fine = grain(rng, (size, size), 0.28 * per_mm)
    # At half the resolution and enlarged, the coarse part takes a quarter of the time.
    half = grain(rng, ((size + 1) // 2, (size + 1) // 2), 0.9 * per_mm / 2)
    texture = standardise(fine + cv2.resize(half, (size, size), interpolation=cv2.INTER_LINEAR))
    path = np.zeros((size, size), np.float32)
    for bone, polygon in zip(hand.bones, polygons, strict=True):
        piece, window = _bone_path(bone, film, fill_polygon(polygon, (size, size)), texture, size)
        path[window] += piece
    _add_ornaments(path, hand, film, size)
    if exposure.ring:
        _add_ring(path, hand, film, size)
    attenuation = exposure.bone * hand.build.density * path + exposure.flesh * _flesh(hand, film, size)
    light: Picture = np.asarray(exposure.gain * (1.0 - np.exp(-attenuation)), np.float32)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    light += exposure.background + exposure.tilt[0] * ramp[None, :] + exposure.tilt[1] * ramp[:, None]
    if exposure.marker_left is not None:
        _add_letter(light, "R" if film.side == "right" else "L", exposure.marker_left, size)
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), exposure.blur_mm * per_mm), np.float32)
    # Few rays arrive behind bone: the noise grows with brightness.
    light += exposure.noise * (0.35 + light) * grain(rng, (size, size), 0.09 * per_mm)
    left, right = (round(width * per_mm) for width in exposure.collimated_mm)
    light[:, :left] *= 0.15
    light[:, size - right :] *= 0.15
    return to_grey(light)


def _add_letter(light: Picture, letter: str, left: bool, size: int) -> None:
    """Draw the lead letter in an upper corner; OpenCV 5 writes text into 8-bit images only."""
    scale = size / 1024
    x, y, side = round(size * (0.06 if left else 0.88)), round(size * 0.06), round(size * 0.06)
    letters = np.zeros((side, side), np.uint8)
    thickness = max(round(4 * scale), 1)
    cv2.putText(letters, letter, (thickness, side - thickness), cv2.FONT_HERSHEY_DUPLEX, 2.0 * scale, (255,), thickness)
    corner = light[y : y + side, x : x + side]
    np.maximum(corner, letters.astype(np.float32) * np.float32(0.95 / 255), out=corner)
