"""The lumbar track: images and labels in every form they come in, paired by number, refused with a sentence."""

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from competition.errors import CompetitionError
from competition.imaging.planes import unpack_planes
from competition.tracks.lumbar import LUMBAR, list_spines, list_test_spines, number_of, read_vertebrae

SIZE_HW = (40, 30)
CLASSES = 6


def boxes(size_hw=SIZE_HW):
    """Six boxes (6, H, W) from the top down; the third is empty, and two share a row of pixels."""
    masks = np.zeros((CLASSES, *size_hw), bool)
    for index in range(CLASSES):
        masks[index, 6 * index : 6 * index + 4 + (index == 4) * 3, 8 + index : 20] = index != 2
    return masks


def planes_of(masks, background=1, kind=np.uint8):
    """(rows, columns, 7) as the organisers store them."""
    stored = np.zeros((*masks.shape[1:], 7), kind)
    for index, mask in enumerate(masks):
        stored[..., index][mask] = 1
    stored[..., 6][~masks.any(axis=0)] = background
    return stored


def write_mat(path, stored, key="label_separated"):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {key: stored}, do_compression=True)
    return path


def write_mat_73(path, stored):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["label_separated"] = np.transpose(stored, (2, 1, 0))
    return path


def masks_in(path, size_hw=SIZE_HW):
    planes = read_vertebrae(path, size_hw)
    assert (planes.shape, planes.dtype) == ((*size_hw, 1), np.uint8)
    return unpack_planes(planes, CLASSES)


def failure(path, size_hw=SIZE_HW):
    with pytest.raises(CompetitionError) as caught:
        read_vertebrae(path, size_hw)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def spines(tmp_path, write_dicom):
    """Three training and two test images, in folders whose sorted orders do not agree."""
    for number in (2, 10, 9):
        write_dicom(tmp_path / f"train/img/{number}.dcm", np.full(SIZE_HW, number, np.uint16), PatientID=f"P{number}")
        write_mat(tmp_path / f"train/label/{number:03d}.mat", planes_of(boxes()))
    for number in (2, 77):
        write_dicom(tmp_path / f"test/img/{number}.DCM", np.full(SIZE_HW, 500 + number, np.uint16))
    return tmp_path


def test_six_classes_and_no_background() -> None:
    assert LUMBAR.classes == tuple(f"vertebra_{number}" for number in (1, 2, 3, 4, 5, 6))
    assert LUMBAR.mirror is not None
    assert LUMBAR.mirror.classes == (0, 1, 2, 3, 4, 5)
    assert (LUMBAR.submission, LUMBAR.submission_ending, LUMBAR.size_hw) == ("planes", ".zip", None)


@pytest.mark.parametrize(
    ("name", "number"), [("007.mat", "7"), ("IMG_2018_12.DCM", "12"), ("3", "3"), ("spine.dcm", ""), ("000.mat", "0")]
)
def test_the_number_is_the_last_in_the_name(name: str, number: str) -> None:
    assert number_of(name) == number


def test_images_and_labels_are_paired_by_number_not_by_order(spines) -> None:
    listing = list_spines(spines)
    assert listing.problems == []
    assert [(sample.key, sample.group, sample.images, sample.label) for sample in listing.samples] == [
        ("train_2", "P2", ("train/img/2.dcm",), "train/label/002.mat"),
        ("train_9", "P9", ("train/img/9.dcm",), "train/label/009.mat"),
        ("train_10", "P10", ("train/img/10.dcm",), "train/label/010.mat"),
        ("test_2", "2.DCM", ("test/img/2.DCM",), None),
        ("test_77", "77.DCM", ("test/img/77.DCM",), None),
    ]
    assert [sample.name for sample in listing.samples[-2:]] == ["2.DCM", "77.DCM"]


def test_whatever_has_no_partner_is_a_problem(spines, write_dicom) -> None:
    (spines / "train/label/009.mat").unlink()
    write_mat(spines / "train/label/118.mat", planes_of(boxes()))
    write_mat(spines / "train/label/119.mat", planes_of(boxes()))
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


@pytest.mark.parametrize(
    ("patients", "groups", "remarks"),
    [
        (["A", "A", "B", "B"], ["A", "A", "B", "B"], 0),
        (["A", "", " ", "B"], ["A", "2.dcm", "3.dcm", "B"], 0),
        (["ANON", "ANON", "ANON", "B"], ["1.dcm", "2.dcm", "3.dcm", "B"], 1),
        (["A", "A"], ["A", "A"], 0),
        (["A", "A", "A", "B", "C", "D"], ["A", "A", "A", "B", "C", "D"], 0),
    ],
)
def test_the_group_is_the_patient_unless_the_id_is_everybodys(tmp_path, write_dicom, patients, groups, remarks) -> None:
    for number, patient in enumerate(patients, start=1):
        write_dicom(tmp_path / f"train/img/{number}.dcm", np.ones(SIZE_HW, np.uint16), PatientID=patient)
        write_mat(tmp_path / f"train/label/{number}.mat", planes_of(boxes()))
    listing = list_spines(tmp_path)
    assert [sample.group for sample in listing.samples] == groups
    assert len(listing.remarks) == remarks
    assert all("'ANON' stands in 3 of 4 files" in remark for remark in listing.remarks)


def test_a_png_is_an_image_of_its_own_group_without_spacing(tmp_path) -> None:
    values = np.arange(SIZE_HW[0] * SIZE_HW[1], dtype=np.uint8).reshape(SIZE_HW)
    (tmp_path / "train/img").mkdir(parents=True)
    Image.fromarray(values).save(tmp_path / "train/img/4.png")
    write_mat(tmp_path / "train/label/4.mat", planes_of(boxes()))
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


@pytest.mark.parametrize("background", [1, 255, 0])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_the_background_plane_may_hold_anything(tmp_path, background, kind) -> None:
    path = write_mat(tmp_path / "1.mat", planes_of(boxes(), background, kind))
    np.testing.assert_array_equal(masks_in(path), boxes())


def test_vertebrae_of_255_and_of_logical_values_are_the_same(tmp_path) -> None:
    stored = planes_of(boxes())
    np.testing.assert_array_equal(masks_in(write_mat(tmp_path / "1.mat", stored * np.uint8(255))), boxes())
    np.testing.assert_array_equal(masks_in(write_mat(tmp_path / "2.mat", stored.astype(bool))), boxes())


def test_version_73_is_the_same_label(tmp_path) -> None:
    np.testing.assert_array_equal(masks_in(write_mat_73(tmp_path / "1.mat", planes_of(boxes()))), boxes())


@pytest.mark.parametrize("write", [write_mat, write_mat_73])
def test_a_label_is_transposed_where_only_that_fits(tmp_path, write) -> None:
    path = write(tmp_path / "1.mat", planes_of(boxes()).transpose(1, 0, 2))
    np.testing.assert_array_equal(masks_in(path), boxes())


def test_a_square_label_is_taken_as_it_is(tmp_path) -> None:
    square = boxes((40, 40))
    path = write_mat(tmp_path / "1.mat", planes_of(square))
    np.testing.assert_array_equal(masks_in(path, (40, 40)), square)


def test_a_label_of_another_size_is_refused(tmp_path) -> None:
    path = write_mat(tmp_path / "1.mat", planes_of(boxes()))
    assert "label is 40x30, which fits its image of 40x31 neither way round" in failure(path, (40, 31))
    assert "neither way round" in failure(path, (39, 30))


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 6), (40, 30, 8), (7, 40, 30), (40, 30, 7, 2)])
def test_a_label_of_another_depth_is_refused(tmp_path, shape) -> None:
    path = write_mat(tmp_path / "1.mat", np.ones(shape, np.uint8))
    assert f"label is {'x'.join(map(str, shape))}, not rows x columns x 7 planes" in failure(path)


def test_a_missing_key_nan_and_cut_files_are_refused(tmp_path) -> None:
    assert "no key 'label_separated' (it has label)" in failure(write_mat(tmp_path / "1.mat", boxes(), "label"))
    stored = planes_of(boxes(), kind=np.float64)
    stored[3, 3, 6] = np.nan
    assert "NaN" in failure(write_mat(tmp_path / "2.mat", stored))
    whole = write_mat(tmp_path / "3.mat", planes_of(boxes())).read_bytes()
    (tmp_path / "3.mat").write_bytes(whole[:-30])
    assert "can't be read" in failure(tmp_path / "3.mat")


@pytest.mark.parametrize("odd", [128, -1, 0.5])
def test_a_smoothly_resized_plane_is_refused(tmp_path, odd) -> None:
    stored = planes_of(boxes(), kind=np.float64)
    stored[1, 10, 0] = odd
    path = write_mat(tmp_path / "1.mat", stored)
    assert "plane 0 (vertebra_1) holds more values than 0 and" in failure(path)


def test_a_plane_of_one_negative_value_is_refused(tmp_path) -> None:
    stored = planes_of(boxes(), kind=np.float64)
    stored[..., 5] = -1
    assert "plane 5 (vertebra_6)" in failure(write_mat(tmp_path / "1.mat", stored))


@pytest.mark.parametrize("palette", [False, True])
def test_a_png_holds_the_vertebrae_by_value(tmp_path, palette) -> None:
    masks = boxes()
    masks[5] &= ~masks[4]  # one picture can't hold two at a pixel
    values = sum(np.where(mask, number, 0) for number, mask in enumerate(masks, start=1)).astype(np.uint8)
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette([n for value in range(256) for n in (value, 255 - value, 7)])
    picture.save(tmp_path / "1.png")
    np.testing.assert_array_equal(masks_in(tmp_path / "1.png"), masks)
    assert "label is 40x30, its image 30x40" in failure(tmp_path / "1.png", (30, 40))
    values[0, 0] = 7
    Image.fromarray(values).save(tmp_path / "2.png")
    assert "value 7 names no vertebra" in failure(tmp_path / "2.png")
