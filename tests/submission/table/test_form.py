import pytest

from competition.submission.known_images import KnownImages
from competition.submission.table.form import TableForm

COLUMNS = ("Aneurysm", "L_ICA")


def table_file(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["0_1", "\u0661", "0x1", "1e", " ", "--1", "1" * 400 + "_"])
def test_a_probability_is_a_decimal_number_in_ascii(tmp_path, text):
    path = table_file(tmp_path, f"Index,Aneurysm,L_ICA\n1,{text},0\n2,0.1,0\n")
    result = TableForm().check(path, COLUMNS)
    assert len(result.errors) == 1
    assert "not a number from 0 to 1" in result.errors[0]
    assert len(result.errors[0]) < 120


def test_a_good_table_passes(tmp_path):
    path = table_file(tmp_path, "Index,Aneurysm,L_ICA\n0047,0.25,1\n3,1e-9,0\n")
    result = TableForm().check(path, COLUMNS, KnownImages(["0047", "3"]))
    assert (result.errors, result.warnings) == ([], [])
    assert (result.rows, result.images) == (2, 2)
    assert result.positive_share == {"Aneurysm": 0.0, "L_ICA": 0.5}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1.5,0", "row 2: Aneurysm of Index 1 is '1.5', not a number from 0 to 1"),
        ("1,-0.01,0", "Aneurysm of Index 1 is '-0.01'"),
        ("1,nan,0", "Aneurysm of Index 1 is 'nan'"),
        ("1,inf,0", "Aneurysm of Index 1 is 'inf'"),
        ("1,,0", "Aneurysm of Index 1 is ''"),
        ("1,0.5,0.5", "L_ICA of Index 1 is '0.5', not the integer 0 or 1"),
        ("1,0.5,1.0", "L_ICA of Index 1 is '1.0'"),
        ("1,0.5,2", "L_ICA of Index 1 is '2'"),
        ("1,0.5,", "L_ICA of Index 1 is ''"),
        ("1,0.5", "row 2 has 2 fields, not 3"),
        ("2,0.5,0", "row 3: Index '2' appears twice (first in row 2)"),
    ],
)
def test_one_bad_cell_of_a_table_is_named(tmp_path, line, message):
    result = TableForm().check(table_file(tmp_path, f"Index,Aneurysm,L_ICA\n{line}\n2,0.1,0\n"), COLUMNS)
    assert len(result.errors) == 1
    assert message in result.errors[0]


def test_order_and_count_of_a_table(tmp_path):
    path = table_file(tmp_path, "Index,Aneurysm,L_ICA\n2,0.5,0\n1,0.1,0\n")
    shuffled = TableForm().check(path, COLUMNS, KnownImages(["1", "2"])).errors
    assert len(shuffled) == 1
    assert "the rows are the same but in another order" in shuffled[0]
    assert TableForm().check(path, COLUMNS, KnownImages(["2", "1", "5"])).errors == ["1 of 3 rows missing: 5"]
    assert TableForm().check(path, COLUMNS, KnownImages(["2"])).errors == ["1 of 2 rows not in the test set: 1"]


def test_header_of_a_table_is_exact(tmp_path):
    path = table_file(tmp_path, "Aneurysm,L_ICA,Index\n0.5,0,1\n")
    assert "in another order" in TableForm().check(path, COLUMNS).errors[0]


def test_constant_probabilities_are_a_warning(tmp_path):
    path = table_file(tmp_path, "Index,Aneurysm,L_ICA\n1,0.5,0\n2,0.50,0\n")
    result = TableForm().check(path, COLUMNS)
    assert result.ok
    assert "AUROC of 0.5" in result.warnings[0]
