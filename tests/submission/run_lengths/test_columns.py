"""Run lengths in the form of any organiser: every cell means the mask that numbers counted by hand say."""

import pytest

from competition.errors import CompetitionError
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns


def form(**keys: object) -> SubmissionColumns:
    return SubmissionColumns.model_validate({"image": "id", "rle": "rle", "ending": False} | keys)


@pytest.mark.parametrize(
    ("keys", "cell"),
    [
        ({}, "1 2 4 1 9 3"),
        ({"start": 0}, "0 2 3 1 8 3"),
        ({"relative": True}, "1 2 1 1 4 3"),
        ({"start": 0, "relative": True}, "0 2 1 1 4 3"),
    ],
)
def test_pixels_1_2_4_and_9_to_11_in_every_way_to_count(keys: dict[str, object], cell: str) -> None:
    assert form(**keys).write("1 2 4 1 9 3") == cell
    assert form(**keys).read(cell, "s.csv, row 2") == "1 2 4 1 9 3"
    assert form(**keys).check(cell, "row 2", 11)
    with pytest.raises(CompetitionError, match="but the image has 10: row 2"):
        form(**keys).check(cell, "row 2", 10)


@pytest.mark.parametrize("keys", [{}, {"start": 0}, {"relative": True}])
def test_one_pixel_and_none(keys: dict[str, object]) -> None:
    one = "0 1" if keys.get("start") == 0 else "1 1"
    assert (form(**keys).write("1 1"), form(**keys).read(one, "")) == (one, "1 1")
    assert (form(**keys).write(""), form(**keys, empty=-1).write("")) == ("", "-1")
    for cell in ("", "nan", "NaN"):
        assert form(**keys).read(cell, "") == ""
        assert not form(**keys).check(cell, "", None)
    assert form(**keys, empty=-1).read("-1", "") == ""
    assert not form(**keys, empty=-1).check("-1", "", None)


@pytest.mark.parametrize(
    ("keys", "cell", "reason"),
    [
        ({}, "-1", "an empty mask is an empty cell, not '-1': row 7"),
        ({"empty": -1}, "", "an empty mask is '-1', not '': row 7"),
        ({"empty": -1}, "nan", "an empty mask is '-1', not 'nan': row 7"),
        ({}, "0 1", "starts at 0, but pixels are counted from 1: row 7"),
        ({"start": 0}, "3", "run lengths of 1 number, the last start has no length: row 7"),
        ({}, "5 2 1 1", "starts before the one ahead of it has ended: row 7"),
    ],
)
def test_what_the_organiser_would_not_take(keys: dict[str, object], cell: str, reason: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        form(**keys).check(cell, "row 7", None)
    assert reason in str(caught.value)


def test_a_mask_that_has_to_be_turned_is_read_with_every_mistake_named() -> None:
    with pytest.raises(CompetitionError, match=r"has length 0: s\.csv, row 7"):
        form(start=0).read("3 0", "s.csv, row 7")
    with pytest.raises(CompetitionError, match=r"'-1' in run lengths is no pixel number: s\.csv, row 7"):
        form(start=0).read("-1", "s.csv, row 7")


def test_columns() -> None:
    classes = ("a", "b")
    assert IMAGE_CLASS_RLE.header(classes) == ("image_name", "class", "rle")
    assert form().header(("a",)) == ("id", "rle")
    assert form(rle=None).header(classes) == ("id", "a", "b")
    assert form(**{"class": "kind"}).masks(["1", "b", "2 1"], classes) == [("1", "b", "2 1")]
    assert form().masks(["1", "2 1"], ("a",)) == [("1", "a", "2 1")]
    assert form(rle=None).masks(["1", "2 1", ""], classes) == [("1", "a", "2 1"), ("1", "b", "")]
