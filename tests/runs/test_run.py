"""Which folds are meant."""

import pytest

from competition.errors import CompetitionError
from competition.runs.run import parse_folds


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("all", 3, [0, 1, 2]),
        ("2", 3, [2]),
        ("0..2", 5, [0, 1, 2]),
        ("3..3", 5, [3]),
        ("4,0,2", 5, [4, 0, 2]),
        ("1,1,0", 2, [1, 0]),
        (" 1 , 0 ", 2, [1, 0]),
        ("full", 2, ["full"]),
        ("0..2,full", 3, [0, 1, 2, "full"]),
        ("full,1,0..1", 2, ["full", 1, 0]),
    ],
)
def test_folds_are_read_in_every_form(text, count, expected):
    assert parse_folds(text, count) == expected


@pytest.mark.parametrize("text", ["", "x", "0..", "..2", "0;1", "1.5", "0..1..2", "0,", "ALL"])
def test_what_names_no_fold_is_explained(text):
    with pytest.raises(CompetitionError, match=r"--fold takes 0, or 0\.\.4, or 0,2,3, or all, or full, not"):
        parse_folds(text, 5)


@pytest.mark.parametrize(("text", "fold"), [("5", 5), ("0..5", 5), ("0,7", 7), ("-1", -1)])
def test_a_fold_that_does_not_exist_is_named(text, fold):
    with pytest.raises(CompetitionError, match=rf"there is no fold {fold}; the folds are 0\.\.4"):
        parse_folds(text, 5)


def test_a_range_that_runs_backwards_names_no_fold():
    with pytest.raises(CompetitionError, match=r"--fold 3\.\.1 names no fold"):
        parse_folds("3..1", 5)
