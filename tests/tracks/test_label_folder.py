from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from encoded_masks import CLASSES, blobs, keyed, rle_file
from PIL import ExifTags, Image

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.form import RunLengthForm, encode_labels, score_rle
from competition.tracks.declared.mask_files import read_masks
from competition.tracks.label_folder import LabelFolder
from competition.tracks.track import Listing, Track


def folder_track(read_label, size_hw=None):
    return Track(
        name="t",
        task="segmentation",
        classes=CLASSES,
        metric="dice",
        form=RunLengthForm(),
        list_samples=lambda root: Listing([]),
        list_test=lambda folder: Listing([]),
        read_image=lambda path: np.zeros((1, 1), np.uint8),
        read_label=read_label,
        layout="",
        size_hw=size_hw,
    )


def bits_label(path, size_hw):
    """A label image whose pixel value holds the classes as bits."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image[..., None]


def encoded(track, folder, names, size_hw=None, sizes=None):
    """The run lengths of the labels, and the sizes at which they were read."""
    return encode_labels(LabelFolder(track, folder, size_hw, sizes or {}), names, CLASSES, "row")


def label_folder(root, masks):
    (root / "deep").mkdir(parents=True)
    for name, stack in masks.items():
        cv2.imwrite(str(root / "deep" / name), pack_masks(stack)[..., 0])
    return root


def test_label_images_of_different_sizes_are_read_at_their_own(tmp_path):
    masks = {"a.dcm.png": blobs(1, 3, (5, 7))["1.png"], "b.png": blobs(2, 3, (9, 4))["2.png"]}
    folder = label_folder(tmp_path / "labels", masks)
    truth, sizes = encoded(folder_track(bits_label), folder, list(masks))
    assert truth == keyed(masks)
    assert sizes == {"a.dcm.png": (5, 7), "b.png": (9, 4)}
    assert score_rle(rle_file(tmp_path / "s.csv", masks), truth, CLASSES, KnownImages(sizes=sizes)).score == 1.0


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 3), (8, 1)])
def test_a_label_picture_has_the_size_at_which_it_is_shown(tmp_path, ending, orientation, turns):
    mask = np.zeros((16, 40), bool)
    mask[:8, :16] = True
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"a.{ending}", exif=exif, quality=100)
    track = replace(folder_track(partial(read_masks, classes=["left"])), classes=("left",))
    read = LabelFolder(track, tmp_path).join(["a.dcm"])
    np.testing.assert_array_equal(unpack_planes(read("a.dcm", None), 1)[0], np.rot90(mask, turns))


@pytest.mark.parametrize(
    ("given", "known", "fixed", "size_hw"),
    [
        ((4, 3), {"a.png": (6, 6)}, (8, 8), (4, 3)),
        (None, {"a.png": (6, 6)}, (8, 8), (6, 6)),
        (None, {"b.png": (6, 6)}, (8, 8), (8, 8)),
    ],
)
def test_the_size_of_points_is_given_or_prepared_or_the_tracks_own(tmp_path, given, known, fixed, size_hw):
    (tmp_path / "a.json").write_text("{}")
    track = folder_track(lambda path, size: np.full((*size, 1), 0b101, np.uint8), fixed)
    truth, sizes = encoded(track, tmp_path, ["a.png"], given, known)
    full = f"1 {size_hw[0] * size_hw[1]}"
    assert truth == {("a.png", "left"): full, ("a.png", "right"): "", ("a.png", "both"): full}
    assert sizes == {"a.png": size_hw}


def test_labels_that_can_not_be_told_are_errors(tmp_path):
    masks = blobs(1, 3, (5, 7))
    folder = label_folder(tmp_path / "labels", masks)
    track = folder_track(bits_label)
    with pytest.raises(CompetitionError, match=r"2 of 3 images have no label, first x\.png, y\.png.*labels"):
        encoded(track, folder, ["x.png", "0.png", "y.png"])
    (folder / "0.json").write_text("{}")
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '0\.png' \(0\.json and deep/0\.png\)"):
        encoded(track, folder, ["0.png"])
    with pytest.raises(CompetitionError, match=r"5x7, not 5x8.*1\.png"):
        encoded(track, folder, ["1.png"], (5, 8))
    (folder / "points.json").write_text("{}")
    with pytest.raises(CompetitionError, match=r"size of this image is unknown.*points\.json.*--size"):
        encoded(track, folder, ["points.png"])
    with pytest.raises(CompetitionError, match="no label files"):
        encoded(folder_track(None), folder, ["0.png"])


def test_one_mask_per_class_in_a_folder_of_its_name(tmp_path):
    masks = blobs(4, 3, (5, 7))
    for name, stack in masks.items():
        for class_name, mask in zip(CLASSES, stack, strict=True):
            (tmp_path / "masks" / class_name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "masks" / class_name / name), mask.astype(np.uint8) * 255)

    def read(path, size_hw):
        files = [str(path).replace("{class}", name) for name in CLASSES]
        return pack_masks(np.stack([cv2.imread(file, cv2.IMREAD_UNCHANGED) > 0 for file in files]))

    truth, sizes = encoded(folder_track(read), tmp_path, list(masks))
    assert truth == keyed(masks)
    assert set(sizes.values()) == {(5, 7)}
    (tmp_path / "masks" / "both" / "1.png").unlink()
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '1\.png'"):
        encoded(folder_track(read), tmp_path, list(masks))


def test_a_track_that_finds_its_own_labels_is_asked_for_them(tmp_path, capsys):
    masks = blobs(5, 4, (5, 7))
    (tmp_path / "all.labels").touch()

    def find(folder):
        return {f"{number}": [folder / f"all.labels#{number}"] for number in range(4)}

    def read(path, size_hw):
        assert size_hw == (5, 7)
        return pack_masks(masks[f"{path.name.removeprefix('all.labels#')}.png"])

    track = replace(folder_track(read), find_labels=find)
    names = ["2.png", "0.png"]
    truth, sizes = encoded(track, tmp_path, names, sizes=dict.fromkeys(masks, (5, 7)))
    assert truth == keyed({name: masks[name] for name in names})
    assert set(sizes) == set(names)
    assert "2 of 4 labels below" in capsys.readouterr().out  # of images 1 and 3
    with pytest.raises(CompetitionError, match=r"1 of 1 images have no label, first 9\.png"):
        encoded(track, tmp_path, ["9.png"])
    twice = replace(track, find_labels=lambda folder: {"0": [folder / "a#0", folder / "b#0"]})
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '0\.png' \(a#0 and b#0\)"):
        encoded(twice, tmp_path, ["0.png"])
