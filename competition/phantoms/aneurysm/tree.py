"""Growing one head's arteries from the anatomy tables: bent trunks, twigs, and loops seen end on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.phantoms.aneurysm.anatomy import SITES, TRUNKS, View
from competition.phantoms.drawing import Points, catmull_rom

GRID = 720  # radii are pixels of the organisers' smallest export, 720 x 720


@dataclass(frozen=True)
class Vessel:
    """An artery in the image."""

    points: NDArray[np.float64]  # its course, (n, 2) float64, fractions of the image side
    radii: tuple[float, float]  # radius at its start and end, pixels of a 720 image


def spline(points: Points, steps: int = 8) -> Points:
    """Return a Catmull-Rom curve through all points (n, 2), with the end points doubled: ((n - 1) * steps + 1, 2)."""
    before, start = np.vstack([points[:1], points[:-2]]), points[:-1]
    end, after = points[1:], np.vstack([points[2:], points[-1:]])
    return np.vstack([catmull_rom(before, start, end, after, steps), points[-1:]])


@dataclass(frozen=True)
class Shape:
    """How one head differs from the table: a smooth displacement, so that vessels which meet still meet."""

    frequency: NDArray[np.float64]  # (k, 2), waves per image side along x and y
    phase: NDArray[np.float64]  # (k, 2), radians, for the two components
    size: NDArray[np.float64]  # (k, 2), fractions of the image side
    scale: float  # of the whole tree around its middle
    turn: float  # rotation, radians
    shift: NDArray[np.float64]  # (2,), fractions of the image side
    girth: float  # factor on every radius

    def bend(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points of the table (n, 2) where they lie in this head (n, 2)."""
        waves = np.sin(2 * np.pi * (points @ self.frequency.T)[:, :, None] + self.phase)
        moved = points + (waves * self.size).sum(axis=1)
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        middle = np.array([0.5, 0.6])
        turned = (moved - middle) @ np.array([[cosine, sine], [-sine, cosine]])
        return np.asarray(turned * self.scale + middle + self.shift, dtype=np.float64)


def draw_shape(rng: np.random.Generator) -> Shape:
    """Draw one head's shape for one view with a fixed number of random numbers."""
    waves = 4
    return Shape(
        frequency=rng.uniform(-3.0, 3.0, (waves, 2)),
        phase=rng.uniform(0, 2 * np.pi, (waves, 2)),
        size=rng.uniform(-0.013, 0.013, (waves, 2)),
        scale=rng.uniform(0.93, 1.05),
        turn=rng.normal(0.0, 0.04),
        shift=rng.normal(0.0, 0.012, 2),
        girth=rng.uniform(0.85, 1.15),
    )


def grow(view: View, shape: Shape, rng: np.random.Generator) -> list[Vessel]:
    """Grow one head's arteries: bent trunks, twigs of two generations, and a loop or two seen end on.

    Returns:
        Vessels in image fractions, not mirrored; thin ones last.
    """
    vessels, twigs = list[Vessel](), list[Vessel]()
    for trunk in TRUNKS[view]:
        course = shape.bend(spline(np.array(trunk.points)))
        radii = (trunk.radii[0] * shape.girth, trunk.radii[1] * shape.girth)
        vessels.append(Vessel(course, radii))
        for _ in range(trunk.twigs):
            twig = _sprout(vessels[-1], trunk.reach, rng)
            twigs.append(twig)
            twigs.extend(_sprout(twig, trunk.reach * 0.6, rng) for _ in range(int(rng.integers(0, 3))))
    twigs.extend(_loop(twigs[int(rng.integers(len(twigs)))], rng) for _ in range(int(rng.integers(1, 4))))
    return vessels + twigs


def _sprout(parent: Vessel, reach: float, rng: np.random.Generator) -> Vessel:
    """Return a wandering branch that leaves its parent at 20 to 75 degrees, thinner than the parent is there."""
    steps = 10
    place = rng.uniform(0.25, 1.0)
    at = min(int(place * (len(parent.points) - 1)), len(parent.points) - 2)
    along = parent.points[at + 1] - parent.points[at]
    leave = rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 1.3)
    # Arteries meander, so the heading swings back instead of curling up.
    heading = np.arctan2(along[1], along[0]) + leave + np.cumsum(rng.normal(0.0, 0.45, steps)) * 0.7
    length = reach * rng.uniform(0.4, 1.0) / steps
    course = parent.points[at] + length * np.cumsum(np.column_stack([np.cos(heading), np.sin(heading)]), axis=0)
    radius = 0.7 * (parent.radii[0] + (parent.radii[1] - parent.radii[0]) * place)
    return Vessel(np.vstack([parent.points[at], course]), (max(radius, 0.6), 0.5))


def _loop(twig: Vessel, rng: np.random.Generator) -> Vessel:
    """Return a curl on a twig, as a tortuous branch looks in projection: the classic false aneurysm."""
    start = rng.uniform(0, 2 * np.pi)
    angle = start + rng.choice([-1.0, 1.0]) * np.linspace(0.0, 2.3 * np.pi, 16)
    radii = rng.uniform(4.0, 10.0, 2) / GRID
    ring = radii * np.column_stack([np.cos(angle), np.sin(angle)])
    drift = np.linspace(0.0, 1.0, 16)[:, None] * rng.uniform(-12.0, 12.0, 2) / GRID
    return Vessel(twig.points[len(twig.points) // 2] + ring - ring[0] + drift, (2.2, 1.4))


def site_point(view: View, location: str, shape: Shape) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where an aneurysm touches its artery, and its direction.

    Args:
        view: The tree it lies on.
        location: Name without side, a key of ``SITES[view]``.
        shape: The head.

    Returns:
        Point on the artery (2,), image fractions, not mirrored; unit direction (2,).
    """
    site = SITES[view][location]
    trunk = next(trunk for trunk in TRUNKS[view] if trunk.name == site.trunk)
    course = shape.bend(spline(np.array(trunk.points)))
    direction = np.array(site.direction)
    return course[round(site.fraction * (len(course) - 1))], direction / np.linalg.norm(direction)
