"""The choice among a count metric's proposals, against decisions that are made and scored one by one."""

from dataclasses import replace

import numpy as np
import pytest

from competition.ensembling import api
from competition.ensembling.array_maps import ArrayMaps, as_map
from competition.ensembling.segmentation.decision import build_decision
from competition.ensembling.segmentation.object_choice import RULES, choose_rules
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.ensembling.segmentation.reranking import Candidate, Rivals
from competition.ensembling.segmentation.threshold_choice import choose_levels
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.voting.class_groups import one_group
from competition.masks.bit_planes import pack_masks
from competition.masks.object_splitting import PLAIN, ObjectRule, split_planes
from competition.masks.objects import join_classes
from competition.metrics.image_scores import image_scores
from competition.metrics.masks import ImageMasks, ImageMeasure, MaskMetric, Measured, measure_all
from competition.metrics.metric import make_metric
from competition.metrics.ratios import Ratios
from competition.runs.members import Member

IMAGES, SIZE = 12, 64
FOLDS, GROUPS = np.arange(IMAGES) % 4, [str(number) for number in range(IMAGES)]


def touching_discs(random):
    """Pairs of touching discs: the mask, the pixels of each disc, and the column in which the second one begins."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    row, column, radius = random.integers(20, 40), random.integers(14, 18), random.integers(10, 13)
    one = np.hypot(rows - row, columns - column) < radius
    other = np.hypot(rows - row, columns - column - 2 * radius + 1) < radius
    seam = other & (columns == np.flatnonzero(other.any(axis=0))[0])
    return one | other, [np.flatnonzero(one), np.flatnonzero(other & ~one)], seam


class Cells(ArrayMaps):
    """Arrays whose true objects are given."""

    objects: list
    seams: list

    def true_objects(self, sample):
        return join_classes((SIZE, SIZE), [self.objects[int(sample)]])


@pytest.fixture(scope="module")
def cells():
    random = np.random.default_rng(3)
    found = [touching_discs(random) for _ in range(IMAGES)]
    # The seam of a pair is less sure than the discs: a higher level parts them, and Dice hardly changes.
    maps = [np.where(seam, 0.6, np.where(mask, 0.9, 0.1)) for mask, _, seam in found]
    noise = [np.clip(own + random.normal(0, 0.01, own.shape), 0, 1) for own in maps]
    planes = [pack_masks(mask[None]) for mask, _, _ in found]
    data = Cells({"one": [as_map(own) for own in noise]}, planes, FOLDS, GROUPS, ("cell",), make_metric("dice"))
    object.__setattr__(data, "objects", [objects for _, objects, _ in found])
    object.__setattr__(data, "seams", [seam for _, _, seam in found])
    return data


def tune(data, metric, of_objects=False, folds=None):
    data = data if folds is None else replaced(data, folds)
    search = Search("equal", 1, one_group(1), [(0.05, 0.95)], reranked_by=metric, of_objects=of_objects)
    return tune_segmentation(data, search, None)


def replaced(data, folds):
    other = replace(data, folds=folds)
    object.__setattr__(other, "objects", data.objects)
    return other


def scored(data, metric, candidate):
    """The values (n, 1) of a decision, each image decided and measured alone."""
    voters = data.voters()
    weights = voters.weights_by_class(np.array(candidate.weights))
    pairs = []
    for sample in data.samples:
        planes = decide_image(data.open_maps(sample), voters, weights, candidate.levels, candidate.operations)
        rules = candidate.rules or (PLAIN,)
        truth = ImageMasks(data.truth(sample), 1, data.true_objects(sample))
        pairs.append((ImageMasks(planes, 1, split_planes(planes, rules)), truth))
    return metric.values(measure_all(metric, pairs), data.groups)


@pytest.mark.parametrize("name", ["object_ap", "hausdorff", "surface_dice"])
def test_what_is_chosen_scores_as_it_says(cells, name) -> None:
    metric = make_metric(name)
    found = tune(cells, metric).reranked
    np.testing.assert_allclose(found.values.oof, scored(cells, metric, found.chosen), rtol=0, atol=1e-12)
    assert found.values.crossfit.shape == (IMAGES, 1)
    both, decided, truth = np.moveaxis(found.measured.counts, 1, 0)
    np.testing.assert_allclose(found.counted.crossfit, 2 * both / (decided + truth), rtol=0, atol=1e-12)
    np.testing.assert_allclose(image_scores(metric, found.measured), found.values.crossfit, rtol=0, atol=1e-12)
    # Only where what is chosen without a fold differs these counts are those of several decisions.
    assert (len(np.unique(found.levels)) > 1) == (name == "object_ap")
    assert found.reason.startswith(f"re-ranked by {metric.label}: ")


def test_decisions_of_several_folds_are_pooled_before_they_are_scored(cells) -> None:
    """Without each fold another level is chosen; the pooled Dice is of all pixels that these decide together."""
    pooled = {"name": "dice", "unit": "all", "weight": 0.001}
    found = tune(cells, make_metric({"sum": [pooled, {"name": "object_ap", "weight": 1}]})).reranked
    assert len(np.unique(found.levels)) > 1
    both, decided, truth = np.moveaxis(found.measured.counts, 1, 0)
    dice = 2 * both.sum() / (decided + truth).sum()
    assert found.counted.crossfit.mean() == pytest.approx(dice, abs=1e-12)
    assert found.values.crossfit.mean() == pytest.approx(0.001 * dice + found.measured.values.mean(), abs=1e-12)


def test_a_higher_threshold_is_taken_where_it_parts_the_discs(cells) -> None:
    found = tune(cells, make_metric("object_ap"))
    assert found.reranked.chosen.levels[0] > found.tuned.chosen.levels[0]
    assert found.reranked.values.crossfit.mean() > scored_plain(cells, found) + 0.05
    # Beside it the scores of the same decision by Dice, which are no better than those of the count metric's own.
    assert found.reranked.counted.oof.mean() <= found.oof.mean() + 1e-12
    np.testing.assert_array_equal(found.vote.levels, found.reranked.levels)


def scored_plain(data, found):
    own = Candidate(((1000,),), tuple(found.tuned.chosen.levels.tolist()), tuple(found.operations))
    return scored(data, make_metric("object_ap"), own).mean()


def test_the_score_of_a_fold_does_not_depend_on_its_own_truth(cells) -> None:
    """With the truth of one fold replaced by the seams, what is chosen for that fold stays as it was."""
    metric = make_metric("object_ap")
    before = tune(cells, metric, of_objects=True)
    held, whole = FOLDS == 2, zip(cells.planes, cells.objects, cells.seams, FOLDS == 2, strict=True)
    changed = [(pack_masks(seam[None]), [np.flatnonzero(seam)]) if out else own for *own, seam, out in whole]
    other = replace(cells, planes=[planes for planes, _ in changed])
    object.__setattr__(other, "objects", [objects for _, objects in changed])
    after = tune(other, metric, of_objects=True)
    np.testing.assert_array_equal(before.reranked.levels[held], after.reranked.levels[held])
    assert before.objects.without[2] == after.objects.without[2]


def test_a_count_metric_decides_as_ever(cells) -> None:
    plain, with_metric = tune(cells, None), tune(cells, make_metric("hausdorff"))
    assert plain.reranked is None
    np.testing.assert_array_equal(plain.oof, with_metric.oof)
    np.testing.assert_array_equal(plain.tuned.chosen.levels, with_metric.tuned.chosen.levels)


def test_one_part_has_no_crossfitted_score(cells) -> None:
    data = replaced(cells, np.zeros(IMAGES, np.int64))
    one = replace(data, groups=["a"] * IMAGES)
    object.__setattr__(one, "objects", cells.objects)
    found = tune(one, make_metric("object_ap"), of_objects=True)
    assert found.reranked.values.crossfit is None
    assert found.objects.without == {}


def test_a_rule_that_splits_is_chosen_by_object_ap(cells) -> None:
    levels = np.full((IMAGES, 1), 60)
    choice = choose_rules(cells, FOLDS, np.array([[1000]]), levels, [["none"]] * IMAGES)
    assert choice.rules[0].distance is not None
    assert choice.crossfit.mean() > choice.plain.mean() + 0.1
    assert RULES[0] == PLAIN == ObjectRule()
    # The plain components of these masks, one by one.
    metric = make_metric("object_ap")
    expected = scored(cells, metric, Candidate(((1000,),), (60,), ("none",)))
    np.testing.assert_allclose(choice.plain, expected, rtol=0, atol=1e-12)


def test_rules_are_chosen_without_each_fold(cells) -> None:
    """Fold 3 has the pairs as one object each: without it a split is better, with it the two outweigh each other."""
    folds = np.array([0, 1, 2, 0, 1, 2, 0, 3, 3, 3, 3, 3])
    data = replaced(cells, folds)
    joined = [[np.union1d(*pair)] if fold == 3 else pair for pair, fold in zip(cells.objects, folds, strict=True)]
    object.__setattr__(data, "objects", joined)
    choice = choose_rules(data, folds, np.array([[1000]]), np.full((IMAGES, 1), 60), [["none"]] * IMAGES)
    assert choice.rules == (PLAIN,)
    assert choice.excluding(frozenset()) == choice.rules
    assert [choice.excluding(frozenset({fold}))[0].distance is None for fold in range(4)] == [True, True, True, False]
    np.testing.assert_array_equal(choice.crossfit[folds < 3], choice.plain[folds < 3])
    assert choice.crossfit[folds == 3].mean() < 0.1 < 0.9 < choice.plain[folds == 3].mean()


def test_the_decision_records_objects_and_both_scores(cells) -> None:
    found = tune(cells, make_metric("object_ap"), of_objects=True)
    members = [Member(name="one", folds=(0, 1, 2, 3), config_hash="", fold_hash="")]
    decision = build_decision(found, cells, members, "cells", "arrays")
    assert decision.object_rules() == found.objects.rules
    assert decision.scores.oof_crossfit == pytest.approx(found.reranked.values.crossfit.mean())
    assert decision.count_scores.oof_crossfit == pytest.approx(found.reranked.counted.crossfit.mean())
    assert decision.proposed_by == "Dice, unit image, empty 1"
    assert decision.object_precision.crossfit == pytest.approx(found.objects.crossfit.mean())
    again = type(decision).model_validate(decision.model_dump(mode="json"))
    assert again == decision
    earlier = decision.model_dump(mode="json", exclude={"objects", "object_precision", "count_scores", "proposed_by"})
    assert type(decision).model_validate(earlier).object_rules() == ()


def test_plain_arrays_are_tuned_by_a_mask_metric_too(cells) -> None:
    truth = [(own & 1).astype(bool)[..., 0] for own in cells.planes]
    maps = {"one": cells.maps["one"]}
    decision = api.tune(maps, truth, GROUPS, FOLDS.tolist(), {"name": "hausdorff95"})
    assert decision.proposed_by
    assert decision.scores.oof_crossfit <= 1
    masks = api.vote(maps, decision)
    assert api.score(masks, truth, "hausdorff95") == pytest.approx(decision.scores.oof)


NEAR, FAR, OTHER = (Candidate(((1000,),), (level,), ("none",)) for level in (100, 150, 200))
PLAIN_MEAN = MaskMetric("mean", "mean", ((1.0, ImageMeasure("mean", lambda *_: 0.0)),))
PARTS = np.arange(8) // 2


def rivals(measured, sets=None, metric=PLAIN_MEAN):
    """Candidates that score so much on each of eight images in four folds; by default each set is all of them."""
    scored = {
        one: Measured(np.ones((8, 3, 1), np.int64), np.array(values, dtype=float)[:, None, None])
        for one, values in measured.items()
    }
    every = [("", one) for one in measured]
    images = TuningImages(PARTS, list("abcdefgh"), np.ones((8, 1), bool))
    return Rivals({frozenset(): every} | (sets or {}), scored, metric, images, PARTS, np.array(list("abcdefgh")))


def choice(gains, excluded=frozenset()):
    """What is taken where FAR gains so much over NEAR on each image of four folds."""
    measured = {NEAR: np.zeros(8), FAR: gains}
    listed = [("near", NEAR), ("far", FAR)]
    return rivals(measured, {frozenset(): listed, excluded: listed}).choose(excluded)[0]


def test_another_decision_is_taken_only_beyond_one_standard_error() -> None:
    assert choice([1, 2, 1, 2, 1, 2, 1, 2]) == "far"
    assert choice([-1] * 8) == "near"
    # The mean is 0.5 and its standard error 0.5: eight values, one of 4; without the fold of the 4 it is a tie.
    assert choice([4, 0, 0, 0, 0, 0, 0, 0]) == "near"
    assert choice([4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]) == "far"


def test_a_fold_that_is_left_out_has_no_say() -> None:
    gains = [9, 8, -1, -1, -1, -1, -1, -1]
    assert choice(gains) == "near"  # one fold alone is within the error
    assert choice([-gain for gain in gains]) == "near"
    assert choice([-gain for gain in gains], frozenset({0})) == "far"


def test_the_best_of_several_pays_only_for_what_it_gains_on_folds_it_was_not_picked_on() -> None:
    """FAR gains 2.25 on average, with a standard error of 0.82; without fold 0 OTHER is best, and loses 9 there."""
    measured = {NEAR: np.zeros(8), FAR: [6, 6, 1, 1, 1, 1, 1, 1], OTHER: [-9, -9, 2, 2, 2, 2, 2, 2]}
    _, taken, reason = rivals(measured).choose()
    assert taken == NEAR
    assert reason.startswith("cross-fitted gain -1.50000, standard error")  # (2 * -9 + 6 * 1) / 8
    assert rivals({one: measured[one] for one in (NEAR, FAR)}).choose()[1] == FAR


def test_a_fold_is_decided_by_what_was_proposed_without_it() -> None:
    """FAR gains 1 on each image, but without fold 3 only OTHER is proposed, which loses 9 there."""
    measured = {NEAR: np.zeros(8), FAR: np.ones(8), OTHER: [1, 1, 1, 1, 1, 1, -9, -9]}
    without = {frozenset({3}): [("", NEAR), ("", OTHER)]}
    assert rivals(measured).choose()[1] == FAR
    _, taken, reason = rivals(measured, without).choose()
    assert taken == NEAR
    assert reason.startswith("cross-fitted gain -1.50000")  # (6 * 1 + 2 * -9) / 8
    # Where fold 3 is left out itself, nothing is proposed without another one, and these two are compared.
    assert rivals(measured, without).choose(frozenset({3}))[1] == OTHER


def test_a_choice_without_a_fold_is_scored_without_it() -> None:
    """FAR skips every other image and has 0.2 on the rest; linearised with fold 0 the mean of its values is 0.184."""
    skip = replace(PLAIN_MEAN, parts=((1.0, ImageMeasure("mean", lambda *_: 0.0, "skip")),))
    listed = [("near", NEAR), ("far", FAR)]
    measured = {NEAR: np.full(8, 0.19), FAR: [0, 0, *[0.2, np.nan] * 3]}
    what, _, reason = rivals(measured, {frozenset({0}): listed}, skip).choose(frozenset({0}))
    assert what == "far"
    assert reason.startswith("cross-fitted gain +0.01000, standard error 0.00000")


def test_weights_of_classes_decide_whether_levels_are_tuned() -> None:
    """Class a gains at higher levels; in class b every two folds lose at the levels of the other two."""
    random = np.random.default_rng(0)
    ramp = np.clip((np.arange(256) - 127) / 60, -1, 1)
    curves = 0.5 + random.normal(0, 1e-3, (12, 2, 1)) + np.zeros((12, 2, 256))
    curves[:, 0] += 0.1 * ramp
    curves[:, 1] += np.where(FOLDS < 2, 0.3, -0.301)[:, None] * ramp
    for weights, tuned in ((None, False), ([20.0, 1.0], True), ([1.0, 20.0], False)):
        given = None if weights is None else np.array(weights)
        images = TuningImages(FOLDS, GROUPS, np.ones((12, 2), bool), given)
        assert (choose_levels(Ratios(curves), images, (0.2, 0.8)).choice.index == 1) == tuned
