"""What is written for one image: pictures at native size, tables, DICOM SEG, and no file twice."""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import highdicom
import numpy as np
import pydicom
import pytest

from competition.errors import CompetitionError
from competition.inference.outputs import (
    MaskAnswer,
    TableAnswer,
    class_files,
    write_mask_answer,
)
from competition.inference.summary import SYNTHETIC, check_replaceable, mask_rows, readme, table_row, write_summary
from competition.masks.bit_planes import pack_masks

CLASSES = ("femur", "tibia")


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def answer_of(masks, **changes):
    image = np.random.default_rng(0).integers(0, 90, masks.shape[1:], dtype=np.uint8)
    given = {
        "name": "knee",
        "image": image,
        "planes": pack_masks(masks),
        "disagreement": np.full(masks.shape[1:], 7, np.uint8),
        "fold_dice": np.array([0.9, 0.7]),
        "spacing_mm": None,
        "source": Path("knee.png"),
    }
    return MaskAnswer(**given | changes)


@pytest.fixture
def masks():
    masks = np.zeros((2, 60, 300), bool)
    masks[0, 10:40, 20:80] = True
    masks[1, 30:50, 60:120] = True
    return masks


def test_masks_labels_and_disagreement_are_as_they_were(masks, tmp_path):
    answer = answer_of(masks)
    files = write_mask_answer(tmp_path, answer, CLASSES)
    assert sorted(files) == sorted(path.name for path in tmp_path.iterdir())
    for name, mask in zip(CLASSES, masks, strict=True):
        np.testing.assert_array_equal(read(tmp_path / f"knee.{name}.png"), mask * 255)
    labels = read(tmp_path / "knee.labels.png")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.where(masks[1], 2, np.where(masks[0], 1, 0)))
    assert (read(tmp_path / "knee.disagreement.png") == 7).all()


def test_results_of_a_sub_folder_are_in_one(masks, tmp_path):
    files = write_mask_answer(tmp_path, answer_of(masks, name="P7/left/knee"), CLASSES)
    assert sorted(files) == sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert (tmp_path / "P7" / "left" / "knee.overlay.png").exists()


def test_more_than_255_classes_have_labels_of_16_bits(tmp_path):
    masks = np.zeros((300, 4, 5), bool)
    masks[299, 1, 2] = masks[255, 0, 0] = True
    write_mask_answer(tmp_path, answer_of(masks, fold_dice=None), [f"c{number}" for number in range(300)])
    labels = read(tmp_path / "knee.labels.png")
    assert labels.dtype == np.uint16
    assert (labels[1, 2], labels[0, 0], labels.sum()) == (300, 256, 556)


def test_class_names_become_different_file_names():
    names = ["a/b", "a-b", "Overlay", "labels", "A-B_", "x"]
    assert class_files(names) == ["a-b", "a-b_", "Overlay_", "labels_", "A-B__", "x"]


def test_the_table_of_masks_has_sizes_in_mm_and_blanks_for_what_is_unknown(masks, tmp_path):
    masks[1] = False
    rows = mask_rows(answer_of(masks, spacing_mm=(0.5, 0.25), fold_dice=np.array([0.9, np.nan])), CLASSES)
    write_summary(tmp_path, rows, ["knee.overlay.png"], {"track": "knee"}, readme("segmentation", CLASSES, "knee"))
    with (tmp_path / "summary.csv").open(newline="") as file:
        femur, tibia = csv.DictReader(file)
    assert (femur["pixels"], femur["area_mm2"], femur["height_mm"], femur["width_mm"]) == (
        "1800",
        "225.0",
        "15.0",
        "15.0",
    )
    assert (femur["centroid_row"], femur["centroid_column"]) == ("24.5", "49.5")
    assert (femur["fold_dice"], femur["image_fold_dice"], femur["source"]) == ("0.9", "0.9", "knee.png")
    assert (tibia["pixels"], tibia["area_mm2"], tibia["fold_dice"]) == ("0", "", "")
    assert "1  femur\n2  tibia\n" in (tmp_path / "README.txt").read_text()


def test_the_row_of_a_patient():
    answer = TableAnswer("7", 0.25, np.array([0.3, 0.8]), np.array([True]), np.array([0.1, 0.0]), Path("test"))
    assert table_row(answer, CLASSES) == {
        "name": "7",
        "score": 0.25,
        "femur_probability": 0.3,
        "femur_sd": 0.1,
        "tibia_probability": 0.8,
        "tibia_sd": 0.0,
        "tibia_decision": 1,
        "source": "test",
    }


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_the_readme_says_where_the_networks_learned_from_synthetic_data(task):
    real = readme(task, CLASSES, "knee")
    assert "synthetic" not in real
    assert readme(task, CLASSES, "phantom_knee") == f"{SYNTHETIC}\n\n{real}"


def test_only_an_earlier_prediction_alone_is_replaced(masks, tmp_path):
    files = write_mask_answer(tmp_path, answer_of(masks), CLASSES)
    write_summary(tmp_path, mask_rows(answer_of(masks), CLASSES), files, {}, "text")
    check_replaceable(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CompetitionError, match=r"also holds notes\.txt \(1 in all\), which predict did not write"):
        check_replaceable(tmp_path)
    check_replaceable(tmp_path / "absent")


def test_a_foreign_file_in_a_sub_folder_is_not_replaced(masks, tmp_path):
    files = write_mask_answer(tmp_path, answer_of(masks, name="P7/knee"), CLASSES)
    write_summary(tmp_path, mask_rows(answer_of(masks), CLASSES), files, {}, "text")
    check_replaceable(tmp_path)
    (tmp_path / "P7" / "mine.txt").write_text("mine")
    with pytest.raises(CompetitionError, match=r"also holds P7/mine\.txt \(1 in all\), which predict did not write"):
        check_replaceable(tmp_path)


STUDY = {
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.5",
    "PatientID": "P7",
    "PatientName": "M\u00fcller^Ann",
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientBirthDate": "00000000",
    "StudyDate": "20200230",
    "PatientSex": "?",
    "Modality": "CR",
}


PLANE = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, 7], "FrameOfReferenceUID": "1.9"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"PixelSpacing": [0.5, 0.25]},  # a radiograph
        {"PixelSpacing": [0.5, 0.25], "FrameOfReferenceUID": "1.9"},
        {"PixelSpacing": [0.5, 0.25], "SliceThickness": 8} | PLANE,  # a slice
    ],
    ids=len,
)
def test_a_dicom_image_gets_a_segmentation_that_refers_to_it(masks, tmp_path, write_dicom, geometry):
    source = write_dicom(tmp_path / "knee.dcm", np.zeros((60, 300), np.uint16), **STUDY, **geometry)
    (tmp_path / "out").mkdir()
    classes = ("fémur", "nothing", "脛骨")
    with_empty = np.stack([masks[0], masks[0] & False, masks[1]])
    answer = answer_of(with_empty, source=source, fold_dice=None)
    assert "knee.seg.dcm" in write_mask_answer(tmp_path / "out", answer, classes)
    found = highdicom.seg.segread(tmp_path / "out" / "knee.seg.dcm")
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["fémur", "脛骨"]
    assert (found.PatientID, str(found.PatientName), found.StudyInstanceUID) == ("P7", "Müller^Ann", "1.2.3")
    assert (found.PatientBirthDate, found.StudyDate, found.PatientSex) == ("", "", "")
    pixels = found.get_pixels_by_source_instance([pydicom.dcmread(source).SOPInstanceUID])
    np.testing.assert_array_equal(pixels[0].transpose(2, 0, 1).astype(bool), masks)
    plain = pydicom.dcmread(tmp_path / "out" / "knee.seg.dcm")
    assert plain.Modality == "SEG"
    assert plain.pixel_array.sum() == masks.sum()


@pytest.mark.parametrize("lost", ["StudyInstanceUID", "SeriesInstanceUID", "SliceThickness"])
def test_an_image_that_nothing_can_refer_to_gets_all_but_a_segmentation(masks, tmp_path, write_dicom, capsys, lost):
    plane = PLANE | {"PixelSpacing": [1, 1], "SliceThickness": 8}
    kept = {name: value for name, value in (STUDY | plane).items() if name != lost}
    source = write_dicom(tmp_path / "knee.dcm", np.zeros((60, 300), np.uint16), **kept)
    files = write_mask_answer(tmp_path, answer_of(masks, source=source), CLASSES)
    assert "knee.seg.dcm" not in files
    assert len(files) == 5
    out = capsys.readouterr().out
    assert f"because it lacks {lost}" in out or f"because {lost} is missing" in out


def test_an_image_of_no_class_gets_no_segmentation(masks, tmp_path, write_dicom):
    source = write_dicom(tmp_path / "knee.dcm", np.zeros((60, 300), np.uint16), **STUDY)
    assert "knee.seg.dcm" not in write_mask_answer(tmp_path, answer_of(masks & False, source=source), CLASSES)


@pytest.mark.slow
def test_no_torch_is_needed():
    code = "import sys, competition.inference.summary; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
