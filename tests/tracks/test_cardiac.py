"""The cardiac track, on made-up names everywhere and on the real slices where they are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from competition.errors import CompetitionError
from competition.imaging.planes import class_areas, unpack_class
from competition.tracks.cardiac import CARDIAC

SUNNYBROOK = Path(__file__).resolve().parents[3] / "shared" / "data" / "sunnybrook" / "png"
real = pytest.mark.skipif(not SUNNYBROOK.is_dir(), reason=f"the Sunnybrook slices are not at {SUNNYBROOK}")


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


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


def test_a_folder_without_slices_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match="no training image found"):
        CARDIAC.list_samples(tmp_path)
    with pytest.raises(CompetitionError, match="no test image found"):
        CARDIAC.list_test(tmp_path)


@real
def test_the_real_slices_are_all_listed_with_their_patients() -> None:
    listing = CARDIAC.list_samples(SUNNYBROOK)
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


@real
def test_the_real_labels_are_what_pillow_sees() -> None:
    assert CARDIAC.read_label is not None
    for sample in CARDIAC.list_samples(SUNNYBROOK).samples[:447:40]:
        assert sample.label is not None
        image = CARDIAC.read_image(SUNNYBROOK / str(sample.images[0]))
        planes = CARDIAC.read_label(SUNNYBROOK / sample.label, (256, 256))
        stored = np.asarray(Image.open(SUNNYBROOK / sample.label))[..., 0]
        assert (image.shape, image.dtype, planes.shape) == ((256, 256), np.uint8, (256, 256, 1))
        np.testing.assert_array_equal(unpack_class(planes, 0), stored == 255)
        assert class_areas(planes, 1)[0] == np.count_nonzero(stored)


@real
def test_the_real_test_folder_is_listed_as_a_later_test_set() -> None:
    samples = CARDIAC.list_test(SUNNYBROOK / "test" / "images").samples
    assert len(samples) == 79
    assert len({sample.group for sample in samples}) == 5
    assert all(sample.split == "test" and sample.label is None for sample in samples)
