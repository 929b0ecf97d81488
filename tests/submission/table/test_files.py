import os

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.submission.table.files import read_table_csv, write_table_csv

COLUMNS = ["Aneurysm", "L_ICA", "BA"]


def test_table_form(tmp_path):
    path = tmp_path / "t.csv"
    values = np.array([[0.123456789, 1, 0], [1, 0, 0], [0, 0, 1]])
    write_table_csv(path, ["0047", "1001", "3"], COLUMNS, values)
    assert path.read_text() == "Index,Aneurysm,L_ICA,BA\n0047,0.123456789,1,0\n1001,1.00000000,0,0\n3,0.00000000,0,1\n"
    frame = read_table_csv(path, COLUMNS)
    assert list(frame.index) == ["0047", "1001", "3"]
    assert list(frame.columns) == COLUMNS
    np.testing.assert_array_equal(frame.to_numpy(), values)


def test_probabilities_that_differ_are_never_written_alike_nor_with_an_exponent(tmp_path):
    path = tmp_path / "s.csv"
    probs = np.array([1e-12, 3e-12, np.nextafter(0.5, 1), 0.5, 1 - 1e-13, 1 - 2e-13, 5e-324])
    write_table_csv(path, [str(n) for n in range(7)], ("Aneurysm", "L_ICA"), np.stack([probs, probs * 0], axis=1))
    np.testing.assert_array_equal(read_table_csv(path, ("Aneurysm", "L_ICA"))["Aneurysm"], probs)
    assert "e" not in path.read_text().split("\n", 1)[1]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, np.nan, "Aneurysm of Index 8 is nan"),
        (0, 1.01, "Aneurysm of Index 8 is 1.01"),
        (0, -0.1, "Aneurysm of Index 8"),
        (2, 0.5, "BA of Index 8 is 0.5, not 0 or 1"),
        (1, np.nan, "L_ICA of Index 8 is nan"),
    ],
)
def test_table_never_writes_a_value_out_of_range(tmp_path, column, value, message):
    values = np.zeros((2, 3))
    values[1, column] = value
    with pytest.raises(CompetitionError, match=message):
        write_table_csv(tmp_path / "t.csv", ["7", "8"], COLUMNS, values)
    assert os.listdir(tmp_path) == []


def test_table_refuses_a_shape_that_does_not_fit(tmp_path):
    with pytest.raises(CompetitionError, match="2 rows x 3 columns"):
        write_table_csv(tmp_path / "t.csv", ["7", "8"], COLUMNS, np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Index,Aneurysm,L_ICA\n1,0.5,0\n", "there is no column 'BA'"),
        ("Index,Aneurysm,L_ICA,BA\n1,0.5,0,0\n1,0.5,0,0\n", "row 3: Index '1' appears twice"),
        ("Index,Aneurysm,L_ICA,BA\n1,high,0,0\n", "row 2: Aneurysm is 'high', not a number"),
        ("Index,Aneurysm,L_ICA,BA\n1,0.5,0\n", "row 2 has 3 fields, not 4"),
    ],
)
def test_malformed_table(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(CompetitionError, match=message):
        read_table_csv(path, COLUMNS)


def test_table_columns_are_joined_by_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Aneurysm,BA,L_ICA,Index\n0.5,1,0,9\n")
    assert read_table_csv(path, COLUMNS).loc["9"].tolist() == [0.5, 0.0, 1.0]
