"""Rows of labels: every form of a target by hand, and what is said where rows and images don't fit."""

from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.tracks.declared.table import ImageTable, find_row_problems, read_label_table


def form(**keys: object) -> ImageTable:
    return ImageTable.model_validate({"csv": "train.csv", "image": "id"} | keys)


COLUMNS = form(targets=["A", "B"])
NAMES = form(target="finding", split="|", empty="No Finding")
GRADE = form(target="grade")


def read(folder: Path, declared: ImageTable, classes: str, task, *lines: str):
    path = folder / "train.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_label_table(path, declared, classes.split(), task)


def targets(table) -> dict[str, tuple[int, ...]]:
    return {name: row.targets for name, row in table.rows.items()}


def test_a_column_per_class(tmp_path):
    table = read(tmp_path, COLUMNS, "A B", "multilabel", "B,id,A,more", "1,x,0,z", "0.0,y,1.0,z")
    assert targets(table) == {"x": (0, 1), "y": (1, 0)}


def test_several_names_in_a_cell(tmp_path):
    lines = ("id,finding", "x,Mass|Edema", "y,No Finding", "z,Edema", "w,", "v, Mass | Edema |Mass")
    table = read(tmp_path, NAMES, "Edema Mass", "multilabel", *lines)
    assert targets(table) == {"x": (1, 1), "y": (0, 0), "z": (1, 0), "w": (0, 0), "v": (1, 1)}


def test_grades_are_compared_as_numbers(tmp_path):
    table = read(tmp_path, GRADE, "0 1 2", "ordinal", "id,grade", "x,2.0", "y,0", "z,1")
    assert targets(table) == {"x": (0, 0, 1), "y": (1, 0, 0), "z": (0, 1, 0)}


def test_grades_may_be_words(tmp_path):
    assert targets(read(tmp_path, GRADE, "mild severe", "ordinal", "id,grade", "x,severe")) == {"x": (0, 1)}


def test_one_hot_columns_of_classes_that_exclude_each_other(tmp_path):
    assert targets(read(tmp_path, COLUMNS, "A B", "multiclass", "id,A,B", "x,0,1")) == {"x": (0, 1)}
    with pytest.raises(CompetitionError, match=r"2 of A, B are 1, .*row 3"):
        read(tmp_path, COLUMNS, "A B", "multiclass", "id,A,B", "x,0,1", "y,1,1")


def test_groups_by_column(tmp_path):
    table = read(tmp_path, form(targets=["A"], group="who"), "A", "multilabel", "id,A,who", "x,1,p1", "y,0,p1")
    assert [row.group for row in table.rows.values()] == ["p1", "p1"]


@pytest.mark.parametrize(
    ("declared", "classes", "task", "lines", "message"),
    [
        (COLUMNS, "A B", "multilabel", ("id,A,B", "x,1,yes"), "'yes' is no number .*row 2, column 'B'"),
        (COLUMNS, "A B", "multilabel", ("id,A,B", "x,1,2"), "'2' is neither 0 nor 1"),
        (COLUMNS, "A B", "multilabel", ("id,A,B", "x,1,nan"), "'nan' is neither 0 nor 1"),
        (COLUMNS, "A B", "multilabel", ("id,A", "x,1"), "there is no column 'B'"),
        (COLUMNS, "A B", "multilabel", ("id,A,B", ",1,0"), "column 'id' is empty .*row 2"),
        (GRADE, "0 1 2", "ordinal", ("id,grade", "x,two"), "'two' is no number"),
        (GRADE, "0 1 2", "ordinal", ("id,grade", "x,3"), "'3' is none of the classes 0, 1, 2"),
        (GRADE, "0 1 2", "ordinal", ("id,grade", "x,"), "'' is no number"),
        (GRADE, "cat dog", "multiclass", ("id,grade", "x,dgo"), "'dgo' is none of the classes, did you mean 'dog'"),
        (NAMES, "Edema Mass", "multilabel", ("id,finding", "x,Mass|Edma"), "'Edma' .* did you mean 'Edema'"),
        (form(targets=["A"], group="who"), "A", "multilabel", ("id,A,who", "x,1,"), "column 'who' of 'x' is empty"),
    ],
)
def test_a_wrong_cell_is_one_sentence(tmp_path, declared, classes, task, lines, message):
    with pytest.raises(CompetitionError, match=message.replace(" .*", ".*")) as error:
        read(tmp_path, declared, classes, task, *lines)
    assert "\n" not in str(error.value)


def test_rows_and_images_that_do_not_fit(tmp_path):
    lines = ("id,A,B", "7,1,0", "0008.png,1,0", "x,0,0", "stray,1,1", "x,0,1")
    table = read(tmp_path, COLUMNS, "A B", "multilabel", *lines)
    assert [table.written(name) for name in ("0008.png", "x.png", "0007.png")] == ["0008.png", "x", "0007"]
    keys = {"0008.png": "0008", "x": "x", "0007": "0007", "other": "other"}
    found = {problem.reason for problem in find_row_problems(table, keys, COLUMNS)}
    assert found == {
        "annotation missing: no row of image '0007', did you mean row 2 for '7', which differs in its leading zeros?",
        "annotation missing: no row of image 'other'",
        "row 5: there is no training image 'stray'",
        "row 6 is a second row of 'x' (the first is row 4)",
    }


def test_a_row_of_a_test_image_is_no_problem(tmp_path):
    table = read(tmp_path, COLUMNS, "A B", "multilabel", "id,A,B", "x,1,0", "late.png,0,0")
    assert find_row_problems(table, {"x": "x"}, COLUMNS, others=["late"]) == []


@pytest.mark.parametrize(
    ("keys", "task", "message"),
    [
        ({}, "multilabel", "either targets"),
        ({"targets": ["A"], "target": "b"}, "multilabel", "either targets"),
        ({"targets": ["A"]}, "ordinal", "column of grades"),
        ({"target": "b"}, "multilabel", "split"),
        ({"target": "b", "split": "|"}, "multiclass", "task: multilabel"),
        ({"targets": ["A", "id"]}, "multilabel", "'id' twice"),
    ],
)
def test_keys_that_contradict_each_other(keys, task, message):
    assert message in form(**keys).contradiction(task)
    assert COLUMNS.contradiction("multilabel") is None
