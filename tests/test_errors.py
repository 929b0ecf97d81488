"""How the sentence of an error is put together."""

from pathlib import Path

import pytest

from competition.errors import CompetitionError


def test_a_sentence_stays_one_line_of_readable_length():
    error = CompetitionError("row 2: 'a\nb\x1b[31m' is no class", Path("x\u2028y.csv"))
    assert str(error) == "row 2: 'a\\nb\\x1b[31m' is no class: x\\u2028y.csv."
    assert str(CompetitionError(f"row 2: {'9' * 5000} is no number")) == f"row 2: {'9' * 200}... is no number."
    assert str(CompetitionError("왼손 '\ud800'")) == "왼손 '\\ud800'."
    assert str(CompetitionError(f"it has {chr(0) * 900}", "a.mat")) == "it has " + "\\x00" * 50 + "... a.mat."
    long = str(CompetitionError(f"it has {'key ' * 5000}", "a.mat", "Run prepare"))
    assert len(long) < 2510
    assert (long[:10], long[-21:]) == ("it has key", ": a.mat. Run prepare.")
    path = "d/" * 400
    assert path in str(CompetitionError("no such file", path))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no rows",), "no rows."),
        (("no rows", Path("a/b.csv")), "no rows: a/b.csv."),
        (("no rows", "a.csv", "Run ensemble again"), "no rows: a.csv. Run ensemble again."),
        (("unknown class 'finger': did you mean finger-1?",), "unknown class 'finger': did you mean finger-1?"),
        (("did you mean finger-1?", "a.csv"), "did you mean finger-1? (a.csv)."),
        (("1 check failed; the first: no rows: a.csv.",), "1 check failed; the first: no rows: a.csv."),
    ],
)
def test_what_is_followed_by_where_and_by_what_repairs_it(arguments, sentence):
    assert str(CompetitionError(*arguments)) == sentence
