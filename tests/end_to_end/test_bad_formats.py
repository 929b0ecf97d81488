"""Every broken file has its one sentence in ``prepare``: what is wrong, in which file, and what repairs it."""

import re
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pydicom
import pytest
import scipy.io
from PIL import Image

from competition.data.manifest import read_manifest
from competition.phantoms.cardiac import phantom as heart
from competition.phantoms.lumbar import phantom as spine
from competition.tracks.cardiac.track import CARDIAC
from competition.tracks.lumbar.track import LUMBAR
from competition.workspace import Workspace

RUN_LENGTHS = """\
classes: [lv]
train: train/images/*.png
masks: {csv: train.csv, image: id, rle: rle, order: row}
submission: {image: id, rle: rle, ending: true, order: row}
test: test/images/*.png
group: '^(SC-.+)-IM'
"""
SLICE = "SC-HF-I-01-IM-0001-0028.dcm"
PICTURE, LABEL_PICTURE = f"train/images/{SLICE}.png", f"train/labels/{SLICE}.png"
OUTLINE = "contours/SC-HF-I-1/i-contours/IM-0001-0028-icontour-manual.txt"
DICOM, LABEL = "train/img/1.dcm", "train/label/001.mat"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Small spines, and hearts of 64x64 pixels in all three forms."""
    root = tmp_path_factory.mktemp("drawn")
    spine.draw(root / "lumbar", 2, 1, 100, 0, lambda: None)
    for name, draw in (("pictures", heart.draw), ("contours", heart.draw_dicom), ("records", heart.draw_tfrecords)):
        draw(root / name, 2, 1, 64, 0, lambda: None)
    return root


@pytest.fixture
def broken(drawn, tmp_path, refusal):
    """Break a copy of synthetic data and prepare it; return the sentence."""

    def run(name, break_it, track="cardiac"):
        data = Path(shutil.copytree(drawn / name, tmp_path / "raw"))
        break_it(data)
        return refusal("prepare", "--track", track, "--data", data, "--folds", 2)[0]

    return run


def one_sample(key, what, where, repair=""):
    """The whole sentence about one training sample, as a pattern."""
    repair = f" ({repair})" if repair else ""
    end = re.escape(f"{repair}: {where}. Fix the files, or leave those samples out with --skip-bad.")
    return rf"error: 1 training sample can't be used; the first is {re.escape(key)}: {what}{end}\n"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_pixels(path):
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)


def label_5(data, key="label_separated", planes=7):
    """Writes the label again, with another key or number of planes."""
    stored = scipy.io.loadmat(data / LABEL)["label_separated"]
    scipy.io.savemat(data / LABEL, {key: np.concatenate([stored, stored], axis=2)[..., :planes]})


def label_73(data, key="label_separated", planes=7):
    """The same as MATLAB's version 7.3, which is HDF5 with the axes turned round."""
    stored = scipy.io.loadmat(data / LABEL)["label_separated"]
    with h5py.File(data / LABEL, "w") as file:
        file[key] = np.concatenate([stored, stored], axis=2)[..., :planes].T


def cut_73(data):
    label_73(data)
    cut(data / LABEL)


@pytest.mark.parametrize(
    ("break_it", "what", "where", "repair"),
    [
        (
            lambda data: cut(data / DICOM),
            r"DICOM is truncated: \d+ of \d+ bytes of its pixel data are there",
            DICOM,
            "copy the file again",
        ),
        (
            lambda data: without_pixels(data / DICOM),
            "DICOM has no pixel data, or is truncated",
            DICOM,
            "copy the file again",
        ),
        (
            lambda data: (data / DICOM).write_bytes(b"DICM"),
            "file is no DICOM, or truncated within its header",
            DICOM,
            "copy the file again",
        ),
        (
            lambda data: label_5(data, key="mask"),
            r"MATLAB file has no key 'label_separated' \(it has mask\)",
            LABEL,
            "",
        ),
        (
            lambda data: label_73(data, key="mask"),
            r"MATLAB file has no key 'label_separated' \(it has mask\)",
            LABEL,
            "",
        ),
        (cut_73, r"MATLAB file can't be read \(.*truncated file.*\)", LABEL, ""),
        (lambda data: label_5(data, planes=6), r"label is \d+x\d+x6, not rows x columns x 7 planes", LABEL, ""),
        (lambda data: label_73(data, planes=8), r"label is \d+x\d+x8, not rows x columns x 7 planes", LABEL, ""),
    ],
)
def test_spines(broken, break_it, what, where, repair):
    assert re.fullmatch(one_sample("train_1", what, where, repair), broken("lumbar", break_it, "lumbar"))


def test_a_label_of_version_73_is_prepared_as_the_same_label(drawn, tmp_path, stage):
    manifests = []
    for number, write in enumerate((label_5, label_73)):
        data = Path(shutil.copytree(drawn / "lumbar", tmp_path / f"raw{number}"))
        write(data)
        stage("prepare", "--track", "lumbar", "--data", data, "--folds", 2)
        manifests.append(read_manifest(Workspace(tmp_path / "workspace", "lumbar"), LUMBAR))
    five, seven = ([entry.labels for entry in manifest.of("train")] for manifest in manifests)
    assert five == seven
    assert len(set(five)) == 4


def test_a_cut_dicom_of_the_test_says_why_it_cannot_be_read(broken):
    sentence = broken("lumbar", lambda data: cut(min((data / "test/img").iterdir())), "lumbar")
    assert re.search(r"the first: DICOM .*: test/img/\S+\.dcm\. Fix.*--fill-bad", sentence)


def slice_dicom(data):
    return data / "dicom" / "SCD0000101" / "28.dcm"


@pytest.mark.parametrize(
    ("break_it", "what", "where", "repair"),
    [
        (
            lambda data: cut(slice_dicom(data)),
            r"DICOM is truncated: \d+ of 8192 bytes of its pixel data are there",
            "dicom/SCD0000101/28.dcm",
            "copy the file again",
        ),
        (
            lambda data: (data / OUTLINE).write_text("3 4\n5 6\n7 nan\n"),
            "contour point '7 nan' is not finite",
            f"{OUTLINE}, line 3",
            "",
        ),
        (
            lambda data: (data / OUTLINE).write_text("3 4\n5 6\n7 63.6\n"),
            r"contour point '7 63.6' lies outside the image of 64x64 \(rows x columns\)",
            f"{OUTLINE}, line 3",
            "",
        ),
    ],
)
def test_contours(broken, break_it, what, where, repair):
    assert re.fullmatch(one_sample(SLICE, what, where, repair), broken("contours", break_it))


def test_a_cut_tfrecord(broken, tmp_path):
    file = tmp_path / "raw" / "train_images.tfrecords"
    sentence = broken("records", lambda data: file.write_bytes(file.read_bytes()[:-9]))
    assert sentence == f"error: the file ends within a record: {file}, record 35. Copy the file again.\n"


def palette(data, indices, *colours):
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette(colours)
    picture.save(data / LABEL_PICTURE)


def stored_label(data):
    return cv2.imread(str(data / LABEL_PICTURE), cv2.IMREAD_GRAYSCALE) > 0


SAVE_GREY = "save it as 8-bit grey, 0 and 255"


@pytest.mark.parametrize(
    ("break_it", "what", "where", "repair"),
    [
        (
            lambda data: palette(data, stored_label(data), 255, 255, 255, 0, 0, 0),
            r"palette label shows index 0 brighter than index 1: which is the class\?",
            LABEL_PICTURE,
            SAVE_GREY,
        ),
        (
            lambda data: palette(data, np.arange(64 * 64).reshape(64, 64) % 3, 0, 0, 0, 255, 0, 0, 0, 255, 0),
            r"palette label holds the indices 0, 1, 2: which of them is the class\?",
            LABEL_PICTURE,
            f"{SAVE_GREY}; a folder track can name them in its YAML, classes: {{name: index}}",
        ),
        (
            lambda data: cv2.imwrite(str(data / LABEL_PICTURE), np.ones((64, 64, 3), np.uint16)),
            "picture has 16 bits per colour, of which only the upper 8 could be read",
            LABEL_PICTURE,
            "save it as 16-bit grey, or with 8 bits per colour",
        ),
        (
            lambda data: cv2.imwrite(str(data / PICTURE), np.full((64, 64, 3), 4000, np.uint16)),
            "picture has 16 bits per colour, of which only the upper 8 could be read",
            PICTURE,
            "save it as 16-bit grey, or with 8 bits per colour",
        ),
    ],
)
def test_pictures(broken, break_it, what, where, repair):
    assert re.fullmatch(one_sample(SLICE, what, where, repair), broken("pictures", break_it))


def test_palettes_and_sixteen_bits_that_say_what_they_mean_give_the_same_label(drawn, tmp_path, stage):
    writes = (
        lambda data: None,
        lambda data: palette(data, stored_label(data), 0, 0, 0, 255, 0, 0),
        lambda data: palette(data, stored_label(data), 255, 255, 255, 255, 0, 0),  # red on white paper
        lambda data: cv2.imwrite(str(data / LABEL_PICTURE), stored_label(data).astype(np.uint16)),
        lambda data: cv2.imwrite(str(data / LABEL_PICTURE), stored_label(data).astype(np.uint16) * 65535),
    )
    labels = []
    for number, write in enumerate(writes):
        data = Path(shutil.copytree(drawn / "pictures", tmp_path / f"raw{number}"))
        write(data)
        stage("prepare", "--track", "cardiac", "--data", data, "--folds", 2)
        manifest = read_manifest(Workspace(tmp_path / "workspace", "cardiac"), CARDIAC)
        labels.append({entry.sample: entry.labels for entry in manifest.of("train")}[SLICE])
    assert len(set(labels)) == 1


@pytest.mark.parametrize(
    ("rle", "what"),
    [
        ("1 5 4 2", r"run 2 \('4 2'\) starts before the one ahead of it has ended"),
        ("4090 8", "a run ends at pixel 4097, but the image has 4096"),
        ("0 3", r"run 1 \('0 3'\) starts at 0, but pixels are counted from 1"),
    ],
)
def test_run_lengths(broken, tmp_path, rle, what):
    (tmp_path / "mine.yaml").write_text(RUN_LENGTHS)

    def write(data):
        names = sorted(path.name for path in (data / "train/images").iterdir())
        rows = [f"{name},{rle if name == f'{SLICE}.png' else '1 3'}" for name in names]
        (data / "train.csv").write_text("\n".join(["id,rle", *rows, ""]))

    sentence = broken("pictures", write, tmp_path / "mine.yaml")
    where = f"train.csv, row 2, image {SLICE}.png, class lv"
    repair = "if all rows are invalid, check start, relative and order of masks in the track's YAML"
    assert re.fullmatch(one_sample(SLICE, what, where, repair), sentence)
