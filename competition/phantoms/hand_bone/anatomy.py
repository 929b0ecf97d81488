"""The proportions of an average adult right hand, seen from the back: the 29 bones of the hand-bone competition.

Millimetres in the hand's own frame: the origin is the middle of the wrist joint, x points to the little finger's side,
y to the fingertips and z to the palm. Lengths of the finger bones follow Buryanov and Kotiuk, "Proportions of hand
segments", Int. J. Morphol. 28 (2010); widths were set so that at 6.6 px/mm the areas come near those measured on the
competition's 800 images (finger-16 3.9 kpx, finger-7 35 kpx, Radius 75 kpx on 2048x2048), and the carpal outlines so
that neighbours overlap as they do there.
"""

from dataclasses import dataclass

from competition.tracks.hand_bone.labels import FINGER_BONES

CANVAS_MM = 310.0  # width of the square picture
FOREARM_END_MM = -150.0  # far below the picture's lower edge in every pose
CARPAL_PIVOT_MM = (1.0, 12.0)  # the head of the Capitate: the hand bends and rolls about it

Shape = tuple[tuple[float, float], ...]

# Half an outline: (position along the bone / length, half width / width), from the base's middle to the head's middle.
METACARPAL: Shape = (
    (0.015, 0.0), (-0.005, 0.36), (0.025, 0.62), (0.10, 0.63), (0.21, 0.48), (0.36, 0.395), (0.50, 0.375), (0.64, 0.41),
    (0.77, 0.525), (0.86, 0.63), (0.925, 0.615), (0.975, 0.42), (1.0, 0.0),
)  # fmt: skip
PHALANX: Shape = (
    (0.03, 0.0), (0.0, 0.34), (0.015, 0.58), (0.07, 0.65), (0.16, 0.54), (0.32, 0.43), (0.52, 0.385), (0.70, 0.40),
    (0.83, 0.49), (0.91, 0.535), (0.97, 0.44), (1.0, 0.25), (0.972, 0.0),
)  # fmt: skip
FINGERTIP: Shape = (
    (0.03, 0.0), (0.0, 0.34), (0.02, 0.60), (0.10, 0.66), (0.22, 0.50), (0.40, 0.335), (0.60, 0.29), (0.74, 0.36),
    (0.83, 0.49), (0.92, 0.46), (0.985, 0.26), (1.0, 0.0),
)  # fmt: skip


@dataclass(frozen=True)
class FingerBone:
    """One bone of a finger: class name, shape, length and width in mm."""

    name: str
    shape: Shape
    length_mm: float
    width_mm: float


@dataclass(frozen=True)
class Ray:
    """One finger with its metacarpal."""

    base_mm: tuple[float, float]  # x, y of the metacarpal's base
    depth_mm: tuple[float, float]  # z of the base and of the tip: what a rolled hand moves sideways
    # direction of each bone, 0 = along the middle finger, positive to the little finger's side
    angles_deg: tuple[float, ...]
    spread: float  # how far the finger follows when the fingers are spread by one degree
    flesh_mm: tuple[float, float]  # half width of the soft tissue at the finger's root and tip
    bones: tuple[FingerBone, ...]  # from the metacarpal to the fingertip


RAYS = (
    Ray((-26.0, 33.5), (8.0, 16.0), (-39.0, -27.0, -21.0), -2.0, (11.5, 9.0), (
        FingerBone("finger-3", METACARPAL, 45.0, 14.6),
        FingerBone("finger-2", PHALANX, 31.6, 12.6),
        FingerBone("finger-1", FINGERTIP, 22.5, 12.4),
    )),
    Ray((-13.0, 36.2), (1.0, 0.0), (-8.5, -7.0, -6.0, -5.0), -1.0, (9.6, 7.0), (
        FingerBone("finger-7", METACARPAL, 67.0, 13.1),
        FingerBone("finger-6", PHALANX, 39.8, 11.8),
        FingerBone("finger-5", PHALANX, 23.4, 10.4),
        FingerBone("finger-4", FINGERTIP, 16.2, 8.9),
    )),
    Ray((-1.0, 36.0), (-1.0, 0.0), (-0.5, 0.0, 0.5, 0.5), 0.0, (9.6, 7.1), (
        FingerBone("finger-11", METACARPAL, 64.5, 12.6),
        FingerBone("finger-10", PHALANX, 44.6, 12.0),
        FingerBone("finger-9", PHALANX, 27.2, 10.6),
        FingerBone("finger-8", FINGERTIP, 17.6, 9.3),
    )),
    Ray((8.6, 34.0), (0.0, 2.0), (7.5, 6.5, 6.0, 5.0), 0.9, (9.3, 7.0), (
        FingerBone("finger-15", METACARPAL, 58.0, 10.6),
        FingerBone("finger-14", PHALANX, 41.4, 11.0),
        FingerBone("finger-13", PHALANX, 26.2, 10.0),
        FingerBone("finger-12", FINGERTIP, 17.6, 9.2),
    )),
    Ray((17.2, 30.6), (3.0, 6.0), (16.0, 15.0, 13.0, 11.0), 2.0, (8.6, 6.2), (
        FingerBone("finger-19", METACARPAL, 53.5, 10.8),
        FingerBone("finger-18", PHALANX, 33.0, 9.8),
        FingerBone("finger-17", PHALANX, 19.0, 8.8),
        FingerBone("finger-16", FINGERTIP, 15.2, 7.5),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class WristBone:
    """One carpal bone."""

    name: str  # class name
    outline_mm: tuple[tuple[float, float], ...]  # x, y around the bone
    depth_mm: float  # z of its centre
    follows: float  # share of the wrist's bending that it follows: the near row about half, the far row all of it


CARPALS = (
    WristBone("Trapezium", (
        (-17.5, 22.0), (-21.5, 20.5), (-26.0, 22.5), (-30.0, 26.5), (-30.0, 30.8), (-26.5, 32.6), (-24.4, 36.8),
        (-20.0, 38.2), (-15.3, 36.5), (-13.6, 31.8), (-14.4, 26.4),
    ), 7.0, 1.0),
    WristBone("Trapezoid", (
        (-16.9, 24.8), (-12.3, 22.2), (-8.1, 24.2), (-6.9, 29.8), (-7.5, 35.4), (-10.3, 37.8), (-12.9, 36.8),
        (-16.5, 38.0), (-18.5, 34.8), (-18.3, 29.4),
    ), -1.0, 1.0),
    WristBone("Capitate", (
        (-6.5, 14.0), (-3.9, 10.4), (0.3, 9.2), (4.1, 11.2), (5.9, 16.0), (5.3, 21.8), (6.1, 27.8), (5.7, 34.0),
        (3.3, 36.8), (-1.9, 36.4), (-6.3, 37.4), (-8.7, 34.2), (-7.3, 28.2), (-8.5, 22.4), (-8.1, 17.8),
    ), -1.0, 1.0),
    WristBone("Hamate", (
        (6.2, 12.8), (9.4, 13.6), (13.6, 17.2), (18.8, 22.2), (22.2, 27.6), (21.6, 31.0), (16.8, 33.2), (13.2, 34.6),
        (8.6, 35.8), (4.8, 35.0), (4.6, 29.0), (4.4, 21.8), (4.6, 16.0),
    ), 1.0, 1.0),
    WristBone("Scaphoid", (
        (-2.6, 4.5), (-2.8, 9.9), (-4.8, 14.1), (-7.0, 18.5), (-8.6, 22.5), (-12.8, 24.3), (-18.2, 22.9), (-20.4, 18.7),
        (-18.6, 13.7), (-17.2, 8.9), (-13.8, 3.7), (-8.8, 0.5), (-4.4, 0.7),
    ), 3.0, 0.55),
    WristBone("Lunate", (
        (-4.1, 5.6), (-2.7, 1.0), (1.7, -1.6), (6.9, -1.2), (10.1, 2.4), (9.6, 7.1), (8.5, 12.0), (4.9, 13.0),
        (1.1, 13.4), (-2.9, 12.6), (-4.5, 9.2),
    ), 0.0, 0.45),
    WristBone("Triquetrum", (
        (9.6, 7.8), (10.4, 3.6), (14.6, 2.4), (19.4, 5.0), (22.8, 10.0), (23.8, 16.0), (21.4, 20.0), (17.2, 18.8),
        (12.8, 15.2), (9.4, 12.2),
    ), 1.0, 0.55),
    WristBone("Pisiform", (
        (20.8, 4.4), (24.2, 6.8), (25.4, 10.8), (23.2, 14.8), (19.2, 16.2), (15.6, 14.0), (14.4, 9.8), (16.4, 5.8),
    ), 5.0, 0.6),
)  # fmt: skip

HOOK_OF_HAMATE_MM = (12.6, 26.6)  # drawn as a bright oval in the Hamate, as on a real film


@dataclass(frozen=True)
class ForearmBone:
    """Radius or Ulna."""

    name: str  # class name
    outline_mm: tuple[tuple[float, float], ...]  # x, y around the bone, down to ``FOREARM_END_MM``
    axis_x_mm: tuple[float, float]  # x of the middle line at the wrist and at the end
    shaft_mm: float  # half the shaft's width


FOREARM = (
    ForearmBone("Radius", (
        (-20.0, 8.6), (-16.4, 6.4), (-11.2, 4.2), (-5.8, 3.0), (0.0, 2.0), (5.6, 0.6), (8.8, -2.6), (8.4, -8.0),
        (8.6, -12.0), (5.8, -19.0), (2.4, -28.0), (0.2, -40.0), (-0.4, -60.0), (0.2, -85.0), (0.6, -115.0),
        (0.6, FOREARM_END_MM), (-14.8, FOREARM_END_MM), (-15.0, -115.0), (-15.2, -85.0), (-15.4, -60.0), (-16.2, -42.0),
        (-17.8, -30.0), (-20.6, -19.0), (-22.8, -9.0), (-22.8, -1.0), (-22.0, 5.6),
    ), (-7.3, -7.3), 7.7),
    ForearmBone("Ulna", (
        (11.0, -5.6), (15.6, -4.8), (19.6, -5.0), (21.6, -2.0), (23.8, 0.6), (25.0, -1.6), (24.8, -6.0), (25.0, -11.0),
        (23.4, -18.0), (22.2, -28.0), (22.2, -45.0), (22.6, -70.0), (23.4, -105.0), (24.0, FOREARM_END_MM),
        (12.0, FOREARM_END_MM), (11.4, -105.0), (11.0, -70.0), (11.2, -45.0), (11.8, -28.0), (10.6, -18.0),
        (9.2, -11.0), (9.4, -7.2),
    ), (17.0, 18.0), 5.9),
)  # fmt: skip

CLASS_ORDER = (*FINGER_BONES, *(bone.name for bone in CARPALS), *(bone.name for bone in FOREARM))
