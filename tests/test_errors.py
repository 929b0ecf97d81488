"""How the sentence of an error is put together."""

from pathlib import Path

import pytest

from competition.errors import CompetitionError


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
def test_what_is_followed_by_where_and_by_what_mends_it(arguments, sentence):
    assert str(CompetitionError(*arguments)) == sentence
