"""The images and folds as figures: sizes, grey values, and what each fold holds out."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.reporting.charts import PALETTE, add_legend, as_svg, new_chart
from competition.reporting.page import Figure, html_table
from competition.text import counted, few, size_text
from competition.tracks.track import Track

MOST_POINTS = 300
"""Of a scatter plot and split: each takes 100 bytes of the page."""

SHOWN_STRATA = 6


def image_figure(track: Track, entries: Sequence[Entry]) -> Figure:
    """Return sizes and grey statistics of training and test images."""
    rows = [
        (entry.sample, entry.split, entry.height, entry.width, view, entry.mean[number], entry.std[number])
        for entry in entries
        for number, view in enumerate(track.views)
        if entry.present[number]
    ]
    frame = pd.DataFrame(rows, columns=["sample", "split", "rows", "columns", "view", "mean", "deviation"])
    canvas, (sizes, greys) = new_chart(7.2, 3.2, columns=2)
    for split, colour, marker in (("train", PALETTE[0], "o"), ("test", PALETTE[1], "x")):
        own = frame[frame["split"] == split]
        own = own.iloc[np.unique(np.linspace(0, len(own) - 1, MOST_POINTS).astype(int))] if len(own) else own
        for axis, x, y in ((sizes, "columns", "rows"), (greys, "mean", "deviation")):
            axis.scatter(own[x], own[y], s=14, color=colour, marker=marker, alpha=0.6, linewidths=0.8, label=split)
    sizes.set_xlabel("columns")
    sizes.set_ylabel("rows")
    greys.set_xlabel("mean grey value")
    greys.set_ylabel("standard deviation")
    add_legend(greys)
    usual, count = Counter((entry.height, entry.width) for entry in entries).most_common(1)[0]
    different = len({(entry.height, entry.width) for entry in entries})
    others = f", the others {counted(different - 1, 'further size')}" if different > 1 else ""
    sentence = (
        f"Sizes in pixels and grey values of every image. {count:,} of {len(entries):,} samples have "
        f"{size_text(usual)} (rows x columns){others}. {_shift(frame)}"
    )
    return Figure("images", "Sizes and grey values", sentence, as_svg(canvas, "images", sentence), frame.round(3))


def _shift(frame: pd.DataFrame) -> str:
    """Return how far the mean greys of training and test are apart, and what follows."""
    train, test = (frame.loc[frame["split"] == split, "mean"] for split in ("train", "test"))
    if train.empty or test.empty:
        return "There are no test images yet to compare with."
    apart = abs(train.mean() - test.mean()) / max(float(train.std(ddof=0)), 1.0)
    differs = f"The mean grey of the test images differs from that of the training images by {apart:.1f} of their"
    if apart > 0.5:
        return f"{differs} standard deviations: augment brightness and contrast more, or find out why."
    return f"{differs} standard deviations, which is no concern."


def fold_figure(track: Track, training: Sequence[Entry], folds: Folds) -> Figure:
    """Return what each fold holds out: samples, groups, strata, and how often classes occur."""
    strata = [name for name, _ in Counter(entry.stratum for entry in training if entry.stratum).most_common()]
    rows, classes = [], []
    for fold in range(folds.count):
        held_out = folds.held_out(training, fold)
        counts = Counter(entry.stratum for entry in held_out)
        targets = np.array([entry.targets for entry in held_out], dtype=np.int64).reshape(-1, len(track.classes))
        rows.append([fold, len(held_out), len({entry.group for entry in held_out}), *(counts[name] for name in strata)])
        classes.append(targets.sum(axis=0))
    named = ["fold", "samples", "groups", *(f"stratum {name}" for name in strata)]
    shown = pd.DataFrame(rows, columns=named)
    per_class = pd.DataFrame(classes, columns=list(track.classes))
    frame = pd.concat([shown, per_class], axis=1)  # a class may have the name of another column
    shown = shown[named[: 3 + SHOWN_STRATA]].assign(**{f"with {track.classes[0]}": per_class[track.classes[0]]})
    if len(track.classes) > 1:
        shown["rarest class"] = [
            f"{track.classes[int(np.argmin(row))]}: {int(min(row))}" for row in per_class.to_numpy().tolist()
        ]
    fewest = per_class.min()
    empty = [name for name in track.classes if fewest[name] == 0]
    advice = "Every class occurs in every fold."
    if empty:
        advice = (
            f"A fold without any sample of a class has no score of it; that concerns {few(empty)}. If such a class has "
            "as many groups as there are folds, prepare --stratified --refold may balance it, before you train."
        )
    sentence = f"What each fold holds out ({folds.how or folds.path.name}); no group is in two folds. {advice}"
    return Figure("folds", "Folds", sentence, html_table(shown), frame)
