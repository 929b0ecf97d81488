"""meta_data.xlsx: the organiser's quirks are read, a mangled sheet as far as it goes, another file is refused."""

import os
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from competition.errors import CompetitionError
from competition.tracks.hand_bone.people import Person, describe_people, read_people

HEADINGS = ["ID", "나이", "성별", "체중(몸무게)", "키(신장)", None]


def write(path: Path, rows: list[list[Any]], title: str = "ID") -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


def test_the_organisers_sheet_with_its_spellings_and_stray_cells(tmp_path: Path) -> None:
    spellings = ["_x0008_여", "_x0008_남", "남", "여", " 여", " 남"]
    rows = [[f"{n:03d}", 20 + n, sex, 60.5, 170 + n] for n, sex in enumerate(spellings, start=1)]
    rows[2].append("네일있음")
    people = read_people(write(tmp_path / "m.xlsx", [HEADINGS, *rows, [None] * 26]))
    assert list(people) == [f"ID00{n}" for n in range(1, 7)]
    assert [person.sex for person in people.values()] == ["female", "male", "male", "female", "female", "male"]
    assert people["ID003"] == Person(age=23.0, sex="male", weight_kg=60.5, height_cm=173.0)


@pytest.mark.parametrize("cell", ["001", 1, 1.0, "ID001", "id001", " 1 "])
def test_an_identifier_is_read_in_any_spelling(tmp_path: Path, cell: Any) -> None:
    assert list(read_people(write(tmp_path / "m.xlsx", [HEADINGS, [cell, 30, "남", 70, 180]]))) == ["ID001"]


def test_cells_that_cannot_be_read_are_left_open(tmp_path: Path) -> None:
    rows = [["001", "old", "?", None, "nan"], ["total", 31, "남", 70, 180], ["002", "41", "F", "70.5", 160]]
    people = read_people(write(tmp_path / "m.xlsx", [HEADINGS, *rows, ["002", 99, "남", 1, 1]]))
    assert people == {"ID001": Person(None, None, None, None), "ID002": Person(41.0, "female", 70.5, 160.0)}


def test_missing_columns_and_another_order_or_title_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "m.xlsx", [["Height (cm)", "id", "Sex"], [181.5, "7", "Male"]], title="Sheet1")
    assert read_people(path) == {"ID007": Person(None, "male", None, 181.5)}


def test_a_sheet_without_identifiers_is_refused(tmp_path: Path) -> None:
    for rows in ([["나이", "성별"], [30, "남"]], []):
        with pytest.raises(CompetitionError, match=r"the first row has no column ID: .*m\.xlsx\. Repair the sheet"):
            read_people(write(tmp_path / "m.xlsx", rows))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"ID,age\n1,2\n"])
def test_a_file_that_is_no_sheet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.xlsx").write_bytes(content)
    sentence = r"can't be read as an Excel sheet .*m\.xlsx\. Repair it, or remove it: nothing else needs it"
    with pytest.raises(CompetitionError, match=sentence):
        read_people(tmp_path / "m.xlsx")


def test_a_cut_sheet_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.xlsx", [HEADINGS, ["001", 30, "남", 70, 180]])
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CompetitionError, match="can't be read as an Excel sheet"):
        read_people(path)


def test_a_stray_cell_far_below_is_refused_and_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.xlsx", [HEADINGS, ["001", 30, "남", 70, 180]])
    book = openpyxl.load_workbook(path)
    book["ID"]["C1048576"] = "x"
    book.save(path)
    with pytest.raises(CompetitionError, match=r"its cells reach to row 1,048,576 and column 5\): .*m\.xlsx"):
        read_people(path)


def test_a_sheet_that_inflates_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(70 << 20))
    with pytest.raises(CompetitionError, match=r"it inflates to 73,400,320 bytes.*m\.xlsx"):
        read_people(tmp_path / "m.xlsx")
    os.mkfifo(tmp_path / "n.xlsx")
    with pytest.raises(CompetitionError, match=r"a pipe or a device.*n\.xlsx"):
        read_people(tmp_path / "n.xlsx")


def test_a_number_of_too_many_digits_is_no_identifier(tmp_path: Path) -> None:
    assert list(read_people(write(tmp_path / "m.xlsx", [HEADINGS, ["9" * 5000, 30], ["2", 31]]))) == ["ID002"]


def test_people_of_each_split_are_summed_up() -> None:
    people = {
        "ID001": Person(20, "female", 50, 160),
        "ID002": Person(31, "male", None, 171),
        "ID003": Person(None, "male", 80.5, None),
        "ID009": Person(99, "female", 99, 99),
    }
    assert describe_people(people, {"ID001", "ID002", "ID003", "ID004"}, {"ID003", "ID005"}) == (
        "meta_data.xlsx: 4 people; "
        "train 3 of 4 (33% female, 25.5 years (20-31), 165.5 cm (160-171), 65.2 kg (50-80.5)); "
        "test 1 of 2 (0% female, 80.5 kg (80.5-80.5))"
    )
    assert describe_people(people, {"ID007"}, set()) == "meta_data.xlsx: 4 people; train 0 of 1"
