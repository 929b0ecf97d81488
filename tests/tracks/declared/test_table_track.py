"""Declared tracks of images with a table of labels: how samples are listed, and what is wrong with a declaration."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_scores, write_scores
from competition.tracks import get_track
from competition.tracks.track import Track

PLAIN = {
    "task": "multilabel",
    "train": "train/*.png",
    "test": "test/*.png",
    "table": {"csv": "train.csv", "image": "id", "targets": ["A", "B"]},
    "group": "^([a-z]+)",
}

GRADE = {"csv": "train.csv", "image": "id", "target": "grade"}


def declare(folder: Path, **keys: object) -> Track:
    content = {name: value for name, value in (PLAIN | keys).items() if value is not None}
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return get_track(str(folder / "mine.yaml"))


def draw(folder: Path, *names: str, channels: int = 1) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((6, 8, channels), number + 1, np.uint8))


def write(folder: Path, *lines: str) -> None:
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def test_images_and_rows_are_joined_by_name(tmp_path):
    draw(tmp_path, "train/b1.png", "train/a2.png", "test/a9.png")
    write(tmp_path, "id,A,B", "a2.png,0,1", "b1.png,1,1")
    track = declare(tmp_path, channels=3, flip=True)
    listing = track.list_samples(tmp_path)
    found = [(one.key, one.name, one.split, one.group, one.images, one.targets) for one in listing.samples]
    assert found == [
        ("a2", "a2", "train", "a", ("train/a2.png",), (0, 1)),
        ("b1", "b1", "train", "b", ("train/b1.png",), (1, 1)),
        ("a9", "a9", "test", "a", ("test/a9.png",), None),
    ]
    assert not listing.problems
    assert (track.task, track.targets, track.classes, track.channels) == ("classification", "multilabel", ("A", "B"), 3)
    assert track.mirror.classes == (0, 1)
    assert track.read_image(tmp_path / "train/b1.png").shape == (6, 8, 3)


def test_no_class_takes_the_column_of_the_samples(tmp_path):
    with pytest.raises(CompetitionError, match=r"no class can be called 'sample', .*: track mine\. Give the class an"):
        declare(tmp_path, table={"csv": "train.csv", "image": "id", "targets": ["A", "sample"]})
    track = declare(tmp_path, table={"csv": "train.csv", "image": "id", "targets": ["A", "samples"]})
    write_scores(tmp_path, ["a"], track.classes, np.array([[0.25, 0.5]]))
    assert read_scores(tmp_path, ["a"], track.classes).tolist() == [[0.25, 0.5]]


def test_an_id_with_dots_is_no_file_name(tmp_path):
    """A StudyInstanceUID ends in no ending of a picture."""
    draw(tmp_path, *(f"train/1.2.{number}.png" for number in (5, 61, 62)), "test/1.2.7.png")
    write(tmp_path, "id,A,B", "1.2.5,0,1", "1.2.61,1,1", "1.2.62,0,0", "1.2.7,0,0")
    listing = declare(tmp_path, exclude=["train/1.2.6*.png"], group="(.+)").list_samples(tmp_path)
    assert [sample.key for sample in listing.samples] == ["1.2.5", "1.2.7"]
    assert not listing.problems


def test_several_views_of_a_sample(tmp_path):
    draw(tmp_path, *(f"train/{key}_{side}.png" for key in ("p1", "p2") for side in "LR"), "test/p3_R.png")
    write(tmp_path, "id,grade,who", "p1,1,x", "p2,0,x")
    table = {"csv": "train.csv", "image": "id", "target": "grade", "group": "who"}
    views = {"L": "{stem}_L.png", "R": "{stem}_R.png"}
    track = declare(tmp_path, task="ordinal", classes=[0, 1], table=table, views=views, group=None, flip=True)
    listing = track.list_samples(tmp_path)
    found = [(one.key, one.group, one.images, one.targets) for one in listing.samples]
    assert found == [
        ("p1", "x", ("train/p1_L.png", "train/p1_R.png"), (0, 1)),
        ("p2", "x", ("train/p2_L.png", "train/p2_R.png"), (1, 0)),
        ("p3", "p3", (None, "test/p3_R.png"), None),
    ]
    assert [(one.path, one.masked) for one in listing.problems] == [("test/p3_L.png", True)]
    assert track.views == ("L", "R")
    assert (track.mirror.views, track.mirror.flipped_views) == ((0, 1), (True, True))


def test_images_that_fit_no_view_or_group_are_problems(tmp_path):
    draw(tmp_path, "train/p1_L.png", "train/p1_X.png", "train/9_L.png")
    write(tmp_path, "id,A,B", "p1,1,0", "9,0,0")
    listing = declare(tmp_path, views={"L": "{stem}_L.png"}).list_samples(tmp_path)
    reasons = [problem.reason.split(", which")[0] for problem in listing.problems]
    assert reasons[:2] == ["the name fits none of the views {stem}_L.png", "name does not match the group '^([a-z]+)'"]
    assert [one.key for one in listing.samples] == ["p1"]


def test_keys_groups_and_strata_of_the_whole_path(tmp_path):
    draw(tmp_path, "train/p1/a/1.png", "train/p1/b/1.png", "train/p2/a/1.png", "test/p3/a/1.png", "train/p9/a/bad.png")
    write(tmp_path, "id,A,B", "p1_1a,0,1", "p1_1b,1,1", "p2_1a,0,0", "p9_bada,1,1")
    keys = {"path": "(?P<who>p[0-9])/(?P<kind>[ab])/", "key": "{who}_{stem}{kind}", "group": "{who}"}
    keys |= {"stratum": "{kind}", "exclude": ["*/*/*/bad.png"], "train": "train/*/*/*.png", "test": "test/*/*/*.png"}
    track = declare(tmp_path, **keys)
    listing = track.list_samples(tmp_path)
    assert [(one.key, one.name, one.group, one.stratum, one.targets) for one in listing.samples] == [
        ("p1_1a", "p1_1a", "p1", "a", (0, 1)),
        ("p1_1b", "p1_1b", "p1", "b", (1, 1)),
        ("p2_1a", "p2_1a", "p2", "a", (0, 0)),
        ("p3_1a", "p3_1a", "p3", "a", None),
    ]
    assert not listing.problems
    assert listing.remarks == ["exclude: 1 image left out, for example train/p9/a/bad.png"]
    draw(tmp_path, "late/p4/b/2.png")
    assert [(one.key, one.group) for one in track.list_test(tmp_path / "late").samples] == [("p4_2b", "p4")]


def test_the_sample_submission_gives_the_order_of_the_test_set(tmp_path):
    draw(tmp_path, "train/a1.png", "test/a7.png", "test/a8.png", "test/a9.png")
    write(tmp_path, "id,A,B", "a1,1,0")
    (tmp_path / "sample.csv").write_text("id,A,B\na9.png,0,0\na7.png,0,0\na8.png,0,0\n")
    track = declare(tmp_path, sample="sample.csv", submission={"ending": True})
    assert [one.name for one in track.list_samples(tmp_path).samples] == ["a1.png", "a9.png", "a7.png", "a8.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,A,B\na9,0,0\nA7,0,0\n",
            r"the sample submission has 1 id without a test image \(A7\) and lacks 1 id of test images \(a7\).*'a7'",
        ),
        ("id,A,B\na9.png,0,0\na7.png,0,0\n", r"has 2 ids without a test image \(a9.png, a7.png\)"),
        ("image,A,B\na9,0,0\na7,0,0\n", "its columns are image,A,B, and submission: writes id,A,B"),
        ("id,A,B\n", "the sample submission has no row"),
    ],
)
def test_another_sample_submission_is_refused(tmp_path, text, message):
    draw(tmp_path, "train/a1.png", "test/a7.png", "test/a9.png")
    write(tmp_path, "id,A,B", "a1,1,0")
    (tmp_path / "sample.csv").write_text(text)
    with pytest.raises(CompetitionError, match=message) as error:
        declare(tmp_path, sample="sample.csv").list_samples(tmp_path)
    assert "\n" not in str(error.value)


def test_an_image_without_row_is_a_problem_of_that_image(tmp_path):
    draw(tmp_path, "train/a1.png", "train/a2.png")
    write(tmp_path, "id,A,B", "a1,1,0")
    (problem,) = declare(tmp_path).list_samples(tmp_path).problems
    assert (problem.key, problem.path, problem.note) == ("a2", "train.csv", False)
    assert "no row of image 'a2'" in problem.reason


def test_two_images_of_one_name_are_a_problem(tmp_path):
    draw(tmp_path, "train/x/a1.png", "train/y/a1.png")
    write(tmp_path, "id,A,B", "a1,1,0")
    problems = declare(tmp_path, train="train/*/*.png").list_samples(tmp_path).problems
    assert [problem.kind for problem in problems] == ["names"]


def test_a_sample_of_both_splits_is_refused(tmp_path):
    draw(tmp_path, "train/a1.png", "test/a1.png")
    write(tmp_path, "id,A,B", "a1,1,0")
    (problem,) = declare(tmp_path).list_samples(tmp_path).problems
    assert (problem.split, problem.kind) == ("test", "names")
    draw(tmp_path, "more/b_L.png", "more_test/b_R.png")
    views = {"L": "{stem}_L.png", "R": "{stem}_R.png"}
    with pytest.raises(CompetitionError, match="'b' has training and test images"):
        declare(tmp_path, train="more/*.png", test="more_test/*.png", views=views).list_samples(tmp_path)


def test_a_late_test_set(tmp_path):
    draw(tmp_path, "late/sub/a1.png", "late/a2.png")
    samples = declare(tmp_path).list_test(tmp_path / "late").samples
    assert [(one.key, one.split, one.group, one.images) for one in samples] == [
        ("a2", "test", "a", ("a2.png",)),
        ("a1", "test", "a", ("sub/a1.png",)),
    ]


def test_no_training_image(tmp_path):
    draw(tmp_path, "train/a1.jpg")
    with pytest.raises(CompetitionError, match="but 1 other pictures lie there"):
        declare(tmp_path).list_samples(tmp_path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"task": "multilable"}, "task: Input should be 'multilabel', 'multiclass' or 'ordinal'"),
        ({"channel": 3}, "unknown key 'channel', did you mean 'channels'"),
        ({"table": PLAIN["table"] | {"imag": "x"}}, "unknown key 'table.imag', did you mean 'table.image'"),
        ({"table": None}, "table"),
        (
            {"table": {"csv": "train.csv", "image": "id", "target": "g"}, "task": "ordinal"},
            "classes is missing.*in their",
        ),
        ({"classes": ["A", "C"]}, "leave classes out"),
        ({"classes": ["A", "A"]}, "holds 'A' twice"),
        ({"group": None}, "table.group .a column. or group"),
        ({"group": "[a-z]+"}, "needs a bracket"),
        ({"train": "/x/*.png"}, "below the data folder"),
        ({"views": {"L": "left.png"}}, "no file name with {stem} once"),
        ({"metric": "dice"}, "metric dice does not fit the task multilabel; those that fit are auroc"),
        ({"metric": "aurok"}, "did you mean 'auroc'"),
        ({"metric": "kappa"}, "metric kappa does not fit the task multilabel"),
        ({"metric": {"name": "f1", "weights": {"a": 2}}}, "metric f1: unknown class 'a'; known are A, B"),
        ({"key": "{stme}"}, "key holds {stme}, which is unknown, did you mean 'stem'"),
        ({"key": "{stem}", "submission": {"ending": True}}, "leave submission.ending out"),
        ({"submission": {"valus": "grade"}}, "unknown key 'submission.valus', did you mean 'submission.values'"),
        ({"submission": {"values": "grade"}}, "values grade is for task: ordinal"),
    ],
)
def test_what_is_wrong_with_a_declaration(tmp_path, keys, message):
    with pytest.raises(CompetitionError, match=message) as error:
        declare(tmp_path, **keys)
    assert "mine.yaml" in str(error.value)


def test_the_data_form_changes_with_what_the_samples_are_made_of(tmp_path):
    plain = declare(tmp_path)
    assert declare(tmp_path, metric="auroc", flip=True).data_form == plain.data_form
    assert declare(tmp_path, group="^([a-z])").data_form != plain.data_form
    assert declare(tmp_path, channels=3).reading != plain.reading
