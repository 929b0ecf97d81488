"""The lumbar track: images and labels paired by number, groups, pictures and their spacing."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from competition.errors import CompetitionError
from competition.submission.array_zip.form import ArrayZipForm
from competition.tracks.lumbar.track import LUMBAR, list_spines, list_test_spines, number_of

SIZE_HW = (40, 30)
UNKNOWN = "warning: {} of {} training images name no patient, so each of them is a group of its own"


def put_label(path):
    """Listing pairs labels and reads none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture
def spines(tmp_path, write_dicom):
    """Three training and two test images, in folders whose sorted orders do not agree."""
    for number in (2, 10, 9):
        write_dicom(tmp_path / f"train/img/{number}.dcm", np.full(SIZE_HW, number, np.uint16), PatientID=f"P{number}")
        put_label(tmp_path / f"train/label/{number:03d}.mat")
    for number in (2, 77):
        write_dicom(tmp_path / f"test/img/{number}.DCM", np.full(SIZE_HW, 500 + number, np.uint16))
    return tmp_path


def test_six_classes_and_no_background() -> None:
    assert LUMBAR.classes == tuple(f"vertebra_{number}" for number in (1, 2, 3, 4, 5, 6))
    assert LUMBAR.mirror is not None
    assert LUMBAR.mirror.classes == (0, 1, 2, 3, 4, 5)
    assert (LUMBAR.form, LUMBAR.form.ending, LUMBAR.size_hw) == (ArrayZipForm(), ".zip", None)


@pytest.mark.parametrize(
    ("name", "number"), [("007.mat", "7"), ("IMG_2018_12.DCM", "12"), ("3", "3"), ("spine.dcm", ""), ("000.mat", "0")]
)
def test_the_number_is_the_last_in_the_name(name: str, number: str) -> None:
    assert number_of(name) == number


def test_images_and_labels_are_paired_by_number_not_by_order(spines) -> None:
    listing = list_spines(spines)
    assert listing.problems == []
    assert [(sample.key, sample.group, sample.images, sample.label) for sample in listing.samples] == [
        ("train_2", pseudonym("P2"), ("train/img/2.dcm",), "train/label/002.mat"),
        ("train_9", pseudonym("P9"), ("train/img/9.dcm",), "train/label/009.mat"),
        ("train_10", pseudonym("P10"), ("train/img/10.dcm",), "train/label/010.mat"),
        ("test_2", "2.DCM", ("test/img/2.DCM",), None),
        ("test_77", "77.DCM", ("test/img/77.DCM",), None),
    ]
    assert [sample.name for sample in listing.samples[-2:]] == ["2.DCM", "77.DCM"]


def test_whatever_has_no_partner_is_a_problem(spines, write_dicom) -> None:
    (spines / "train/label/009.mat").unlink()
    put_label(spines / "train/label/118.mat")
    put_label(spines / "train/label/119.mat")
    write_dicom(spines / "train/img/spine.dcm", np.ones(SIZE_HW, np.uint16))
    (spines / "train/img/._2.dcm").touch()
    listing = list_spines(spines)
    assert [sample.key for sample in listing.samples] == ["train_2", "train_10", "test_2", "test_77"]
    found = {problem.path: problem.reason for problem in listing.problems}
    assert set(found) == {"train/img/9.dcm", "train/img/spine.dcm", "train/label/118.mat", "train/label/119.mat"}
    assert "number 9 has 1 images and 0 labels" in found["train/img/9.dcm"]
    assert "number 118 has 0 images and 1 labels" in found["train/label/118.mat"]
    # Without the totals one label too many looks like a single slip.
    assert "(4 images and 4 labels in all)" not in found["train/label/118.mat"]
    assert "has no number" in found["train/img/spine.dcm"]
    (spines / "train/label/119.mat").unlink()
    assert "(4 images and 3 labels in all)" in list_spines(spines).problems[-1].reason


def test_a_number_that_stands_twice_is_nobodys(spines) -> None:
    (spines / "train/img/IMG_009.dcm").write_bytes((spines / "train/img/9.dcm").read_bytes())
    listing = list_spines(spines)
    assert "train_9" not in [sample.key for sample in listing.samples]
    assert {problem.path for problem in listing.problems} == {
        "train/img/9.dcm",
        "train/img/IMG_009.dcm",
        "train/label/009.mat",
    }
    assert "number 9 has 2 images and 1 labels" in listing.problems[0].reason


def test_empty_folders_are_errors(tmp_path, spines) -> None:
    with pytest.raises(CompetitionError, match="no training image found"):
        list_spines(tmp_path / "elsewhere")
    with pytest.raises(CompetitionError, match="no test image found"):
        list_test_spines(tmp_path / "elsewhere")
    (spines / "test/img/2.png").touch()
    with pytest.raises(CompetitionError, match="share the name 2"):
        list_spines(spines)


def test_a_later_test_set_is_found_below_its_folder(spines) -> None:
    samples = list_test_spines(spines / "test").samples
    assert [(sample.key, sample.images) for sample in samples] == [
        ("test_2", ("img/2.DCM",)),
        ("test_77", ("img/77.DCM",)),
    ]


def pseudonym(group: str) -> str:
    """What becomes of a PatientID; file names are the team's own."""
    return group if group.endswith(".dcm") else "patient-" + hashlib.sha256(group.encode()).hexdigest()[:10]


@pytest.mark.parametrize(
    ("patients", "groups", "remarks"),
    [
        (["A", "A", "B", "B"], ["A", "A", "B", "B"], []),
        (["A", "", " ", "B"], ["A", "2.dcm", "3.dcm", "B"], [UNKNOWN.format(2, 4)]),
        (["", ""], ["1.dcm", "2.dcm"], [UNKNOWN.format(2, 2)]),
        (
            ["ANON", "ANON", "ANON", "B"],
            ["1.dcm", "2.dcm", "3.dcm", "B"],
            ["one PatientID is in 3 of 4 files, so it does not identify a patient", UNKNOWN.format(3, 4)],
        ),
        (["A", "A"], ["A", "A"], []),
        (["A", "A", "A", "B", "C", "D"], ["A", "A", "A", "B", "C", "D"], []),
    ],
)
def test_the_group_is_the_patient_unless_the_id_is_everybodys(tmp_path, write_dicom, patients, groups, remarks) -> None:
    for number, patient in enumerate(patients, start=1):
        write_dicom(tmp_path / f"train/img/{number}.dcm", np.ones(SIZE_HW, np.uint16), PatientID=patient)
        put_label(tmp_path / f"train/label/{number}.mat")
    listing = list_spines(tmp_path)
    assert [sample.group for sample in listing.samples] == [pseudonym(group) for group in groups]
    assert [remark.partition(": images of")[0] for remark in listing.remarks] == remarks


def test_pngs_name_no_patient_and_a_damaged_file_is_no_such_image(tmp_path, write_dicom) -> None:
    for number in (1, 2, 3, 4):
        put_label(tmp_path / f"train/label/{number}.mat")
    write_dicom(tmp_path / "train/img/1.dcm", np.ones(SIZE_HW, np.uint16), PatientID="A")
    (tmp_path / "train/img/2.dcm").write_bytes(b"DICM")  # prepare rejects it, so no model sees it
    assert list_spines(tmp_path).remarks == []
    for number in (3, 4):
        (tmp_path / f"train/img/{number}.png").touch()
    (remark,) = list_spines(tmp_path).remarks
    assert remark.startswith("warning: 2 of 4 training images name no patient")
    assert "may lie in two folds" in remark
    assert "PatientID into the DICOM files" in remark
    assert "same fold in folds/lumbar.csv" in remark


def test_no_patient_id_is_in_a_listing(tmp_path, write_dicom) -> None:
    for number in (1, 2):
        write_dicom(tmp_path / f"train/img/{number}.dcm", np.ones(SIZE_HW, np.uint16), PatientID="880101-1234567")
        put_label(tmp_path / f"train/label/{number}.mat")
    assert "880101" not in repr(list_spines(tmp_path))


def test_a_png_is_an_image_of_its_own_group_without_spacing(tmp_path) -> None:
    values = np.arange(SIZE_HW[0] * SIZE_HW[1], dtype=np.uint8).reshape(SIZE_HW)
    (tmp_path / "train/img").mkdir(parents=True)
    Image.fromarray(values).save(tmp_path / "train/img/4.png")
    put_label(tmp_path / "train/label/4.mat")
    (sample,) = list_spines(tmp_path).samples
    assert sample.group == "4.png"
    path = tmp_path / str(sample.images[0])
    np.testing.assert_array_equal(LUMBAR.read_image(path), values)
    assert LUMBAR.read_spacing is not None
    assert LUMBAR.read_spacing(path) is None


def test_a_dicom_gives_picture_and_spacing(tmp_path, write_dicom) -> None:
    stored = np.array([[0, 51], [102, 255]], np.uint16) * 16
    path = write_dicom(tmp_path / "4.DCM", stored, ImagerPixelSpacing=[0.143, 0.144])
    np.testing.assert_array_equal(LUMBAR.read_image(path), [[0, 51], [102, 255]])
    assert LUMBAR.read_spacing is not None
    assert LUMBAR.read_spacing(path) == (0.143, 0.144)


def test_litter_is_no_spine_and_a_picture_of_another_ending_is_named(spines) -> None:
    for name in ("train/img/._2.dcm", "test/img/._2.DCM", "train/label/._002.mat"):
        (spines / name).touch()
    assert list_spines(spines).problems == []
    for name in ("train/img/8.jpg", "test/img/78.bmp"):
        (spines / name).touch()
    found = {problem.path: problem.note for problem in list_spines(spines).problems}
    assert found == {"train/img/8.jpg": True, "test/img/78.bmp": False}
    with pytest.raises(CompetitionError, match=r"takes no \.bmp files \(1 in all\): .*78\.bmp"):
        list_test_spines(spines / "test")
