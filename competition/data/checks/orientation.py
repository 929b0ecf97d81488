"""Whether labels lie the right way round on their images.

Run lengths counted along the other axis, arrays with exchanged axes and mirrored exports give masks that look like
masks. But an outline follows edges: the grey values change more on it than a few pixels beside it, and more than in
another person's image at the same place, which rules out frames, captions and anatomy that all images share.

In 447 slices of hearts the edges on an outline are 1.16 times as strong as beside it, in each of the seven other
orientations at most 1.07 times; in 45 images of nuclei 2.9 and 1.2 times. All seven ways to read labels wrongly are
noticed in nuclei and in synthetic hands and hearts; in the real hearts only exchanged axes are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_cached_image, read_cached_planes
from competition.data.evenly_spread import spread
from competition.data.grid import grid_size, resize_image
from competition.data.manifest import Entry
from competition.masks.bit_planes import sample_planes
from competition.tracks.track import Track
from competition.workspace import Workspace

IMAGES, PIXELS = 500, 400_000_000
"""Compared at most, evenly spread: 3 ms for an image of 256x256, 9 ms for one of 1024x1024."""
LONG_SIDE = 256
"""Pixels at which they are compared."""
BESIDE = 4
"""Pixels from an outline to what lies beside it."""
FLOOR = 0.01
"""Of an image's mean gradient, added to each mean, so that black backgrounds can be compared."""
FEWEST = 10
"""Groups, with fewer of which nothing is concluded."""
CERTAIN = 3.0
"""Standard errors over groups by which another orientation must follow edges better. With 4, hearts that are read along
the wrong axis are missed; with 3, none of 120 sets of labels without edges on random anatomy gives a warning."""
FOLLOWS = 1.1
"""In the other orientation, edges on an outline must be at least so many times as strong as beside it."""
FAILS = 1.3
"""As labels are read, edges on an outline must be at most so many times as strong as beside it. Bones that are read
along the wrong axis still lie on the hand, whose outline gives 1.15."""
BETTER = 1.1
"""Times the ratio as labels are read that of the other orientation must be."""

Mask = NDArray[np.bool_]
Picture = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]
"""Group, image (H, W) or (H, W, 3), and label planes (H, W, P)."""

ORIENTATIONS: dict[str, Callable[[Mask], Mask]] = {
    "": lambda mask: mask,
    "with rows and columns swapped": lambda mask: mask.T,
    "mirrored left to right": lambda mask: mask[:, ::-1],
    "upside down": lambda mask: mask[::-1],
    "turned by 180 degrees": lambda mask: mask[::-1, ::-1],
    "turned by 90 degrees to the left": lambda mask: np.rot90(mask),
    "turned by 90 degrees to the right": lambda mask: np.rot90(mask, -1),
    "with rows and columns swapped and turned by 180 degrees": lambda mask: mask[::-1, ::-1].T,
}
"""What has to be done with labels as they are read."""


@dataclass(frozen=True)
class Edges:
    """The gradient of an image, the outlines of its labels and what lies beside them, all (h, w)."""

    group: str
    gradient: NDArray[np.float32]
    outlines: Mask
    beside: Mask


def wrong_orientation(track: Track, workspace: Workspace, entries: Sequence[Entry]) -> list[str]:
    """Return a sentence on labels that follow the edges of their images better in another orientation, if they do."""
    labelled = [entry for entry in entries if sum(entry.areas)]
    if track.task != "segmentation" or len({entry.group for entry in labelled}) < FEWEST:
        return []
    largest = max(entry.height * entry.width for entry in labelled)
    compared = spread(labelled, min(IMAGES, max(FEWEST, PIXELS // largest)))

    def pictures() -> Iterator[Picture]:
        for entry in compared:
            image = read_cached_image(workspace, entry.sample, track.views[0])
            yield entry.group, image, read_cached_planes(workspace, entry.sample)

    found = better_orientation(*edge_ratios(pictures()))
    if found is None:
        return []
    name, other, as_read = found
    return [
        f"labels: their outlines follow the edges of the images better {name} (edges {other:.2f} times as strong as "
        f"beside the outlines) than as they are read ({as_read:.2f} times; {len(compared)} images). Look at the "
        "contact sheet; for run lengths check order in the track's YAML file, for arrays and pictures how they were "
        "saved"
    ]


def edge_ratios(pictures: Iterable[Picture]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure how strong edges are on the outlines of labels in each of ``ORIENTATIONS``.

    Returns:
        (groups, 8) mean logarithm of the gradient on the outlines divided by that beside them, in the labels' own
        images and in the next image of another group; NaN where labels do not fit the image in this orientation.
    """
    every = [find_edges(*picture) for picture in pictures]
    names, groups = np.unique([edges.group for edges in every], return_inverse=True)
    own, others = (np.full((len(every), len(ORIENTATIONS)), np.nan) for _ in range(2))
    for index, edges in enumerate(every):
        following = (*every[index + 1 :], *every[:index])
        other = next((one for one in following if one.group != edges.group), None)
        if other is not None:
            own[index] = _log_ratios(edges, edges.gradient)
            others[index] = _log_ratios(edges, cv2.resize(other.gradient, edges.gradient.shape[::-1]))
    means = [[values[groups == group].mean(axis=0) for group in range(len(names))] for values in (own, others)]
    return np.array(means[0]), np.array(means[1])


def find_edges(group: str, image: NDArray[np.uint8], planes: NDArray[np.uint8]) -> Edges:
    """Return the gradient and the outlines of a picture, at ``LONG_SIDE`` at most."""
    size_hw = grid_size((image.shape[0], image.shape[1]), min(LONG_SIDE, max(image.shape[:2])))
    small, labels = resize_image(image, size_hw).astype(np.float32), sample_planes(planes, size_hw)
    smooth = cv2.GaussianBlur(small if small.ndim == 2 else small.mean(axis=2), (0, 0), 1)
    gradient = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    outlines = np.zeros(size_hw, np.uint8)
    outlines[1:] |= (labels[1:] != labels[:-1]).any(axis=2)
    outlines[:, 1:] |= (labels[:, 1:] != labels[:, :-1]).any(axis=2)
    near, far = (cv2.dilate(outlines, np.ones((2 * reach + 1,) * 2, np.uint8)) for reach in (1, BESIDE))
    return Edges(group, gradient, outlines > 0, far > near)


def _log_ratios(edges: Edges, gradient: NDArray[np.float32]) -> NDArray[np.float64]:
    floor, ratios = FLOOR * float(gradient.mean()), np.full(len(ORIENTATIONS), np.nan)
    for index, turn in enumerate(ORIENTATIONS.values()):
        on, beside = turn(edges.outlines), turn(edges.beside)
        if on.shape == gradient.shape and on.any() and beside.any() and floor > 0:
            ratios[index] = np.log((gradient[on].mean() + floor) / (gradient[beside].mean() + floor))
    return ratios


def better_orientation(own: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[str, float, float] | None:
    """Return the orientation in which labels follow edges, if they do so better than as they are read.

    Args:
        own: (groups, 8) of ``edge_ratios`` in the labels' own images.
        others: Likewise in images of other groups.

    Returns:
        The name, and the mean ratios (geometric) there and as the labels are read.
    """
    best, most = None, CERTAIN
    for index, name in list(enumerate(ORIENTATIONS))[1:]:
        known = np.isfinite(own[:, index]) & np.isfinite(own[:, 0])
        if known.sum() < FEWEST:
            continue
        as_read, other = own[known, 0], own[known, index]
        apart = other.mean() - as_read.mean()
        if other.mean() < np.log(FOLLOWS) or as_read.mean() > np.log(FAILS) or apart < np.log(BETTER):
            continue
        gain, shared = other - as_read, others[known, index] - others[known, 0]
        certainty = min(_standard_errors(gain), _standard_errors(gain - shared))
        if certainty > most:
            best, most = (name, float(np.exp(other.mean())), float(np.exp(as_read.mean()))), certainty
    return best


def _standard_errors(values: NDArray[np.float64]) -> float:
    """Return how many standard errors the mean of values is above 0."""
    return float(values.mean() / max(values.std(ddof=1) / np.sqrt(len(values)), 1e-9))
