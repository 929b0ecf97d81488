"""From each form of the data to a submission: DICOM with contours, TFRecords, run lengths in a CSV; and bad files."""

import csv
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.phantoms import knee
from competition.phantoms.cardiac import phantom as heart

MASKS = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8], prior: 0.3}
data: {size: 64, workers: 0}
train: {epochs: 1, repeats: 1, batch_size: 4, precision: fp32}
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(MASKS)
    return path


def dice_of(submission, masks):
    """Mean Dice of a submission, by filling pixel after pixel; masks by (image, class)."""
    with open(submission, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image_name", "class", "rle"]
    assert {(image, name) for image, name, _ in rows} == set(masks)
    scores = []
    for image, name, rle in rows:
        truth = masks[image, name] > 0
        ours = np.zeros(truth.size, bool)
        numbers = [int(word) for word in rle.split()]
        for start, length in zip(numbers[::2], numbers[1::2], strict=True):
            ours[start - 1 : start - 1 + length] = True
        total = ours.sum() + truth.sum()
        scores.append(2 * (ours.reshape(truth.shape) & truth).sum() / total if total else 1.0)
    return np.mean(scores)


@pytest.fixture(scope="module")
def drawn_hearts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn_hearts")
    heart.draw_dicom(folder, 2, 1, 64, 0, lambda: None)
    return folder


@pytest.fixture
def hearts(drawn_hearts, tmp_path):
    """Two training persons and one test person of the test's own, as DICOM with contours."""
    return Path(shutil.copytree(drawn_hearts, tmp_path / "dicom"))


def test_dicom_with_contours_goes_all_the_way_and_is_scored_by_every_form(hearts, tiny, stage, tmp_path):
    common = ("--track", "cardiac")
    figures, said = stage("prepare", *common, "--data", hearts, "--folds", 2)
    assert figures["samples"] == {"train": 36, "test": 18, "read": 54}
    assert figures["problems"] == []
    assert "train: 18 DICOM images have no contour" in said
    assert figures["remarks"][0].startswith("train: 18 DICOM images have no contour")
    stage("train", *common, "--experiment", tiny, "--fold", 0)
    submission = stage("ensemble", *common)[0]["submission"]
    assert stage("check", *common, submission)[0]["prepared"]
    for name, draw in (("png", heart.draw), ("records", heart.draw_tfrecords)):
        draw(tmp_path / name, 2, 1, 64, 0, lambda: None)
    pictures = (tmp_path / "png" / "test" / "labels").iterdir()
    truth = {(path.name, "lv"): cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in pictures}
    expected = pytest.approx(dice_of(submission, truth), abs=1e-12)
    for labels in (hearts / "test" / "contours", tmp_path / "png" / "test" / "labels", tmp_path / "records"):
        figures, _ = stage("score", *common, submission, labels)
        assert (figures["score"], figures["rows"]) == (expected, 18)


def test_a_changed_contour_is_read_again_and_nothing_else(hearts, stage):
    words = ("prepare", "--track", "cardiac", "--data", hearts, "--folds", 2)
    stage(*words)
    contour = min(hearts.rglob("*icontour*"))
    contour.write_text(contour.read_text() + "20 20\n")
    assert stage(*words)[0]["samples"]["read"] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nan 3.5", "contour point 'nan 3.5' is not finite"),
        ("64 3.5", "contour point '64 3.5' lies outside the image of 64x64"),
        ("3.5", "'3.5' is not an 'x y' of two numbers"),
    ],
)
def test_a_bad_contour_stops_until_its_slice_is_skipped(hearts, stage, refusal, line, reason):
    contour = min(hearts.rglob("contours/SC-HF-I-1/i-contours/*"))
    count = len(contour.read_text().splitlines())
    contour.write_text(contour.read_text() + line + "\n")
    words = ("prepare", "--track", "cardiac", "--data", hearts, "--folds", 2)
    error = refusal(*words)[0]
    assert reason in error
    assert f"{contour.name}, line {count + 1}" in error
    assert "--skip-bad" in error
    assert stage(*words, "--skip-bad")[0]["samples"]["train"] == 35


def test_copies_of_labels_are_listed_and_those_of_no_class_stop_nothing(hearts, stage, refusal):
    words = ("prepare", "--track", "cardiac", "--data", hearts, "--folds", 2)
    outer = [sorted(hearts.glob(f"contours/{person}/o-contours/*")) for person in ("SC-HF-I-1", "SC-HF-NI-1")]
    shutil.copy(outer[0][0], outer[1][0])
    figures, said = stage(*words)
    assert figures["samples"]["train"] == 36
    assert [(problem["note"], Path(problem["path"]).name) for problem in figures["problems"]] == [
        (True, outer[0][0].name),
        (True, outer[1][0].name),
    ]
    assert "byte copy" in said
    inner = [sorted(hearts.glob(f"contours/{person}/i-contours/*")) for person in ("SC-HF-I-1", "SC-HF-NI-1")]
    shutil.copy(inner[0][0], inner[1][0])
    assert "2 training samples can't be used" in refusal(*words)[0]
    assert stage(*words, "--skip-bad")[0]["samples"]["train"] == 34


def test_one_label_in_two_people_is_noted_in_every_form(stage, tmp_path):
    heart.draw(tmp_path / "png", 2, 0, 64, 0, lambda: None)
    labels = sorted((tmp_path / "png" / "train" / "labels").iterdir())
    first, last = cv2.imread(str(labels[0])), labels[-1]
    cv2.imwrite(str(last), first, [cv2.IMWRITE_PNG_COMPRESSION, 9])  # the same pixels in other bytes
    empty = np.zeros_like(first)
    for path in (labels[1], labels[-2]):  # two empty masks are no copies
        cv2.imwrite(str(path), empty)
    figures, _ = stage("prepare", "--track", "cardiac", "--data", tmp_path / "png", "--folds", 2)
    (problem,) = figures["problems"]
    assert (problem["note"], problem["path"]) == (True, last.name)
    assert f"the same label as {labels[0].name} of group SC-HF-I-01" in problem["reason"]
    assert figures["samples"]["train"] == 36


def test_damaged_records_stop_with_the_record(tmp_path, refusal, stage):
    data = tmp_path / "records"
    heart.draw_tfrecords(data, 2, 1, 32, 0, lambda: None)
    words = ("prepare", "--track", "cardiac", "--data", data, "--folds", 2)
    assert stage(*words)[0]["samples"] == {"train": 36, "test": 18, "read": 54}
    assert stage(*words)[0]["samples"]["read"] == 0
    file = data / "train_images.tfrecords"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2 + 100])
    assert re.search(r"the file ends within a record: .*train_images\.tfrecords, record 18\.", refusal(*words)[0])
    file.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    assert re.search(r"checksum is wrong: .*train_images\.tfrecords, record 0\.", refusal(*words)[0])
    file.write_bytes(whole)
    assert stage(*words)[0]["samples"]["read"] == 0  # it is what it was


def test_soft_edges_are_said_once_for_the_whole_data_set(tmp_path, stage):
    knee.draw(tmp_path / "knees", 6, 1, 60, 0, lambda: None)
    between = {}
    for path in (tmp_path / "knees" / "train" / "labels").iterdir():
        values = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if path.read_bytes()[25] != 3:  # no palette
            between[path.name] = int(((values > 0) & (values < values.max())).sum())
    labels = len(list((tmp_path / "knees" / "train" / "labels").iterdir()))
    soft = [count for count in between.values() if count]
    assert soft
    remark = f"labels: {len(soft)} of {labels} have pixels between 0 and their maximum (soft"
    words = ("prepare", "--track", "knee", "--data", tmp_path / "knees", "--folds", 2)
    for _ in range(2):  # also where everything was read before
        figures, said = stage(*words)
        assert said.count(remark) == 1
        assert [text.startswith(remark) for text in figures["remarks"]] == [True]


TABLE = """\
classes: [disc, bar]
train: images/train/*.png
masks: {csv: train.csv, image: id, class: kind, rle: pixels, order: column, start: 0, relative: true}
test: images/test/*.png
group: '^(\\d+)_'
submission: {image: image_name, class: class, rle: rle, ending: true, order: row}
"""


def gaps(mask):
    """Gap and length of each run down the columns, the plain way; -1 for none."""
    numbers, count, inside = [], 0, False
    for pixel in mask.T.ravel() > 0:
        if pixel != inside:
            numbers.append(count)
            count, inside = 0, pixel
        count += 1
    numbers += [count] if inside else []
    return " ".join(map(str, numbers)) or "-1"


@pytest.fixture
def table_track(tmp_path):
    """Eight images, each with a disc of two halves in two rows and every second with a bar; the last two for the test.

    Returns the declaration, the data folder and the masks by (image, class).
    """
    (tmp_path / "mine.yaml").write_text(TABLE)
    data, noise, masks = tmp_path / "raw", np.random.default_rng(0), {}
    lines = {"train": ["id,kind,pixels"], "test": ["id,kind,pixels"]}
    for number in range(8):
        split, name = "train" if number < 6 else "test", f"{number // 2}_{number}.png"
        disc, bar = np.zeros((64, 48), np.uint8), np.zeros((64, 48), np.uint8)
        cv2.circle(disc, (20 + number, 30), 9, 255, -1)
        bar[50 + number % 4 : 56, 5:40] = 255 if number % 2 else 0
        (data / "images" / split).mkdir(parents=True, exist_ok=True)
        picture = 40 + np.maximum(disc, bar) // 2 + noise.integers(0, 20, disc.shape, np.uint8)
        cv2.imwrite(str(data / "images" / split / name), picture)
        upper, lower = disc.copy(), disc.copy()
        upper[30:], lower[:25] = 0, 0  # they overlap
        parts = [("disc", upper), ("bar", bar), ("disc", lower)]
        lines[split] += [f"{Path(name).stem},{kind},{gaps(mask)}" for kind, mask in parts]
        masks |= {(name, "disc"): disc, (name, "bar"): bar}
    (data / "train.csv").write_text("\n".join(lines["train"]) + "\n")
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "solution.csv").write_text("\n".join(lines["test"]) + "\n")
    return tmp_path / "mine.yaml", data, masks


def test_run_lengths_in_a_csv_go_all_the_way(table_track, tiny, stage, tmp_path):
    declaration, data, masks = table_track
    common = ("--track", declaration)
    figures, _ = stage("prepare", *common, "--data", data, "--folds", 3)
    assert figures["samples"] == {"train": 6, "test": 2, "read": 8}
    assert figures["problems"] == []
    stage("train", *common, "--experiment", tiny, "--fold", 0)
    submission = stage("ensemble", *common)[0]["submission"]
    assert stage("check", *common, submission)[0]["ok"]
    truth = {key: mask for key, mask in masks.items() if key[0].startswith("3_")}
    figures, _ = stage("score", *common, submission, tmp_path / "truth")
    assert figures["score"] == pytest.approx(dice_of(submission, truth), abs=1e-12)
    assert list(figures["per_class"]) == ["disc", "bar"]


@pytest.mark.parametrize(
    ("find", "put", "reason"),
    [
        (r"1_2,bar,-1", "1_2,bar,3000 80", r"a run ends at pixel 307\d, but the image has 3072"),
        (r"1_2,bar,-1", "1_2,bar,5 0", "has length 0"),
        (r"1_2,bar,-1\n", "", "annotation missing: no row of class 'bar'"),
        (r"1_2,bar,-1", "1_2,bar,-1\n1_2,bar,-1", r"row \d+ repeats row \d+"),
        (r"1_2,bar,-1", "1_2,bar,-1\n9_9,bar,-1", r"there is no training image '9_9'"),
        (r"1_2,bar,-1", "1_2,ber,-1", "unknown class 'ber', did you mean 'bar'"),
    ],
)
def test_rows_that_do_not_fit_stop_with_a_sentence(table_track, refusal, find, put, reason):
    declaration, data, _ = table_track
    table = data / "train.csv"
    text = table.read_text()
    assert re.search(find, text)
    table.write_text(re.sub(find, put, text))
    error = refusal("prepare", "--track", declaration, "--data", data, "--folds", 3)[0]
    assert re.search(reason, error)
    assert str(table) in error or "train.csv" in error


def test_overlapping_absolute_run_lengths_stop_with_the_row(table_track, refusal):
    declaration, data, _ = table_track
    declaration.write_text(TABLE.replace("start: 0, relative: true", "start: 1"))
    (data / "train.csv").write_text(
        "id,kind,pixels\n" + "".join(f"{n // 2}_{n},{k},1 5 4 2\n" for n in range(6) for k in ("disc", "bar"))
    )
    error = refusal("prepare", "--track", declaration, "--data", data, "--folds", 3)[0]
    assert "run 2 ('4 2') starts before the one ahead of it has ended" in error
    assert "train.csv, row 2, image 0_0, class disc" in error


def test_masks_with_an_ending_are_scored_from_a_folder(tmp_path, stage):
    (tmp_path / "mine.yaml").write_text(
        "{classes: [a], train: 'i/*.png', masks: 'm/{stem}_mask.png', test: 't/*.png', group: '(.+)'}"
    )
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 255
    (tmp_path / "truth").mkdir()
    cv2.imwrite(str(tmp_path / "truth" / "7_mask.png"), mask)
    (tmp_path / "s.csv").write_text("image_name,class,rle\n7.png,a,11 3 19 3\n")
    assert stage("score", "--track", tmp_path / "mine.yaml", tmp_path / "s.csv", tmp_path / "truth")[0]["score"] == 1.0


@pytest.mark.parametrize("pattern", ["/images/*.png", "''"])
def test_a_pattern_outside_the_data_folder_is_a_sentence(tmp_path, refusal, pattern):
    (tmp_path / "mine.yaml").write_text(TABLE.replace("images/train/*.png", pattern))
    (tmp_path / "raw").mkdir()
    error = refusal("prepare", "--track", tmp_path / "mine.yaml", "--data", tmp_path / "raw")[0]
    assert "train: must be a path below the data folder" in error


def test_a_declaration_named_like_a_built_in_track_is_a_sentence(tmp_path, refusal):
    (tmp_path / "cardiac.yaml").write_text(TABLE)
    error = refusal("prepare", "--track", tmp_path / "cardiac.yaml", "--data", tmp_path)[0]
    assert "there is a built-in track of this name" in error


def test_sixteen_bit_and_palette_files_are_prepared(tmp_path, stage):
    """A 12-bit X-ray in 16 bits, and a mask that a paint program saved as palette."""
    (tmp_path / "mine.yaml").write_text(
        "{classes: [a], train: 'i/*.png', masks: 'm/{stem}.png', test: 't/*.png', group: '(.+)'}"
    )
    data = tmp_path / "raw"
    for folder in ("i", "m", "t"):
        (data / folder).mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(4):
        picture = noise.integers(100, 4000, (20, 24)).astype(np.uint16)
        cv2.imwrite(str(data / ("t" if number == 3 else "i") / f"{number}.png"), picture)
        if number < 3:
            mask = (noise.random((20, 24)) < 0.5).astype(np.uint16)
            if number == 0:
                knee.write_palette_png(data / "m" / "0.png", mask.astype(np.uint8), bytes([255, 255, 255, 255, 0, 0]))
            else:
                cv2.imwrite(str(data / "m" / f"{number}.png"), mask * (1 if number == 1 else 40_000))
    figures, _ = stage("prepare", "--track", tmp_path / "mine.yaml", "--data", data, "--folds", 3)
    assert figures["samples"] == {"train": 3, "test": 1, "read": 4}
    assert (figures["problems"], figures["remarks"]) == ([], [])
