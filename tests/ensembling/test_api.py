"""The last mile as in a notebook: plain arrays in, and the same decisions, votes and scores as the stages'."""

import doctest

import numpy as np
import pytest
from pycocotools import mask as coco
from sklearn.metrics import roc_auc_score

from competition.data.cache import read_cached_planes
from competition.ensembling import api
from competition.ensembling.classification.tuning import tune_classification
from competition.ensembling.segmentation.decision import build_decision
from competition.ensembling.segmentation.out_of_fold import OutOfFold
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.selection.weight_methods import METHODS
from competition.ensembling.voting.class_groups import one_group
from competition.ensembling.voting.combination import combine
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.metrics.counts import dice_metric
from competition.prediction.histograms import histograms_file, image_histogram, save_histograms
from competition.prediction.probability_maps import write_map
from competition.runs.members import Member

WINDOW = (0.4, 0.6)
CLASSES = ("disc", "square", "bar")


def hands(prepared):
    """Truth masks, groups and folds of the tiny hands."""
    entries = prepared.train()
    truth = [unpack_planes(read_cached_planes(prepared.workspace, entry.sample), 3).astype(bool) for entry in entries]
    groups = [entry.group for entry in entries]
    return truth, groups, [prepared.folds.fold_of[group] for group in groups]


def seen(truth, seed):
    """Maps uint8 of a member that is mostly sure, and wrong in a row of its own."""
    random, maps = np.random.default_rng(seed), []
    for masks in truth:
        values = np.where(masks, random.integers(190, 256, masks.shape), random.integers(0, 70, masks.shape))
        values[:, seed, : random.integers(20)] = random.integers(110, 150)
        maps.append(values.astype(np.uint8))
    return maps


def stored(prepared, folder, maps, metric):
    """The same maps as the stages store them."""
    entries = prepared.train()
    samples = [entry.sample for entry in entries]
    for name, of_member in maps.items():
        counts = []
        for entry, values in zip(entries, of_member, strict=True):
            write_map(folder / name, entry.sample, values)
            counts.append(image_histogram(values, read_cached_planes(prepared.workspace, entry.sample)))
        save_histograms(histograms_file(folder / name), samples, np.stack(counts))
    folds = np.array([prepared.folds.fold_of[entry.group] for entry in entries])
    members = [Member(name=name, folds=(0, 1), config_hash="", fold_hash="") for name in maps]
    folders = [dict.fromkeys(samples, folder / name) for name in maps]
    groups = [entry.group for entry in entries]
    return OutOfFold(members, folders, prepared.workspace, samples, folds, groups, CLASSES, metric)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "method", "metric"),
    [("abc", "greedy", None), ("ab", "optuna", {"name": "dice", "unit": "group"}), ("a", "equal", None)],
)
def test_arrays_are_tuned_as_stored_maps_are(shared_hands, tmp_path, names, method, metric):
    truth, groups, folds = hands(shared_hands)
    maps = {name: seen(truth, seed) for seed, name in enumerate(names)}
    options = {"classes": CLASSES, "method": method, "trials": 8, "window": WINDOW}
    decision = api.tune(maps, truth, groups, folds, metric, **options)
    data = stored(shared_hands, tmp_path, maps, dice_metric(unit="group") if metric else dice_metric())
    found = tune_segmentation(data, Search(method, 8, one_group(3), [WINDOW]), tmp_path / "contested")
    wanted = build_decision(found, data, data.members, "arrays", "arrays")
    assert decision.model_dump(exclude={"created"}) == wanted.model_dump(exclude={"created"})
    assert decision.scores.oof_crossfit is not None

    as_floats = {name: [values / 255 for values in of] for name, of in maps.items()}
    again = api.tune(as_floats, truth, groups, folds, metric, **options)
    # Values near 0 and 255 are rounded off in floats, which no threshold of the window notices.
    assert (again.levels, again.weights(), again.operations) == (
        decision.levels,
        decision.weights(),
        decision.operations,
    )


def test_a_vote_on_new_images_is_decide_image(shared_hands):
    truth, groups, folds = hands(shared_hands)
    maps = {name: seen(truth, seed) for seed, name in enumerate("ab")}
    decision = api.tune(maps, truth, groups, folds, window=WINDOW)
    new = {name: seen(truth[::-1], seed + 5) for seed, name in enumerate("ba")}
    masks = api.vote(new, decision)
    weights = decision.voters().weights_by_class(decision.class_weights())
    for number, found in enumerate(masks):
        ordered = [new[name][number] for name in "ab"]
        planes = decide_image(ordered, decision.voters(), weights, decision.level_array(), decision.operation_list())
        np.testing.assert_array_equal(found, unpack_planes(planes, 3))
    assert api.score(masks, truth[::-1]) > 0.9


def patients(seed=0, samples=90):
    random = np.random.default_rng(seed)
    truth = (random.random((samples, 3)) < [0.4, 0.3, 0.2]).astype(int)
    noise = {"good": 0.6, "poor": 1.5, "noise": 5.0}
    tables = {
        name: 1 / (1 + np.exp(-(4 * truth - 2 + 2 * spread * random.normal(size=truth.shape))))
        for name, spread in noise.items()
    }
    return tables, truth, [f"p{index // 2}" for index in range(samples)], [index // 2 % 3 for index in range(samples)]


@pytest.mark.parametrize(("rule", "method"), [("mean", "greedy"), ("logit", "optuna"), ("rank", "greedy")])
def test_tables_are_tuned_and_voted_on_as_the_stages_do(rule, method):
    tables, truth, groups, folds = patients()
    decision = api.tune(tables, truth, groups, folds, method=method, trials=10, combination=rule)
    stacked = np.stack(list(tables.values()))
    found = tune_classification(stacked, truth, np.array(folds), groups, METHODS[method](3, 10), rule)
    assert tuple(decision.weights()) == found.search.weights
    assert list(decision.thresholds.values()) == found.locations.rule.thresholds.tolist()
    assert decision.gate == found.locations.rule.gate
    assert (decision.scores.oof, decision.scores.oof_crossfit) == (found.oof.auroc, found.crossfit.auroc)

    new, answers, _, _ = patients(seed=1)
    voted = api.vote(dict(reversed(new.items())), decision)
    combined = combine(rule, np.stack(list(new.values())), decision.weights())
    np.testing.assert_array_equal(voted[:, 0], combined.score)
    np.testing.assert_array_equal(voted[:, 1:], found.locations.rule.decide(combined.probs))
    assert api.score(voted[:, 0], answers[:, 0]) == pytest.approx(roc_auc_score(answers[:, 0], voted[:, 0]), abs=1e-12)


def test_scores_are_those_of_sklearn_and_of_dense_masks():
    random = np.random.default_rng(0)
    truth, probs = random.integers(0, 2, 50), random.random(50)
    assert api.score(probs, truth) == pytest.approx(roc_auc_score(truth, probs), abs=1e-12)

    ours, theirs = (random.random((6, 2, 9, 11)) < share for share in (0.4, 0.5))
    both = (ours & theirs).sum(axis=(2, 3)).astype(float)
    areas = ours.sum(axis=(2, 3)) + theirs.sum(axis=(2, 3))
    assert api.score(ours, theirs) == pytest.approx((2 * both / areas).mean(), abs=1e-12)
    assert api.score(ours, theirs, "iou") == pytest.approx((both / (areas - both)).mean(), abs=1e-12)
    pooled = [2 * both[rows].sum(axis=0) / areas[rows].sum(axis=0) for rows in ([0, 1, 2], [3, 4, 5])]
    metric = {"name": "dice", "unit": "group"}
    assert api.score(ours, theirs, metric, list("aaabbb")) == pytest.approx(np.mean(pooled), abs=1e-12)
    assert np.isnan(api.score(ours, theirs & False))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("order", ["row", "column"])
def test_run_lengths_come_back_and_are_those_of_pycocotools(order):
    random = np.random.default_rng(1)
    for share in (0.0, 0.1, 0.5, 1.0):
        mask = random.random((13, 8)) < share
        text = api.encode(mask, order)
        np.testing.assert_array_equal(api.decode(text, (13, 8), order), mask)
        starts, lengths = np.array(text.split(), dtype=int).reshape(-1, 2).T
        # COCO counts pixels down the columns, and alternates the lengths of background and mask.
        edges = np.column_stack([starts - 1, starts - 1 + lengths]).ravel()
        shape = [13, 8] if order == "column" else [8, 13]
        counts = np.diff(edges, prepend=0, append=mask.size).tolist()
        decoded = coco.decode(coco.frPyObjects({"size": shape, "counts": counts}, *shape))
        np.testing.assert_array_equal(decoded if order == "column" else decoded.T, mask)


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4]])
@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.9])
def test_run_lengths_are_voted_on_as_pixels_are(weights, threshold):
    masks = np.random.default_rng(2).random((4, 20, 15)) < np.array([0.3, 0.5, 0.6, 0.9])[:, None, None]
    whole = np.array([1] * 4 if weights is None else np.rint(10 * np.array(weights)), dtype=int)
    share = np.tensordot(whole, masks, axes=1) * 10 > round(10 * threshold) * whole.sum()
    text = api.vote_run_lengths([api.encode(mask) for mask in masks], weights, threshold)
    np.testing.assert_array_equal(api.decode(text, (20, 15)), share)


MAPS, MASKS, NAMES = [np.full((1, 4, 4), 0.2)] * 3, [np.ones((1, 4, 4))] * 3, ["x", "y", "z"]
TABLE, ANSWERS = np.full((3, 2), 0.5), np.ones((3, 2))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: api.tune({}, MASKS, NAMES, [0, 1, 2]), "no member's predictions were given"),
        (lambda: api.tune({"a": MAPS[:2]}, MASKS, NAMES, [0, 1, 2]), "unequal lengths: 2 predictions of a, 3 truths"),
        (lambda: api.tune({"a": MAPS}, MASKS, NAMES, [0, 1]), "3 groups, 2 folds"),
        (lambda: api.tune({"a": []}, [], [], []), "no samples were given"),
        (lambda: api.tune({"a": MAPS}, MASKS, NAMES, [0, 1, 2], method="luck"), "unknown method 'luck'; there are"),
        (lambda: api.tune({"a": MAPS}, MASKS, NAMES, [0, 1, 2], "luck"), "luck"),
        (lambda: api.tune({"a": MAPS}, MASKS, NAMES, [0, 1, 2], "auroc"), "scores tables, and these are masks"),
        (lambda: api.tune({"a": MAPS}, MASKS, NAMES, [0, 1, 2], classes="ab"), "2 class names for 1 classes"),
        (lambda: api.tune({"a": [m * 9 for m in MAPS]}, MASKS, NAMES, [0, 1, 2]), "probabilities from 0 to 1"),
        (lambda: api.tune({"a": [m[0, 0] for m in MAPS]}, MASKS, NAMES, [0, 1, 2]), r"not \(4,\)"),
        (
            lambda: api.tune({"a": MAPS, "b": [*MAPS[:2], MAPS[2][:, 1:]]}, MASKS, NAMES, [0, 1, 2]),
            r"image 2: the map has shape \(1, 3, 4\), its truth \(1, 4, 4\): b",
        ),
        (lambda: api.tune({"a": TABLE, "b": TABLE[:, :1]}, ANSWERS, NAMES, [0, 1, 2]), "tables of different shapes"),
        (
            lambda: api.tune({"a": TABLE}, ANSWERS[:, :1], NAMES, [0, 1, 2]),
            r"truth has shape \(3, 1\), each table \(3, 2\)",
        ),
        (lambda: api.tune({"a": TABLE[:, :1]}, ANSWERS[:, :1], NAMES, [0, 1, 2]), "the ranked class first"),
        (
            lambda: api.tune({"a": TABLE}, ANSWERS, NAMES, [0, 1, 2], "dice"),
            "metric dice does not fit the task multilabel",
        ),
        (lambda: api.tune({"a": TABLE}, ANSWERS, NAMES, [0, 1, 2], combination="luck"), "unknown combination 'luck'"),
        (lambda: api.tune({"a": TABLE}, ANSWERS * np.nan, NAMES, [0, 1, 2]), r"truth at \[0, 0\] is nan, not 0 or 1"),
        (
            lambda: api.tune({"a": TABLE}, ANSWERS / 2, NAMES, [0, 1, 2], "auroc"),
            r"truth at \[0, 0\] is 0.5, not 0 or 1",
        ),
        (
            lambda: api.tune({"a": TABLE}, ANSWERS, NAMES, [0, 1, 2], "kappa", targets="ordinal"),
            "row 0 of the truth has 2 classes, and classes that exclude each other need one",
        ),
        (
            lambda: api.tune({"a": TABLE, "b": TABLE * np.nan}, ANSWERS, NAMES, [0, 1, 2], "auroc"),
            r"the score at \[0, 0\] is nan, not a finite number: predictions of b",
        ),
        (lambda: api.score(MASKS[:2], MASKS), "2 predictions for 3 truths"),
        (
            lambda: api.score([m[:, 1:] for m in MASKS], MASKS),
            r"the masks have shape \(1, 3, 4\), the truth \(1, 4, 4\)",
        ),
        (lambda: api.score([0.5, 0.1], [0, 1], "dice"), "metric dice does not fit the task multilabel"),
        (lambda: api.score([0.5, np.nan], [0, 1]), r"the score at \[1, 0\] is nan, not a finite number"),
        (lambda: api.score([0.5, -np.inf], [0, 1]), r"the score at \[1, 0\] is -inf, not a finite number"),
        (lambda: api.score([0.5, 0.1], [0, np.nan]), r"the truth at \[1, 0\] is nan, not 0 or 1"),
        (lambda: api.score([0.5, 0.1], [0, 2]), r"the truth at \[1, 0\] is 2, not 0 or 1"),
        (
            lambda: api.score(np.eye(2), np.array([[1, 0], [0, 0]]), "accuracy", targets="multiclass"),
            "row 1 of the truth has 0 classes",
        ),
        (lambda: api.score(MASKS, MASKS, groups=["a"]), "1 groups for 3 images"),
        (lambda: api.encode(np.ones(3)), r"a mask has the shape \(rows, columns\), not \(3,\)"),
        (lambda: api.decode("1 9", (2, 2)), "run lengths"),
        (lambda: api.vote_run_lengths(["1 x"]), "member 1"),
        (lambda: api.vote_run_lengths(["1 1", "2 1"], [1]), "1 weights for 2 members"),
    ],
)
def test_bad_input_is_named(call, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        call()


def test_a_decision_is_applied_to_its_own_members_and_kind_alone():
    masks = api.tune({"a": MAPS}, MASKS, NAMES, [0, 1, 2])
    table = api.tune({"a": TABLE}, [[0, 0], [1, 1], [0, 1]], NAMES, [0, 1, 2])
    with pytest.raises(CompetitionError, match="has the members a, not b"):
        api.vote({"b": MAPS}, masks)
    with pytest.raises(CompetitionError, match="is inf, not a finite number: predictions of a"):
        api.vote({"a": TABLE + np.inf}, table)
    with pytest.raises(CompetitionError, match="tables of 2 classes for a segmentation of 1"):
        api.vote({"a": TABLE}, masks)
    with pytest.raises(CompetitionError, match="is a classification, and the predictions are not tables"):
        api.vote({"a": MAPS}, table)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(api).failed == 0
    examples = {test.name for test in doctest.DocTestFinder().find(api) if test.examples}
    assert examples >= {
        f"{api.__name__}.{name}" for name in ("tune", "vote", "score", "encode", "decode", "vote_run_lengths")
    }
