"""Synthetic short-axis slices of the heart and the left ventricle's blood pool in them.

Every person has nine slices from base to apex, each at the end of filling and at the end of contraction. As in the
real slices, the pool is dim beside the chest wall's fat, which lies next to the coil.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms.drawing import Picture, Points, Uint8, fill_polygon, grain, to_grey

SLICES = 9
_DISEASES = ("HF-I", "HF-NI", "HYP", "N")  # failure with and without infarct, thick walls, normal
_POOL_RADIUS = {"HF-I": 25.5, "HF-NI": 26.0, "HYP": 20.0, "N": 22.5}  # at the base, end of filling, of 256 pixels
_WALL = {"HF-I": 7.0, "HF-NI": 6.5, "HYP": 11.5, "N": 8.0}
_CONTRACTED = {"HF-I": 0.83, "HF-NI": 0.80, "HYP": 0.52, "N": 0.62}  # radius at the end of contraction


@dataclass(frozen=True)
class Chest:
    """One person: lengths in 1/256 of the picture, angles in degrees, brightness where muscle has 0.30."""

    disease: str  # one of ``_DISEASES``
    heart: tuple[float, float]  # x, y of the left ventricle at the base
    drift: tuple[float, float]  # how far it moves until the apex
    turn: float  # direction from the left to the right ventricle, 180 = to the picture's left
    body: tuple[float, float]  # radii of the chest
    tilt: float  # of the chest
    fat: float  # thickness of the fat under the skin
    coil: tuple[float, float]  # x, y of the receiving coil
    reach: float  # how far the coil sees
    pool: float  # brightness of blood
    gain: float  # of the whole picture
    noise: float  # standard deviation of the noise
    round_field: bool  # whether the scanner cut the picture to a circle


def person_name(person: int) -> str:
    """Return the organisers' name of a person (from 1): the four diseases in turn, numbered."""
    return f"SC-{_DISEASES[(person - 1) % 4]}-{(person - 1) // 4 + 1:02d}"


def _draw_chest(rng: np.random.Generator, person: int) -> Chest:
    heart = (float(rng.uniform(120, 142)), float(rng.uniform(112, 134)))
    return Chest(
        disease=_DISEASES[(person - 1) % 4],
        heart=heart,
        drift=(float(rng.uniform(2, 14)), float(rng.uniform(0, 12))),
        turn=float(rng.normal(186, 13)),
        body=(float(rng.uniform(104, 142)), float(rng.uniform(84, 108))),
        tilt=float(rng.normal(-24, 9)),
        fat=float(rng.uniform(5, 12)),
        coil=(heart[0] - float(rng.uniform(45, 80)), heart[1] - float(rng.uniform(70, 100))),
        reach=float(rng.uniform(60, 95)),
        pool=float(rng.uniform(0.75, 1.05)),
        gain=float(rng.uniform(0.22, 0.40)),
        noise=float(rng.uniform(0.006, 0.014)),
        round_field=bool(rng.random() < 0.6),
    )


def _blob(
    rng: np.random.Generator, centre: tuple[float, float], radii: tuple[float, float], tilt: float, waves: float
) -> Points:
    """Return an ellipse with low waves of relative height ``waves`` around it: (64, 2), in 1/256 of the picture."""
    around = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    swell = 1 + sum(rng.normal(0, waves / wave) * np.cos(wave * around + rng.uniform(0, 6.28)) for wave in (2, 3, 4, 5))
    x, y = radii[0] * swell * np.cos(around), radii[1] * swell * np.sin(around)
    angle = np.deg2rad(tilt)
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=1)
    return np.asarray(turned + centre)


def _fill(points: Points, size: int) -> NDArray[np.bool_]:
    return fill_polygon(np.round(points * (size / 256)).astype(np.int32), (size, size)).astype(np.bool_)


def _paint_chest(chest: Chest, level: float, size: int, rng: np.random.Generator) -> Picture:
    """Paint everything but the heart: fat, muscle, lungs with their vessels, liver, stomach, spine and aorta."""
    picture = np.full((size, size), 0.01, np.float32)
    x, y = chest.heart
    middle = (x + 2, y + 22)
    picture[_fill(_blob(rng, middle, chest.body, chest.tilt, 0.03), size)] = 1.15
    under = (chest.body[0] - chest.fat, chest.body[1] - chest.fat)
    picture[_fill(_blob(rng, middle, under, chest.tilt, 0.03), size)] = 0.34
    cavity = (chest.body[0] - chest.fat - 9, chest.body[1] - chest.fat - 9)
    picture[_fill(_blob(rng, (middle[0] + 4, middle[1]), cavity, chest.tilt, 0.05), size)] = 0.05
    for _ in range(26):
        spot = (float(x + rng.uniform(15, 75)), float(y + rng.uniform(-45, 60)))
        radii, tilt = (rng.uniform(0.6, 2.2), rng.uniform(0.6, 1.4)), rng.uniform(0, 180)
        picture[_fill(_blob(rng, spot, radii, tilt, 0.1), size)] += 0.2
    inside = _fill(_blob(rng, middle, under, chest.tilt, 0.02), size)
    # Fat fills the corner between breastbone and diaphragm, beside the right ventricle.
    for corner in ((x - 62, y + 6), (x - 40, y - 44)):
        fat = _fill(_blob(rng, corner, (rng.uniform(9, 20), rng.uniform(5, 11)), rng.uniform(-60, 20), 0.25), size)
        picture[fat & inside] = 0.9
    # The liver's dome rises in the slices towards the apex.
    for centre, radii, brightness in (
        ((x - 46, y + 76 - 22 * level), (56.0, 42.0), 0.42),
        ((x + 30, y + 84 - 12 * level), (34.0, 26.0), 0.30),
        ((x - 6, y + 72), (17.0, 14.0), 0.38),
        ((x + 42, y + 70 - 10 * level), (9.0, 13.0), 0.62),
    ):
        picture[_fill(_blob(rng, centre, radii, rng.uniform(-25, 5), 0.08), size) & inside] = brightness
    picture[_fill(_blob(rng, (x + 13, y + 57), (8.0, 8.0), 0, 0.03), size)] = chest.pool * 0.95
    return picture


def _paint_heart(picture: Picture, chest: Chest, level: float, contracted: bool, rng: np.random.Generator) -> Uint8:
    """Paint the heart at a level from 0 (base) to 1 (apex) and return the blood pool's mask of 0 and 1."""
    size = picture.shape[0]
    squeeze = _CONTRACTED[chest.disease] if contracted else 1.0
    radius = max(_POOL_RADIUS[chest.disease] * float(np.sqrt(1 - (0.93 * level) ** 2)) * squeeze, 3.2)
    # Muscle keeps its volume: what the pool loses, the wall gains.
    wall = _WALL[chest.disease] * (1 + 0.9 * (1 - squeeze)) * (1 - 0.2 * level)
    x, y = chest.heart[0] + chest.drift[0] * level, chest.heart[1] + chest.drift[1] * level
    shape, tilt = float(rng.uniform(0.9, 1.05)), float(rng.uniform(0, 180))
    towards = np.deg2rad(chest.turn)
    outer = radius + wall
    right_size = outer * (1.12 - 0.45 * level) * (0.9 if contracted else 1.0)
    right = (x + np.cos(towards) * outer * 0.86, y + np.sin(towards) * outer * 0.86)
    right_radii = (right_size * 0.80, right_size * 1.0)
    spin = chest.turn - 180 + float(rng.normal(0, 6))
    for margin, brightness in ((5.5, 0.75), (3.0, 0.22), (0.0, chest.pool * 0.92)):
        grown = (right_radii[0] + margin, right_radii[1] + margin)
        state = np.random.default_rng(int(1e6 * level) + 17)  # the same waves for wall and pool
        picture[_fill(_blob(state, right, grown, spin, 0.06), size)] = brightness
        if margin:
            around = (outer + margin, outer * shape + margin)
            picture[_fill(_blob(state, (x, y), around, tilt, 0.02), size)] = brightness
    picture[_fill(_blob(rng, (x, y), (outer, outer * shape), tilt, 0.025), size)] = rng.uniform(0.24, 0.32)
    pool = _fill(_blob(rng, (x, y), (radius, radius * shape), tilt, 0.05), size)
    picture[pool] = chest.pool
    if radius > 8 and level < 0.85:
        for place in (40.0, 150.0):  # the two papillary muscles lie inside the pool and belong to it
            angle = np.deg2rad(chest.turn + 110 + place + rng.normal(0, 8))
            spot = (x + np.cos(angle) * radius * 0.66, y + np.sin(angle) * radius * 0.66)
            muscle = _fill(_blob(rng, spot, (radius * 0.17, radius * 0.13), rng.uniform(0, 180), 0.1), size)
            picture[muscle & pool] = 0.42
    return pool.astype(np.uint8)


def draw_slice(seed: int, person: int, level: int, contracted: bool, size: int) -> tuple[Uint8, Uint8]:
    """Draw one slice of one person.

    Args:
        seed: Of the whole data set.
        person: From 1.
        level: 0 at the base of the heart to ``SLICES`` - 1 at the apex.
        contracted: Whether at the end of contraction, when the pool is smallest.
        size: Width and height in pixels; the real ones have 256.

    Returns:
        (size, size) uint8 image and the blood pool's mask, 0 or 255.
    """
    chest = _draw_chest(np.random.default_rng([seed, person]), person)
    depth = level / (SLICES - 1)
    # The chest is the same at both phases of a slice; only the heart moves.
    picture = _paint_chest(chest, depth, size, np.random.default_rng([seed, person, level]))
    rng = np.random.default_rng([seed, person, level, int(contracted)])
    pool = _paint_heart(picture, chest, depth, contracted, rng)
    scale = size / 256
    picture *= 1 + 0.10 * grain(rng, (size, size), 3.5 * scale)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.75 * scale), np.float32)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(scale)
    distance = np.hypot(columns - chest.coil[0], rows - chest.coil[1])
    picture *= (0.16 + 2.6 * np.exp(-distance / chest.reach)) * chest.gain
    # The magnitude of a complex signal: noise never falls below zero (Rice's distribution).
    real, imaginary = (chest.noise * grain(rng, (size, size), 0.5 * scale) for _ in range(2))
    picture = np.hypot(picture + real, imaginary)
    if chest.round_field:
        picture[np.hypot(columns - 127.5, rows - 127.5) > 116] = 0
    return to_grey(np.asarray(picture, np.float32)), np.asarray(pool * 255, np.uint8)
