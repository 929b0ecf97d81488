"""Tables of every layout: written, read back, checked, scored, voted and compared."""

from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from competition.errors import CompetitionError
from competition.masks.run_length_votes import quorum
from competition.metrics.metric import make_table_metric
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.sample import read_sample
from competition.submission.table.layout import TableLayout
from competition.submission.table.truth import TruthTable
from competition.tracks.declared.table_submission import TableSubmission

CLASSES = ("mild", "any_severe", "severe")
NAMES = ["p1_L", "p1_R", "p2_L", "p_severe", "p3"]
RANDOM = np.random.default_rng(0)
GRADED = np.eye(3)[[0, 2, 1, 1, 2]]
PROBS = RANDOM.dirichlet(np.ones(3), 5)
CASES = {
    "wide": ({"id": "image_id"}, "auroc", "multilabel", PROBS),
    "long": ({"shape": "long", "id": "{key}_{class}", "column": "fractured"}, "log_loss", "multilabel", PROBS),
    "binary": ({}, "f1", "multilabel", (PROBS > 0.3).astype(float)),
    "class": ({"column": "label"}, "accuracy", "multiclass", GRADED),
    "grade": ({"id": "id_code", "column": "diagnosis"}, "kappa", "ordinal", GRADED),
    "mean_grade": ({}, "rmse", "ordinal", PROBS),
}


def form_of(case, truth=None):
    keys, name, targets, values = CASES[case]
    metric = make_table_metric(name, targets, CLASSES)
    return TableSubmission.model_validate(keys).form(metric, CLASSES, truth), metric, values


def lines_of(path):
    return path.read_text().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_read_back_valid_and_scored(case, tmp_path):
    form, metric, values = form_of(case)
    path = tmp_path / "s.csv"
    form.write(path, CLASSES, zip(NAMES, values, strict=True))
    read = form.read_predictions(path, CLASSES, lambda _: (1, 1))
    back = np.stack([read[name]() for name in NAMES])
    if case == "mean_grade":
        np.testing.assert_allclose(back @ np.arange(3), values @ np.arange(3), atol=1e-12)
    else:
        np.testing.assert_array_equal(back, values)
    result = form.check(path, CLASSES, KnownImages(NAMES))
    assert result.ok, result.errors
    assert result.images == len(NAMES)
    assert form.names(path)[:: 3 if case == "long" else 1] == NAMES
    truth = tmp_path / "truth.csv"
    form.write(truth, CLASSES, zip(NAMES, GRADED, strict=True))
    found = form.score(path, truth, CLASSES, NOTHING_KNOWN, metric)
    assert found.score == pytest.approx(metric.score_table(GRADED, back))
    turned = tmp_path / "turned.csv"
    turned.write_text("\n".join([lines_of(path)[0], *reversed(lines_of(path)[1:])]) + "\n")
    assert form.score(turned, truth, CLASSES, NOTHING_KNOWN, metric).score == pytest.approx(found.score)
    assert "another order" in form.check(turned, CLASSES, KnownImages(NAMES)).errors[0]
    assert not form.compare(path, turned, CLASSES, NOTHING_KNOWN).tables()


def test_the_files_look_as_the_organisers_ask(tmp_path):
    path = tmp_path / "s.csv"
    for case, wanted in {
        "long": ["row_id,fractured", "p1_L_mild,0.25000000", "p1_L_any_severe,0.50000000"],
        "grade": ["id_code,diagnosis", "p1_L,0"],
        "class": ["id,label", "p1_L,mild"],
        "binary": ["id,mild,any_severe,severe", "p1_L,0,1,0"],
        "mean_grade": ["id,prediction", "p1_L,1.0000"],
    }.items():
        values = {"binary": [0, 1, 0], "class": [1, 0, 0], "grade": [1, 0, 0]}.get(case, [0.25, 0.5, 0.25])
        form_of(case)[0].write(path, CLASSES, [("p1_L", np.array(values, float))])
        assert lines_of(path)[: len(wanted)] == wanted


def test_a_truth_may_be_the_training_table(tmp_path):
    (tmp_path / "s.csv").write_text("id_code,diagnosis\na,0\nb,2\nc,1\nd,2\n")
    (tmp_path / "train.csv").write_text("name,grade,age\nd,2,9\nc,severe,1\nb,1,2\na,mild,3\n")
    form, metric, _ = form_of("grade", TruthTable("name", "grade"))
    found = form.score(tmp_path / "s.csv", tmp_path / "train.csv", CLASSES, NOTHING_KNOWN, metric)
    assert found.score == pytest.approx(cohen_kappa_score([0, 1, 2, 2], [0, 2, 1, 2], weights="quadratic"))
    (tmp_path / "p.csv").write_text("image_id,mild,any_severe,severe\na,.1,.2,.3\nb,.9,.1,.8\nc,.7,.9,.1\n")
    (tmp_path / "nih.csv").write_text("Image Index,Finding Labels\nb,mild|severe\na,severe\nc,any_severe\n")
    form, metric, _ = form_of("wide", TruthTable("Image Index", "Finding Labels", "|"))
    truth = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 0]])
    wanted = roc_auc_score(truth, [[0.1, 0.2, 0.3], [0.9, 0.1, 0.8], [0.7, 0.9, 0.1]])
    assert form.score(tmp_path / "p.csv", tmp_path / "nih.csv", CLASSES, NOTHING_KNOWN, metric).score == wanted
    (tmp_path / "nih.csv").write_text("Image Index,Finding Labels\nb,mild|sever\n")
    with pytest.raises(CompetitionError, match=r"'sever' is none of the classes, did you mean 'severe'"):
        form.score(tmp_path / "p.csv", tmp_path / "nih.csv", CLASSES, NOTHING_KNOWN, metric)


def test_a_truth_is_joined_with_or_without_the_ending_of_images(tmp_path):
    form, metric, _ = form_of("grade", TruthTable("name", "grade"))
    for ours, theirs in (("{}", "{}.png"), ("{}.png", "{}"), ("{}.png", "{}.png")):
        rows = zip(("a", "b", "c.1"), (0, 2, 1), strict=True)
        lines = [(ours.format(name), theirs.format(name), grade) for name, grade in rows]
        (tmp_path / "s.csv").write_text(
            "id_code,diagnosis\n" + "".join(f"{name},{grade}\n" for name, _, grade in lines)
        )
        (tmp_path / "t.csv").write_text("name,grade\n" + "".join(f"{name},{grade}.0\n" for _, name, grade in lines))
        assert form.score(tmp_path / "s.csv", tmp_path / "t.csv", CLASSES, NOTHING_KNOWN, metric).score == 1
    (tmp_path / "t.csv").write_text("name,grade\na,0\nb,2\nc.2,1\n")  # .2 is no ending of an image
    with pytest.raises(CompetitionError, match=r"1 rows? (is|are) missing \(c\.2\)"):
        form.score(tmp_path / "s.csv", tmp_path / "t.csv", CLASSES, NOTHING_KNOWN, metric)


def test_an_error_is_scored_negative_and_shown_as_the_organiser_writes_it(tmp_path):
    form, metric, _ = form_of("mean_grade")
    (tmp_path / "s.csv").write_text("id,prediction\na,0.5\nb,2\n")
    (tmp_path / "t.csv").write_text("id,prediction\na,0\nb,1\n")
    found = form.score(tmp_path / "s.csv", tmp_path / "t.csv", CLASSES, NOTHING_KNOWN, metric)
    assert found.score == pytest.approx(-np.sqrt((0.25 + 1) / 2))
    assert "0.790569" in found.note


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("wide", [[0.5, 0.25, 0.25]]),
        ("binary", [[1, 0, 1]]),
        ("class", [[0, 0, 1]]),
        ("grade", [[0, 1, 0]]),  # the mean of 2, 2 and 0, weighted 1, 1, 2, is 1
    ],
)
def test_votes(case, wanted, tmp_path):
    form, _, _ = form_of(case)
    members = {
        "wide": [[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.8, 0.0, 0.2]],
        "binary": [[1, 1, 1], [1, 0, 1], [0, 0, 1]],
        "class": [[0, 0, 1], [0, 0, 1], [1, 0, 0]],
        "grade": [[0, 0, 1], [0, 0, 1], [1, 0, 0]],
    }[case]
    weights = [1, 1, 2] if case in ("wide", "grade") else [2, 2, 3]
    for number, values in enumerate(members):
        form.write(tmp_path / f"{number}.csv", CLASSES, [("a", np.array(values, float))])
    paths = [tmp_path / f"{number}.csv" for number in range(3)]
    election = quorum([Fraction(weight) for weight in weights], Fraction(1, 2))
    form.vote(paths, election, CLASSES, NOTHING_KNOWN, tmp_path / "v.csv")
    voted = form.read_predictions(tmp_path / "v.csv", CLASSES, lambda _: (1, 1))["a"]()
    np.testing.assert_allclose([voted], wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("case", "text", "sentence"),
    [
        ("wide", "image_id,mild,any_severe,severe\np1_L,0.1,1.5,0\n", "any_severe of p1_L is '1.5', not a number from"),
        ("wide", "id,mild,any_severe,severe\np1_L,0.1,1,0\n", "image_id"),
        ("grade", "id_code,diagnosis\np1_L,3\n", "'3', not a whole number from 0 to 2"),
        ("grade", "id_code,diagnosis\np1_L,1.5\n", "not a whole number"),
        ("class", "id,label\np1_L,sever\n", "did you mean 'severe'"),
        ("binary", "id,mild,any_severe,severe\np1_L,0.4,1,0\n", "not 0 or 1"),
        ("long", "row_id,fractured\np1_L_milt,0.4\n", "'p1_L_milt' is not of the form {key}_{class}"),
        ("grade", "id_code,diagnosis\np1_L,1\np1_L,2\n", "appears twice"),
    ],
)
def test_what_is_invalid_is_refused_by_check_and_by_score(case, text, sentence, tmp_path):
    form, metric, _ = form_of(case)
    path = tmp_path / "s.csv"
    path.write_text(text)
    errors = form.check(path, CLASSES, NOTHING_KNOWN).errors
    assert sentence in errors[0]
    with pytest.raises(CompetitionError):
        form.score(path, path, CLASSES, NOTHING_KNOWN, metric)


def test_a_row_of_a_long_table_belongs_to_the_longest_class():
    layout = TableLayout(shape="long")
    assert layout.split("p_any_severe", CLASSES) == ("p", "any_severe")
    assert layout.split("any_severe_severe", CLASSES) == ("any_severe", "severe")
    assert layout.split("severe", CLASSES) is None


def test_the_columns_of_a_sample_submission_are_checked(tmp_path):
    form, _, _ = form_of("long")
    path = tmp_path / "sample_submission.csv"
    form.write(path, CLASSES, [(name, np.full(3, 0.5)) for name in ("c", "a", "b")])
    read_sample(path).check_columns(form.layout.header(CLASSES))
    with pytest.raises(CompetitionError, match="its columns are row_id,fractured, and submission: writes row_id,label"):
        read_sample(path).check_columns(("row_id", "label"))


@pytest.mark.parametrize(
    ("keys", "name", "targets", "sentence"),
    [
        ({"id": "{key}_{class}"}, "auroc", "multilabel", "a template only of a long table"),
        ({"values": "grade"}, "auroc", "multilabel", "is for task: ordinal"),
        ({"values": "class"}, "f1", "multilabel", "exclude each other"),
        ({"shape": "long", "values": "grade"}, "kappa", "ordinal", "values can't be grade"),
    ],
)
def test_keys_that_contradict_each_other(keys, name, targets, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        TableSubmission.model_validate(keys).form(make_table_metric(name, targets, CLASSES), CLASSES)


def test_grades_that_do_not_count_from_zero_are_written_by_name():
    metric = make_table_metric("kappa", "ordinal", ("1", "2", "3"))
    assert TableSubmission().form(metric, ("1", "2", "3")).layout.values == "class"
    assert TableSubmission().form(metric, ("none", "mild", "severe")).layout.values == "grade"
    with pytest.raises(CompetitionError, match="counts grades from 0, and the classes are 1, 2, 3"):
        TableSubmission(values="grade").form(metric, ("1", "2", "3"))
