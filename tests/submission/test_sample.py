"""The official sample submission: columns, ids and order are taken from it, and a submission is checked against it."""

import re

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.submission.known_images import KnownImages
from competition.submission.objects.files import ObjectColumns
from competition.submission.objects.form import ObjectForm
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.form import RunLengthForm
from competition.submission.sample import read_sample

CLASSES = ("a", "b")
COLUMNS = SubmissionColumns.model_validate({"image": "id", "class": "kind", "rle": "rle", "ending": False})


def sample(tmp_path, *lines):
    path = tmp_path / "sample.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_sample(path)


@pytest.fixture
def official(tmp_path):
    return sample(tmp_path, "rle,id,kind", "1 1,y,b", "1 1,y,a", ",x,a", ",x,b")


def predictions(*names):
    masks = pack_masks(np.array([[[1, 1, 0]], [[0, 0, 1]]], bool))
    return [(name, masks) for name in names]


def test_rows_and_columns_are_written_as_in_the_sample(tmp_path, official) -> None:
    form, path = RunLengthForm(COLUMNS, official), tmp_path / "s.csv"
    form.write(path, CLASSES, predictions("x", "y"))
    assert path.read_text().splitlines() == ["rle,id,kind", "3 1,y,b", "1 2,y,a", "1 2,x,a", "3 1,x,b"]
    result = form.check(path, CLASSES, KnownImages(["x", "y"], size_hw=(1, 3)))
    assert result.ok, result.errors


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("x",), r"not those of the sample submission: 2 are missing \(y b and y a\)|2 are missing"),
        (("x", "Y"), r"2 are missing .* and 2 are unknown .*did you mean 'y [ab]' instead of 'Y [ab]'"),
        (("x", "y", "z"), r"2 are unknown \(z a"),
    ],
)
def test_other_ids_are_one_sentence_with_the_nearest_name(tmp_path, official, names, message) -> None:
    with pytest.raises(CompetitionError, match=message) as caught:
        RunLengthForm(COLUMNS, official).write(tmp_path / "s.csv", CLASSES, predictions(*names))
    assert "sample.csv" in str(caught.value)
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("1 1,y,a", "1 1,y,b", ",x,a", ",x,b"), "another order than in sample.csv: number 1 is 'y a', not 'y b'"),
        (("1 1,y,b", "1 1,y,a", ",x,a"), "the ids are not those of sample.csv: 1 are missing"),
        (("1 1,y,b", "1 1,y,a", ",x,a", ",x,b", ",z,a", ",z,b"), "2 are unknown"),
    ],
)
def test_a_submission_is_checked_against_it(tmp_path, official, rows, message) -> None:
    path = tmp_path / "s.csv"
    path.write_text("\n".join(["rle,id,kind", *rows]) + "\n")
    errors = RunLengthForm(COLUMNS, official).check(path, CLASSES, KnownImages(size_hw=(1, 3))).errors
    assert any(re.search(message, error) for error in errors), errors


def test_columns_in_another_order_than_the_sample_are_refused(tmp_path, official) -> None:
    path = tmp_path / "s.csv"
    path.write_text("id,kind,rle\ny,b,1 1\ny,a,1 1\nx,a,\nx,b,\n")
    errors = RunLengthForm(COLUMNS, official).check(path, CLASSES, KnownImages(size_hw=(1, 3))).errors
    assert errors == ["the columns are in another order: id,kind,rle instead of rle,id,kind"]


def test_objects_come_in_the_order_of_its_images(tmp_path) -> None:
    columns = ObjectColumns.model_validate({"kind": "objects", "image": "id", "rle": "rle", "ending": False})
    form = ObjectForm(columns, sample=sample(tmp_path, "id,rle", "y,1 1", "x,1 1"))
    pair = pack_masks(np.array([[[1, 0, 1]]], bool))
    form.write(tmp_path / "s.csv", ("a",), [("x", pair), ("y", pair)])
    assert (tmp_path / "s.csv").read_text().splitlines() == ["id,rle", "y,1 1", "y,3 1", "x,1 1", "x,3 1"]
    assert form.check(tmp_path / "s.csv", ("a",), KnownImages(["x", "y"], size_hw=(1, 3))).ok


def test_columns_that_no_form_writes_are_copied_and_checked(tmp_path) -> None:
    """HuBMAP 2023 wants the height and the width of each image beside its objects."""
    columns = ObjectColumns.model_validate({"kind": "objects", "image": "id", "rle": "rle", "ending": False})
    pair, path = pack_masks(np.array([[[1, 0, 1]]], bool)), tmp_path / "s.csv"
    form = ObjectForm(columns, sample=sample(tmp_path, "id,height,rle,note", "y,7,1 1,", "y,7,2 1,", "x,8,1 1,new"))
    form.write(path, ("a",), [("x", pair), ("y", pair)])
    written = ["id,height,rle,note", "y,7,1 1,", "y,7,3 1,", "x,8,1 1,new", "x,8,3 1,new"]
    assert path.read_text().splitlines() == written
    known = KnownImages(["x", "y"], size_hw=(1, 3))
    assert form.check(path, ("a",), known).ok
    path.write_text("\n".join(written).replace("x,8,3", "x,7,3") + "\n")
    assert form.check(path, ("a",), known).errors == ["row 5: height of x is '7', not '8' as in sample.csv"]
    path.write_text("\n".join(written).replace("x,8,", "x,8.0,") + "\n")
    result = form.check(path, ("a",), known)
    assert result.ok, result.errors
    assert "copied columns" in result.checked
    path.write_text("id,rle\ny,1 1\nx,1 1\n")
    result = form.check(path, ("a",), known)
    assert result.errors == [
        "the columns are not id,height,rle,note: missing 'height', 'note' (a file of another track? See --track)"
    ]
    assert "copied columns" not in result.checked


def test_images_are_compared_with_the_prepared_ones_beside_the_sample(tmp_path) -> None:
    columns = ObjectColumns.model_validate({"kind": "objects", "image": "id", "rle": "rle", "ending": False})
    form, path = ObjectForm(columns, sample=sample(tmp_path, "id,rle", "y,1 1", "x,1 1")), tmp_path / "s.csv"
    path.write_text("id,rle\ny,1 1\nx,1 1\n")
    assert form.check(path, ("a",), KnownImages(["x", "y"], size_hw=(1, 3))).ok
    errors = form.check(path, ("a",), KnownImages(["x", "z"], size_hw=(1, 3))).errors
    assert errors == ["1 of 2 images missing: z", "1 of 2 images not in the test set: y"]
    path.write_text("id,rle\ny,1 1\n")
    assert len(form.check(path, ("a",), KnownImages(["x", "y"], size_hw=(1, 3))).errors) == 1  # said once


def test_further_columns_are_explained_where_the_track_declares_its_own(tmp_path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("id,kind,rle,height\nx,a,1 1,7\nx,b,1 1,7\n")
    (error,) = RunLengthForm(COLUMNS).check(path, CLASSES).errors
    assert error.endswith(
        "too many 'height'; if the organiser wants them, name the sample submission in the YAML file, as sample:"
    )
    path.write_text("image_name,class,rle,height\nx,a,1 1,7\nx,b,1 1,7\n")
    (error,) = RunLengthForm().check(path, CLASSES).errors
    assert error.endswith("too many 'height'")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("id,rle",), "the sample submission has no row"),
        (("id,rle", "1,2,3"), "row 2 has 3 cells, not 2"),
    ],
)
def test_a_sample_that_can_not_be_used_is_one_sentence(tmp_path, lines, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        sample(tmp_path, *lines)
    with pytest.raises(CompetitionError, match=r"has no column 'name', but id, rle"):
        sample(tmp_path, "id,rle", "1,2").ids(["name"])
