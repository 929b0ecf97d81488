"""Explanations as a picture: the plain image, Grad-CAM and occlusion side by side, one row per view."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.grid import grid_size, resize_image
from competition.drawing.contact_sheet import GAP
from competition.drawing.heat import heat_bar, heat_overlay
from competition.drawing.outlines import CAPTION, FONT, as_rgb, outline_mask
from competition.explanation.explain import Explanation
from competition.explanation.occlusion import advice

Picture = NDArray[np.uint8]
"""(h, w, 3) RGB."""

SIDE, VIEW_SIDE = 360, 320
"""Pixels of the long side of an image, and of each of several views."""
BAR = 10
TRUTH, PREDICTION = (90, 220, 90), (255, 170, 40)
"""Colours of the outlines of the two masks."""
WHITE = (230, 230, 230)


def draw_explanations(explanations: Sequence[Explanation]) -> Picture:
    """Return the explanations of one sample, one below the other."""
    return stack([draw_explanation(explanation) for explanation in explanations])


def draw_explanation(explanation: Explanation) -> Picture:
    """Return one class's maps under captions that give the class, its probability, the truth and the networks."""
    side = SIDE if len(explanation.images) == 1 else VIEW_SIDE
    hottest = max(float(values.max()) for values in explanation.grad_cam)
    drop = max(float(values.max()) for values in explanation.occlusion)
    rows = []
    for view, (image, cam, occlusion) in enumerate(
        zip(explanation.images, explanation.grad_cam, explanation.occlusion, strict=True)
    ):
        small = as_rgb(resize_image(image, grid_size(image.shape[:2], side)))
        plain = outlined(small, explanation)
        panels = [plain, heat_overlay(small, cam, hottest), heat_overlay(small, occlusion, drop)]
        bar = heat_bar(small.shape[0], BAR)
        row = beside([*panels, bar])
        rows.append(row if len(explanation.images) == 1 else stack([line(explanation.views[view], row.shape[1]), row]))
    picture = stack(rows)
    width = max(picture.shape[1], 3 * SIDE)
    return stack([*(line(text, width) for text in captions(explanation, hottest, drop)), picture])


def captions(explanation: Explanation, hottest: float, drop: float) -> list[str]:
    """Return the lines above a picture; ``hottest`` and ``drop`` are the largest values of the two maps."""
    truth = "truth unknown" if explanation.truth is None else f"truth: {'yes' if explanation.truth else 'no'}"
    folds = ", ".join(map(str, explanation.folds))
    asked = f"fold {folds}, which held it out" if explanation.out_of_fold else f"mean of folds {folds}"
    masks = "" if explanation.predicted_mask is None else " (outlines: green truth, orange prediction)"
    correlation = explanation.rank_correlation
    compared = "no rank correlation" if math.isnan(correlation) else f"rank correlation {correlation:.2f}"
    found = [
        f"{explanation.name}  {explanation.class_name}: probability {explanation.score:.3f}, {truth}; {asked}",
        f"image{masks} | Grad-CAM, largest {hottest:.2f} | occlusion, largest fall {drop:.3f} | {compared}",
    ]
    warning = advice(correlation)
    return [*found, warning] if warning else found


def outlined(picture: Picture, explanation: Explanation) -> Picture:
    """Return a copy of a picture of any size with the outlines of the true and the predicted mask."""
    drawn = picture.copy()
    for mask, colour in ((explanation.truth_mask, TRUTH), (explanation.predicted_mask, PREDICTION)):
        if mask is not None:
            outline_mask(drawn, mask, colour, thickness=2)
    return drawn


def line(text: str, width: int) -> Picture:
    """Return a line of text on black."""
    strip = np.zeros((CAPTION, width, 3), np.uint8)
    cv2.putText(strip, text, (6, 15), *FONT, WHITE, 1, cv2.LINE_AA)
    return strip


def beside(pictures: Sequence[Picture]) -> Picture:
    """Return pictures of one height side by side, with gaps."""
    return np.hstack([np.pad(picture, ((0, 0), (0, GAP), (0, 0))) for picture in pictures])


def stack(pictures: Sequence[Picture]) -> Picture:
    """Return pictures one below the other, with gaps, all filled up with black to the widest."""
    widest = max(picture.shape[1] for picture in pictures)
    return np.vstack([np.pad(picture, ((0, GAP), (0, widest - picture.shape[1]), (0, 0))) for picture in pictures])
