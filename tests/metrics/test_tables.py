"""Table metrics against scikit-learn, on the rows as they are and repeated as a bootstrap draws them."""

import numpy as np
import pytest
import sklearn.metrics as sk

from competition.errors import CompetitionError
from competition.metrics.metric import make_table_metric

CLASSES = ("a", "b", "c", "d")
RANDOM = np.random.default_rng(0)
CELLS = (RANDOM.random((60, 4)) < 0.3).astype(int)
SCORES = np.round(RANDOM.random((60, 4)), 1)  # with ties, and some cells exactly 0.5
ONE_HOT = np.eye(4, dtype=int)[RANDOM.integers(0, 4, 60)]
PROBS = RANDOM.multinomial(10, RANDOM.dirichlet(np.ones(4), 60)) / 10  # with ties and zeros
TIMES = RANDOM.integers(0, 3, (6, 60))


def which(rows):
    return rows.argmax(axis=1)


def rounded(rows):
    return np.floor(rows @ np.arange(4) + 0.5)


def columns(score):
    return lambda truth, given: np.mean([score(truth[:, i], given[:, i]) for i in range(4)])


def weighted_log_loss(truth, given):
    weights = np.where(truth == 1, 2.0, 1.0) * [7, 1, 1, 1]
    return -sk.log_loss(truth.ravel(), given.ravel(), sample_weight=weights.ravel(), labels=[0, 1])


def level_log_loss(truth, given):
    return -sk.log_loss(which(truth), given, sample_weight=np.array([1, 2, 4, 1])[which(truth)], labels=range(4))


MULTILABEL = [
    ("auroc", sk.roc_auc_score),
    ({"name": "auroc", "column": "c"}, lambda t, s: sk.roc_auc_score(t[:, 2], s[:, 2])),
    (
        {"name": "auroc", "weights": {"a": 3}},
        lambda t, s: np.average(sk.roc_auc_score(t, s, average=None), weights=[3, 1, 1, 1]),
    ),
    ("average_precision", sk.average_precision_score),
    ({"name": "average_precision", "column": "b"}, lambda t, s: sk.average_precision_score(t[:, 1], s[:, 1])),
    ("log_loss", lambda t, s: -columns(lambda one, own: sk.log_loss(one, own, labels=[0, 1]))(t, s)),
    ({"name": "log_loss", "weights": {"a": 7}, "positive": 2}, weighted_log_loss),
    ("accuracy", lambda t, s: 1 - sk.hamming_loss(t, s > 0.5)),
    ({"name": "accuracy", "balanced": True}, columns(lambda t, s: sk.balanced_accuracy_score(t, s > 0.5))),
    ("f1", lambda t, s: sk.f1_score(t, s > 0.5, average="macro", zero_division=0)),
    ({"name": "f1", "average": "micro"}, lambda t, s: sk.f1_score(t, s > 0.5, average="micro")),
    ({"name": "f1", "column": "d"}, lambda t, s: sk.f1_score(t[:, 3], s[:, 3] > 0.5)),
    ("pf1", columns(lambda t, s: 2 * (t * s).sum() / (t.sum() + s.sum()))),
]
EXCLUSIVE = [
    ("auroc", lambda t, s: sk.roc_auc_score(which(t), s, multi_class="ovr")),
    ("log_loss", lambda t, s: -sk.log_loss(which(t), s, labels=range(4))),
    ({"name": "log_loss", "weights": {"b": 2, "c": 4}}, level_log_loss),
    ("accuracy", lambda t, s: sk.accuracy_score(which(t), which(s))),
    ({"name": "accuracy", "balanced": True}, lambda t, s: sk.balanced_accuracy_score(which(t), which(s))),
    ("f1", lambda t, s: sk.f1_score(which(t), which(s), average="macro")),
    ({"name": "f1", "average": "micro"}, lambda t, s: sk.f1_score(which(t), which(s), average="micro")),
]
ORDINAL = [
    *EXCLUSIVE,
    ("kappa", lambda t, s: sk.cohen_kappa_score(which(t), rounded(s), weights="quadratic")),
    ("rmse", lambda t, s: -sk.root_mean_squared_error(which(t), s @ np.arange(4))),
]


@pytest.mark.parametrize(
    ("targets", "declared", "oracle"),
    [("multilabel", *case) for case in MULTILABEL]
    + [("multiclass", *case) for case in EXCLUSIVE]
    + [("ordinal", *case) for case in ORDINAL],
)
def test_a_metric_is_that_of_scikit_learn_on_any_draw(targets, declared, oracle):
    truth, given = (CELLS, SCORES) if targets == "multilabel" else (ONE_HOT, PROBS)
    metric = make_table_metric(declared, targets, CLASSES)
    assert metric.score_table(truth, given) == pytest.approx(oracle(truth, given), abs=1e-12)
    drawn = metric.figures(truth, metric.plain(given), TIMES)
    wanted = [oracle(np.repeat(truth, times, axis=0), np.repeat(given, times, axis=0)) for times in TIMES]
    np.testing.assert_allclose(drawn, wanted, atol=1e-12)
    decided = metric.plain(given)
    assert metric.score_table(truth, decided) == pytest.approx(metric.figures(truth, decided, TIMES * 0 + 1)[0])


@pytest.mark.parametrize("name", ["auroc", "average_precision"])
def test_a_class_that_can_not_be_ranked_is_left_out_of_the_mean(name):
    truth = CELLS.copy()
    truth[:, 1] = 0
    metric = make_table_metric(name, "multilabel", CLASSES)
    others = [metric.class_scores(truth, SCORES)[index] for index in (0, 2, 3)]
    assert np.isnan(metric.class_scores(truth, SCORES)[1])
    assert metric.score_table(truth, SCORES) == pytest.approx(np.mean(others))
    assert np.isnan(metric.score_table(truth * 0, SCORES))


def test_edges_of_labels_are_those_of_scikit_learn():
    truth, decided = np.eye(4, dtype=int)[[0, 0, 1, 1]], np.eye(4, dtype=int)[[0, 1, 1, 1]]
    macro = make_table_metric("f1", "multiclass", CLASSES)  # two classes are neither true nor decided
    assert macro.score_table(truth, decided) == pytest.approx(sk.f1_score([0, 0, 1, 1], [0, 1, 1, 1], average="macro"))
    one_grade = np.eye(4, dtype=int)[[2, 2]]
    assert np.isnan(make_table_metric("kappa", "ordinal", CLASSES).score_table(one_grade, one_grade))
    assert make_table_metric("kappa", "ordinal", CLASSES).score_table(truth, truth) == 1
    sure = make_table_metric("log_loss", "multilabel", CLASSES)
    assert sure.score_table(1 - truth, truth) == pytest.approx(np.log(np.finfo(float).eps))
    nothing = make_table_metric("pf1", "multilabel", CLASSES)
    assert nothing.score_table(truth * 0, truth * 0.0) == 0


def test_any_of_some_classes_is_a_column_of_its_own():
    metric = make_table_metric({"name": "log_loss", "any": ["a", "b"], "any_weight": 3}, "multilabel", CLASSES)
    truth = np.column_stack([CELLS, CELLS[:, :2].max(axis=1)])
    given, weights = np.column_stack([SCORES, SCORES[:, :2].max(axis=1)]), np.tile([1, 1, 1, 1, 3], 60)
    wanted = -sk.log_loss(truth.ravel(), given.ravel(), sample_weight=weights)
    assert metric.score_table(CELLS, SCORES) == pytest.approx(wanted, abs=1e-12)


def test_a_column_may_be_the_only_one_that_counts():
    only = {"name": "log_loss", "weights": dict.fromkeys("abcd", 0), "any": ["a", "b"]}
    wanted = sk.log_loss(CELLS[:, :2].max(axis=1), SCORES[:, :2].max(axis=1))
    assert make_table_metric(only, "multilabel", CLASSES).score_table(CELLS, SCORES) == pytest.approx(-wanted)
    last = make_table_metric({"name": "auroc", "column": 3}, "multilabel", CLASSES)
    assert last.score_table(CELLS, SCORES) == pytest.approx(sk.roc_auc_score(CELLS[:, 3], SCORES[:, 3]))


def test_weights_of_grades_are_by_name_as_a_file_holds_them():
    grades = ("0", "1", "2", "3")
    metric = make_table_metric({"name": "f1", "weights": {3: 5}}, "ordinal", grades)
    wanted = np.average(sk.f1_score(which(ONE_HOT), which(PROBS), average=None), weights=[1, 1, 1, 5])
    assert metric.score_table(ONE_HOT, PROBS) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("declared", "targets", "sentence"),
    [
        ("kappa", "multilabel", "does not fit the task multilabel; those that fit are auroc, average_precision"),
        ("dice", "ordinal", "dice does not fit the task ordinal"),
        ({"name": "auroc", "weights": {"bb": 1}}, "multilabel", "unknown class 'bb'"),
        ({"name": "f1", "average": "binary"}, "multilabel", "give column"),
        ({"name": "f1", "average": "weighted"}, "multilabel", "not one of macro"),
        ({"name": "log_loss", "weights": {"a": -1}}, "multilabel", "the weight of a is -1"),
        ("aurok", "multilabel", "did you mean 'auroc'"),
        *(
            ({"name": "pf1", "column": value}, "multilabel", f"column is {value}.*0 to 3")
            for value in (4, -1, 1.5, True)
        ),
        ({"name": "auroc", "weights": {"a": 3}, "column": "b"}, "multilabel", "weights have no effect on AUROC of b"),
        ({"name": "f1", "weights": {"a": 3}, "column": 1}, "ordinal", "weights have no effect on F1 of column 1"),
        ({"name": "f1", "weights": {"a": 3}, "average": "micro"}, "multilabel", "no effect on micro F1"),
        ({"name": "f1", "weights": {"a": 3}, "average": "micro"}, "multiclass", "no effect on micro F1"),
        ({"name": "accuracy", "weights": {"a": 3}}, "multiclass", "no effect on accuracy .task multiclass."),
        ({"name": "accuracy", "weights": {"a": 3}, "balanced": True}, "ordinal", "no effect on balanced accuracy"),
        ({"name": "auroc", "weights": dict.fromkeys("abcd", 0)}, "multilabel", "the weights of all classes are 0"),
    ],
)
def test_a_metric_that_does_not_fit_is_one_sentence(declared, targets, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        make_table_metric(declared, targets, CLASSES)
