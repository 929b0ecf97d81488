"""The last mile on plain arrays: tune, vote, score, and run lengths. No workspace, no files.

The functions do what the stages ``tune``, ``ensemble``, ``score`` and ``vote`` do with stored predictions: exact
thresholds and weights, post-processing where it gains, and a score that is cross-fitted over folds.

Example:
    >>> import numpy as np
    >>> from competition.ensembling import api
    >>> truth = [np.eye(8, dtype=bool) for _ in range(6)]
    >>> maps = {"sure": [0.1 + 0.8 * mask for mask in truth], "timid": [0.15 + 0.7 * mask for mask in truth]}
    >>> decision = api.tune(maps, truth, groups=list("aabbcc"), folds=[0, 0, 1, 1, 2, 2])
    >>> masks = api.vote(maps, decision)
    >>> api.score(masks, truth)
    1.0
    >>> api.encode(masks[0][0])[:11]
    '1 1 10 1 19'
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from competition.ensembling.array_maps import ArrayMaps, as_map, as_masks
from competition.ensembling.array_tables import as_answers, as_scores
from competition.ensembling.classification.decision import build_decision as build_decision_of_locations
from competition.ensembling.classification.decision import build_table_decision
from competition.ensembling.classification.table_tuning import tune_table
from competition.ensembling.classification.tuning import tune_classification
from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.decision import build_decision
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.ensembling.segmentation.thresholds import Window
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.selection.weight_methods import METHODS
from competition.ensembling.tuning import ALONE, TOGETHER
from competition.ensembling.voted_table import vote_tables
from competition.ensembling.voting.class_groups import one_group
from competition.ensembling.voting.combination import COMBINATIONS, Combination
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_class, unpack_planes
from competition.masks.run_length_votes import quorum
from competition.masks.run_length_votes import vote as vote_on_run_lengths
from competition.masks.run_lengths import Order, decode_planes, encode_mask
from competition.metrics.counts import CountMetric
from competition.metrics.masks import ImageMasks, MaskMetric, measure_all
from competition.metrics.metric import Metric, as_count_metric, make_metric, make_table_metric
from competition.metrics.tables import Targets
from competition.runs.members import Member
from competition.submission.mask_counts import count_pixels

Predictions = Mapping[str, Any]
"""Member -> a sequence of maps (C, H, W), one of each image, or a table (n, C) of probabilities."""


def tune(
    predictions: Predictions,
    truth: Sequence[Any] | NDArray[Any],
    groups: Sequence[str],
    folds: Sequence[int],
    metric: str | Mapping[str, Any] | Metric | None = None,
    *,
    classes: Sequence[str] | None = None,
    targets: Targets = "multilabel",
    method: str = "greedy",
    trials: int = 300,
    window: Window | None = None,
    combination: Combination = "mean",
) -> Decision:
    """Choose weights, thresholds and post-processing on out-of-fold predictions.

    Args:
        predictions: Member -> its out-of-fold prediction of each image or sample, all in one order: maps (C, H, W) of
            probabilities 0..1 or uint8 values ((H, W) with one class), or a table (n, C) of probabilities.
        truth: Masks bool (C, H, W) of each image, or a table (n, C) of 0 and 1, with one 1 in each row unless
            ``targets`` is "multilabel".
        groups: (n,) what must not be split, such as the patient.
        folds: (n,) the fold that held out each image or sample.
        metric: A name, or a mapping with options, as in a track's YAML; of masks "dice" by default. Tables without one
            are ranked by the AUROC of their first class, and the others decided, as on the aneurysm track.
        classes: (C,) names; numbers by default.
        targets: Of tables, how the classes relate: "multilabel", "multiclass" or "ordinal".
        method: How weights are searched: "greedy", "optuna" or "equal".
        trials: Weight vectors that "optuna" tries.
        window: Lowest and highest threshold that may be chosen for masks; by default as the stage ``tune``.
        combination: How the members' tables become one: "mean", "logit", "rank".

    Returns:
        The decision: weights, thresholds, post-processing, and the scores, of which ``scores.oof_crossfit`` is the one
        to compare runs by.

    Raises:
        CompetitionError: Different numbers of images, a wrong shape or value, or an unknown name.

    Example:
        >>> truth = np.array([[0, 0], [1, 1], [0, 0], [1, 0], [0, 0], [1, 1]])
        >>> probs = {"good": 0.1 + 0.8 * truth, "constant": np.full((6, 2), 0.5)}
        >>> decision = tune(probs, truth, groups=list("abcdef"), folds=[0, 0, 1, 1, 2, 2], classes=["any", "left"])
        >>> {member.name: member.weight for member in decision.members}
        {'good': 500, 'constant': 500}
        >>> decision.scores.oof_crossfit
        1.0
        >>> round(decision.thresholds["left"], 3)
        0.5
    """
    _check_name("method", method, tuple(METHODS))
    _check_name("combination", combination, COMBINATIONS)
    tables = _tables(predictions)
    _check_lengths(predictions, truth, groups, folds)
    members = [Member(name=name, folds=tuple(sorted(set(folds))), config_hash="", fold_hash="") for name in predictions]
    held_out, names = np.asarray(folds, dtype=np.int64), [str(group) for group in groups]
    if tables is not None:
        if metric is None and tables.shape[2] < 2:
            raise CompetitionError("a table has the ranked class first, then one column at least for each other class")
        class_names = _class_names(classes, tables.shape[2])
        if np.shape(truth) != tables.shape[1:]:
            raise CompetitionError(f"the truth has shape {np.shape(truth)}, each table {tables.shape[1:]}")
        answers = as_answers(truth, targets)
        propose = METHODS[method](len(members), trials)
        if metric is None:
            tuned = tune_classification(tables, answers, held_out, names, propose, combination)
            return build_decision_of_locations(
                tuned, members, class_names, len(answers), combination, "arrays", "arrays"
            )
        bound = make_table_metric(metric, targets, class_names)
        chosen = tune_table(tables, answers, bound, held_out, names, propose, combination)
        return build_table_decision(chosen, members, class_names, bound.key, combination, "arrays", "arrays")
    maps = {name: [as_map(one) for one in of] for name, of in predictions.items()}
    masks = [as_masks(one) for one in truth]
    for name, of in maps.items():
        for number, (one, mask) in enumerate(zip(of, masks, strict=True)):
            if one.shape != mask.shape:
                raise CompetitionError(f"image {number}: the map has shape {one.shape}, its truth {mask.shape}", name)
    class_names = _class_names(classes, len(masks[0]))
    planes = [pack_masks(mask) for mask in masks]
    data = ArrayMaps(maps, planes, held_out, names, class_names, _count_metric(metric).for_classes(class_names))
    windows = [window] if window is not None else TOGETHER if len(members) > 1 else ALONE
    ranking = None if metric is None else _as_metric(metric)
    reranked_by = ranking.for_classes(class_names) if isinstance(ranking, MaskMetric) else None
    search = Search(method, trials, one_group(len(class_names)), windows, reranked_by=reranked_by)
    found = tune_segmentation(data, search, None)
    return build_decision(found, data, members, "arrays", "arrays")


def vote(
    predictions: Predictions, decision: Decision, targets: Targets = "multilabel"
) -> list[NDArray[np.bool_]] | NDArray[np.float64]:
    """Combine predictions by a decision, usually those of the test set.

    Args:
        predictions: As for ``tune``, with the decision's members in any order.
        decision: Of ``tune``.
        targets: Of tables, as for ``tune``.

    Returns:
        Masks bool (C, H, W) of each image; or a table (n, C): probabilities, 0/1 cells or one-hot rows by the rule of
        the decision; without a metric the first class as a score, the others 0 or 1.

    Raises:
        CompetitionError: A member is missing or unknown, maps differ in number or shape, or a score is not finite.

    Example:
        >>> truth = [np.eye(4, dtype=bool) for _ in range(3)]
        >>> decision = tune({"one": [0.9 * mask for mask in truth]}, truth, groups=list("abc"), folds=[0, 1, 2])
        >>> vote({"one": [np.full((4, 4), 0.8)]}, decision)[0].shape
        (1, 4, 4)
    """
    names = [member.name for member in decision.members]
    if sorted(names) != sorted(predictions):
        raise CompetitionError(f"the decision has the members {', '.join(names)}, not {', '.join(predictions)}")
    ordered = {name: predictions[name] for name in names}
    tables = _tables(ordered)
    _check_lengths(ordered)
    count = len(decision.classes)
    if tables is not None:
        if decision.task != "classification" or tables.shape[2] != count:
            raise CompetitionError(f"tables of {tables.shape[2]} classes for a {decision.task} of {count}")
        return vote_tables(decision, tables, targets != "multilabel").outputs
    if decision.task != "segmentation":
        raise CompetitionError("the decision is a classification, and the predictions are not tables (n, classes)")
    voters = decision.voters()
    weights = voters.weights_by_class(decision.class_weights())
    masks = []
    for of_members in zip(*ordered.values(), strict=True):
        maps = [as_map(one) for one in of_members]
        planes = decide_image(maps, voters, weights, decision.level_array(), decision.operation_list())
        masks.append(unpack_planes(planes, count))
    return masks


def score(
    prediction: Sequence[Any] | NDArray[Any],
    truth: Sequence[Any] | NDArray[Any],
    metric: str | Mapping[str, Any] | Metric | None = None,
    groups: Sequence[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    targets: Targets = "multilabel",
) -> float:
    """Score masks by a count or mask metric, or a table or a column of probabilities or decisions by a table metric.

    Args:
        prediction: Masks (C, H, W) of each image; a table (n, C), or one column (n,).
        truth: Likewise, of 0 and 1; a table follows the rules of ``tune``.
        metric: A name, or a mapping with options; "dice" for masks and "auroc" for probabilities by default.
        groups: (n,) for a metric that pools the images of a group; each image is a group of its own by default.
        classes: (C,) names of a table's columns, which the metric's options may name; numbers by default.
        targets: Of a table, how its classes relate, as for ``tune``.

    Returns:
        The score; of masks the mean over the classes that occur in the truth, nan where none does.

    Raises:
        CompetitionError: Different numbers of images, shapes that differ, a wrong value, or an unknown metric.

    Example:
        >>> truth = [np.array([[1, 1, 0, 0]])]
        >>> score([np.array([[0, 1, 1, 0]])], truth), score([np.array([[0, 1, 1, 1]])], truth, "iou")
        (0.5, 0.25)
        >>> score([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.75
    """
    if len(prediction) != len(truth) or not len(truth):
        raise CompetitionError(f"{len(prediction)} predictions for {len(truth)} truths")
    if np.ndim(truth[0]) < 2:
        wanted, given = (np.asarray(one).reshape(len(one), -1) for one in (truth, prediction))
        names = _class_names(classes, wanted.shape[1])
        if wanted.shape != given.shape:
            raise CompetitionError(f"the table has shape {given.shape}, the truth {wanted.shape}")
        table_metric = make_table_metric("auroc" if metric is None else metric, targets, names)
        return table_metric.score_table(as_answers(wanted, targets), as_scores(given, "the prediction"))
    mask_metric, found = _as_metric("dice" if metric is None else metric), []
    for ours, theirs in zip(map(as_masks, prediction), map(as_masks, truth), strict=True):
        if ours.shape != theirs.shape:
            raise CompetitionError(f"the masks have shape {ours.shape}, the truth {theirs.shape}")
        found.append((ImageMasks(pack_masks(ours), len(theirs)), ImageMasks(pack_masks(theirs), len(theirs))))
    units = [str(name) for name in (range(len(found)) if groups is None else groups)]
    if len(units) != len(found):
        raise CompetitionError(f"{len(units)} groups for {len(found)} images")
    if isinstance(mask_metric, MaskMetric):
        return mask_metric.score(measure_all(mask_metric, found), units)
    counts = [count_pixels(ours.planes, theirs.planes, theirs.classes) for ours, theirs in found]
    return as_count_metric(mask_metric).score(np.stack(counts), units)


def encode(mask: ArrayLike, order: Order = "row") -> str:
    """Return a mask bool (H, W) as run lengths "start length start length ...", pixels counted from 1.

    Args:
        mask: The mask.
        order: "row" counts pixels row by row, "column" column by column.

    Raises:
        CompetitionError: Another shape.

    Example:
        >>> encode([[0, 1, 1], [1, 0, 0]])
        '2 3'
        >>> encode([[0, 1, 1], [1, 0, 0]], "column")
        '2 2 5 1'
    """
    array = np.asarray(mask).astype(np.bool_)
    if array.ndim != 2:
        raise CompetitionError(f"a mask has the shape (rows, columns), not {array.shape}")
    return encode_mask(array, order)


def decode(text: str, size_hw: tuple[int, int], order: Order = "row") -> NDArray[np.bool_]:
    """Return the mask bool (H, W) of run lengths; "" is an empty mask.

    Raises:
        CompetitionError: The text is malformed, or a run leaves the image.

    Example:
        >>> decode("2 3", (2, 3)).astype(int).tolist()
        [[0, 1, 1], [1, 0, 0]]
    """
    return unpack_class(decode_planes([text], size_hw, order, "run lengths"), 0)


def vote_run_lengths(members: Sequence[str], weights: Sequence[float] | None = None, threshold: float = 0.5) -> str:
    """Return the run lengths of the pixels for which more than a share of the members vote, without any pixels.

    Args:
        members: Run lengths of one mask by each member, in one order of pixels.
        weights: One per member, in any scale; equal by default.
        threshold: The share.

    Raises:
        CompetitionError: Malformed run lengths, or weights that are negative, all 0 or not one per member.

    Example:
        >>> vote_run_lengths(["1 4", "3 4", "4 9"])
        '3 4'
        >>> vote_run_lengths(["1 4", "3 4", "4 9"], weights=[1, 1, 3])
        '4 9'
    """
    given = [Fraction(1)] * len(members) if weights is None else [Fraction(str(weight)) for weight in weights]
    if len(given) != len(members):
        raise CompetitionError(f"{len(given)} weights for {len(members)} members")
    places = [f"member {number + 1}" for number in range(len(members))]
    return vote_on_run_lengths([[text] for text in members], quorum(given, Fraction(str(threshold))), None, places)[0]


def _tables(predictions: Predictions) -> NDArray[np.float64] | None:
    """Return tables (M, n, C); None where the predictions are maps."""
    if not predictions:
        raise CompetitionError("no member's predictions were given")
    first = next(iter(predictions.values()))
    if not (isinstance(first, np.ndarray) and first.ndim == 2):
        return None
    tables = [as_scores(table, f"predictions of {name}") for name, table in predictions.items()]
    if len({table.shape for table in tables}) != 1:
        raise CompetitionError(f"tables of different shapes: {', '.join(str(table.shape) for table in tables)}")
    return np.stack(tables)


def _check_lengths(predictions: Predictions, *others: Sequence[Any] | NDArray[Any]) -> None:
    """Make sure that predictions and perhaps truths, groups and folds are of equally many samples, at least one."""
    lengths = {f"predictions of {name}": len(of) for name, of in predictions.items()}
    lengths |= dict(zip(("truths", "groups", "folds"), map(len, others), strict=False))
    if len(set(lengths.values())) != 1:
        raise CompetitionError("unequal lengths: " + ", ".join(f"{count} {what}" for what, count in lengths.items()))
    if others and not len(others[0]):
        raise CompetitionError("no samples were given")


def _check_name(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise CompetitionError(f"unknown {what} {name!r}; there are {', '.join(known)}")


def _class_names(classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = tuple(map(str, range(count))) if classes is None else tuple(classes)
    if len(names) != count:
        raise CompetitionError(f"{len(names)} class names for {count} classes")
    return names


def _as_metric(metric: str | Mapping[str, Any] | Metric) -> Metric:
    return make_metric(metric) if isinstance(metric, str | Mapping) else metric


def _count_metric(metric: str | Mapping[str, Any] | Metric | None) -> CountMetric:
    return as_count_metric(_as_metric("dice" if metric is None else metric))
