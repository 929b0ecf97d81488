"""One person's hand as outlines in millimetres: build, pose, and where it lies on the film."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from competition.phantoms.drawing import Points, smooth_outline
from competition.phantoms.hand_bone import anatomy

Side = Literal["right", "left"]

# Cartilage keeps the wrist bones from sliding over each other as far as their depth alone would.
_CARPAL_ROLL_DEPTH_MM = 0.8
_MARGIN_MM = 9.0  # the radiographer keeps the fingers this far inside the film


@dataclass(frozen=True)
class Build:
    """What both hands of a person have in common; 1 = average."""

    scale: float  # size of the hand
    thickness: float  # width of the bones beyond that
    density: float  # attenuation of bone
    flesh: float  # thickness of the soft tissue


@dataclass(frozen=True)
class Pose:
    """How one hand lies on the film; angles in degrees, seen as a right hand."""

    spread: float  # spreading of the fingers, 0 = as in the anatomy table
    bend: float  # wrist bent towards the little finger (positive) or the thumb
    roll: float  # hand rolled about its long axis; an oblique film has 10 to 24 degrees
    turn: float  # the whole arm turned on the film
    shift_mm: tuple[float, float]  # the whole arm moved, x and y
    joints: Points  # (5, 4) deviation of each finger bone from its finger's direction
    shortening: Points  # (5, 4) seen length / true length: a finger that isn't flat on the film looks shorter


@dataclass(frozen=True)
class PlacedBone:
    """A bone on the film."""

    name: str  # class name
    outline_mm: Points  # (n, 2) x, y around it; n is 17 to 63 for all but Radius and Ulna
    axis_mm: Points | None  # (2, 2) base and tip of a long bone; None for the wrist's bones
    stations: Points  # positions along the axis (0 base, 1 tip) at which ``half_width_mm`` is given
    half_width_mm: Points  # half the bone's width at ``stations``; empty for the wrist's bones


@dataclass(frozen=True)
class PlacedHand:
    """All bones in class order, and per finger its joints (n, 2) and the soft tissue's half width at root and tip."""

    bones: tuple[PlacedBone, ...]
    fingers: tuple[tuple[Points, tuple[float, float]], ...]
    hook_mm: Points
    pose: Pose
    build: Build


def draw_build(rng: np.random.Generator) -> Build:
    """Draw a person's build."""
    scale, thickness = np.clip(rng.normal((0.99, 1.0), (0.04, 0.05)), (0.90, 0.88), (1.07, 1.13))
    rng.random()  # keeps the hands of a seed as they were when the cortex differed too
    density, flesh = rng.uniform((0.8, 0.9), (1.2, 1.15))
    return Build(float(scale), float(thickness), float(density), float(flesh))


def draw_pose(rng: np.random.Generator, oblique: bool) -> Pose:
    """Draw how a hand lies on the film; an oblique one has a bent wrist and is rolled.

    The same random numbers are used either way, so that a person is the same but for the wrist.
    """
    spread = max(float(rng.normal(3.4, 1.8)), 0.5)
    small_bend, small_roll = rng.normal(0.0, (3.0, 3.0))
    # Four of five bent wrists lean to the little finger's side, the way a hand falls when the elbow is lifted.
    sign = 1.0 if rng.random() < 0.8 else -0.75
    strong_bend, strong_roll = sign * rng.uniform(14.0, 27.0), rng.choice((-1.0, 1.0)) * rng.uniform(9.0, 22.0)
    bend, roll = (strong_bend, strong_roll) if oblique else (small_bend, small_roll)
    joints = rng.normal(0.0, 1.8, (5, 4))
    joints[:, 0] *= 0.6
    return Pose(
        spread=spread,
        bend=float(bend),
        roll=float(roll),
        # The arm lies against the bend, so that the fingers still point upwards on the film.
        turn=float(rng.normal(0.0, 3.0) - 0.35 * bend),
        shift_mm=(float(rng.normal(4.0, 6.0)), float(rng.normal(0.0, 5.0))),
        joints=joints,
        shortening=rng.uniform(0.955, 1.0, (5, 4)),
    )


def turned(points: Points, degrees: float, pivot: tuple[float, float]) -> Points:
    """Turn points towards the little finger (positive degrees) about a pivot; (n, 2) mm in and out."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray((points - pivot) @ matrix + pivot)


def _rolled_x(x: float, depth: float, roll: float) -> float:
    """Return where a point of the hand at x, z lands on the film when the hand is rolled."""
    centre, angle = anatomy.CARPAL_PIVOT_MM[0], np.deg2rad(roll)
    return float(centre + (x - centre) * np.cos(angle) + depth * np.sin(angle))


def _point_count(outline: Points) -> int:
    """Return how finely an annotator would trace a bone, 17 points for the Pisiform to 63 for a long metacarpal."""
    perimeter = np.hypot(*(outline - np.roll(outline, 1, axis=0)).T).sum()
    return int(np.clip(round(17 + 0.33 * (perimeter - 36.0)), 17, 63))


def _long_bone(
    bone: anatomy.FingerBone, base: Points, tip: Points, width: float, lean: float, wobble: Points
) -> PlacedBone:
    """Lay a finger bone's shape between two points; ``lean`` slants its base, ``wobble`` (2,) makes it uneven."""
    half = np.array(bone.shape)
    along = np.concatenate([half[:, 0], half[-2:0:-1, 0]])
    across = np.concatenate([half[:, 1] * (1 + wobble[0]), -half[-2:0:-1, 1] * (1 + wobble[1])]) * width
    axis = tip - base
    length = float(np.hypot(*axis))
    direction = axis / length
    sideways = np.array([direction[1], -direction[0]])
    millimetres = along * length + lean * across * np.clip(1 - along * 4, 0, 1)
    controls = base + millimetres[:, None] * direction + across[:, None] * sideways
    widest = np.maximum(half[:, 1], 0.2) * width
    order = np.argsort(half[:, 0])
    outline = smooth_outline(controls, _point_count(controls))
    return PlacedBone(bone.name, outline, np.stack([base, tip]), half[order, 0], widest[order])


def _place_ray(index: int, build: Build, pose: Pose, rng: np.random.Generator) -> tuple[list[PlacedBone], Points]:
    """Lay one finger, bone after bone, and return its bones and its joints (bones + 1, 2)."""
    ray = anatomy.RAYS[index]
    depths = np.linspace(*ray.depth_mm, len(ray.bones) + 1)
    flat = np.array(ray.base_mm)
    joints, bones = [flat], []
    for place, (bone, angle) in enumerate(zip(ray.bones, ray.angles_deg, strict=True)):
        # Only the fingers spread; the metacarpals follow by a fifth: ligaments bind their bases (not the thumb's).
        share = 1.0 if place or index == 0 else 0.2
        heading = np.deg2rad(angle + pose.spread * ray.spread * share + pose.joints[index, place])
        length = bone.length_mm * pose.shortening[index, place]
        flat = flat + length * np.array([np.sin(heading), np.cos(heading)])
        joints.append(flat)
    film = np.array([[_rolled_x(x, z, pose.roll), y] for (x, y), z in zip(joints, depths, strict=True)])
    film = turned(film, pose.bend, anatomy.CARPAL_PIVOT_MM)
    gap = 0.55  # half the joint space, which the cartilage fills and X-rays pass
    for place, bone in enumerate(ray.bones):
        direction = (film[place + 1] - film[place]) / np.hypot(*(film[place + 1] - film[place]))
        base = film[place] + (gap * direction if place else 0.0)
        tip = film[place + 1] - (gap * direction if place + 1 < len(ray.bones) else 0.0)
        width = bone.width_mm * build.thickness * float(rng.normal(1.0, 0.02))
        lean = float(rng.normal(0.0, 0.06)) + (0.12 if place == 0 and index == 4 else 0.0)
        bones.append(_long_bone(bone, base, tip, width, lean, rng.normal(0.0, 0.03, 2)))
    return bones, film


def _place_carpal(bone: anatomy.WristBone, build: Build, pose: Pose, rng: np.random.Generator) -> PlacedBone:
    """Lay one bone of the wrist, its outline varied a little by low waves around its centre."""
    outline = smooth_outline(np.array(bone.outline_mm), 48)
    centre = outline.mean(axis=0)
    offsets = outline - centre
    around = np.arctan2(offsets[:, 1], offsets[:, 0])
    waves = sum(rng.normal(0.0, 0.018) * np.cos(wave * around + rng.uniform(0, 2 * np.pi)) for wave in (2, 3, 4))
    # Thin bones lie in a wrist as large as any other, but grow and shrink only half as much, for they must still meet.
    offsets = offsets * (1 + waves)[:, None] * (1 + 0.4 * (build.thickness - 1))
    depth = bone.depth_mm * _CARPAL_ROLL_DEPTH_MM
    centre = np.array([_rolled_x(centre[0], depth, pose.roll), centre[1]]) + rng.normal(0.0, 0.35, 2)
    placed = turned(centre + offsets, bone.follows * pose.bend, anatomy.CARPAL_PIVOT_MM)
    nothing = np.zeros(0)
    return PlacedBone(bone.name, smooth_outline(placed, _point_count(placed[::3])), None, nothing, nothing)


def _place_forearm(bone: anatomy.ForearmBone, build: Build, pose: Pose, rng: np.random.Generator) -> PlacedBone:
    """Lay Radius or Ulna: they stay behind when the wrist bends, and roll by a third of the hand's roll."""
    outline = smooth_outline(np.array(bone.outline_mm), 400)
    middle = np.interp(outline[:, 1], [anatomy.FOREARM_END_MM, 0.0], bone.axis_x_mm[::-1])
    sway = rng.normal(0.0, 1.0) * (outline[:, 1] / 100.0) ** 2
    shifted = np.array([_rolled_x(x, 0.0, pose.roll / 3) for x in middle])
    outline[:, 0] = shifted + (outline[:, 0] - middle) * build.thickness + sway
    axis = np.array([[bone.axis_x_mm[0], 0.0], [bone.axis_x_mm[1], anatomy.FOREARM_END_MM]])
    # Flaring towards the wrist over the last 30 mm of 150.
    stations = np.array([0.0, 0.06, 0.13, 0.2, 0.3, 1.0])
    flare = np.array([1.75, 1.75, 1.5, 1.2, 1.0, 1.0]) * bone.shaft_mm * build.thickness
    return PlacedBone(bone.name, outline, axis, stations, flare)


def place_hand(build: Build, pose: Pose, rng: np.random.Generator) -> PlacedHand:
    """Lay out all 29 bones of a right hand, in class order and in the hand's own frame (``Film`` gives pixels).

    Args:
        build: The person's build.
        pose: How the hand lies.
        rng: Source of each bone's own small variation.
    """
    placed: dict[str, PlacedBone] = {}
    fingers = []
    for index, ray in enumerate(anatomy.RAYS):
        bones, joints = _place_ray(index, build, pose, rng)
        placed.update({bone.name: bone for bone in bones})
        fingers.append((joints, ray.flesh_mm))
    for carpal in anatomy.CARPALS:
        placed[carpal.name] = _place_carpal(carpal, build, pose, rng)
    for long in anatomy.FOREARM:
        placed[long.name] = _place_forearm(long, build, pose, rng)
    hook_x, hook_y = anatomy.HOOK_OF_HAMATE_MM
    hook = turned(np.array([[_rolled_x(hook_x, 5.0, pose.roll), hook_y]]), pose.bend, anatomy.CARPAL_PIVOT_MM)[0]
    return PlacedHand(tuple(placed[name] for name in anatomy.CLASS_ORDER), tuple(fingers), hook, pose, build)


@dataclass(frozen=True)
class Film:
    """Where millimetres of a hand land on a square film of any number of pixels."""

    side: Side  # which hand; a left hand is the mirror image
    scale: float  # size of the hand
    turn: float  # degrees, as in ``Pose``
    origin_mm: tuple[float, float]  # x and y (downwards) of the wrist's middle on the film, as a right hand

    def pixels(self, points_mm: Points, size: int) -> Points:
        """Return (n, 2) x, y in pixels of a film of ``size`` x ``size``; pixel centres are whole numbers."""
        upright = turned(points_mm, self.turn, (0.0, 0.0)) * self.scale
        x, y = self.origin_mm[0] + upright[:, 0], self.origin_mm[1] - upright[:, 1]
        if self.side == "left":
            x = anatomy.CANVAS_MM - x
        return np.stack([x, y], axis=1) * (size / anatomy.CANVAS_MM) - 0.5


def lay_on_film(hand: PlacedHand, side: Side) -> Film:
    """Return where a hand lies on the film: as in its pose, but with every finger inside."""
    tips = np.vstack([bone.outline_mm for bone in hand.bones if bone.name.startswith("finger")])
    upright = turned(tips, hand.pose.turn, (0.0, 0.0)) * hand.build.scale
    wish_x, wish_y = 160.0 + hand.pose.shift_mm[0], 229.0 + hand.pose.shift_mm[1]
    low, high = _MARGIN_MM - upright[:, 0].min(), anatomy.CANVAS_MM - _MARGIN_MM - upright[:, 0].max()
    origin = (float(np.clip(wish_x, low, high)), float(max(wish_y, _MARGIN_MM + upright[:, 1].max())))
    return Film(side, hand.build.scale, hand.pose.turn, origin)
