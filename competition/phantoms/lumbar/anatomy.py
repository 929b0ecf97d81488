"""The bones of one synthetic lower back, seen from the side: vertebrae, sacrum, pelvis and ribs, in mm.

x grows to the back and y downwards; the middle of the sacrum's upper end plate is the origin. The spine is a chain
built from there upwards: a disc turns it, a wedge-shaped body turns it, and the sum of the turns is the lordosis.
"""

from dataclasses import dataclass

import numpy as np

from competition.phantoms.drawing import Points, smooth_outline


@dataclass(frozen=True)
class Level:
    """Usual measures of a vertebra and the disc below it."""

    name: str  # "L5"
    height: float  # of the body along its middle, mm
    depth: float  # of the body from front to back, mm
    wedge: float  # by how many degrees the upper end plate leans further back than the lower one
    disc: float  # height of the disc below, mm
    disc_wedge: float  # the same for the disc


# From the sacrum upwards; a lordosis of 56 degrees from S1 to L1, as in healthy adults (40 to 70).
LEVELS = (
    Level("L5", 27.0, 35.0, 9.0, 9.5, 15.0),
    Level("L4", 28.0, 35.0, 2.0, 11.0, 13.0),
    Level("L3", 28.0, 35.0, 0.0, 10.5, 9.0),
    Level("L2", 27.5, 34.0, -1.0, 9.5, 7.0),
    Level("L1", 26.5, 33.0, -3.0, 8.5, 5.0),
    Level("T12", 25.0, 32.0, -4.0, 6.5, 2.0),
    Level("T11", 23.5, 31.0, -4.0, 5.5, -1.0),
    Level("T10", 22.0, 30.0, -4.0, 4.5, -1.0),
    Level("T9", 21.0, 29.0, -4.0, 4.0, -1.0),
    Level("T8", 20.5, 28.0, -4.0, 4.0, -1.0),
)
LABELLED = ("T12", "L1", "L2", "L3", "L4", "L5")
"""From the top down, as the label's planes. What lies above looks alike and is not labelled."""

# A body's outline: share from back (-1) to front (1), and from the lower (0) to the upper end plate (1).
_BODY = np.array((
    (-0.94, 0.02), (-0.5, 0.045), (0.0, 0.06), (0.5, 0.04), (0.92, 0.0), (1.0, 0.09), (0.92, 0.35), (0.91, 0.62),
    (0.99, 0.91), (0.93, 1.0), (0.5, 0.955), (0.0, 0.935), (-0.5, 0.955), (-0.94, 0.985), (-0.99, 0.9), (-0.95, 0.62),
    (-0.95, 0.35), (-0.99, 0.1),
))  # fmt: skip


@dataclass(frozen=True)
class Vertebra:
    """One vertebra."""

    name: str  # "L5"
    body: Points  # outline of the body, (n, 2)
    behind: tuple[Points, ...]  # outlines of what lies behind it: the pedicle, the joint and the spinous process


@dataclass(frozen=True)
class Back:
    """One person's bones."""

    vertebrae: tuple[Vertebra, ...]  # from L5 upwards
    sacrum: Points  # outline
    pelvis: tuple[Points, ...]  # outlines of the two iliac wings, which lie over L5 and the sacrum
    ribs: tuple[Points, ...]  # middle lines of the lowest ribs of both sides, from back to front
    density: float  # how much a mm of bone takes away, 1 = usual
    cortex: float  # thickness of the bodies' shell in mm

    def body(self, name: str) -> Points:
        """Return the outline of one body."""
        return next(vertebra.body for vertebra in self.vertebrae if vertebra.name == name)


def grow_back(rng: np.random.Generator) -> Back:
    """Draw one person's bones."""
    build = float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.14))
    slope = float(rng.normal(38, 6))  # of the sacrum's end plate
    curve = (slope + float(rng.normal(18, 4))) / 56  # the steeper the sacrum, the deeper the lordosis that rights L1
    worn = rng.choice(3) if rng.random() < 0.4 else None  # the disc that has lost height, if any
    broken = rng.integers(3, 6) if rng.random() < 0.25 else None  # L2, L1 or T12, sunk in front
    place, lean = np.zeros(2), slope
    vertebrae: list[Vertebra] = []
    for index, level in enumerate(LEVELS):
        disc = level.disc * build * float(rng.uniform(0.8, 1.2)) * (0.45 if index == worn else 1.0)
        place, lean = _step(place, lean, disc, curve * level.disc_wedge * (0.6 if index == worn else 1.0))
        sunk = index == broken
        height = level.height * build * float(rng.uniform(0.95, 1.05)) * (0.84 if sunk else 1.0)
        wedge = curve * level.wedge - (9.0 if sunk else 0.0)
        depth = level.depth * build * float(rng.uniform(0.96, 1.04))
        upper, upper_lean = _step(place, lean, height, wedge)
        body = _body(rng, (place, lean), (upper, upper_lean), depth)
        vertebrae.append(Vertebra(level.name, body, _behind(rng, (place + upper) / 2, lean - wedge / 2, depth, height)))
        place, lean = upper, upper_lean
    return Back(
        vertebrae=tuple(vertebrae),
        sacrum=_sacrum(slope, 34 * build),
        pelvis=tuple(_iliac_wing(rng, build) for _ in range(2)),
        ribs=tuple(_rib(rng, vertebrae[index].behind[0].mean(axis=0), build) for index in (5, 5, 6, 6, 7, 7)),
        density=float(rng.uniform(0.6, 1.1)),
        cortex=float(rng.uniform(1.0, 1.7)),
    )


def _up(lean: float) -> Points:
    """Return the direction upwards along the spine where it leans forwards by so many degrees."""
    angle = np.deg2rad(lean)
    return np.array([-np.sin(angle), -np.cos(angle)])


def _backwards(lean: float) -> Points:
    angle = np.deg2rad(lean)
    return np.array([np.cos(angle), -np.sin(angle)])


def _step(place: Points, lean: float, length: float, turn: float) -> tuple[Points, float]:
    """Go up a disc or a body: half of its turn before, half after."""
    return place + length * _up(lean - turn / 2), lean - turn


def _body(rng: np.random.Generator, lower: tuple[Points, float], upper: tuple[Points, float], depth: float) -> Points:
    shares = _BODY + rng.normal(0, 0.012, _BODY.shape)
    across = -shares[:, :1] * depth / 2  # the shares grow to the front
    ends = [place + across * _backwards(lean) for place, lean in (lower, upper)]
    return smooth_outline(ends[0] + shares[:, 1:] * (ends[1] - ends[0]), 120)


def _ellipse(centre: Points, radii: tuple[float, float], lean: float) -> Points:
    around = np.linspace(0, 2 * np.pi, 40, endpoint=False)[:, None]
    across, along = radii[0] * np.cos(around) * _backwards(lean), radii[1] * np.sin(around) * _up(lean)
    return np.asarray(centre + across + along, np.float64)


def _behind(rng: np.random.Generator, middle: Points, lean: float, depth: float, height: float) -> tuple[Points, ...]:
    """Return the pedicle, joint and spinous process behind a body."""
    back, up = _backwards(lean), _up(lean)
    wall = middle + back * depth / 2
    pedicle = _ellipse(wall + back * 7 + up * height * 0.2, (9.5, height * 0.24), lean)
    joint = _ellipse(wall + back * 17 - up * height * 0.35, (5.0, height * 0.42), lean + 12)
    root, tip = wall + back * 19 - up * height * 0.1, wall + back * float(rng.uniform(40, 50)) - up * height * 0.55
    thick = up * height * float(rng.uniform(0.28, 0.38))
    spine = smooth_outline(np.array([root + thick, tip + thick * 0.9, tip - thick, root - thick * 0.8]), 60)
    return pedicle, joint, spine


def _sacrum(slope: float, depth: float) -> Points:
    """Return five fused vertebrae that narrow downwards and turn to the back, then forwards again."""
    place, lean = np.zeros(2), slope
    front, back = [], []
    for share, turn in ((1.0, -9.0), (0.82, -7.0), (0.62, 2.0), (0.46, 16.0), (0.32, 20.0)):
        across = _backwards(lean) * depth * share / 2
        front.append(place - across)
        back.append(place + across)
        place, lean = place - 23 * _up(lean), lean - turn
    return smooth_outline(np.array([*front, *back[::-1]]), 160)


def _iliac_wing(rng: np.random.Generator, build: float) -> Points:
    """Return one wing; that of the far side is a little larger and elsewhere."""
    shift = rng.normal(0, 5, 2)
    corners = [(-54, 38), (-44, 4), (-18, -22), (18, -30), (48, -16), (62, 14), (50, 42), (26, 68), (-4, 92), (-40, 86)]
    return smooth_outline(np.array(corners, np.float64) * build * float(rng.uniform(0.94, 1.08)) + shift, 160)


def _rib(rng: np.random.Generator, start: Points, build: float) -> Points:
    """Return a middle line from the spine forwards and down."""
    length, fall = float(rng.uniform(70, 120)) * build, float(rng.uniform(0.35, 0.7))
    along = np.linspace(0, 1, 24)
    bow = float(rng.uniform(4, 12)) * np.sin(np.pi * along)
    forwards = 14 * np.sin(np.pi * np.minimum(1, along * 4)) - length * along  # first a little to the back
    return np.asarray(start + np.stack([forwards, fall * length * along**1.3 - bow], axis=1), np.float64)
