"""Why the samples of a review are suspicious or disputed, as one HTML page of pictures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from competition.console import progress
from competition.data.cache import read_cached_image, read_label_planes
from competition.data.manifest import Entry
from competition.installation import typed
from competition.masks.bit_planes import unpack_class
from competition.reporting.page import Figure, Report, Section, html_table, render_page
from competition.reporting.pictures import gallery
from competition.reporting.sample_pictures import (
    COLOURS,
    compared_picture,
    outlined_picture,
    positive_classes,
    surroundings,
    view_picture,
)
from competition.review.export import Reviewed
from competition.review.predictions import Predictions

SIDE = 720
"""Pixels of the long side of a picture, which a click shows at its full size."""

MOST_PROBABLE = 5
"""Classes without a label whose probabilities are shown."""

Item = tuple[NDArray[np.uint8], str]


def review_page(predictions: Predictions, chosen: Sequence[Reviewed]) -> str:
    """Return the page of the samples of a review, in their order.

    An image is shown with its label and with what is predicted, and its class in question close up; a test image with
    the outlines of each fold. A patient is shown with all views, the labels and the probabilities.

    Raises:
        CompetitionError: An image or a prediction is missing or damaged.
    """
    body_of = _patients if predictions.track.task == "classification" else _masks
    bodies = body_of(predictions, chosen)
    figures = [
        Figure(f"sample-{number}", f"{number}. {each.entry.name}, {each.label}", _sentence(each), body)
        for number, (each, body) in enumerate(zip(chosen, bodies, strict=True), start=1)
    ]
    subtitle = (
        "The most suspicious first; a click shows a picture at its full size. A weak network can be the reason too, so "
        "look before you correct. Then correct the files beside this page and run ./run.sh prepare --corrections with "
        "this folder."
    )
    if all(each.entry.split == "test" for each in chosen):
        subtitle = (
            "The images on which the folds differ most; a click shows a picture at its full size. Images like them are "
            "rare in the training set."
        )
    samples = Section("samples", "Samples", figures, "" if figures else "Nothing is suspicious.")
    return render_page(
        Report(f"{predictions.workspace.dataset}: samples to review", typed(subtitle), sections=[samples])
    )


def _sentence(reviewed: Reviewed) -> str:
    return f"{reviewed.reason[:1].upper()}{reviewed.reason[1:]} (score {reviewed.score:.2f})."


def _masks(predictions: Predictions, chosen: Sequence[Reviewed]) -> list[Markup]:
    with progress("drawing", len(chosen)) as ticker:
        return [gallery(_mask_pictures(predictions, each)) for each in ticker.ticking(chosen, 1)]


def _mask_pictures(predictions: Predictions, reviewed: Reviewed) -> list[Item]:
    """Return the whole image with all classes of its label and its vote, and the class in question close up."""
    track, workspace, entry = predictions.track, predictions.workspace, reviewed.entry
    vote, index = predictions.planes(entry), track.classes.index(reviewed.label)
    whole, compared = dict[str, NDArray[np.uint8]](), dict[str, NDArray[np.uint8]]()
    if entry.split == "test":
        assert vote is not None  # of a test sample it never is
        whole["vote of all folds"] = vote
        folds = list(predictions.planes_by_fold(entry).items())[: len(COLOURS)]
        compared = {f"fold {fold}": planes for fold, planes in folds}
    else:
        whole["label"] = compared["label"] = read_label_planes(workspace, track, entry.sample)
        if vote is not None:
            whole["out-of-fold prediction"] = compared["prediction"] = vote
    masks = [unpack_class(planes, index) for planes in compared.values()]
    frame = surroundings(masks)
    items = [
        (outlined_picture(track, workspace, entry, planes, SIDE, frame), f"{what}, all classes")
        for what, planes in whole.items()
    ]
    colours = ", ".join(f"{what} {colour}" for what, colour in zip(compared, COLOURS, strict=False))
    return [*items, (compared_picture(track, workspace, entry, masks, SIDE), f"{reviewed.label}: {colours}")]


def _patients(predictions: Predictions, chosen: Sequence[Reviewed]) -> list[Markup]:
    probabilities = predictions.probabilities([each.entry for each in chosen])
    return [_patient(predictions, each.entry, own) for each, own in zip(chosen, probabilities, strict=True)]


def _patient(predictions: Predictions, entry: Entry, probabilities: NDArray[np.float64]) -> Markup:
    """Return the views that a patient has, above the classes that are labelled or most probable."""
    track = predictions.track
    views = [view for view, present in zip(track.views, entry.present, strict=True) if present]
    items = [(view_picture(read_cached_image(predictions.workspace, entry.sample, view), SIDE), view) for view in views]
    targets = entry.targets or (None,) * len(track.classes)
    probable = set(np.argsort(-probabilities, kind="stable")[:MOST_PROBABLE].tolist())
    rows = [
        (name, "" if target is None else str(int(target)), float(probability))
        for index, (name, target, probability) in enumerate(zip(track.classes, targets, probabilities, strict=True))
        if target or index in probable
    ]
    labelled = Markup("<p>Labelled: {}</p>").format(positive_classes(track, entry)) if entry.targets else Markup("")
    return gallery(items) + labelled + html_table(pd.DataFrame(rows, columns=["class", "label", "probability"]), 3)
