"""Ids of image and class, written and read back."""

import pytest

from competition.masks.bit_planes import pack_masks
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.files import read_rle_csv
from competition.submission.run_lengths.form import RunLengthForm
from competition.submission.run_lengths.id_template import split_id, template_fault, write_id

CLASSES = ("bowel", "large_bowel", "1")


@pytest.mark.parametrize("template", ["{image}_{class}", "{class}/{image}", "id-{image}-{class}.rle"])
@pytest.mark.parametrize("image", ["7", "case_1_day_2", "large", "a.b[c]", "x" * 64])
def test_what_is_written_is_read_back(template, image) -> None:
    for name in CLASSES:
        assert split_id(template, write_id(template, image, name), CLASSES, {image}) == (image, name)


def test_the_longest_class_is_taken_unless_the_image_of_another_is_known() -> None:
    assert split_id("{image}_{class}", "a_large_bowel", CLASSES) == ("a", "large_bowel")
    assert split_id("{image}_{class}", "a_large_bowel", CLASSES, {"a_large"}) == ("a_large", "bowel")


def test_an_unknown_class_is_what_stands_in_its_place() -> None:
    assert split_id("{image}_{class}", "case_7_bowl", CLASSES) == ("case_7", "bowl")
    assert split_id("{image}_{class}", "bowl", CLASSES) == ("bowl", "")
    assert split_id("img_{image}", "img_7", ("a",)) == ("7", "a")


@pytest.mark.parametrize(
    ("template", "classes", "message"),
    [
        ("{image}_{class}", 2, None),
        ("{image}", 1, None),
        ("{image}", 2, "needs {class}"),
        ("{image}{class}", 2, "between"),
        ("{class}", 2, "once"),
        ("{img}_{class}", 2, "{img}, which is unknown"),
    ],
)
def test_a_template_that_can_not_be_read_back_is_refused(template, classes, message) -> None:
    fault = template_fault(template, classes)
    assert fault is None if message is None else message in fault


def columns(**keys):
    return SubmissionColumns.model_validate({"image": "id", "rle": "rle", "ending": False} | keys)


def test_a_submission_of_ids_with_a_free_text_for_an_empty_mask(tmp_path) -> None:
    form = RunLengthForm(columns(id="{image}_{class}", empty="-"))
    masks = pack_masks(__import__("numpy").array([[[1, 1, 0]], [[0, 0, 0]]], bool))
    path, classes = tmp_path / "s.csv", ("a", "b_a")
    form.write(path, classes, [("x_b", masks), ("y", masks)])
    assert path.read_text().splitlines() == ["id,rle", "x_b_a,1 2", "x_b_b_a,-", "y_a,1 2", "y_b_a,-"]
    images = KnownImages(["x_b", "y"], size_hw=(1, 3))
    result = form.check(path, classes, images)
    assert result.ok, result.errors
    assert read_rle_csv(path, classes, form.columns) == {
        ("x_b", "a"): "1 2",
        ("x_b", "b_a"): "",
        ("y", "a"): "1 2",
        ("y", "b_a"): "",
    }


@pytest.mark.parametrize("empty", ["12", "1 2", " -", "a\nb"])
def test_an_empty_text_that_may_be_run_lengths_is_refused(empty) -> None:
    with pytest.raises(ValueError, match="can't be taken for run lengths"):
        columns(empty=empty)


def test_a_cell_of_the_free_text_is_empty_and_others_are_not(tmp_path) -> None:
    assert columns(empty="none").read("none", "here") == ""
    assert columns(empty="none").write("") == "none"
    assert columns(empty="none").check("none", "here", 9) is False
    with pytest.raises(Exception, match="an empty mask is 'none', not '-1'"):
        columns(empty="none").check("-1", "here", 9)
