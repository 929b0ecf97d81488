"""DICOM, NIfTI and arrays in folder tracks: layouts as they are shipped, windows, slices, and what does not fit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from volume_phantoms import PHANTOMS, SIZE_HW, SLICES, draw_nifti, draw_npz, draw_siim_acr, write_dicom, write_volume

from competition.data.cache import cache_sample, describe_sources
from competition.errors import CompetitionError
from competition.file_listing import split_part
from competition.masks.bit_planes import unpack_planes
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Track
from competition.workspace import Workspace

LAYOUTS = Path(__file__).resolve().parents[3] / "docs" / "layouts"


@pytest.mark.parametrize("layout", PHANTOMS)
def test_a_shipped_layout_is_listed_and_read_as_it_was_drawn(tmp_path, layout) -> None:
    truth = PHANTOMS[layout](tmp_path)
    track = load_folder_track(LAYOUTS / f"{layout}.yaml")
    listing = track.list_samples(tmp_path)
    assert (listing.problems, listing.remarks) == ([], [])
    train = {sample.key: sample for sample in listing.samples if sample.split == "train"}
    assert train.keys() == truth.keys()
    assert any(sample.split == "test" for sample in listing.samples)
    for key, values in truth.items():
        image = track.read_image(tmp_path / str(train[key].images[0]))
        assert (image.dtype, image.shape) == (np.uint8, SIZE_HW if track.channels == 1 else (*SIZE_HW, 3))
        masks = unpack_planes(track.read_label(tmp_path / train[key].label, SIZE_HW), len(track.classes))
        expected = [values == number for number in range(1, len(track.classes) + 1)]
        np.testing.assert_array_equal(masks, expected)


def declare(folder: Path, train: str, **keys: str) -> Track:
    lines = {"classes": "{a: 1}", "train": train, "masks": "labels/{stem}_gt.nii.gz", "test": "test/*"}
    path = folder / "mine.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in (lines | keys).items()))
    return load_folder_track(path)


def test_slices_have_their_volume_as_source_and_their_patient_as_group(tmp_path) -> None:
    draw_nifti(tmp_path)
    track = load_folder_track(LAYOUTS / "nifti.yaml")
    samples = track.list_samples(tmp_path).samples
    assert len(samples) == 5 * SLICES
    last = samples[4 * SLICES - 1]
    assert (last.key, last.name, last.group) == ("patient002_frame09_002", "patient002_frame09_002", "patient002")
    assert last.images == ("imagesTr/patient002_frame09.nii.gz#002",)
    assert last.label == "labelsTr/patient002_frame09_gt.nii.gz#002"
    entry, problems = cache_sample(Workspace(tmp_path / "w", "mine"), track, tmp_path, last)
    assert (problems, entry.spacing_mm, (entry.height, entry.width)) == ([], (1.25, 1.5), SIZE_HW)
    described = [source.split(" ", 5)[5] for source in describe_sources(track, tmp_path, last)]
    assert described == [
        split_part(tmp_path / path)[0].relative_to(tmp_path).as_posix() for path in (last.images[0], last.label)
    ]


def test_slices_of_a_late_test_set_and_of_labels_have_the_same_keys(tmp_path) -> None:
    truth = draw_nifti(tmp_path)
    track = load_folder_track(LAYOUTS / "nifti.yaml")
    late = track.list_test(tmp_path / "imagesTs").samples
    assert [sample.key for sample in late] == [f"patient101_frame01_{number:03d}" for number in range(SLICES)]
    found = track.find_labels(tmp_path / "labelsTr")
    assert {track.label_key(name) for name in truth} == found.keys()
    (path,) = found["patient001_frame12_001"]
    masks = unpack_planes(track.read_label(path, SIZE_HW), 3)
    np.testing.assert_array_equal(masks[2], truth["patient001_frame12_001"] == 3)


@pytest.mark.parametrize(
    ("key", "expected"),
    [("{stem}_slice_{slice}", "x_slice_2"), ("{slice:04}_of_{stem}", "0002_of_x"), ("{stem}", "x_002")],
)
def test_the_number_of_a_slice_is_where_the_key_has_it(tmp_path, key, expected) -> None:
    for name in ("train/x.nii", "labels/x_gt.nii.gz", "test/x.nii"):
        write_volume(tmp_path / name, np.zeros((5, 6, 3), np.int16), (1.0, 1.0, 1.0))
    of_test = {"path": "'(?P<of>train|test)/'", "key": f"'{{of}}{key}'"}
    keys = {"train": "train/*.nii", "images": "{slices: 2}"}
    listing = declare(tmp_path, **keys, **of_test).list_samples(tmp_path)
    assert [sample.key for sample in listing.samples][2::3] == [f"train{expected}", f"test{expected}"]
    track = declare(tmp_path, **keys, key=f"'{key}'")
    assert list(track.find_labels(tmp_path / "labels"))[2] == expected
    assert [sample.key for sample in track.list_test(tmp_path / "test").samples][2] == expected


def test_a_field_of_slices_needs_slices(tmp_path) -> None:
    with pytest.raises(CompetitionError, match=r"key holds \{slice\}, which is unknown"):
        declare(tmp_path, "train/*.nii", key="'{stem}_{slice}'", group="'(.+)'")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_along_any_axis_is_that_of_numpy(tmp_path, axis) -> None:
    values = np.random.default_rng(0).integers(-900, 2000, (7, 9, 11)).astype(np.int16)
    write_volume(tmp_path / "train" / "x.nii", values, (0.5, 0.7, 3.0))
    track = declare(tmp_path, "train/*.nii", images=f"{{slices: {axis}}}")
    samples = track.list_samples(tmp_path).samples
    assert [sample.group for sample in samples] == ["x.nii"] * values.shape[axis]  # the volume
    low, high = values.min(), values.max()
    for number, sample in enumerate(samples):
        expected = np.round((np.take(values, number, axis).T.astype(float) - low) * 255 / (high - low))
        np.testing.assert_array_equal(track.read_image(tmp_path / sample.images[0]), expected)
    columns, rows = (zoom for at, zoom in enumerate((0.5, 0.7, 3.0)) if at != axis)
    assert track.read_spacing(tmp_path / samples[0].images[0]) == pytest.approx((rows, columns))


def test_every_slice_of_a_volume_without_label_is_a_problem(tmp_path) -> None:
    draw_nifti(tmp_path)
    (tmp_path / "labelsTr" / "patient002_frame01_gt.nii.gz").unlink()
    problems = load_folder_track(LAYOUTS / "nifti.yaml").list_samples(tmp_path).problems
    assert [problem.key for problem in problems] == [f"patient002_frame01_{number:03d}" for number in range(SLICES)]
    assert {problem.reason for problem in problems} == {"annotation missing"}


def test_a_label_of_another_shape_is_one_sentence(tmp_path) -> None:
    draw_nifti(tmp_path)
    track = load_folder_track(LAYOUTS / "nifti.yaml")
    label = tmp_path / "labelsTr" / "patient001_frame01_gt.nii.gz"
    write_volume(label, np.zeros((26, 20, 2), np.uint8))
    with pytest.raises(CompetitionError, match="of 26x20x2 has 2 slices along axis 2, and no slice 002"):
        track.read_label(Path(f"{label}#002"), SIZE_HW)
    write_volume(label, np.zeros((20, 26, 3), np.uint8))
    with pytest.raises(CompetitionError, match="mask is 26x20 pixels, its image 20x26"):
        track.read_label(Path(f"{label}#002"), SIZE_HW)
    write_volume(label, np.full((26, 20, 3), 0.5, np.float32))
    with pytest.raises(CompetitionError, match="fractions, which name no class"):
        track.read_label(Path(f"{label}#002"), SIZE_HW)


def test_a_volume_needs_its_axis_and_slices_need_a_volume(tmp_path) -> None:
    write_volume(tmp_path / "train" / "x.nii.gz", np.zeros((4, 5, 6), np.int16))
    whole = declare(tmp_path, "train/*.nii.gz", group="'(.+)'")
    with pytest.raises(CompetitionError, match=r"volume of 4x5x6, one picture is expected.*slices: 2"):
        whole.read_image(tmp_path / "train" / "x.nii.gz")
    write_volume(tmp_path / "train" / "y.nii.gz", np.zeros((4, 5, 6, 2), np.int16), (1, 1, 1, 1))
    problems = declare(tmp_path, "train/*.nii.gz", images="{slices: 2}").list_samples(tmp_path).problems
    assert [problem.key for problem in problems if "4 axes (4x5x6x2)" in problem.reason] == ["y"]
    write_volume(tmp_path / "flat.nii.gz", np.arange(20, dtype=np.uint8).reshape(4, 5, 1))
    assert whole.read_image(tmp_path / "flat.nii.gz").shape == (5, 4)


def test_windows_are_the_images_own_the_files_and_given_ones(tmp_path) -> None:
    values = np.arange(0, 4000, 10, dtype=np.uint16).reshape(20, 20)
    scaled = {"RescaleSlope": "1", "RescaleIntercept": "-1000"}
    write_dicom(tmp_path / "a.dcm", values, **scaled, WindowCenter=[40, 300], WindowWidth=[400, 1500])
    write_dicom(
        tmp_path / "x.dcm", values, **scaled, PhotometricInterpretation="MONOCHROME1", WindowCenter=40, WindowWidth=400
    )
    write_dicom(tmp_path / "none.dcm", values)

    def expected(low: float, high: float) -> np.ndarray:
        return np.round((np.clip(values - 1000.0, low, high) - low) * (255 / (high - low))).astype(np.uint8)

    for window, bounds in (("min-max", (-1000, 2990)), ("voi", (-160, 239)), ("[-160, 240]", (-160, 240))):
        track = declare(tmp_path, "raw/*.dcm", group="'(.+)'", images=f"{{window: {window}}}")
        np.testing.assert_array_equal(track.read_image(tmp_path / "a.dcm"), expected(*bounds))
        inverse = track.read_image(tmp_path / "x.dcm").astype(int)
        assert np.abs(inverse - (255 - expected(*bounds).astype(int))).max() <= 1  # of rounding a half
    with pytest.raises(CompetitionError, match=r"no VOI window.*window: min-max"):
        declare(tmp_path, "raw/*.dcm", group="'(.+)'", images="{window: voi}").read_image(tmp_path / "none.dcm")


@pytest.mark.parametrize("images", ["{window: [240, -160]}", "{window: soft}", "{slices: 3}", "{slice: 2}"])
def test_impossible_windows_and_axes_are_refused_when_the_yaml_is_read(tmp_path, images) -> None:
    with pytest.raises(CompetitionError, match="images"):
        declare(tmp_path, "train/*.nii", images=images, group="'(.+)'")


def test_arrays_are_read_whole_in_grey_and_in_colour(tmp_path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", colour)
    np.savez(tmp_path / "b.npz", whatever=np.array([[-1.0, 0], [1, 3]]))
    grey = declare(tmp_path, "raw/*.npy", group="'(.+)'")
    wanted = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    assert np.abs(grey.read_image(tmp_path / "a.npy").astype(int) - wanted).max() <= 1
    np.testing.assert_array_equal(grey.read_image(tmp_path / "b.npz"), [[0, 64], [128, 255]])
    rgb = declare(tmp_path, "raw/*.npy", group="'(.+)'", channels="3")
    np.testing.assert_array_equal(rgb.read_image(tmp_path / "a.npy"), colour)
    assert rgb.read_image(tmp_path / "b.npz").shape == (2, 2, 3)
    np.savez(tmp_path / "c.npz", x=colour, y=colour)
    with pytest.raises(CompetitionError, match="it holds the arrays x, y"):
        rgb.read_image(tmp_path / "c.npz")
    np.save(tmp_path / "d.npy", np.zeros((2, 3, 4, 5)))
    with pytest.raises(CompetitionError, match="not float64 of 2x3x4x5"):
        rgb.read_image(tmp_path / "d.npy")


def test_an_unreadable_image_lists_the_formats_that_are_read(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture at all")
    with pytest.raises(
        CompetitionError,
        match=r"no image that can be read.*Give PNG.*DICOM, NIfTI.* or \.npz files",
    ):
        declare(tmp_path, "raw/*.png", group="'(.+)'").read_image(tmp_path / "a.png")


def test_spacing_is_that_of_the_file(tmp_path) -> None:
    draw_siim_acr(tmp_path / "dicom")
    track = load_folder_track(LAYOUTS / "siim_acr.yaml")
    first = track.list_samples(tmp_path / "dicom").samples[0]
    assert track.read_spacing(tmp_path / "dicom" / first.images[0]) == (0.168, 0.143)
    draw_npz(tmp_path / "npz")
    assert track.read_spacing(tmp_path / "npz" / "train" / "case0005_slice000.npz") is None
