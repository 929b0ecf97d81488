"""DICOM slices with contours: who belongs to whom, and what is told where something does not fit."""

import shutil
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.tracks.cardiac.contours import find_contours, list_dicom_slices, list_test_dicoms

SQUARE = "1 1\n2 1\n2 2\n"


def lay(root: Path, *slices: tuple[str, int]) -> None:
    """Empty DICOM files, which listing does not open."""
    for patient, number in slices:
        path = root / "dicom" / patient / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def outline(root: Path, patient: str, number: int, text: str = "", kind: str = "i") -> Path:
    """Writes a contour; without a text its content is its own."""
    path = root / "contours" / patient / f"{kind}-contours" / f"IM-0001-{number:04d}-{kind}contour-manual.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or f"{SQUARE}{number} {len(patient)}\n{kind} {patient}")
    return path


def link(root: Path, *rows: str) -> None:
    (root / "link.csv").write_text("\n".join(["patient_id,original_id", *rows]) + "\n")


@pytest.fixture
def hearts(tmp_path: Path) -> Path:
    """Two patients with two labelled slices each; the first has one slice without contour."""
    lay(tmp_path, ("SCD01", 7), ("SCD01", 20), ("SCD01", 100), ("SCD02", 7), ("SCD02", 9))
    for patient, number in (("SC-HF-I-2", 20), ("SC-HF-I-2", 100), ("SC-N-11", 7), ("SC-N-11", 9)):
        outline(tmp_path, patient, number)
    link(tmp_path, "SCD01,SC-HF-I-2", "SCD02,SC-N-11")
    return tmp_path


def test_contours_are_joined_to_dicom_by_the_link_and_the_number(hearts: Path) -> None:
    listing = list_dicom_slices(hearts)
    assert listing.problems == []
    assert [(s.key, s.group, s.stratum, s.split, s.images) for s in listing.samples] == [
        ("SC-HF-I-02-IM-0001-0020.dcm", "SC-HF-I-02", "HF-I", "train", ("dicom/SCD01/20.dcm",)),
        ("SC-HF-I-02-IM-0001-0100.dcm", "SC-HF-I-02", "HF-I", "train", ("dicom/SCD01/100.dcm",)),
        ("SC-N-11-IM-0001-0007.dcm", "SC-N-11", "N", "train", ("dicom/SCD02/7.dcm",)),
        ("SC-N-11-IM-0001-0009.dcm", "SC-N-11", "N", "train", ("dicom/SCD02/9.dcm",)),
    ]
    first = listing.samples[0]
    assert first.label == "contours/SC-HF-I-2/i-contours/IM-0001-0020-icontour-manual.txt"
    assert first.name == "SC-HF-I-02-IM-0001-0020.dcm.png"
    assert listing.remarks == ["train: 1 DICOM images have no contour; they are unlabelled, not empty, and left out"]


def test_the_link_decides_and_not_the_order_of_names(hearts: Path) -> None:
    link(hearts, "SCD02,SC-HF-I-2", "SCD01,SC-N-11")
    images = {s.key: s.images[0] for s in list_dicom_slices(hearts).samples}
    assert images == {"SC-N-11-IM-0001-0007.dcm": "dicom/SCD01/7.dcm"}


def test_patients_of_one_name_in_both_need_no_link(tmp_path: Path) -> None:
    lay(tmp_path, ("SC-HYP-3", 5))
    outline(tmp_path, "SC-HYP-03", 5)
    assert [s.group for s in list_dicom_slices(tmp_path).samples] == ["SC-HYP-03"]


def test_deeper_folders_and_long_names_of_the_public_archive_are_read(tmp_path: Path) -> None:
    for path in ("dicom/SC-N-2/CINESAX_300/IM-0898-0048.DCM", "contours/SC-N-2/contours-manual/IRCCI-expert/"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "dicom/SC-N-2/CINESAX_300/IM-0898-0048.DCM").touch()
    folder = tmp_path / "contours/SC-N-2/contours-manual/IRCCI-expert"
    folder.mkdir()
    (folder / "IM-0001-0048-icontour-manual.txt").write_text(SQUARE)
    (folder / "IM-0001-0048-p1-contour-manual.txt").write_text(SQUARE)  # a papillary muscle
    listing = list_dicom_slices(tmp_path)
    assert [s.key for s in listing.samples] == ["SC-N-02-IM-0001-0048.dcm"]
    assert listing.problems == []


def test_a_slice_with_only_an_epicardial_contour_is_no_sample(hearts: Path) -> None:
    outline(hearts, "SC-HF-I-2", 7, kind="o")
    assert len(list_dicom_slices(hearts).samples) == 4


def test_a_contour_without_image_is_a_problem(hearts: Path) -> None:
    outline(hearts, "SC-N-11", 8)
    (problem,) = list_dicom_slices(hearts).problems
    assert (problem.key, problem.reason) == ("SC-N-11-IM-0001-0008.dcm", "contour without DICOM image")
    assert problem.path.endswith("SC-N-11/i-contours/IM-0001-0008-icontour-manual.txt")
    assert not problem.note


def test_a_patient_without_link_is_a_problem(hearts: Path) -> None:
    link(hearts, "SCD01,SC-HF-I-2")
    listing = list_dicom_slices(hearts)
    assert {s.group for s in listing.samples} == {"SC-HF-I-02"}
    (problem,) = listing.problems
    assert "contours of SC-N-11, but no DICOM folder is linked to it by link.csv" in problem.reason


def test_no_link_at_all_is_an_error_that_asks_for_it(hearts: Path) -> None:
    (hearts / "link.csv").unlink()
    with pytest.raises(CompetitionError, match=r"no contour has its DICOM image.*contours\. Is link\.csv there"):
        list_dicom_slices(hearts)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["SCD01,SC-N-1", "SCD01,SC-N-2"], r"SCD01 or SC-N-2 is linked twice: .*link\.csv, row 3"),
        (["SCD01,SC-N-1", "SCD02,SC-N-1"], r"SCD02 or SC-N-1 is linked twice: .*link\.csv, row 3"),
        (["SCD01"], r"1 values for 2 columns: .*link\.csv, row 2"),
    ],
)
def test_a_broken_link_table_is_named_with_its_row(hearts: Path, rows: list[str], message: str) -> None:
    link(hearts, *rows)
    with pytest.raises(CompetitionError, match=message):
        list_dicom_slices(hearts)


def test_a_link_table_of_other_columns_is_named(hearts: Path) -> None:
    (hearts / "link.csv").write_text("PatientID,OriginalID\nSCD01,SC-HF-I-2\n")
    with pytest.raises(CompetitionError, match=r"the columns are not patient_id,original_id: .*link\.csv"):
        list_dicom_slices(hearts)


def test_two_files_of_one_number_and_a_name_without_number_are_problems(hearts: Path) -> None:
    lay(hearts, ("SCD01/again", 20))
    (hearts / "dicom" / "SCD01" / "scout.dcm").touch()
    found = {problem.path: problem.reason for problem in list_dicom_slices(hearts).problems}
    assert found == {
        "dicom/SCD01/again/20.dcm": ("two DICOM files of SC-HF-I-02 have number 20 (the other is dicom/SCD01/20.dcm)"),
        "dicom/SCD01/scout.dcm": "the name does not end in the slice's number",
    }


def test_byte_copies_between_patients_are_problems_of_both(hearts: Path) -> None:
    shutil.copy(outline(hearts, "SC-HF-I-2", 20), outline(hearts, "SC-N-11", 9))
    problems = list_dicom_slices(hearts).problems
    assert [(p.key, p.note) for p in problems] == [
        ("SC-HF-I-02-IM-0001-0020.dcm", False),
        ("SC-N-11-IM-0001-0009.dcm", False),
    ]
    assert "byte copy of another patient's contour (contours/SC-N-11/i-contours/IM-0001-0009" in problems[0].reason
    assert "byte copy of another patient's contour (contours/SC-HF-I-2/i-contours/IM-0001-0020" in problems[1].reason


def test_copies_of_epicardial_contours_are_noted_and_leave_the_slices(hearts: Path) -> None:
    shutil.copy(outline(hearts, "SC-HF-I-2", 20, kind="o"), outline(hearts, "SC-N-11", 7, kind="o"))
    listing = list_dicom_slices(hearts)
    assert [(p.key, p.note) for p in listing.problems] == [
        ("SC-HF-I-02-IM-0001-0020.dcm", True),
        ("SC-N-11-IM-0001-0007.dcm", True),
    ]
    assert len(listing.samples) == 4


def test_copies_within_a_patient_are_none(hearts: Path) -> None:
    shutil.copy(outline(hearts, "SC-HF-I-2", 20), outline(hearts, "SC-HF-I-2", 100))
    assert list_dicom_slices(hearts).problems == []


def test_test_slices_are_those_with_a_contour_where_contours_are_at_hand(hearts: Path) -> None:
    lay(hearts / "test", ("SCD09", 3), ("SCD09", 4))
    link(hearts, "SCD01,SC-HF-I-2", "SCD02,SC-N-11", "SCD09,SC-N-5")
    test = [s for s in list_dicom_slices(hearts).samples if s.split == "test"]
    assert [(s.key, s.images, s.label) for s in test] == [
        ("SC-N-05-IM-0001-0003.dcm", ("test/dicom/SCD09/3.dcm",), None),
        ("SC-N-05-IM-0001-0004.dcm", ("test/dicom/SCD09/4.dcm",), None),
    ]
    outline(hearts / "test", "SC-N-5", 4)
    outline(hearts / "test", "SC-N-5", 5)
    listing = list_dicom_slices(hearts)
    test = [s for s in listing.samples if s.split == "test"]
    assert [(s.key, s.label) for s in test] == [("SC-N-05-IM-0001-0004.dcm", None)]
    assert [(p.split, p.note) for p in listing.problems] == [("test", True)]
    assert listing.remarks[1].startswith("test: 1 DICOM images have no contour")


def test_a_link_table_of_the_test_part_wins(hearts: Path) -> None:
    lay(hearts / "test", ("SCD01", 3))
    link(hearts / "test", "SCD01,SC-HYP-7")
    assert [s.group for s in list_dicom_slices(hearts).samples if s.split == "test"] == ["SC-HYP-07"]


def test_a_later_test_set_with_two_slices_of_one_number_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, ("SCD01/a", 3), ("SCD01/b", 3))
    with pytest.raises(CompetitionError, match=r"two DICOM files of SCD01 have number 3 .*SCD01/b/3\.dcm"):
        list_test_dicoms(tmp_path)


def test_contours_are_found_from_any_folder_around_them(hearts: Path) -> None:
    expected = {"SC-HF-I-02": {20, 100}, "SC-N-11": {7, 9}}
    for folder in (hearts, hearts / "contours"):
        assert {patient: set(slices) for patient, slices in find_contours(folder).items()} == expected
    alone = find_contours(hearts / "contours" / "SC-N-11" / "i-contours")
    assert {patient: set(slices) for patient, slices in alone.items()} == {"SC-N-11": {7, 9}}


def test_a_link_to_a_folder_of_a_near_name_is_meant(hearts: Path) -> None:
    link(hearts, "SCD01,SC-HF-I-2", "scd02,SC-N-11")
    (problem,) = list_dicom_slices(hearts).problems
    assert problem.reason.endswith("linked to it by link.csv, did you mean folder 'SCD02' by 'scd02'?")


def test_litter_and_linked_folders_of_hearts(hearts: Path) -> None:
    for name in ("dicom/SCD01/._7.dcm", "__MACOSX/contours/SC-N-11/i-contours/IM-0001-0009-icontour-manual.txt"):
        (hearts / name).parent.mkdir(parents=True, exist_ok=True)
        (hearts / name).touch()
    before = list_dicom_slices(hearts)
    assert before.problems == []
    for folder in ("dicom/SCD02", "contours/SC-N-11"):
        (hearts / folder).rename(hearts / "moved")
        shutil.move(hearts / "moved", hearts.parent / Path(folder).name)
        (hearts / folder).symlink_to(hearts.parent / Path(folder).name, target_is_directory=True)
    assert list_dicom_slices(hearts) == before
