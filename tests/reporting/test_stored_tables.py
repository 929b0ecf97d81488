"""Tables of train and tune: names stay as they are, and what is no table is named."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.reporting.stored_tables import read_stored_table


@pytest.fixture
def read(tmp_path):
    def run(text):
        (tmp_path / "a.csv").write_text(text)
        return read_stored_table(tmp_path / "a.csv", ("class",), ("score",), "Run ./run.sh tune")

    return run


def test_names_that_look_like_nothing_or_a_number_stay_text(read):
    table = read("class,score,other\nNA,0.5,1\n007,,nan\n")
    assert table["class"].tolist() == ["NA", "007"]
    assert np.array_equal(table["score"], [0.5, np.nan], equal_nan=True)
    assert table["other"].tolist() == ["1", "nan"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("class\na\n", "column 'score' is missing"),
        ("class,score\na,x\n", "holds what is no number"),
        (f"class,score\na,{'9' * 400}\n", "holds what is no number"),
        ("class,score\na,inf\n", "holds what is no number"),
        ("", "can't be read as a table"),
    ],
)
def test_what_is_no_table_is_named_with_its_command(read, text, reason):
    with pytest.raises(CompetitionError, match=rf"{reason}.*a\.csv\. Run \./run\.sh tune\.$"):
        read(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CompetitionError, match=r"the file is missing: .*b\.csv"):
        read_stored_table(tmp_path / "b.csv", (), (), "Run ./run.sh tune")
