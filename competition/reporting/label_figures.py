"""The labels as figures: sizes, places, overlaps and frequency of the classes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from competition.data.checks.label_maps import LabelMaps
from competition.data.manifest import Entry, target_matrix
from competition.reporting.charts import GREY, HEAT, PALETTE, as_svg, new_chart
from competition.reporting.page import Figure
from competition.text import counted
from competition.tracks.track import Track

SHOWN_CLASSES = 30
"""More would be unreadable; the rest is in the CSV."""

COLUMNS = 6


def size_figure(track: Track, training: Sequence[Entry]) -> Figure:
    """Return the areas of each class: the median, the middle half, and whiskers from 5 to 95 %."""
    sizes, unit = _class_sizes(training)
    rows = []
    for name, values in zip(track.classes, sizes.T, strict=True):
        known = values[~np.isnan(values)]
        quantiles = np.quantile(known, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]) if len(known) else np.full(7, np.nan)
        rows.append((name, len(known), *quantiles.tolist()))
    columns = ["class", "samples", "smallest", "5 %", "25 %", "median", "75 %", "95 %", "largest"]
    frame = pd.DataFrame(rows, columns=columns)
    shown = frame[:SHOWN_CLASSES]
    boxes = [
        {"label": row[0], "whislo": row[3], "q1": row[4], "med": row[5], "q3": row[6], "whishi": row[7]}
        for row in shown.itertuples(index=False)
        if row[1]
    ]
    canvas, (axis,) = new_chart(height=max(1.6, 0.9 + 0.19 * len(boxes)))
    if boxes:
        axis.bxp(
            boxes[::-1],
            showfliers=False,
            orientation="horizontal",
            patch_artist=True,
            boxprops={"facecolor": PALETTE[0], "alpha": 0.5, "edgecolor": PALETTE[0]},
            medianprops={"color": "black"},
            whiskerprops={"color": GREY},
            capprops={"color": GREY},
        )
        axis.set_xscale("log")
    axis.set_xlabel(f"area in {unit}")
    sentence = "No class has a labelled pixel: check the folder of the labels."
    if boxes:
        objects = _object_medians(training)
        frame.insert(2, "median object in pixels", objects)
        smallest = int(np.nanargmin(objects))
        least = ", the smallest," if len(track.classes) > 1 else ""
        sentence = (
            f"Area of each class where it is labelled, in {unit}: median, middle half, and whiskers from 5 to 95 %. "
            f"The objects (connected components) of {track.classes[smallest]}{least} have {objects[smallest]:,.0f} "
            "pixels in the median; if that is under a hundred pixels of the training grid, raise data.size or "
            f"crop.{_rest(track)}"
        )
    return Figure("class-sizes", "Sizes of the classes", sentence, as_svg(canvas, "class-sizes", sentence), frame)


def _object_medians(training: Sequence[Entry]) -> NDArray[np.float64]:
    """Return the median area (C,) of the components of each class, in native pixels; NaN of a class that is absent."""
    areas = np.array([entry.object_areas for entry in training], dtype=np.float64)
    return np.array([np.median(own[own > 0]) if own.any() else np.nan for own in areas.T])


def _class_sizes(training: Sequence[Entry]) -> tuple[NDArray[np.float64], str]:
    """Return areas (n, C), NaN where a class is absent, and their unit: mm² where every spacing is known."""
    areas = np.array([entry.areas for entry in training], dtype=np.float64)
    areas[areas == 0] = np.nan
    spacings = [entry.spacing_mm for entry in training if entry.spacing_mm is not None]
    if len(spacings) < len(training):
        return areas, "pixels"
    return areas * np.prod(np.array(spacings), axis=1)[:, None], "mm²"


def position_figure(track: Track, maps: LabelMaps) -> Figure:
    """Return a heat map of each class in coordinates of the image's sides."""
    canvas = _heat_maps(track.classes[:SHOWN_CLASSES], maps.frequency)
    middles = np.array([_centre(centres) for centres in maps.centres.transpose(1, 0, 2)])
    frame = pd.DataFrame(
        {
            "class": track.classes,
            "samples": (~np.isnan(maps.centres[..., 0])).sum(axis=0),
            "median row": middles[:, 0].round(4),
            "median column": middles[:, 1].round(4),
            "deviation of rows": middles[:, 2].round(4),
            "deviation of columns": middles[:, 3].round(4),
        }
    )
    sentence = (
        f"Where each class lies, as a share of the image's height and width, in {counted(len(maps.samples), 'sample')} "
        "spread evenly over the training set: bright is frequent, each map on its own scale. Two spots are two poses, "
        f"or names that were exchanged in some samples: check those.{_rest(track)}"
    )
    return Figure("positions", "Positions of the classes", sentence, as_svg(canvas, "positions", sentence), frame)


def _heat_maps(names: Sequence[str], frequency: NDArray[np.floating]) -> Canvas:
    """Return the maps (C, h, w) below their names, as one picture: 29 axes take a second more."""
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    height, width = frequency.shape[1:]
    tall, wide = height + height // 5, width + width // 12  # with room for a name above and a gap beside
    canvas, (axis,) = new_chart(1.25 * columns, 1.4 * rows)
    shown = np.full((rows * tall, columns * wide), np.nan)
    for number, name in enumerate(names):
        bottom, left = (number // columns + 1) * tall, number % columns * wide
        own = frequency[number]
        shown[bottom - height : bottom, left : left + width] = own / own.max() if own.any() else 0.0
        middle = (left + width / 2, bottom - height - height / 12)
        axis.text(*middle, name, fontsize=7, ha="center", va="center", parse_math=False)
    axis.imshow(shown, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    return canvas


def _centre(centres: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return medians and standard deviations of rows and columns; NaN of a class that is absent everywhere."""
    known = centres[~np.isnan(centres[:, 0])]
    if not len(known):
        return np.nan, np.nan, np.nan, np.nan
    middle, spread = np.median(known, axis=0), known.std(axis=0)
    return float(middle[0]), float(middle[1]), float(spread[0]), float(spread[1])


def overlap_figure(track: Track, maps: LabelMaps) -> Figure:
    """Return the matrix of pixels that two classes share, as shares of the row's class."""
    areas = np.maximum(np.diag(maps.overlaps), 1)
    shares = maps.overlaps / areas[:, None]
    np.fill_diagonal(shares, np.nan)
    frame = pd.DataFrame(shares.round(5), columns=list(track.classes))
    frame.insert(0, "class", track.classes)
    names = track.classes[:SHOWN_CLASSES]
    canvas, (axis,) = new_chart(6.4, max(2.4, 1.4 + 0.17 * len(names)))
    shown = axis.imshow(shares[: len(names), : len(names)], cmap=HEAT, vmin=0, interpolation="nearest", aspect="auto")
    canvas.colorbar(shown, ax=axis, label="share of the row's class")
    axis.grid(visible=False)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    largest = float(np.nanmax(shares)) if len(track.classes) > 1 else 0.0
    sentence = "No two classes share a pixel, so one class per pixel describes them."
    if largest > 0:
        row, column = divmod(int(np.nanargmax(shares)), len(track.classes))
        sentence = (
            "Pixels that two classes share, as a share of the class in the row. The largest overlap: "
            f"{largest:.2%} of {track.classes[row]} also belongs to {track.classes[column]}. Masks overlap, so each "
            f"class needs an output of its own (a sigmoid, as here) and not one class per pixel.{_rest(track)}"
        )
    return Figure("overlaps", "Overlaps of the classes", sentence, as_svg(canvas, "overlaps", sentence), frame)


def prevalence_figure(track: Track, training: Sequence[Entry]) -> Figure:
    """Return in how many training samples each class occurs."""
    targets = target_matrix(training)
    counts = targets.sum(axis=0)
    frame = pd.DataFrame({"class": track.classes, "samples": counts, "share": (counts / len(targets)).round(4)})
    if counts.min() == len(targets):
        sentence = f"Every class occurs in all {len(targets):,} training samples."
        return Figure("prevalence", "Frequency of the classes", sentence, Markup(""), frame)
    shown = frame[:SHOWN_CLASSES][::-1]
    canvas, (axis,) = new_chart(height=max(1.6, 0.9 + 0.19 * len(shown)))
    axis.barh(shown["class"], shown["share"], color=PALETTE[0])
    axis.set_xlim(0, 1)
    axis.set_xlabel(f"share of {counted(len(targets), 'training sample')}")
    rarest = int(np.argmin(counts))
    sentence = (
        f"How many of {counted(len(targets), 'training sample')} show each class. The rarest is "
        f"{track.classes[rarest]} with {counts[rarest]}: a class in fewer samples than there are folds has no "
        f"out-of-fold score in some of them, and its threshold can't be trusted.{_rest(track)}"
    )
    return Figure("prevalence", "Frequency of the classes", sentence, as_svg(canvas, "prevalence", sentence), frame)


def _rest(track: Track) -> str:
    left = len(track.classes) - SHOWN_CLASSES
    return f" The figure shows the first {SHOWN_CLASSES} classes, the CSV all {len(track.classes)}." if left > 0 else ""
