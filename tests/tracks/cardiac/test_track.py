"""The cardiac track: three forms of the data with the same labels, on drawn hearts and on the real ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from competition.errors import CompetitionError
from competition.formats.tfrecords import write_records
from competition.masks.bit_planes import class_areas, unpack_class
from competition.metrics.counts import dice
from competition.phantoms.cardiac import phantom as heart
from competition.phantoms.cardiac.phantom import slice_record
from competition.tracks.cardiac.track import CARDIAC
from competition.tracks.declared.mask_files import SOFT_EDGES

pytestmark = pytest.mark.slow

SUNNYBROOK = Path(__file__).resolve().parents[4] / "shared" / "data" / "sunnybrook"
real = pytest.mark.skipif(not SUNNYBROOK.is_dir(), reason=f"the Sunnybrook data is not at {SUNNYBROOK}")
SIZE = 64


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same two training people and one test person in all three forms."""
    root = tmp_path_factory.mktemp("hearts")
    for name, draw in (("png", heart.draw), ("dicom", heart.draw_dicom), ("records", heart.draw_tfrecords)):
        draw(root / name, 2, 1, SIZE, 0, lambda: None)
    return {name: root / name for name in ("png", "dicom", "records")}


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def label(root: Path, path: str | None, size_hw: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    assert CARDIAC.read_label is not None
    assert path is not None
    return unpack_class(CARDIAC.read_label(root / path, size_hw), 0)


def test_the_forms_hold_the_same_samples(forms: dict[str, Path]) -> None:
    found = {}
    for name, root in forms.items():
        listing = CARDIAC.list_samples(root)
        assert listing.problems == []
        assert len(listing.samples) == 3 * heart.IMAGES_PER_PERSON
        found[name] = {(s.key, s.name, s.split, s.group, s.stratum, s.label is None) for s in listing.samples}
    assert found["png"] == found["dicom"] == found["records"]
    assert {(group, stratum) for _, _, split, group, stratum, _ in found["png"] if split == "train"} == {
        ("SC-HF-I-01", "HF-I"),
        ("SC-HF-NI-01", "HF-NI"),
    }


def test_the_forms_have_the_same_labels_pixel_by_pixel(forms: dict[str, Path]) -> None:
    samples = {name: {s.key: s for s in CARDIAC.list_samples(root).samples} for name, root in forms.items()}
    compared = 0
    for key, sample in samples["png"].items():
        if sample.split == "train":
            drawn = np.asarray(Image.open(forms["png"] / str(sample.label)))[..., 0] > 0
            for name, root in forms.items():
                np.testing.assert_array_equal(label(root, samples[name][key].label), drawn)
            compared += 1
    assert compared == 2 * heart.IMAGES_PER_PERSON


def test_the_forms_have_the_same_pictures(forms: dict[str, Path]) -> None:
    samples = {name: {s.key: s for s in CARDIAC.list_samples(root).samples} for name, root in forms.items()}
    for key, sample in samples["png"].items():
        images = {name: CARDIAC.read_image(root / str(samples[name][key].images[0])) for name, root in forms.items()}
        grey = np.asarray(Image.open(forms["png"] / str(sample.images[0])))[..., 0].astype(np.float64)
        np.testing.assert_array_equal(images["png"], grey)
        stretched = (grey - grey.min()) * 255 / (grey.max() - grey.min())
        np.testing.assert_allclose(images["dicom"], stretched, atol=0.5 + 1e-6)
        np.testing.assert_array_equal(images["records"], images["dicom"])


def test_only_dicom_tells_the_pixel_spacing(forms: dict[str, Path]) -> None:
    assert CARDIAC.read_spacing is not None
    first = {name: root / str(CARDIAC.list_samples(root).samples[0].images[0]) for name, root in forms.items()}
    assert CARDIAC.read_spacing(first["png"]) is None
    assert CARDIAC.read_spacing(first["records"]) is None
    assert CARDIAC.read_spacing(first["dicom"]) == pytest.approx((350 / 256, 350 / 256), abs=1e-6)


@pytest.mark.parametrize("name", ["png", "dicom", "records"])
def test_a_later_test_set_is_listed_in_any_form(forms: dict[str, Path], tmp_path: Path, name: str) -> None:
    later = tmp_path / "later"
    if name == "records":
        later.mkdir()
        shutil.copy(forms[name] / "test_images.tfrecords", later)
    else:
        shutil.copytree(forms[name] / "test", later)
        shutil.rmtree(later / ("labels" if name == "png" else "contours"))
    samples = CARDIAC.list_test(later).samples
    assert {sample.split for sample in samples} == {"test"}
    assert all(sample.label is None for sample in samples)
    expected = [s for s in CARDIAC.list_samples(forms["png"]).samples if s.split == "test"]
    if name != "dicom":
        assert {(s.key, s.name, s.group) for s in samples} == {(s.key, s.name, s.group) for s in expected}
        return
    # Without link.csv the patients keep the scanner's names; beside it, they are told.
    assert {sample.group for sample in samples} == {"SCD0000301"}
    assert len(samples) == heart.IMAGES_PER_PERSON + 9  # with the slices that have no contour
    shutil.copy(forms[name] / "link.csv", later)
    linked = CARDIAC.list_test(later).samples
    assert {(s.key, s.name, s.group) for s in expected} < {(s.key, s.name, s.group) for s in linked}
    shutil.move(later / "link.csv", tmp_path)
    assert CARDIAC.list_test(later / "dicom").samples[0].group == "SCD0000301"
    shutil.move(tmp_path / "link.csv", later)
    below = CARDIAC.list_test(later / "dicom").samples
    assert [(s.key, later / "dicom" / str(s.images[0])) for s in below] == [
        (s.key, later / str(s.images[0])) for s in linked
    ]


def test_labels_of_all_forms_are_found_by_slice(forms: dict[str, Path]) -> None:
    assert CARDIAC.find_labels is not None
    test = {s.key for s in CARDIAC.list_samples(forms["png"]).samples if s.split == "test"}
    pictures = CARDIAC.find_labels(forms["png"] / "test" / "labels")
    contours = CARDIAC.find_labels(forms["dicom"] / "test")
    records = CARDIAC.find_labels(forms["records"])
    assert set(pictures) == set(contours) == test
    assert test < set(records)
    for key in test:
        (picture,), (contour,), (record,) = pictures[key], contours[key], records[key]
        drawn = label(Path(), str(picture))
        assert drawn.any()
        np.testing.assert_array_equal(label(Path(), str(contour)), drawn)
        np.testing.assert_array_equal(label(Path(), str(record)), drawn)


def test_soft_labels_are_remarked_on_in_pictures_only(forms: dict[str, Path], tmp_path: Path) -> None:
    assert CARDIAC.inspect_label is not None
    Image.fromarray(np.array([[0, 255, 200], [1, 127, 0]], np.uint8)).save(tmp_path / "a.png")
    assert CARDIAC.inspect_label(tmp_path / "a.png", (2, 3)) == [SOFT_EDGES]
    for name, root in forms.items():
        assert not CARDIAC.inspect_label(root / str(CARDIAC.list_samples(root).samples[0].label), (256, 256)), name


def test_two_forms_in_one_folder_are_refused(forms: dict[str, Path], tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(forms["png"], both)
    shutil.copy(forms["records"] / "train_images.tfrecords", both)
    with pytest.raises(CompetitionError, match=r"slices in 2 forms \(PNG pictures, TFRecords\).*both\. Keep one"):
        CARDIAC.list_samples(both)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("SC-HF-I-05-IM-0001-0027.dcm.png", "SC-HF-I-05"),
        ("SC-HF-NI-12-IM-0001-0027.dcm.png", "SC-HF-NI-12"),
        ("SC-HYP-40-IM-0001-0027.dcm.png", "SC-HYP-40"),
        ("SC-N-3-IM-0001-0027.dcm.png", "SC-N-3"),
    ],
)
def test_the_group_is_the_patient(tmp_path: Path, name: str, group: str) -> None:
    lay(tmp_path, f"train/images/{name}", f"train/labels/{name}")
    listing = CARDIAC.list_samples(tmp_path)
    assert listing.problems == []
    assert [(s.group, s.name, s.label) for s in listing.samples] == [(group, name, f"train/labels/{name}")]


def test_a_name_without_patient_is_a_problem(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/SC-N-3-IM-0001.dcm.png", "train/labels/SC-N-3-IM-0001.dcm.png")
    lay(tmp_path, "train/images/SC-XX-3-IM-0001.dcm.png")
    assert [problem.key for problem in CARDIAC.list_samples(tmp_path).problems] == ["SC-XX-3-IM-0001.dcm"]


def test_a_folder_without_slices_is_answered_with_all_three_forms(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match="no training image found") as caught:
        CARDIAC.list_samples(tmp_path)
    for form in ("link.csv", "train/labels/*.png", "train*.tfrecord"):
        assert form in str(caught.value)
    with pytest.raises(CompetitionError, match="no test image found"):
        CARDIAC.list_test(tmp_path)


@real
def test_the_real_contours_are_the_published_labels_pixel_by_pixel() -> None:
    pictures = {s.key: s for s in CARDIAC.list_samples(SUNNYBROOK / "png").samples}
    slices = CARDIAC.list_samples(SUNNYBROOK)
    assert slices.problems == []
    assert len(slices.samples) == 56
    scores = []
    for sample in slices.samples:
        twin = pictures[sample.key]
        assert (sample.group, sample.name, sample.stratum) == (twin.group, twin.name, twin.stratum)
        folder = "train" if twin.split == "train" else "test"  # some of the three patients are in the test part
        published = np.asarray(Image.open(SUNNYBROOK / "png" / folder / "labels" / twin.name))[..., 0] > 0
        ours = label(SUNNYBROOK, sample.label, (256, 256))
        scores.append(float(dice(*np.array([[(ours & published).sum()], [ours.sum()], [published.sum()]]))[0]))
        # The pictures differ by rounding alone.
        grey = CARDIAC.read_image(SUNNYBROOK / str(sample.images[0])).astype(int)
        assert np.abs(grey - CARDIAC.read_image(SUNNYBROOK / "png" / str(twin.images[0]))).max() <= 1
    assert min(scores) == 1.0


@real
def test_the_real_slices_as_records_have_the_labels_of_contours_and_pictures_byte_by_byte(tmp_path: Path) -> None:
    assert CARDIAC.read_label is not None
    contours = {s.key: s for s in CARDIAC.list_samples(SUNNYBROOK).samples}
    pictures = {s.key: s for s in CARDIAC.list_samples(SUNNYBROOK / "png").samples}
    files = {}
    for key in contours:
        part = SUNNYBROOK / "png" / pictures[key].split
        files[key] = part / "images" / f"{key}.png", part / "labels" / f"{key}.png"
    write_records(
        tmp_path / "train_images.tfrecords",
        # What the pictures hold, as Pillow sees it, in reverse order: records are found by name, not by place.
        (slice_record(key, *(np.asarray(Image.open(file))[..., 0] for file in files[key])) for key in [*files][::-1]),
    )
    listing = CARDIAC.list_samples(tmp_path)
    assert (listing.problems, listing.remarks) == ([], [])
    assert [sample.key for sample in listing.samples] == [*files][::-1]
    assert len(files) == 56
    for sample in listing.samples:
        twin = contours[sample.key]
        assert (sample.group, sample.name, sample.stratum) == (twin.group, twin.name, twin.stratum)
        size_hw = (256, 256)
        record = CARDIAC.read_label(tmp_path / str(sample.label), size_hw)
        assert record.any()
        assert record.tobytes() == CARDIAC.read_label(SUNNYBROOK / str(twin.label), size_hw).tobytes()
        assert record.tobytes() == CARDIAC.read_label(files[sample.key][1], size_hw).tobytes()
        grey = CARDIAC.read_image(tmp_path / str(sample.images[0])).astype(int)
        assert np.abs(grey - CARDIAC.read_image(SUNNYBROOK / str(twin.images[0]))).max() <= 1


@real
def test_the_real_slices_are_all_listed_with_their_patients() -> None:
    listing = CARDIAC.list_samples(SUNNYBROOK / "png")
    assert listing.problems == []
    train = [sample for sample in listing.samples if sample.split == "train"]
    test = [sample for sample in listing.samples if sample.split == "test"]
    assert (len(train), len(test)) == (447, 79)
    # Everything before "-IM-", which is another way to cut the name.
    assert all(sample.group == sample.name.split("-IM-")[0] for sample in listing.samples)
    patients, test_patients = {sample.group for sample in train}, {sample.group for sample in test}
    assert (len(patients), len(test_patients)) == (25, 5)
    assert not patients & test_patients
    assert len({sample.key for sample in listing.samples}) == 447 + 79
    assert {sample.stratum for sample in train} == {"HF-I", "HF-NI", "HYP", "N"}


@real
def test_the_real_labels_are_what_pillow_sees() -> None:
    assert CARDIAC.read_label is not None
    root = SUNNYBROOK / "png"
    for sample in CARDIAC.list_samples(root).samples[:447:40]:
        assert sample.label is not None
        image = CARDIAC.read_image(root / str(sample.images[0]))
        planes = CARDIAC.read_label(root / sample.label, (256, 256))
        stored = np.asarray(Image.open(root / sample.label))[..., 0]
        assert (image.shape, image.dtype, planes.shape) == ((256, 256), np.uint8, (256, 256, 1))
        np.testing.assert_array_equal(unpack_class(planes, 0), stored == 255)
        assert class_areas(planes, 1)[0] == np.count_nonzero(stored)


@real
def test_the_real_test_folder_is_listed_as_a_later_test_set() -> None:
    samples = CARDIAC.list_test(SUNNYBROOK / "png" / "test" / "images").samples
    assert len(samples) == 79
    assert len({sample.group for sample in samples}) == 5
    assert all(sample.split == "test" and sample.label is None for sample in samples)


def test_pictures_beside_dicom_files_are_named(forms: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(forms["dicom"], tmp_path / "all")
    alone = CARDIAC.list_samples(tmp_path / "all")
    shutil.copytree(forms["png"], tmp_path / "all" / "png")
    both = CARDIAC.list_samples(tmp_path / "all")
    assert both.samples == alone.samples
    (remark,) = set(both.remarks) - set(alone.remarks)
    assert remark.startswith("the DICOM files are read; ")
    assert remark.endswith(f" PNG pictures in png are not (--data {tmp_path / 'all' / 'png'} reads them instead)")


def test_a_folder_of_no_form_is_answered_with_all_three_on_one_line(tmp_path):
    with pytest.raises(CompetitionError) as error:
        CARDIAC.list_samples(tmp_path)
    assert "\\n" not in str(error.value)
    assert "one of three forms: DIR/dicom/SCD*/N.dcm, DIR/contours/SC-*" in str(error.value)
