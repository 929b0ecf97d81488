"""Slices in TFRecords: the features of the lab's files, and what is told about files that lack something."""

from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.tfrecords import build_example, write_records
from competition.tracks.cardiac.records import (
    list_records,
    list_test_records,
    read_record_image,
    read_record_label,
    record_files,
)
from competition.tracks.cardiac.track import CARDIAC

IMAGE = np.arange(12).reshape(3, 4) * 10 + 100
LABEL = np.zeros((3, 4), np.uint8)
LABEL[2, 3] = 1


def record(**changes: bytes | int | None) -> bytes:
    """A slice as the lab stored it; a change to None leaves the feature out."""
    features = {
        "height": 3,
        "width": 4,
        "depth": 1,
        "img_raw": IMAGE.astype("<i8").tobytes(),
        "label_raw": LABEL.tobytes(),
    }
    return build_example({name: value for name, value in (features | changes).items() if value is not None})


def write(root: Path, name: str = "train_images.tfrecords", *records: bytes) -> Path:
    write_records(root / name, records or [record()])
    return root / name


def test_records_of_the_lab_are_listed_and_read(tmp_path: Path) -> None:
    write(tmp_path, "train_images.tfrecords", record(), record())
    write(tmp_path, "val_images.tfrecords", record())
    listing = list_records(tmp_path)
    assert listing.problems == []
    assert [(s.key, s.split, s.images, s.label) for s in listing.samples] == [
        ("train_images-0000", "train", ("train_images.tfrecords#0",), "train_images.tfrecords#0"),
        ("train_images-0001", "train", ("train_images.tfrecords#1",), "train_images.tfrecords#1"),
        ("val_images-0000", "test", ("val_images.tfrecords#0",), None),
    ]
    image = CARDIAC.read_image(tmp_path / "train_images.tfrecords#1")
    np.testing.assert_array_equal(image, np.round((IMAGE - 100) * 255 / 110))
    assert CARDIAC.read_label is not None
    np.testing.assert_array_equal(CARDIAC.read_label(tmp_path / "train_images.tfrecords#1", (3, 4))[..., 0], LABEL)


def test_records_that_name_no_patient_are_groups_of_their_own_and_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, "train.tfrecord", record(), record(), record(name=b"SC-N-2-IM-0001-0048"))
    listing = list_records(tmp_path)
    assert [s.group for s in listing.samples] == ["train-0000", "train-0001", "SC-N-02"]
    (remark,) = listing.remarks
    assert remark.startswith("warning: 2 of 3 training images name no patient")
    assert "may lie in two folds" in remark
    assert "Add a feature 'name'" in remark


@pytest.mark.parametrize(
    "name", [b"SC-HF-I-02-IM-0001-0048.dcm.png", b"/data/x/SC-HF-I-02-IM-0001-0048.dcm", b"SC-HF-I-02-IM-0001-0048.dcm"]
)
def test_the_name_tells_patient_and_slice(tmp_path: Path, name: bytes) -> None:
    write(tmp_path, "train.tfrecord", record(name=name))
    (sample,) = list_records(tmp_path).samples
    assert (sample.key, sample.group, sample.stratum) == ("SC-HF-I-02-IM-0001-0048.dcm", "SC-HF-I-02", "HF-I")
    assert sample.name == "SC-HF-I-02-IM-0001-0048.dcm.png"
    assert list_records(tmp_path).remarks == []


def test_files_lie_at_the_root_or_one_folder_below(tmp_path: Path) -> None:
    write(tmp_path, "train/a.tfrecord")
    write(tmp_path, "train/b.tfrecords")
    write(tmp_path, "test/a_test.tfrecord-00000-of-00001")
    assert [(s.key, s.split) for s in list_records(tmp_path).samples] == [
        ("a-0000", "train"),
        ("b-0000", "train"),
        ("a_test-0000", "test"),
    ]
    assert [s.images for s in list_test_records(tmp_path / "test").samples] == [("a_test.tfrecord-00000-of-00001#0",)]


def test_one_name_twice_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "train.tfrecord", record(name=b"SC-N-2-a"), record(name=b"SC-N-2-a"))
    (problem,) = list_records(tmp_path).problems
    assert problem.path == "train.tfrecord#1"
    assert problem.reason == "two records share the name SC-N-2-a (the other is train.tfrecord#0)"


def test_a_later_test_set_without_records_or_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path / "a.tfrecord", [])
    with pytest.raises(CompetitionError, match="no test image found"):
        list_test_records(tmp_path)
    write(tmp_path, "b.tfrecord", record(name=b"SC-N-2-a"))
    assert len(list_test_records(tmp_path).samples) == 1
    write(tmp_path, "c.tfrecord", record(name=b"SC-N-2-a"))
    with pytest.raises(CompetitionError, match=r"two records share the name SC-N-2-a \(the other is b\.tfrecord#0\)"):
        list_test_records(tmp_path)


@pytest.mark.parametrize("kind", ["u1", "<i2", "<i8"])
def test_pixels_of_one_two_or_eight_bytes(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, "train.tfrecord", record(img_raw=None, image_raw=IMAGE.astype(kind).tobytes()))
    image = read_record_image(path, 0)
    assert image.dtype == np.uint8
    # Bytes are grey values already, as in a PNG; wider ones are stretched.
    np.testing.assert_array_equal(image, IMAGE if kind == "u1" else np.round((IMAGE - 100) * 255 / 110))


@pytest.mark.parametrize("positive", [1, 255])
def test_labels_of_zero_and_one_or_255(tmp_path: Path, positive: int) -> None:
    path = write(tmp_path, "train.tfrecord", record(label_raw=(LABEL * positive).tobytes()))
    np.testing.assert_array_equal(read_record_label(path, 0), LABEL * positive)
    assert CARDIAC.read_label is not None
    np.testing.assert_array_equal(CARDIAC.read_label(Path(f"{path}#0"), (3, 4))[..., 0], LABEL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"img_raw": None},
            r"record has no feature image_raw or img_raw \(features: depth, height, label_raw, width\)",
        ),
        ({"label_raw": None}, r"record has no feature label_raw \("),
    ],
)
def test_a_missing_feature_is_named_with_the_record(tmp_path: Path, changes: dict[str, None], message: str) -> None:
    write(tmp_path, "train.tfrecord", record(), record(**changes))
    with pytest.raises(CompetitionError, match=rf"{message}.*train\.tfrecord, record 1"):
        list_records(tmp_path)


def test_test_records_need_no_label(tmp_path: Path) -> None:
    write(tmp_path, "train.tfrecord")
    write(tmp_path, "test.tfrecord", record(label_raw=None))
    assert [s.split for s in list_records(tmp_path).samples] == ["train", "test"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": None}, "record has no feature height"),
        ({"width": b"4"}, "height and width whole numbers"),
        ({"img_raw": 7}, "image_raw must be bytes"),
        ({"height": 2}, "96 bytes don't make 2x4 \\(rows x columns\\) pixels of 1, 2 or 8 bytes"),
        ({"height": 0}, "96 bytes don't make 0x4 \\(rows x columns\\) pixels"),
        ({"img_raw": bytes(48)}, "48 bytes don't make 3x4 \\(rows x columns\\) pixels"),  # four bytes a pixel
        ({"img_raw": bytes(13)}, "13 bytes don't make 3x4 \\(rows x columns\\) pixels"),
        ({"img_raw": b""}, "0 bytes don't make 3x4 \\(rows x columns\\) pixels"),
    ],
)
def test_features_that_do_not_fit_are_named(tmp_path: Path, changes: dict[str, bytes | int], message: str) -> None:
    path = write(tmp_path, "train.tfrecord", record(**changes))
    with pytest.raises(CompetitionError, match=rf"{message}.*train\.tfrecord, record 0"):
        CARDIAC.read_image(Path(f"{path}#0"))


def test_a_label_of_another_size_than_the_image_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert CARDIAC.read_label is not None
    with pytest.raises(CompetitionError, match=r"label is 3x4 pixels, its image 4x3 \(rows x columns\): .*tfrecords#0"):
        CARDIAC.read_label(Path(f"{path}#0"), (4, 3))


def test_a_record_cut_in_the_middle_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "train.tfrecord", record(), record())
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CompetitionError, match=r"the file ends within a record: .*train\.tfrecord, record 1\. Copy"):
        list_records(tmp_path)


def test_a_name_that_tells_no_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "hearts.tfrecord")
    with pytest.raises(CompetitionError, match=r"neither of training nor of test records: .*hearts\.tfrecord\. Begin"):
        list_records(tmp_path)


def test_test_records_alone_are_no_training_data(tmp_path: Path) -> None:
    write(tmp_path, "val.tfrecord")
    with pytest.raises(CompetitionError, match="no training image found"):
        list_records(tmp_path)


def test_a_hidden_file_is_no_record(tmp_path: Path) -> None:
    for name in ("._train.tfrecord", "__MACOSX/train.tfrecord"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"litter")
    assert record_files(tmp_path) == []


@pytest.mark.parametrize("name", [b"..", b"a\0b", b"a\\b", b"x" * 300, b"two\nlines"])
def test_a_name_that_can_be_no_file_name_is_named_with_its_record(tmp_path: Path, name: bytes) -> None:
    path = write(tmp_path, "train.tfrecord", record(), record(name=name))
    with pytest.raises(CompetitionError, match=r"can't be a file name: .*train\.tfrecord, record 1"):
        list_records(path.parent)
