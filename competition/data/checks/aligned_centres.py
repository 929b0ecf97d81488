"""Centres of classes compared across samples after their pose is taken out.

The centres of all classes of a sample are moved, turned, mirrored and scaled onto a common template, the median of all
samples: generalised Procrustes analysis (Gower, Psychometrika 40, 1975), with medians so that a wrong label hardly
moves the template.
"""

import numpy as np
from numpy.typing import NDArray

from competition.data.checks.robust_scores import FEWEST

FEWEST_CLASSES = 4
"""A pose has four numbers in the plane, so that of fewer classes little would be left to compare."""

ROUNDS = 3
SMALLEST_SIGMA = 0.004
"""Of a centre, as a share of the image's long side: 2 pixels of 512."""

RAYLEIGH_MEDIAN = 1.1774
"""Median length of a vector of two normal components of unit deviation, sqrt(2 ln 2)."""


def position_outliers(centres: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far each centre is from where it is expected.

    With four classes or more the sample is aligned with the template first. With two or three, a centre is taken
    relative to the mean of the others; with one, its place in the image counts.

    Args:
        centres: (n, C, 2), row and column as shares of the image's long side; NaN where a class is absent.

    Returns:
        Distances (n, C) in the same unit, in the template's scale, and the same in standard deviations of the class;
        NaN where a class is absent or has fewer than five centres.
    """
    if centres.shape[1] >= FEWEST_CLASSES:
        placed = align(centres)
    elif centres.shape[1] > 1:
        placed = centres - _mean_of_others(centres)
    else:
        placed = centres
    distances = np.linalg.norm(placed - _class_medians(placed), axis=2)
    z = np.full_like(distances, np.nan)
    for index in range(distances.shape[1]):
        known = distances[:, index][~np.isnan(distances[:, index])]
        if len(known) >= FEWEST:
            sigma = max(float(np.median(known)) / RAYLEIGH_MEDIAN, SMALLEST_SIGMA)
            # The median of a class is 1.18 deviations from its centre by nature, which is no reason for suspicion.
            z[:, index] = distances[:, index] / sigma - RAYLEIGH_MEDIAN
    return distances, z


def align(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centres (n, C, 2) of all samples in the pose of the template.

    A sample with fewer than four classes in common with the template is NaN.
    """
    counts = (~np.isnan(centres[..., 0])).sum(axis=1)
    template = centres[int(np.argmax(counts))]
    scale = _size(template)
    placed = centres
    for _ in range(ROUNDS):
        placed = np.stack([_onto(sample, template) for sample in centres])
        template = _class_medians(placed)
        template = template * (scale / max(_size(template), 1e-9))
    return placed


def _onto(sample: NDArray[np.float64], template: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map a sample (C, 2) onto a template by the similarity transform, a mirrored one too, of least squares.

    Classes that do not fit at first are left out of a second fit: an exchanged bone would turn the whole hand.
    """
    common = ~np.isnan(sample[:, 0]) & ~np.isnan(template[:, 0])
    if common.sum() < FEWEST_CLASSES:
        return np.full_like(sample, np.nan)
    placed = _fitted(sample, template, common)
    misfit = np.linalg.norm(placed - template, axis=1)
    good = common & (misfit <= 3 * np.median(misfit[common]))
    return _fitted(sample, template, good) if good.sum() >= FEWEST_CLASSES else placed


def _fitted(sample: NDArray[np.float64], template: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Map all of a sample by the transform that fits the classes in ``used`` (Schoenemann, Psychometrika 31, 1966)."""
    middle, target = sample[used].mean(axis=0), template[used].mean(axis=0)
    source, wanted = sample[used] - middle, template[used] - target
    left, values, right = np.linalg.svd(source.T @ wanted)
    scale = values.sum() / max(float((source**2).sum()), 1e-12)
    return np.asarray(scale * (sample - middle) @ (left @ right) + target)


def _class_medians(placed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median place (C, 2) of each class; NaN of a class that no sample has."""
    medians = np.full(placed.shape[1:], np.nan)
    for index in range(placed.shape[1]):
        known = placed[~np.isnan(placed[:, index, 0]), index]
        if len(known):
            medians[index] = np.median(known, axis=0)
    return medians


def _mean_of_others(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each class the mean centre of the other classes, NaN unless all of them are there."""
    total = centres.sum(axis=1, keepdims=True)
    return np.asarray((total - centres) / (centres.shape[1] - 1))


def _size(places: NDArray[np.float64]) -> float:
    """Return the mean distance from the middle of the classes that are there."""
    known = places[~np.isnan(places[:, 0])]
    return float(np.linalg.norm(known - known.mean(axis=0), axis=1).mean()) if len(known) else 0.0
