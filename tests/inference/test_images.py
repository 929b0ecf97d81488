"""Any readable image in any track: by the track's reader where it can, with the values that Pillow and numpy give."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from volume_phantoms import write_volume

from competition.errors import CompetitionError
from competition.formats.images import has_colour, read_image
from competition.formats.pictures import read_grey, read_rgb
from competition.inference.images import find_images, for_any_image, image_name, read_any
from competition.tracks import get_track

GREY = np.random.default_rng(1).integers(0, 256, (30, 20), dtype=np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (30, 20, 3), dtype=np.uint8)
TRACKS = ("hand_bone", "cardiac", "lumbar", "knee")


def save(path, values, **options):
    Image.fromarray(values).save(path, **options)
    return path


def written(folder, write_dicom):
    """The same grey image in every format without loss, in 8 and 16 bits."""
    wide = GREY.astype(np.uint16) * 16
    np.save(folder / "a.npy", GREY)
    np.save(folder / "wide.npy", wide)
    np.savez(folder / "a.npz", image=GREY, label=GREY > 9)
    write_volume(folder / "wide.nii.gz", wide.T)  # the first axis of the file runs along a row
    files = [save(folder / f"a{ending}", GREY) for ending in (".png", ".tif", ".bmp", ".gif", ".pgm", ".PNG")]
    files += [save(folder / "wide.png", wide), save(folder / "rgb.png", np.repeat(GREY[..., None], 3, axis=2))]
    files += [write_dicom(folder / "a.dcm", wide), write_dicom(folder / "1.2.840.7", wide)]
    return [*files, *(folder / name for name in ("a.npy", "wide.npy", "a.npz", "wide.nii.gz"))]


@pytest.mark.parametrize("name", TRACKS)
def test_every_format_is_read_in_every_track(name, tmp_path, write_dicom, capsys):
    low, high = int(GREY.min()), int(GREY.max())
    stretched = np.round((GREY.astype(float) - low) * 255 / (high - low)).astype(np.uint8)
    for path in written(tmp_path, write_dicom):
        wide = path.name.startswith("wide") or path.suffix in (".dcm", ".7")
        np.testing.assert_array_equal(read_any(get_track(name), path), stretched if wide else GREY, err_msg=path.name)
    assert capsys.readouterr().out == ""


def test_a_track_in_colour_gets_three_channels_of_everything(tmp_path, write_dicom):
    track = replace(get_track("knee"), channels=3, read_image=read_rgb)
    for path in written(tmp_path, write_dicom):
        image = read_any(track, path)
        assert (image.shape, image.dtype) == ((30, 20, 3), np.uint8)
        assert (image == image[..., :1]).all()
    np.testing.assert_array_equal(read_any(track, save(tmp_path / "c.png", COLOUR)), COLOUR)


@pytest.mark.parametrize(
    ("track", "name"), [("hand_bone", "photo.png"), ("hand_bone", "photo.npy"), ("knee", "photo.npy")]
)
def test_colour_in_a_grey_track_is_converted_with_one_line_that_names_the_file(tmp_path, capsys, track, name):
    save(tmp_path / "photo.png", COLOUR)
    np.save(tmp_path / "photo.npy", COLOUR)
    image = read_any(get_track(track), tmp_path / name)
    luminance = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(image - luminance).max() < 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert f"{name} is in colour and was turned to grey, because track {track} is grey" in out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("grey.png", False), ("equal.png", False), ("colour.png", True), ("palette.png", True), ("text.png", False)),
        *(("grey.npy", False), ("equal.npy", False), ("colour.npy", True), ("one.npy", False), ("cube.npy", False)),
        ("grey.dcm", False),
    ],
)
def test_colour_is_where_channels_differ(tmp_path, write_dicom, name, expected):
    for kind, values in (("grey", GREY), ("equal", np.repeat(GREY[..., None], 3, axis=2)), ("colour", COLOUR)):
        save(tmp_path / f"{kind}.png", values)
        np.save(tmp_path / f"{kind}.npy", values / 7)
    np.save(tmp_path / "one.npy", COLOUR[..., :1])
    np.save(tmp_path / "cube.npy", np.zeros((2, 3, 4)))
    write_dicom(tmp_path / "grey.dcm", GREY.astype(np.uint16))
    Image.fromarray(COLOUR).quantize(8).save(tmp_path / "palette.png")
    (tmp_path / "text.png").write_text("no image")
    assert has_colour(tmp_path / name) == expected


def test_the_tracks_own_reader_goes_first():
    track = replace(get_track("knee"), read_image=lambda path: np.full((2, 3), 9, np.uint8))
    assert (read_any(track, Path(__file__)) == 9).all()


def test_what_the_tracks_reader_refuses_is_not_read_with_another_window(tmp_path, write_dicom):
    windowed = replace(get_track("knee"), read_image=partial(read_image, channels=1, window="voi"))
    wide = GREY.astype(np.uint16)
    np.save(tmp_path / "wide.npy", wide)
    for path, reason in (
        (write_dicom(tmp_path / "none.dcm", wide), r"DICOM has no VOI window.*none\.dcm"),
        (tmp_path / "wide.npy", r"an array names no window: .*wide\.npy"),
    ):
        with pytest.raises(CompetitionError, match=reason):
            read_any(windowed, path)
    path = write_dicom(tmp_path / "a.dcm", wide, WindowCenter=100.5, WindowWidth=101)  # 50 to 150
    expected = np.round((GREY.clip(50, 150) - 50.0) * 2.55).astype(np.uint8)
    np.testing.assert_array_equal(read_any(windowed, path), expected)


def test_a_plugins_reader_that_fails_on_other_formats_is_replaced_with_a_warning(tmp_path, capsys):
    def read(path):
        return np.load(path)

    assert (read_any(replace(get_track("knee"), read_image=read), save(tmp_path / "a.png", GREY)) == GREY).all()
    out = " ".join(capsys.readouterr().out.split())
    assert "a.png is read by the general reader, because the reader of track knee fails on it (" in out


def bad_files(folder, write_dicom):
    (folder / "notes.png").write_text("no image at all")
    whole = save(folder / "whole.png", GREY).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    dicom = write_dicom(folder / "whole.dcm", GREY.astype(np.uint16)).read_bytes()
    (folder / "cut.dcm").write_bytes(dicom[:-200])
    (folder / "empty.png").write_bytes(b"")
    np.save(folder / "nan.npy", np.full((3, 4), np.nan, np.float32))
    np.save(folder / "cube.npy", np.zeros((2, 3, 4), np.uint8))
    np.save(folder / "nothing.npy", np.zeros((0, 4), np.uint8))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent.png", r"image not found: .*absent\.png"),
        (
            "notes.png",
            r"this is no image that can be read.*: .*notes\.png\. Give PNG, .*, NIfTI .* or \.npz files\.$",
        ),
        ("cut.png", r"image can't be read \(.*cut\.png"),
        ("empty.png", r"this is no image that can be read.*empty\.png"),
        ("cut.dcm", r"DICOM is truncated: 1000 of 1200 bytes of its pixel data are there: .*cut\.dcm"),
        ("nan.npy", r"array .*: .*nan\.npy"),
        ("cube.npy", r"\(rows, columns, 3\), not uint8 of 2x3x4: .*cube\.npy"),
        ("nothing.npy", r"picture has a size of 4x0 pixels: .*nothing\.npy"),
        (".", r"image can't be read \(it is a folder"),
    ],
)
@pytest.mark.parametrize("track", TRACKS[:2])
def test_what_can_not_be_read_is_named_with_the_reason(tmp_path, write_dicom, track, name, reason):
    bad_files(tmp_path, write_dicom)
    with pytest.raises(CompetitionError, match=reason):
        read_any(get_track(track), tmp_path / name)


def test_spacing_comes_from_any_dicom_and_nifti_file_and_from_no_other(tmp_path, write_dicom):
    read = for_any_image(get_track("hand_bone")).read_spacing
    assert read(write_dicom(tmp_path / "a.dcm", GREY.astype(np.uint16), PixelSpacing=[0.5, 0.25])) == (0.5, 0.25)
    assert read(write_dicom(tmp_path / "b", GREY.astype(np.uint16), ImagerPixelSpacing=[0.1, 0.2])) == (0.1, 0.2)
    write_volume(tmp_path / "d.nii", GREY, (0.5, 0.25, 1.0))
    assert read(tmp_path / "d.nii") == (0.25, 0.5)
    assert read(save(tmp_path / "c.png", GREY)) is None


def test_folders_are_searched_for_images_of_all_formats(tmp_path, write_dicom):
    for name in ("b.png", "sub/a.JPG", "sub/deep/c.npy", "notes.txt", ".hidden.png", "flat.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("IM0001", "DICOMDIR"):
        write_dicom(tmp_path / "sub" / name, GREY.astype(np.uint16))
    images, others = find_images(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in images] == [
        *("b.png", "flat.nii.gz", "sub/IM0001", "sub/a.JPG", "sub/deep/c.npy")
    ]
    assert [path.name for path in others] == ["notes.txt", "DICOMDIR"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.png", "a"),
        ("a.b.dcm", "a.b"),
        ("1.2.840.7", "1.2.840.7"),
        ("IM0001", "IM0001"),
        ("x.DCM", "x"),
        ("v.1.nii.gz", "v.1"),
    ],
)
def test_results_are_named_like_the_image(tmp_path, file, name):
    assert image_name(tmp_path / file) == name


def test_pictures_are_read_as_prepare_reads_them(tmp_path):
    path = save(tmp_path / "photo.jpg", COLOUR)
    np.testing.assert_array_equal(read_any(get_track("hand_bone"), path), read_grey(path))


@pytest.mark.parametrize(("number", "colour"), list(enumerate(["red", "green", "blue"])))
def test_a_track_of_one_channel_reads_it_of_every_format_without_a_warning(number, colour, tmp_path, capsys):
    track = replace(get_track("knee"), colour=colour, read_image=partial(read_image, channels=colour))
    np.save(tmp_path / "c.npy", COLOUR)
    for path in (save(tmp_path / "c.png", COLOUR), tmp_path / "c.npy"):
        np.testing.assert_array_equal(read_any(track, path), COLOUR[..., number])
    np.testing.assert_array_equal(read_any(track, save(tmp_path / "g.png", GREY)), GREY)
    foreign = replace(track, read_image=read_rgb)  # a reader of something else
    np.testing.assert_array_equal(read_any(foreign, tmp_path / "c.png"), COLOUR[..., number])
    assert capsys.readouterr().out == ""
