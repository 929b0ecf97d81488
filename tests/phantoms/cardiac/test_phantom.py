import re

import cv2
import numpy as np
import pydicom
import pytest
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

from competition.phantoms.cardiac import phantom as heart
from competition.phantoms.cardiac import picture as heart_picture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("hearts")
    calls = []
    heart.draw(root, 4, 1, 128, 3, lambda: calls.append(1))
    assert len(calls) == 5 * heart.IMAGES_PER_PERSON
    return root


def test_names_pair_up_and_carry_the_person(drawn):
    people = {}
    for part in ("train", "test"):
        images = sorted(path.name for path in (drawn / part / "images").iterdir())
        assert images == sorted(path.name for path in (drawn / part / "labels").iterdir())
        assert all(re.fullmatch(r"SC-(HF-I|HF-NI|HYP|N)-\d\d-IM-0001-\d{4}\.dcm\.png", name) for name in images)
        people[part] = {name.split("-IM-")[0] for name in images}
    assert people["train"] == {"SC-HF-I-01", "SC-HF-NI-01", "SC-HYP-01", "SC-N-01"}
    assert people["test"] == {"SC-HF-I-02"}


def test_pictures_and_labels_are_grey_in_three_equal_channels(drawn):
    for path in drawn.rglob("*.png"):
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (128, 128, 3)
        assert np.ptp(picture, axis=2).max() == 0
        if path.parent.name == "labels":
            assert set(np.unique(picture)) == {0, 255}


def test_pool_is_one_piece_brighter_than_the_wall_around_it(drawn):
    for path in (drawn / "train" / "labels").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) // 255
        assert cv2.connectedComponents(mask, connectivity=4)[0] == 2
        grey = cv2.imread(str(path.parent.parent / "images" / path.name), cv2.IMREAD_GRAYSCALE)
        near, far = (cv2.dilate(mask, np.ones((n, n), np.uint8)) for n in (3, 7))
        assert grey[mask > 0].mean() > 1.15 * grey[(far - near) > 0].mean()


def test_pool_shrinks_with_contraction_and_towards_the_apex():
    areas = {
        (level, contracted): (heart_picture.draw_slice(3, 4, level, contracted, 256)[1] > 0).sum()
        for level in (0, 4, heart_picture.SLICES - 1)
        for contracted in (False, True)
    }
    for level in (0, 4):
        assert areas[level, True] < 0.7 * areas[level, False]
    assert areas[heart_picture.SLICES - 1, False] < 0.35 * areas[0, False]
    assert 900 < areas[0, False] < 2500


def test_a_threshold_does_not_find_the_pool():
    best = []
    for person in range(1, 5):
        grey, label = heart_picture.draw_slice(3, person, 3, False, 256)
        pool = label > 0
        best.append(max(2 * (pool & (grey > cut)).sum() / (pool.sum() + (grey > cut).sum()) for cut in range(256)))
    assert max(best) < 0.7


def test_deterministic_and_independent_of_the_number_of_people(drawn, tmp_path):
    heart.draw(tmp_path, 1, 0, 128, 3, lambda: None)
    files = list(tmp_path.rglob("*.png"))
    assert len(files) == 2 * heart.IMAGES_PER_PERSON
    for path in files:
        assert path.read_bytes() == (drawn / path.relative_to(tmp_path)).read_bytes()
    assert (heart_picture.draw_slice(3, 1, 0, False, 128)[0] != heart_picture.draw_slice(4, 1, 0, False, 128)[0]).any()


def test_dicom_files_lie_beside_contours_of_linked_patients(tmp_path):
    calls = []
    heart.draw_dicom(tmp_path, 2, 1, 64, 3, lambda: calls.append(1))
    assert len(calls) == 3 * heart.IMAGES_PER_PERSON
    links = dict(line.split(",") for line in (tmp_path / "link.csv").read_text().splitlines())
    assert links == {
        "patient_id": "original_id",
        "SCD0000101": "SC-HF-I-1",
        "SCD0000201": "SC-HF-NI-1",
        "SCD0000301": "SC-HYP-1",
    }
    for part, patient_id in ((tmp_path, "SCD0000101"), (tmp_path, "SCD0000201"), (tmp_path / "test", "SCD0000301")):
        numbers = {int(path.stem) for path in (part / "dicom" / patient_id).glob("*.dcm")}
        found = {
            kind: {int(path.name[8:12]) for path in (part / "contours" / links[patient_id]).glob(f"{kind}-contours/*")}
            for kind in "io"
        }
        assert len(found["i"]) == heart.IMAGES_PER_PERSON
        assert found["o"] < found["i"] < numbers
        assert len(found["o"]) == len(numbers - found["i"]) == heart_picture.SLICES
        for path in (part / "dicom" / patient_id).glob("*.dcm"):
            dataset = pydicom.dcmread(path)
            assert (dataset.PatientID, dataset.InstanceNumber) == (patient_id, int(path.stem))
            assert dataset.pixel_array.dtype == np.int16
            assert dataset.pixel_array.shape == (64, 64)


def test_contours_enclose_the_pool_by_hand(tmp_path):
    heart.draw_dicom(tmp_path, 1, 0, 64, 3, lambda: None)
    _, pool = heart_picture.draw_slice(3, 1, 0, False, 64)
    (path,) = (tmp_path / "contours/SC-HF-I-1/i-contours").glob("IM-0001-0028-icontour-manual.txt")
    points = np.loadtxt(path)
    assert (points % 0.5 == 0).all()
    assert (points % 1 == 0.5).any()  # real ones stand between pixels too
    corners = np.zeros_like(pool)
    corners[tuple(np.floor(points[:, ::-1]).astype(int).T)] = 255
    assert (pool[corners > 0] > 0).all()
    # Every pixel of the pool beside another that is outside is on the outline, and no other.
    inner = cv2.erode(pool, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=0)
    np.testing.assert_array_equal(corners > 0, (pool > 0) & (inner == 0))


def test_records_hold_what_the_lab_stored(tmp_path):
    heart.draw_tfrecords(tmp_path, 1, 1, 64, 3, lambda: None)
    for name, person in (("train", "SC-HF-I-01"), ("test", "SC-HF-NI-01")):
        reader = PyRecordReader_New(str(tmp_path / f"{name}_images.tfrecords"))
        for _ in range(heart.IMAGES_PER_PERSON):
            reader.GetNext()
            record = reader.record()
            assert person.encode() in record
            assert all(feature in record for feature in (b"height", b"width", b"depth", b"img_raw", b"label_raw"))
            assert len(record) > 9 * 64 * 64  # eight bytes a pixel and one a label
        with pytest.raises(OutOfRangeError):
            reader.GetNext()


def test_the_other_forms_are_deterministic_too(tmp_path):
    for draw in (heart.draw_dicom, heart.draw_tfrecords):
        for name in ("a", "b"):
            draw(tmp_path / name, 1, 1, 64, 3, lambda: None)
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 2 * (18 + 9 + 18 + 9) + 3
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
