"""Member weights of masks: what is searched, what is picked, and what is shown meanwhile."""

import numpy as np
import pytest
from plain_curves import search_weights

from competition import console
from competition.ensembling.segmentation.contested import blend_histograms, contest
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.segmentation.weight_search import SHORTLIST
from competition.ensembling.selection.weight_methods import METHODS, candidate_weights
from competition.ensembling.voting.class_groups import ClassGroups, one_group
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.prediction.histograms import dice_curves

WINDOW = (0.2, 0.8)


def table_of_curves(candidates, images, classes, seed, bonus=None):
    """Random curves per candidate; ``bonus`` (k,) or (k, classes) is added to every image."""
    random = np.random.default_rng(seed)
    per_image = random.normal(0.8, 0.02, (images, classes, 1))
    tables = {}
    for position, row in enumerate(candidates):
        noise = random.normal(0, 0.01, (images, classes, 256))
        extra = 0 if bonus is None else np.reshape(bonus[position], (-1, 1))
        tables[tuple(row.tolist())] = per_image + noise + extra

    def evaluate(weights, rows):
        return np.stack([tables[tuple(own.tolist())][rows, place] for place, own in enumerate(weights)], axis=1)

    return evaluate


def search_list(evaluate, candidates, folds, groups, class_groups, **options):
    """Searches one list of candidates, every class of which occurs in every image."""
    images = TuningImages(folds, groups, np.ones((len(folds), len(class_groups.of_class)), bool))
    return search_weights(
        evaluate, lambda score: candidates, candidates.shape[1], images, class_groups, WINDOW, **options
    )


def phantom_images(images, qualities, seed):
    """Contested images of discs on which member m has an error of qualities[m] pixels in its radius."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :48]
    contested = []
    for _ in range(images):
        distance = np.hypot(rows - random.uniform(18, 30), columns - random.uniform(18, 30)) - random.uniform(8, 14)
        maps = []
        for quality in qualities:
            shifted = distance + random.normal(0, quality)
            maps.append(np.rint(255 / (1 + np.exp(np.clip(shifted, -20, 20)))).astype(np.uint8)[None])
        contested.append(contest(maps, pack_masks((distance < 0)[None]), WINDOW))
    return contested


def search_phantoms(contested, members, trials, seed, method="optuna"):
    def evaluate(weights, rows):
        return dice_curves(np.stack([blend_histograms(contested[row], weights) for row in rows]))

    count = len(contested)
    images = TuningImages(
        np.arange(count) % 5, [f"person {image}" for image in range(count)], np.ones((count, 1), bool)
    )
    if method == "optuna":
        candidates = candidate_weights(members, trials, seed)
        return search_weights(evaluate, lambda score: candidates, members, images, one_group(1), WINDOW)
    return search_weights(evaluate, METHODS[method](members, trials), members, images, one_group(1), WINDOW)


def scores_of(found):
    """Mean Dice of what was tried on all images, the first one equal weights."""
    trials = found.tried[-1]
    return np.array([trials.score(position, frozenset())[0] for position in range(len(trials.vectors))])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["optuna", "greedy"])
def test_a_good_member_gets_the_weight(method):
    found = search_phantoms(phantom_images(40, (0.3, 3.0, 3.0), seed=1), members=3, trials=40, seed=1, method=method)
    assert found.weights[0, 0] > 600
    (choice,) = found.choices
    assert choice.gain > choice.error > 0.005
    assert "searched weights taken" in found.reason
    assert sorted(found.without) == [0, 1, 2, 3, 4]
    assert all(weights[0, 0] > 600 for weights in found.without.values())


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(("method", "seeds"), [("optuna", 10), ("greedy", 3)])
def test_equally_good_members_stay_equal(method, seeds):
    kept = 0
    for seed in range(seeds):
        found = search_phantoms(phantom_images(20, (2.0, 2.0, 2.0), seed), 3, trials=20, seed=seed, method=method)
        kept += found.weights.tolist() == [[334, 333, 333]]
        # The best of the list looks better on what it was chosen on, in every single case.
        assert scores_of(found).max() >= scores_of(found)[0]
    assert kept >= 0.6 * seeds


def test_without_a_search_weights_are_equal():
    found = search_phantoms(phantom_images(10, (0.3, 3.0), seed=1), members=2, trials=40, seed=1, method="equal")
    assert found.weights.tolist() == [[500, 500]]
    assert found.reason == "equal weights: nothing was searched"
    assert found.tried[0].vectors == [(500, 500)]


def test_one_fold_keeps_equal_weights():
    candidates = candidate_weights(2, 5, seed=0)
    evaluate = table_of_curves(candidates, 6, 3, 0, bonus=np.arange(len(candidates)) * 0.1)
    found = search_list(evaluate, candidates, np.zeros(6, int), list("abcdef"), one_group(3))
    assert found.weights.tolist() == [[500, 500]] * 3
    assert found.without == {}
    assert found.choices[0].gain is None
    assert "one part" in found.reason


def test_one_member_has_nothing_to_weigh():
    evaluate = table_of_curves(candidate_weights(1, 0, 0), 10, 2, 3)
    found = search_list(evaluate, candidate_weights(1, 50, 0), np.arange(10) % 5, list("abcdefghij"), one_group(2))
    assert found.weights.tolist() == [[1000], [1000]]
    assert found.reason == "one member: nothing to weigh"


def test_one_person_keeps_equal_weights():
    candidates = candidate_weights(2, 5, seed=0)
    evaluate = table_of_curves(candidates, 6, 3, 0, bonus=np.arange(len(candidates)) * 0.1)
    found = search_list(evaluate, candidates, np.arange(6) % 3, ["one"] * 6, one_group(3))
    assert found.weights.tolist() == [[500, 500]] * 3


def test_every_candidate_is_looked_at_once():
    candidates = candidate_weights(3, 20, seed=0)
    table, asked = table_of_curves(candidates, 15, 2, 0), []

    def evaluate(weights, rows):
        asked.append(tuple(weights[0].tolist()))
        assert (weights == weights[0]).all()
        assert len(rows) == 15
        return table(weights, rows)

    groups = [str(i) for i in range(15)]
    search_list(evaluate, candidates, np.arange(15) % 3, groups, ClassGroups(("a", "b"), np.array([0, 1])))
    assert sorted(asked) == sorted(tuple(row) for row in candidates.tolist())


def test_a_list_that_does_not_begin_with_equal_weights_is_refused():
    def zeros(weights, rows):
        return np.zeros((len(rows), 1, 256))

    with pytest.raises(ValueError, match="equal weights"):
        search_list(zeros, np.array([[600, 400], [500, 500]]), np.arange(2), ["a", "b"], one_group(1))
    with pytest.raises(CompetitionError, match="2 whole numbers"):
        search_list(zeros, np.array([[500, 400]]), np.arange(2), ["a", "b"], one_group(1))


def test_class_groups_are_searched_as_if_each_were_alone():
    candidates = candidate_weights(3, 12, seed=0)
    random, folds, groups = np.random.default_rng(1), np.arange(20) % 5, [str(i) for i in range(20)]
    bonus = random.normal(0, 0.004, (len(candidates), 3))
    bonus[5, [0, 2]], bonus[9, 1] = 0.05, 0.05  # classes 0 and 2 want one vector, class 1 another
    evaluate = table_of_curves(candidates, 20, 3, 0, bonus)
    both = search_list(evaluate, candidates, folds, groups, ClassGroups(("outer", "inner"), np.array([0, 1, 0])))
    assert both.weights.tolist() == candidates[[5, 9, 5]].tolist()
    assert both.reason.startswith("outer: searched weights taken: cross-fitted gain +0.0")
    assert "; inner: searched weights taken" in both.reason
    for group, classes in enumerate(([0, 2], [1])):

        def alone(weights, rows, classes=classes):
            return evaluate(np.tile(weights[0], (3, 1)), rows)[:, classes]

        found = search_list(alone, candidates, folds, groups, one_group(len(classes)))
        assert found.choices[0] == both.choices[group]
        for fold in range(5):
            assert found.without[fold].tolist() == both.without[fold][classes].tolist()


def test_a_group_that_gains_nothing_keeps_equal_weights_beside_one_that_does():
    candidates = candidate_weights(2, 12, seed=0)
    bonus = np.zeros((len(candidates), 2))
    bonus[4, 0] = 0.05
    bonus[1:, 1] = -0.05
    evaluate = table_of_curves(candidates, 20, 2, 0, bonus)
    groups = [str(i) for i in range(20)]
    found = search_list(evaluate, candidates, np.arange(20) % 5, groups, ClassGroups(("a", "b"), np.array([0, 1])))
    assert found.weights.tolist() == [candidates[4].tolist(), [500, 500]]
    assert "b: equal weights kept: nothing scores better" in found.reason


def large_set(seed):
    """Forty people of 5 images in four folds, with curves that some candidates are truly better on."""
    candidates = candidate_weights(3, 60, seed=0)
    folds, groups = np.repeat(np.arange(40) % 4, 5), np.repeat([f"person {i}" for i in range(40)], 5).tolist()
    bonus = np.random.default_rng(seed).normal(0, 0.004, len(candidates))
    return candidates, folds, groups, table_of_curves(candidates, 200, 1, seed, bonus)


def test_of_many_images_some_are_searched_and_the_best_are_scored_on_all():
    candidates, folds, groups, table = large_set(0)
    asked = []

    def evaluate(weights, rows):
        asked.append((len(rows), tuple(weights[0].tolist())))
        return table(weights, rows)

    found = search_list(evaluate, candidates, folds, groups, one_group(1))
    drawn, exact = found.tried
    assert len(drawn.images.folds) == 120
    assert len(exact.images.folds) == 200
    assert drawn.vectors == [tuple(row) for row in candidates.tolist()]
    wanted = {(334, 333, 333)}
    for excluded in drawn.sets:  # every left-out set has a shortlist of its own, made on the folds it sees
        scores = [drawn.score(position, excluded)[0] for position in range(len(candidates))]
        wanted |= {drawn.vectors[place] for place in np.argsort(scores)[::-1][:SHORTLIST]}
    assert set(exact.vectors) == wanted
    assert len(exact.vectors) < len(candidates)
    assert {vector for count, vector in asked if count == 200} == wanted
    assert len(asked) == len(set(asked))


@pytest.mark.slow
def test_all_images_decide_among_the_shortlist():
    """With room for all candidates a search on some images picks what a search on all images picks."""
    for seed in range(3):
        candidates, folds, groups, evaluate = large_set(seed)
        candidates = candidates[:SHORTLIST]
        small = search_list(evaluate, candidates, folds, groups, one_group(1))
        whole = search_list(evaluate, candidates, folds, groups, one_group(1), search_limit=200)
        assert (len(small.tried), len(whole.tried)) == (2, 1)
        assert small.choices == whole.choices
        assert small.weights.tolist() == whole.weights.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["optuna", "greedy"])
def test_what_is_chosen_without_a_fold_never_looks_at_it(method):
    """However the curves of a fold change, its weights and those of pairs with it stay; on many images likewise."""
    members, images = 3, 60
    folds, groups = np.arange(images) % 5, [f"person {i}" for i in range(images)]

    def evaluator(changed):
        def evaluate(weights, rows):
            random = np.random.default_rng(weights[0].tolist())
            curves = 0.8 + random.normal(0, 0.01, (images, 1, 1)) + random.normal(0, 0.01, (1, 1, 256))
            curves = np.tile(curves + 0.02 * weights[0, 1] / 1000, (1, 2, 1))
            if changed:
                curves[folds == 2] -= 0.3 * weights[0, 1] / 1000 + random.normal(0, 0.05, (12, 2, 256))
            return curves[rows]

        return evaluate

    tuning = TuningImages(folds, groups, np.ones((images, 2), bool))
    before, after = (
        search_weights(
            evaluator(changed), METHODS[method](members, 60), members, tuning, one_group(2), WINDOW, search_limit=30
        )
        for changed in (False, True)
    )
    assert len(before.tried) == 2
    assert before.without[2].tolist() == after.without[2].tolist() != [[334, 333, 333]] * 2
    assert before.weights.tolist() != after.weights.tolist()


@pytest.mark.parametrize("limit", [40, 20])
def test_a_set_of_left_out_folds_picks_among_its_own_proposals(limit):
    """Each search proposes a vector of its own, the later the better: none may take another's."""
    folds, calls, proposed = np.arange(40) % 4, [], {}

    def evaluate(weights, rows):
        noise = np.random.default_rng(weights[0].tolist()).normal(0, 0.001, (40, 1, 1))
        better = 0.1 + 0.001 * weights[0, 0] if tuple(weights[0]) in proposed else 0.0
        return np.tile(0.5 + better + noise, (1, 1, 256))[rows]

    def propose(score):
        own = np.array([100 + 10 * len(calls), 900 - 10 * len(calls)])
        proposed[tuple(own)] = len(calls)
        calls.append(own.tolist())
        return np.array([[500, 500], own])

    images = TuningImages(folds, [str(i) for i in range(40)], np.ones((40, 1), bool))
    found = search_weights(evaluate, propose, 2, images, one_group(1), WINDOW, search_limit=limit)
    assert len(found.tried) == (1 if limit == 40 else 2)
    # No fold, then each fold, are left out first.
    assert found.weights.tolist() == [calls[0]]
    assert [found.without[fold].tolist() for fold in range(4)] == [[own] for own in calls[1:5]]


def test_a_long_search_says_how_far_it_is(monkeypatch, capsys):
    """The list is scored on the drawn images, its best on all of them; both are counted out."""
    monkeypatch.setattr(console, "LOG_LINE_SECONDS", 0)
    images = TuningImages(np.arange(40) % 4, [str(i) for i in range(40)], np.ones((40, 1), bool))
    candidates = np.array([[500, 500], [600, 400], [700, 300]])

    def evaluate(weights, rows):
        return np.full((len(rows), 1, 256), weights[0, 0] / 1000)

    search_weights(
        evaluate, lambda score: candidates, 2, images, one_group(1), WINDOW, search_limit=20, expected=len(candidates)
    )
    assert capsys.readouterr().out.splitlines() == [
        *(f"weights, on 20 images: {n}/3, ETA 0 s, best 0.{4 + n}000" for n in (1, 2, 3)),
        *(f"the best weights, on 40 images: {n}/3, ETA 0 s, best 0.{4 + n}000" for n in (1, 2, 3)),
    ]
