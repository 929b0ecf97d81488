"""Images to look at: the worst, middle and best of all, and the worst of each class, decided as ``ensemble`` does."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.console import progress
from competition.data.cache import read_cached_image, read_cached_planes
from competition.data.manifest import Entry
from competition.ensembling.segmentation.postprocessing import SURE_LEVEL, apply, decide_image
from competition.ensembling.voting.class_votes import check_maps
from competition.ensembling.voting.masks import vote_class
from competition.masks.bit_planes import pack_masks, select_classes
from competition.masks.object_splitting import split_planes
from competition.metrics.counts import CountMetric
from competition.metrics.image_scores import image_scores, measure_image
from competition.metrics.masks import ImageMasks, MaskMetric
from competition.prediction.opened_maps import OpenedMap, open_map
from competition.reporting.case_pictures import Case
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure
from competition.reporting.parts import MOST_CLASSES
from competition.reporting.pictures import gallery
from competition.reporting.results.honest_scores import worst_first
from competition.reporting.results.image_scores import mean_where_known, score_table
from competition.reporting.sample_pictures import titled
from competition.tracks.track import metric_of_masks

WORST, MEDIAN, BEST = 6, 3, 3
LEGEND = (
    "Blue is the truth, orange the prediction; on the left the whole image, on the right the framed part, where the "
    "two differ most, at native resolution."
)


def whole_image_cases(inputs: ReportInputs) -> list[Figure]:
    """Return the worst, the median and the best images, all classes outlined.

    Raises:
        CompetitionError: As of ``inputs.vote``, or a map is missing or damaged.
    """
    table, _ = score_table(inputs)
    order = [index for index in worst_first(table["score"]) if not np.isnan(table["score"].iloc[index])]
    chosen = ranked_cases(order)
    items, rows, metric = [], [], metric_of_masks(inputs.track)
    occurs = inputs.vote.counts[:, 2].sum(axis=0) > 0  # in any training image
    with progress("cases", len(chosen)) as ticker:
        for index, kind in chosen.items():
            entry = inputs.tuning.entries[index]
            case = decided_case(inputs, entry)
            scores = np.where(occurs, _case_scores(metric, case), np.nan)
            caption = f"{kind}: {titled(entry)}, {_score_text(inputs, scores)}"
            items.append((case.picture(), caption))
            rows.append({"kind": kind, "sample": entry.sample, "score": float(np.nanmean(scores))})
            ticker.advance(entry.name)
    sentence = (
        f"The {WORST} worst, {MEDIAN} median and {BEST} best images. {LEGEND} If the truth looks wrong, repair the "
        "label; if the prediction does, such images are missing from the training set."
    )
    return [Figure("cases", "Worst, median and best images", sentence, gallery(items), pd.DataFrame(rows))]


def ranked_cases(order: Sequence[int]) -> dict[int, str]:
    """Return the positions to show with their kind, of positions from the worst to the best; none is shown twice."""
    middle = (len(order) - MEDIAN) // 2
    kinds = dict.fromkeys(order[:WORST], "worst")
    for index in order[len(order) - BEST :]:
        kinds.setdefault(index, "best")
    for index in order[max(middle, 0) : max(middle, 0) + MEDIAN]:
        kinds.setdefault(index, "median")
    ranks = {"worst": 0, "median": 1, "best": 2}
    return dict(sorted(kinds.items(), key=lambda item: (ranks[item[1]], order.index(item[0]))))


def class_cases(inputs: ReportInputs) -> list[Figure]:
    """Return the worst image of each class, of the worst classes if there are many; nothing for a single class.

    Raises:
        CompetitionError: As of ``whole_image_cases``.
    """
    if len(inputs.track.classes) == 1:
        return []  # the worst images of all classes are its worst ones
    _, scores = score_table(inputs)
    by_class = mean_where_known(scores, axis=0)
    # Where the class is absent the score is that of a false alarm or of nothing: show where it is missed.
    present = np.where(inputs.vote.counts[:, 2] > 0, scores, np.nan)
    shown = [index for index in worst_first(by_class)[:MOST_CLASSES] if not np.isnan(present[:, index]).all()]
    if not shown:
        return []
    items, rows, metric = [], [], metric_of_masks(inputs.track)
    with progress("cases of classes", len(shown)) as ticker:
        for index in shown:
            name, worst = inputs.track.classes[index], int(np.nanargmin(present[:, index]))
            entry = inputs.tuning.entries[worst]
            case = class_case(inputs, entry, index)
            score = float(_case_scores(metric, case)[0])
            items.append((case.picture(), f"{name}: {titled(entry)}, {metric.label} {score:.3f}"))
            rows.append({"class": name, "sample": entry.sample, "score": score})
            ticker.advance(name)
    rest = "" if len(shown) == len(by_class) else f" The {len(shown)} worst classes of {len(by_class):,}."
    sentence = (
        f"The image on which each class does worst, with that class alone outlined, worst class first. {LEGEND}{rest}"
    )
    return [Figure("class-cases", "Worst image of every class", sentence, gallery(items), pd.DataFrame(rows))]


def decided_case(inputs: ReportInputs, entry: Entry) -> Case:
    """Return a training image with its truth and the out-of-fold vote, decided by the decision."""
    decision, maps = inputs.decision, _open_maps(inputs, entry)
    voters = decision.voters()
    weights = voters.weights_by_class(decision.class_weights())
    decided = decide_image(maps, voters, weights, decision.level_array(), decision.operation_list())
    image = read_cached_image(inputs.workspace, entry.sample, inputs.track.views[0])
    planes, rules = read_cached_planes(inputs.workspace, entry.sample), decision.object_rules()
    true = None if inputs.true_objects is None else inputs.true_objects(entry.sample, planes)
    found = split_planes(decided, rules) if rules else None
    truth, vote = ImageMasks(planes, len(voters.rows), true), ImageMasks(decided, len(voters.rows), found)
    return Case(image, truth, vote)


def class_case(inputs: ReportInputs, entry: Entry, index: int) -> Case:
    """Return the same with one class alone: of 29 classes it takes a 29th of the time."""
    decision, maps = inputs.decision, _open_maps(inputs, entry)
    voters = decision.voters()
    check_maps(maps, voters)
    weights = voters.weights_by_class(decision.class_weights())
    level = int(decision.level_array()[index])

    def voted(at: int) -> NDArray[np.bool_]:
        return vote_class(maps, voters, weights, index, at)

    decided = apply(pack_masks(voted(level)[None]), [decision.operation_list()[index]], lambda _: voted(SURE_LEVEL))
    planes, rules = read_cached_planes(inputs.workspace, entry.sample), decision.object_rules()
    image = read_cached_image(inputs.workspace, entry.sample, inputs.track.views[0])
    true = None if inputs.true_objects is None else inputs.true_objects(entry.sample, planes).only_class(index)
    found = split_planes(decided, (rules[index],)) if rules else None
    return Case(image, ImageMasks(select_classes(planes, [index]), 1, true), ImageMasks(decided, 1, found))


def _open_maps(inputs: ReportInputs, entry: Entry) -> list[OpenedMap]:
    return [open_map(folder_of[entry.sample], entry.sample) for folder_of in inputs.tuning.folders]


def _case_scores(metric: CountMetric | MaskMetric, case: Case) -> NDArray[np.float64]:
    """Return the score of every class of an image at the decision, (C,)."""
    scores: NDArray[np.float64] = image_scores(metric, measure_image(metric, case.decided, case.truth))[0]
    return scores


def _score_text(inputs: ReportInputs, scores: NDArray[np.float64]) -> str:
    metric, classes = metric_of_masks(inputs.track), inputs.track.classes
    text = f"{metric.label} {np.nanmean(scores):.3f}"
    if len(classes) == 1:
        return text
    worst = int(np.nanargmin(scores))
    return f"{text}, lowest {classes[worst]} {scores[worst]:.3f}"
