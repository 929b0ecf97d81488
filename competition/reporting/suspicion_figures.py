"""What may be wrong with the data as figures: duplicates, metadata that predict the label, suspicious labels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.checks.duplicates import same_labels, same_pixels
from competition.data.checks.label_outliers import Suspicion
from competition.data.checks.near_duplicates import NearDuplicate, find_near_duplicates
from competition.data.checks.shortcuts import ALARM, find_shortcut
from competition.data.evenly_spread import spread
from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.ensembling.decision import Decision
from competition.ensembling.tuning_data import TuningData
from competition.masks.bit_planes import unpack_class
from competition.reporting.page import Figure, html_table
from competition.reporting.pictures import gallery
from competition.reporting.sample_pictures import compared_picture, patient_picture, tiled
from competition.review.out_of_fold import out_of_fold_planes
from competition.review.suspicious_labels import rank_samples, suspicion_table
from competition.text import counted, shortened_middle
from competition.tracks.track import Track
from competition.workspace import Workspace

SHOWN = 12
MOST_PIXELS = 6_000_000_000
"""Of the images compared for near duplicates: reading them takes 20 seconds. Of more, samples are left out evenly."""


def exact_duplicate_figure(track: Track, entries: Sequence[Entry]) -> Figure:
    """Return images and labels that occur in two groups, pixel by pixel."""
    problems = same_pixels(entries, track.views) + same_labels(entries)
    frame = pd.DataFrame(
        [(problem.key, problem.path, problem.reason) for problem in problems], columns=["sample", "name", "reason"]
    )
    sentence = "No image and no label occurs in two groups."
    if problems:
        sentence = (
            f"{counted(len(problems), 'sample')} sharing an image or label with another group. Leave one of each pair "
            "out, or put both groups into one fold: data used for both training and scoring inflates scores."
        )
    return Figure("duplicates", "Exact duplicates", sentence, _first_rows(frame), frame)


def near_duplicate_figure(track: Track, workspace: Workspace, entries: Sequence[Entry]) -> Figure:
    """Return images of different groups, or of training and test, that are nearly the same."""
    compared = _affordable(track, entries)
    pairs = find_near_duplicates(track, workspace, compared)
    rows = [
        {
            "sample": pair.first.sample,
            "group": pair.first.group,
            "view": track.views[pair.views[0]],
            "other sample": pair.second.sample,
            "other group": pair.second.group,
            "other view": track.views[pair.views[1]],
            "other split": pair.second.split,
            "likeness": round(pair.likeness, 4),
        }
        for pair in pairs
    ]
    columns = ["sample", "group", "view", "other sample", "other group", "other view", "other split", "likeness"]
    frame = pd.DataFrame(rows, columns=columns)
    of = "" if len(compared) == len(entries) else f" ({len(compared):,} of {len(entries):,} samples were compared)"
    sentence = f"No two images of different groups, or of training and test, look like copies of each other{of}."
    if pairs:
        sentence = (
            f"{counted(len(pairs), 'pair')} of images of different groups, or of training and test, whose fine detail "
            f"is the same once they are aligned{of}. Look at them: a copy in two folds makes every score too good."
        )
    items = [(_pair_picture(track, workspace, pair), _pair_caption(pair)) for pair in pairs[:SHOWN]]
    return Figure("near-duplicates", "Near duplicates", sentence, gallery(items) if items else Markup(""), frame)


def _affordable(track: Track, entries: Sequence[Entry]) -> list[Entry]:
    pixels = float(np.mean([entry.height * entry.width for entry in entries])) * len(track.views)
    return spread(entries, min(len(entries), max(2, int(MOST_PIXELS / pixels))))


def _pair_picture(track: Track, workspace: Workspace, pair: NearDuplicate) -> NDArray[np.uint8]:
    both = zip((pair.first, pair.second), pair.views, strict=True)
    return tiled([patient_picture(track, workspace, entry, [view]) for entry, view in both], 2)


def _pair_caption(pair: NearDuplicate) -> str:
    split = " (test)" if pair.second.split == "test" else ""
    return f"{pair.first.name} and {pair.second.name}{split}, likeness {pair.likeness:.3f}"


def shortcut_figure(training: Sequence[Entry], folds: Folds) -> Figure | None:
    """Return whether properties of the files predict the first target; None where the track reads none."""
    score, alarm = find_shortcut(training, folds)
    if score is None:
        return None
    frame = pd.DataFrame({"measure": ["cross-validated AUROC", "alarm above"], "value": [score, ALARM]})
    advice = "They don't: that is no better than chance would give, or too little to matter."
    if alarm:
        advice = (
            "They do: a network may learn them instead of the disease. Crop margins and text away, resize all images "
            "alike, and compare with a run on files of one kind only."
        )
    sentence = (
        f"Do size, margins, text and numbering of the files predict the label without any image? A logistic "
        f"regression reaches an AUROC of {score:.2f} across folds. {advice}"
    )
    return Figure("shortcuts", "Metadata that predict the label", sentence, html_table(frame, digits=3), frame)


def suspicion_figure(
    track: Track,
    workspace: Workspace,
    training: Sequence[Entry],
    ranked: Sequence[Suspicion],
    data: TuningData | None,
    decision: Decision | None,
) -> Figure:
    """Return the most suspicious labels as a gallery, with label and out-of-fold mask, and a CSV of all."""
    entries = {entry.sample: entry for entry in training}
    items = []
    for suspicion in rank_samples(ranked)[:SHOWN]:
        entry = entries[suspicion.sample]
        caption = f"{shortened_middle(entry.name)}, {suspicion.label}: {suspicion.reason} (score {suspicion.score:.2f})"
        items.append((_suspicious_picture(track, workspace, entry, suspicion, data, decision), caption))
    sentence = "Nothing is known about the labels before something is trained and tuned: run train and tune."
    if items:
        predicted = " The label is blue, the out-of-fold prediction orange." if track.task == "segmentation" else ""
        seen = "" if data is not None else " Nothing is tuned yet, so predictions don't count: run train and tune."
        sentence = (
            f"Labels that may be wrong, the most suspicious of each sample first; scores below 0.5 are within the "
            f"usual range.{predicted}{seen} A weak network may be the reason too, so look before you correct: "
            "./run.sh review --out corrections."
        )
    table = suspicion_table(ranked, training)
    body = gallery(items) if items else Markup("")
    return Figure("suspicious-labels", "Suspicious labels", sentence, body, table)


def _suspicious_picture(
    track: Track,
    workspace: Workspace,
    entry: Entry,
    suspicion: Suspicion,
    data: TuningData | None,
    decision: Decision | None,
) -> NDArray[np.uint8]:
    if track.task == "classification":
        return patient_picture(track, workspace, entry)
    index = track.classes.index(suspicion.label)
    masks = [unpack_class(read_label_planes(workspace, track, entry.sample), index)]
    if data is not None and decision is not None and entry.sample in data.samples:
        masks.append(unpack_class(out_of_fold_planes(data, decision, entry.sample), index))
    return compared_picture(track, workspace, entry, masks)


def _first_rows(frame: pd.DataFrame) -> Markup:
    return html_table(frame[:SHOWN]) if len(frame) else Markup("")
