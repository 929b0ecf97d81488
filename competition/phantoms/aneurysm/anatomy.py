"""The brain's arteries as tables: their course in the four angiogram views, and where an aneurysm sits on them.

Coordinates are fractions of the image side, (x right, y down). Frontal trees are given for the LEFT side, which lies on
the right half of the image (radiological convention), and mirrored for the right; lateral trees face left for both.
"""

from dataclasses import dataclass
from typing import Literal

View = Literal["carotid frontal", "carotid lateral", "vertebral frontal", "vertebral lateral"]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Trunk:
    """A named artery."""

    name: str  # for the site table
    points: Points  # points it runs through, fractions of the image side
    radii: tuple[float, float]  # radius at its start and end, pixels of a 720 image
    twigs: int = 0  # how many branches leave it
    reach: float = 0.0  # length of those branches, fraction of the image side


@dataclass(frozen=True)
class Site:
    """Where an aneurysm of one location sits."""

    trunk: str  # name of the artery
    fraction: float  # how far along it, 0 to 1
    direction: tuple[float, float]  # which way the sac points, before mirroring


TRUNKS: dict[View, tuple[Trunk, ...]] = {
    "carotid frontal": (
        Trunk("ICA", ((0.69, 1.05), (0.685, 0.92), (0.67, 0.81), (0.62, 0.765), (0.572, 0.735), (0.568, 0.675),
            (0.607, 0.635), (0.585, 0.585), (0.595, 0.54)), (9.0, 7.0)),
        Trunk("ACA", ((0.595, 0.54), (0.555, 0.512), (0.515, 0.49), (0.507, 0.41), (0.516, 0.30), (0.505, 0.20),
            (0.53, 0.11)), (5.0, 2.0), 9, 0.16),
        Trunk("ACOM", ((0.515, 0.49), (0.487, 0.487)), (3.0, 2.5)),
        Trunk("crossed ACA", ((0.487, 0.487), (0.490, 0.41), (0.483, 0.30), (0.493, 0.19)), (3.0, 1.2), 4, 0.12),
        Trunk("MCA", ((0.595, 0.54), (0.65, 0.515), (0.70, 0.527), (0.745, 0.51)), (6.0, 5.0)),
        Trunk("MCA", ((0.745, 0.51), (0.775, 0.46), (0.757, 0.39), (0.80, 0.33), (0.87, 0.29)), (4.0, 1.5), 9, 0.20),
        Trunk("MCA", ((0.745, 0.51), (0.80, 0.52), (0.782, 0.455), (0.83, 0.42), (0.91, 0.43)), (3.5, 1.5), 8, 0.17),
        Trunk("MCA", ((0.745, 0.51), (0.79, 0.55), (0.84, 0.55), (0.88, 0.61)), (3.0, 1.2), 5, 0.14),
        Trunk("PCOM", ((0.589, 0.60), (0.56, 0.578), (0.535, 0.562)), (2.5, 1.5)),
        Trunk("AntChor", ((0.588, 0.57), (0.627, 0.552), (0.638, 0.50), (0.622, 0.45)), (2.0, 1.0)),
    ),
    "carotid lateral": (
        Trunk("ICA", ((0.53, 1.05), (0.535, 0.92), (0.525, 0.82), (0.485, 0.755), (0.465, 0.70), (0.40, 0.69),
            (0.36, 0.65), (0.385, 0.605), (0.435, 0.585)), (9.0, 7.0)),
        Trunk("ophthalmic", ((0.375, 0.615), (0.32, 0.612), (0.24, 0.595)), (2.0, 1.0), 2, 0.06),
        Trunk("ACA", ((0.435, 0.585), (0.37, 0.535), (0.305, 0.47), (0.27, 0.37), (0.33, 0.275), (0.45, 0.24),
            (0.58, 0.265), (0.68, 0.34)), (5.0, 1.5), 12, 0.16),
        Trunk("MCA", ((0.435, 0.585), (0.47, 0.54), (0.50, 0.49)), (6.0, 5.0)),
        Trunk("MCA", ((0.50, 0.49), (0.46, 0.42), (0.42, 0.34), (0.40, 0.25)), (3.5, 1.5), 6, 0.15),
        Trunk("MCA", ((0.50, 0.49), (0.54, 0.40), (0.57, 0.30), (0.60, 0.17)), (4.0, 1.5), 8, 0.17),
        Trunk("MCA", ((0.50, 0.49), (0.60, 0.44), (0.70, 0.38), (0.81, 0.27)), (4.0, 1.5), 8, 0.17),
        Trunk("MCA", ((0.50, 0.49), (0.60, 0.51), (0.71, 0.52), (0.83, 0.57)), (3.5, 1.2), 6, 0.14),
        Trunk("PCOM", ((0.405, 0.592), (0.46, 0.62), (0.53, 0.612)), (2.5, 1.8)),
        Trunk("AntChor", ((0.42, 0.588), (0.48, 0.575), (0.55, 0.56), (0.60, 0.53)), (2.0, 1.0)),
    ),
    "vertebral frontal": (
        Trunk("VA", ((0.60, 1.05), (0.605, 0.94), (0.625, 0.88), (0.58, 0.83), (0.53, 0.785),
            (0.505, 0.72)), (6.5, 5.5)),
        Trunk("other VA", ((0.505, 0.72), (0.475, 0.785), (0.43, 0.82)), (4.0, 2.0)),
        Trunk("BA", ((0.505, 0.72), (0.498, 0.64), (0.506, 0.56), (0.503, 0.50)), (6.5, 6.0)),
        Trunk("PICA", ((0.57, 0.82), (0.605, 0.775), (0.64, 0.735), (0.60, 0.715), (0.585, 0.78),
            (0.60, 0.86)), (2.8, 1.2), 5, 0.10),
        Trunk("AICA", ((0.50, 0.67), (0.555, 0.665), (0.61, 0.68), (0.67, 0.665)), (2.0, 1.0), 3, 0.08),
        Trunk("other AICA", ((0.50, 0.67), (0.445, 0.67), (0.39, 0.69), (0.33, 0.67)), (2.0, 1.0), 3, 0.08),
        Trunk("SCA", ((0.504, 0.53), (0.555, 0.54), (0.60, 0.575), (0.66, 0.575)), (2.8, 1.2), 6, 0.10),
        Trunk("other SCA", ((0.504, 0.53), (0.45, 0.54), (0.41, 0.575), (0.35, 0.58)), (2.8, 1.2), 6, 0.10),
        Trunk("PCA", ((0.503, 0.50), (0.56, 0.472), (0.625, 0.495), (0.655, 0.42), (0.63, 0.32),
            (0.58, 0.24)), (4.2, 1.5), 9, 0.13),
        Trunk("other PCA", ((0.503, 0.50), (0.445, 0.472), (0.38, 0.497), (0.35, 0.42), (0.375, 0.32),
            (0.425, 0.24)), (4.2, 1.5), 9, 0.13),
        Trunk("PCOM", ((0.56, 0.472), (0.575, 0.447), (0.568, 0.415)), (2.2, 1.8)),
    ),
    "vertebral lateral": (
        Trunk("VA", ((0.60, 1.05), (0.595, 0.95), (0.645, 0.90), (0.61, 0.86), (0.55, 0.835),
            (0.505, 0.77)), (6.5, 5.5)),
        Trunk("BA", ((0.505, 0.77), (0.482, 0.70), (0.470, 0.63), (0.465, 0.58)), (6.5, 6.0)),
        Trunk("PICA", ((0.58, 0.848), (0.595, 0.80), (0.64, 0.825), (0.66, 0.885), (0.71, 0.88),
            (0.80, 0.83)), (2.8, 1.2), 6, 0.10),
        Trunk("AICA", ((0.48, 0.69), (0.54, 0.71), (0.60, 0.72), (0.66, 0.71)), (2.0, 1.0), 3, 0.08),
        Trunk("SCA", ((0.467, 0.605), (0.54, 0.60), (0.63, 0.625), (0.74, 0.665)), (2.8, 1.2), 7, 0.11),
        Trunk("other SCA", ((0.467, 0.605), (0.54, 0.615), (0.63, 0.645), (0.73, 0.70)), (2.4, 1.0), 5, 0.10),
        Trunk("PCA", ((0.465, 0.58), (0.52, 0.548), (0.61, 0.555), (0.72, 0.53), (0.83, 0.49)), (4.2, 1.5), 9, 0.13),
        Trunk("other PCA", ((0.465, 0.58), (0.53, 0.56), (0.62, 0.575), (0.73, 0.56),
            (0.84, 0.55)), (3.6, 1.2), 7, 0.12),
        Trunk("PCOM", ((0.505, 0.553), (0.45, 0.54), (0.395, 0.55)), (2.2, 1.8)),
        Trunk("thalamic", ((0.468, 0.575), (0.49, 0.52), (0.54, 0.47)), (1.6, 0.8), 3, 0.06),
    ),
}  # fmt: skip

# The side is dropped from the location's name, except that BA has none. The posterior communicating artery joins the
# carotid to the posterior cerebral artery and fills from both; its aneurysm sits at the carotid, its far end in the
# vertebral views.
SITES: dict[View, dict[str, Site]] = {
    "carotid frontal": {
        "ICA": Site("ICA", 0.72, (-1.0, -0.2)), "PCOM": Site("PCOM", 0.15, (-0.6, 0.8)),
        "AntChor": Site("AntChor", 0.12, (1.0, 0.2)), "ACA": Site("ACA", 0.62, (0.8, -0.6)),
        "ACOM": Site("ACOM", 0.30, (-0.1, -1.0)), "MCA": Site("MCA", 0.97, (0.8, -0.3)),
    },
    "carotid lateral": {
        "ICA": Site("ICA", 0.80, (-0.8, 0.5)), "PCOM": Site("PCOM", 0.12, (0.6, 0.8)),
        "AntChor": Site("AntChor", 0.15, (0.5, 0.9)), "ACA": Site("ACA", 0.42, (-0.9, -0.4)),
        "ACOM": Site("ACA", 0.14, (-0.5, 0.9)), "MCA": Site("MCA", 0.97, (0.8, 0.5)),
    },
    "vertebral frontal": {
        "VA": Site("VA", 0.62, (0.9, -0.2)), "PICA": Site("PICA", 0.10, (0.8, 0.6)),
        "SCA": Site("SCA", 0.15, (0.6, 0.7)), "BA": Site("BA", 0.99, (0.1, -1.0)),
        "PCA": Site("PCA", 0.22, (0.5, -0.9)), "PCOM": Site("PCOM", 0.85, (-0.6, -0.8)),
    },
    "vertebral lateral": {
        "VA": Site("VA", 0.80, (-0.5, 0.9)), "PICA": Site("PICA", 0.08, (0.7, 0.6)),
        "SCA": Site("SCA", 0.12, (0.2, 1.0)), "BA": Site("BA", 0.99, (-0.4, -1.0)),
        "PCA": Site("PCA", 0.25, (0.3, -1.0)), "PCOM": Site("PCOM", 0.85, (-0.6, -0.8)),
    },
}  # fmt: skip
