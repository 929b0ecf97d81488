"""Drawing shared by all phantoms: smooth outlines, noise, masks of integer polygons, bones, grey PNG files."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError

Points = NDArray[np.float64]
Picture = NDArray[np.float32]
Uint8 = NDArray[np.uint8]
Polygon = NDArray[np.int32]

# A grainy 1024x1024x3 picture, one core: level 1 takes 44 ms and 0.87 MB, level 3 65 ms and 0.74 MB, OpenCV 5's own
# choice 26 ms and 1.40 MB. Named, because that choice differs between OpenCV 4 and 5.
_FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def smooth_outline(controls: Points, count: int) -> Points:
    """Return ``count`` points at equal distances along a closed Catmull-Rom curve through control points.

    Args:
        controls: (n, 2) points in order around the outline, n >= 3; the last is joined to the first.
        count: How many points to return.

    Returns:
        (count, 2), the first at ``controls[0]``.
    """
    before, after, beyond = (np.roll(controls, shift, axis=0) for shift in (1, -1, -2))
    closed = np.vstack([catmull_rom(before, controls, after, beyond, steps=12), controls[:1]])
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    stations = np.linspace(0.0, travelled[-1], count, endpoint=False)
    return np.stack([np.interp(stations, travelled, closed[:, axis]) for axis in (0, 1)], axis=1)


def catmull_rom(before: Points, start: Points, end: Points, after: Points, steps: int) -> Points:
    """Return (n * steps, 2) points on the n spans from ``start`` to ``end``, all (n, 2); the ends are left out."""
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (points[:, None, :] for points in (before, start, end, after))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.asarray(curve.reshape(-1, 2), np.float64)


def fill_polygon(polygon: Polygon, size_hw: tuple[int, int]) -> Uint8:
    """Return the (H, W) mask of 0 and 1 of a polygon, filled as the organisers' baseline does: boundary included."""
    mask = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(mask, [polygon.reshape(-1, 1, 2)], (1,))
    return mask


def grain(rng: np.random.Generator, size_hw: tuple[int, int], sigma: float) -> Picture:
    """Draw Gaussian noise (H, W) of mean 0 and deviation 1, blurred over ``sigma`` pixels; 0 gives white noise."""
    noise = rng.standard_normal(size_hw, dtype=np.float32)
    return noise if sigma <= 0 else standardise(cv2.GaussianBlur(noise, (0, 0), sigma))


def standardise(field: Picture) -> Picture:
    """Bring a field to mean 0 and standard deviation 1."""
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def shell_path(edge: Picture, radius: Picture, cortex: Picture, marrow: Picture) -> Picture:
    """Return the hard bone in mm that an X-ray crosses; the bone is a rod, a shell of hard bone around marrow.

    A ray at distance d from the middle line of a rod of radius r crosses 2 sqrt(r^2 - d^2) of it; what lies within the
    shell's inner radius counts as marrow. So a shaft's two edges show as bright lines.

    Args:
        edge: (H, W) distance of each pixel from the bone's outline in mm, 0 outside.
        radius: (H, W) half the bone's width there in mm.
        cortex: (H, W) thickness of the shell in mm.
        marrow: (H, W) attenuation of marrow as a share of hard bone's.

    Returns:
        (H, W) mm of hard bone, 0 outside.
    """
    distance = radius - np.minimum(edge, radius)
    hollow = np.maximum(radius - cortex, 0.0)
    whole = 2.0 * np.sqrt(np.maximum(radius * radius - distance * distance, 0.0))
    inner = 2.0 * np.sqrt(np.maximum(hollow * hollow - distance * distance, 0.0))
    return np.asarray((whole - inner * (1.0 - marrow)) * (edge > 0), np.float32)


def crossed_bone(mask: Uint8, per_mm: float, depth: float, cortex: float, marrow: float, struts: Picture) -> Picture:
    """Return the hard bone in mm that each ray crosses in one long bone.

    Args:
        mask: (H, W) of 0 and 1.
        per_mm: Pixels per mm.
        depth: Half the depth of the bone at its joints in mm.
        cortex: Thickness of the shaft's shell in mm.
        marrow: Attenuation of marrow as a share of hard bone's.
        struts: (H, W) variation of the marrow around 1.
    """
    if not mask.size:
        return np.zeros(mask.shape, np.float32)
    edge = inner_distance(mask, 1 / per_mm)
    # Row by row the bone is as deep as it is wide, but no deeper than at its joint: shafts are thinner than condyles.
    half_width = 0.5 * mask.sum(axis=1, dtype=np.float32)[:, None] / np.float32(per_mm)
    radius = np.broadcast_to(np.clip(half_width, 1.0, depth), mask.shape)
    # Cortex is thick in shafts and thin towards joints, where the bone is wide.
    shell = np.minimum(cortex * np.clip((1.9 * depth - half_width) / depth, 0.15, 1.0), 0.5 * radius)
    return shell_path(edge, radius, shell, np.asarray(marrow * struts, np.float32))


def inner_distance(mask: Uint8, mm_per_px: float) -> Picture:
    """Return each pixel's distance from the outline of a mask in mm: half a pixel at the rim, 0 outside."""
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    return np.asarray(np.maximum(distance - 0.5, 0.0) * mm_per_px, np.float32)


def to_grey(intensity: Picture) -> Uint8:
    """Return 8-bit grey values of an intensity of 0 to 1; values beyond are clipped."""
    return np.asarray(cv2.convertScaleAbs(np.clip(intensity, 0.0, 1.0), alpha=255.0), np.uint8)


def write_png(path: Path, grey: Uint8, channels: Literal[1, 3]) -> None:
    """Write grey values (H, W) as a PNG of one channel or of three equal ones, as the organisers do.

    Raises:
        CompetitionError: The file could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = grey if channels == 1 else cv2.merge([grey, grey, grey])
    if not cv2.imwrite(str(path), picture, _FAST_PNG):
        raise CompetitionError("the image could not be written", path, "Check the disk's space and rights")
