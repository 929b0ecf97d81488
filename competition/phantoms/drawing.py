"""What all drawn phantoms share: smooth outlines, grain, masks from integer polygons, grey PNG files."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError

# A grainy 1024x1024x3 picture, one core: level 1 takes 44 ms and 0.87 MB, level 3 65 ms and 0.74 MB, OpenCV 5's own
# choice 26 ms and 1.40 MB. Named, because that choice differs between OpenCV 4 and 5.
_FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def smooth_outline(controls: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Lay a closed Catmull-Rom curve through control points and take points at equal distances along it.

    Args:
        controls: (n, 2) points in order around the outline, n >= 3; the last is joined to the first.
        count: How many points to return.

    Returns:
        (count, 2) points on the curve, the first at ``controls[0]``; same units as ``controls``.
    """
    before, after = np.roll(controls, 1, axis=0), np.roll(controls, -1, axis=0)
    beyond = np.roll(controls, -2, axis=0)
    t = np.linspace(0.0, 1.0, 12, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (points[:, None, :] for points in (before, controls, after, beyond))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    closed = np.vstack([curve.reshape(-1, 2), controls[:1]])
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    stations = np.linspace(0.0, travelled[-1], count, endpoint=False)
    return np.stack([np.interp(stations, travelled, closed[:, axis]) for axis in (0, 1)], axis=1)


def fill_polygon(polygon: NDArray[np.int32], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Rasterise as the organisers' baseline does: cv2.fillPoly, which includes the boundary pixels.

    Args:
        polygon: (n, 2) x, y in pixels.
        size_hw: Rows and columns of the mask.

    Returns:
        (H, W) mask of 0 and 1.
    """
    mask = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(mask, [polygon.reshape(-1, 1, 2)], (1,))
    return mask


def grain(rng: np.random.Generator, size_hw: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Draw Gaussian noise of unit standard deviation, correlated over ``sigma`` pixels.

    Args:
        rng: Source of the noise.
        size_hw: Rows and columns.
        sigma: Standard deviation of the blur in pixels; 0 gives white noise.

    Returns:
        (H, W) noise of mean about 0 and standard deviation 1.
    """
    noise = rng.standard_normal(size_hw, dtype=np.float32)
    return noise if sigma <= 0 else standardise(cv2.GaussianBlur(noise, (0, 0), sigma))


def standardise(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a noise field to mean 0 and standard deviation 1.

    Args:
        field: (H, W) values that are not all equal.

    Returns:
        (H, W) standardised values.
    """
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def shell_path(
    edge: NDArray[np.float32],
    radius: NDArray[np.float32],
    cortex: NDArray[np.float32],
    marrow: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return how much hard bone an X-ray crosses, the bone taken as a rod: a shell of hard bone around marrow.

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


def inner_distance(mask: NDArray[np.uint8], mm_per_px: float) -> NDArray[np.float32]:
    """Measure each pixel's distance from the outline of a mask.

    Args:
        mask: (H, W) of 0 and 1.
        mm_per_px: Size of a pixel.

    Returns:
        (H, W) mm, half a pixel in the outermost pixels of the mask, 0 outside.
    """
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    return np.asarray(np.maximum(distance - 0.5, 0.0) * mm_per_px, np.float32)


def to_grey(intensity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn an intensity of 0..1 into 8-bit grey; what lies outside is cut off.

    Args:
        intensity: (H, W) float.

    Returns:
        (H, W) uint8.
    """
    return np.asarray(cv2.convertScaleAbs(np.clip(intensity, 0.0, 1.0), alpha=255.0), np.uint8)


def write_png(path: Path, grey: NDArray[np.uint8], channels: Literal[1, 3]) -> None:
    """Write grey values as a PNG, alone or three times over as the organisers do.

    Args:
        path: Where to; its folder is made.
        grey: (H, W) uint8.
        channels: 1, or 3 for three equal channels.

    Raises:
        CompetitionError: The file could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = grey if channels == 1 else cv2.merge([grey, grey, grey])
    if not cv2.imwrite(str(path), picture, _FAST_PNG):
        raise CompetitionError("the drawn image could not be written", path, "Check the disk's space and rights")
