"""The radiograph of a synthetic lower back: bones, what lies in front of them, exposure, noise, and the labels."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms.drawing import Picture, Points, fill_polygon, grain, inner_distance, smooth_outline
from competition.phantoms.lumbar.anatomy import LABELLED, Back, grow_back

MARGIN_MM = 40.0  # around the image, so that its edge is not taken for skin or for the edge of a bone


@dataclass(frozen=True)
class Film:
    """One image's frame and pose."""

    size_hw: tuple[int, int]  # rows and columns
    per_mm: float  # pixels per mm
    turn: float  # of the person in the image's plane, degrees
    # where the middle of the sacrum's upper end plate lies, x and y in mm from the upper left corner
    origin: tuple[float, float]

    def placed(self, points: Points) -> Points:
        """Return points of the anatomy (mm) in mm of the image."""
        angle = np.deg2rad(self.turn)
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.asarray(points @ matrix.T + self.origin, np.float64)

    def pixels(self, points: Points, margin: int = 0) -> NDArray[np.int32]:
        """Return points of the anatomy (mm) as x, y in pixels, counted from ``margin`` pixels outside the image."""
        return np.asarray(np.round(self.placed(points) * self.per_mm - 0.5), np.int32) + margin


def draw_spine(seed: int, person: int, visit: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], float]:
    """Draw one radiograph.

    Args:
        seed: Of the whole data set.
        person: From 1; the bones are the person's.
        visit: 0 or 1; pose, exposure and frame are the visit's.
        size: Usual height in pixels; each image differs from it by up to 15 %.

    Returns:
        (H, W) float32 from 0 to 1, bright is dense; the six vertebrae's masks (6, H, W) from the top down; mm per
        pixel. In one person out of five the topmost vertebra lies above the image, and its mask is empty.
    """
    back = grow_back(np.random.default_rng([seed, person]))
    rng = np.random.default_rng([seed, person, visit + 1])
    film = _frame(rng, back, size, cut=person % 5 == 3)
    attenuation = _soft_tissue(rng, film) * _lungs_and_gas(rng, film, back) + _bones(rng, film, back)
    light = rng.uniform(0.02, 0.07) + rng.uniform(0.75, 1.0) * (1 - np.exp(-rng.uniform(0.8, 1.2) * attenuation))
    height, width = film.size_hw
    light *= 1 + rng.normal(0, 0.07) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light *= 1 + rng.normal(0, 0.05) * np.linspace(-1, 1, width, dtype=np.float32)[None]
    light = cv2.GaussianBlur(np.asarray(light, np.float32), (0, 0), float(rng.uniform(0.4, 0.8)) * film.per_mm)
    # Quanta: the denser, the fewer arrive and the larger their noise.
    light += rng.uniform(0.015, 0.045) * light * grain(rng, film.size_hw, 0.3 * film.per_mm)
    _collimate(rng, light, film)
    masks = np.stack([fill_polygon(film.pixels(back.body(name)), film.size_hw) for name in LABELLED]) > 0
    return np.asarray(np.clip(light, 0, 1), np.float32), masks, 1 / film.per_mm


def _frame(rng: np.random.Generator, back: Back, size: int, cut: bool) -> Film:
    """Choose size, pose and place: L3 near the middle, or the topmost labelled vertebra just above the picture."""
    height = round(size * rng.uniform(0.85, 1.15))
    width = round(height * rng.uniform(0.62, 0.8))
    height_mm = float(rng.uniform(285, 320))
    film = Film((height, width), height / height_mm, float(rng.normal(0, 4)), (0.0, 0.0))
    middle = film.placed(back.body("L3")).mean(axis=0)
    width_mm = width / film.per_mm
    x = width_mm * float(rng.uniform(0.48, 0.62)) - middle[0]
    y = height_mm * 0.5 + float(rng.normal(0, 8)) - middle[1]
    if cut:
        y = -2.0 - film.placed(back.body(LABELLED[0]))[:, 1].max()
    return Film(film.size_hw, film.per_mm, film.turn, (float(x), float(y)))


def _bones(rng: np.random.Generator, film: Film, back: Back) -> Picture:
    """Return the attenuation of all bones: bodies with their shell, what lies behind them, sacrum, pelvis and ribs."""
    margin = round(MARGIN_MM * film.per_mm)
    wide = (film.size_hw[0] + 2 * margin, film.size_hw[1] + 2 * margin)
    struts = 1 + 0.12 * grain(rng, wide, 0.9 * film.per_mm)
    total = np.zeros(wide, np.float32)

    def add(outline: Points, inside: float, rim: float, rim_mm: float) -> None:
        polygon = film.pixels(outline, margin)
        left, top = np.clip(polygon.min(axis=0) - 1, 0, None)
        right, bottom = np.clip(polygon.max(axis=0) + 2, 0, wide[::-1])
        if left >= right or top >= bottom:
            return
        box = (slice(top, bottom), slice(left, right))  # the distances of the whole picture take ten times as long
        mask = fill_polygon(polygon - np.array([left, top], np.int32), (bottom - top, right - left))
        edge = inner_distance(mask, 1 / film.per_mm)
        total[box] += (inside * struts[box] + rim * np.exp(-edge / rim_mm)) * (edge > 0)

    for vertebra in back.vertebrae:
        add(vertebra.body, 0.23, 0.30, back.cortex)
        for outline, inside in zip(vertebra.behind, (0.12, 0.16, 0.06), strict=True):
            add(outline, inside, 0.10, 1.2)
    add(back.sacrum, 0.22, 0.14, 1.5)
    for wing in back.pelvis:
        add(wing, 0.12, 0.24, 2.0)
    for rib in back.ribs:
        band = np.zeros(wide, np.uint8)
        cv2.polylines(band, [film.pixels(rib, margin)], False, (1,), max(1, round(8 * film.per_mm)))
        edge = inner_distance(band, 1 / film.per_mm)
        total += (0.07 + 0.18 * np.exp(-edge / 1.2)) * (edge > 0)
    return np.asarray(back.density * total[margin:-margin, margin:-margin], np.float32)


def _soft_tissue(rng: np.random.Generator, film: Film) -> Picture:
    """Return the attenuation of the trunk, which is thickest in its middle."""
    margin = round(MARGIN_MM * film.per_mm)
    wide = (film.size_hw[0] + 2 * margin, film.size_hw[1] + 2 * margin)
    belly, skin = float(rng.uniform(95, 150)), float(rng.uniform(62, 85))
    sides = np.array([(-belly * 0.95, -330), (-belly, -120), (-belly * 1.05, -20), (-belly * 0.8, 160)])
    behind = np.array([(skin * 1.1, 160), (skin * 1.2, 20), (skin, -90), (skin * 1.1, -330)])
    outline = film.pixels(smooth_outline(np.vstack([sides, behind]), 200), margin)
    depth = inner_distance(fill_polygon(outline, wide), 1 / film.per_mm)
    inside = 1 - np.exp(-depth[margin:-margin, margin:-margin] / float(rng.uniform(22, 40)))
    waves = 1 + sum(share * grain(rng, film.size_hw, mm * film.per_mm) for share, mm in ((0.08, 14), (0.05, 5)))
    # The hips are wider than the waist: across the pelvis a ray has most to cross.
    fall = np.linspace(0, 1, film.size_hw[0], dtype=np.float32)[:, None]
    hips = 1 + float(rng.uniform(0.3, 0.9)) / (1 + np.exp(-(fall - 0.7) / 0.08))
    return np.asarray(rng.uniform(0.6, 1.0) * inside * waves * hips, np.float32)


def _lungs_and_gas(rng: np.random.Generator, film: Film, back: Back) -> Picture:
    """Return the share of soft tissue left by air: lungs above the diaphragm, gas in the bowel."""
    share = np.ones(film.size_hw, np.float32)
    dome = back.body("T12").mean(axis=0) + np.array([rng.uniform(-40, -20), rng.uniform(-25, 10)])
    outline = np.array([(-160, 40), (-80, 4), (0, 0), (45, 30), (70, 75), (110, 80), (110, -300), (-160, -300)])
    lungs = fill_polygon(film.pixels(smooth_outline(outline + dome, 200)), film.size_hw) > 0
    share[lungs] = float(rng.uniform(0.4, 0.6))
    for _ in range(int(rng.integers(6, 16))):
        centre = back.body("L3").mean(axis=0) + np.array([rng.uniform(-95, 14), rng.uniform(-75, 100)])
        radii = rng.uniform(4, 16, 8)
        around = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        bubble = centre + radii[:, None] * np.stack([np.cos(around), np.sin(around)], axis=1)
        share[fill_polygon(film.pixels(smooth_outline(bubble, 60)), film.size_hw) > 0] *= float(rng.uniform(0.6, 0.85))
    return np.asarray(cv2.GaussianBlur(share, (0, 0), 1.6 * film.per_mm), np.float32)


def _collimate(rng: np.random.Generator, light: Picture, film: Film) -> None:
    """Draw the dark edges of the collimator in half of the pictures, and the side marker in all, in place."""
    if rng.random() < 0.5:
        for axis, side in ((0, -1), (0, 1), (1, -1), (1, 1)):
            width = round(float(rng.uniform(0, 8)) * film.per_mm)
            edge = slice(0, width) if side < 0 else slice(light.shape[axis] - width, None)
            light[(edge, slice(None)) if axis == 0 else (slice(None), edge)] *= 0.08
    corner = (round(12 * film.per_mm), round(float(rng.uniform(24, 60)) * film.per_mm))
    thickness = max(1, round(2.0 * film.per_mm))
    marker = np.zeros(light.shape, np.uint8)
    cv2.putText(marker, "R", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * film.per_mm, (1,), thickness)
    light[marker > 0] = 1.0
