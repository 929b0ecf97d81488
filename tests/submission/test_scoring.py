import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.metrics.counts import DICE
from competition.submission.scoring import score_rle, score_table
from competition.submission.submission_files import write_rle_csv, write_table_csv
from competition.tracks.label_folder import truth_from_folder
from competition.tracks.track import Listing, Track

CLASSES = ("left", "right", "both")
TABLE = ("Aneurysm", *(f"location-{number}" for number in range(21)))


def encode(mask):
    """Row-major, 1-based run lengths, the slow and plain way."""
    numbers = []
    previous = 0
    for position, value in enumerate([*mask.astype(int).ravel().tolist(), 0], start=1):
        if value and not previous:
            numbers.append(position)
        if previous and not value:
            numbers.append(position - numbers[-1])
        previous = value
    return " ".join(map(str, numbers))


def dense_dice(a, b):
    total = a.sum() + b.sum()
    return 1.0 if total == 0 else 2 * (a & b).sum() / total


def blobs(seed, images, size_hw):
    """Masks of three classes: random, with an empty, a full and a last-pixel one among them."""
    rng = np.random.default_rng(seed)
    masks = {f"{i}.png": rng.random((3, *size_hw)) < rng.uniform(0.1, 0.9) for i in range(images)}
    masks["0.png"][0] = False
    masks["1.png"][1] = True
    masks["2.png"][2] = False
    masks["2.png"][2, -1, -1] = True
    return masks


def keyed(masks):
    return {(name, cls): encode(m) for name, stack in masks.items() for cls, m in zip(CLASSES, stack, strict=True)}


def rle_file(path, masks):
    write_rle_csv(path, ((*key, rle) for key, rle in keyed(masks).items()))
    return path


def folder_track(read_label, size_hw=None):
    return Track(
        name="t",
        task="segmentation",
        classes=CLASSES,
        metric=DICE,
        submission="rle",
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


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 5), (40, 33)])
def test_dice_equals_dense_masks(tmp_path, size_hw):
    ours, truth = blobs(1, 6, size_hw), blobs(2, 6, size_hw)
    score = score_rle(rle_file(tmp_path / "s.csv", ours), keyed(truth), CLASSES)
    dense = np.array([[dense_dice(a, b) for a, b in zip(ours[n], truth[n], strict=True)] for n in truth])
    assert score.score == pytest.approx(dense.mean(), abs=1e-12)
    assert list(score.per_class) == list(CLASSES)
    assert list(score.per_class.values()) == pytest.approx(dense.mean(axis=0), abs=1e-12)
    assert score.per_image == pytest.approx(dict(zip(truth, dense.mean(axis=1), strict=True)), abs=1e-12)
    assert set(score.figures()) == {"metric", "score", "per_class", "rows"}
    assert (score.metric, score.rows) == ("dice", 18)


def test_empty_against_empty_is_one_and_against_anything_zero(tmp_path):
    write_rle_csv(tmp_path / "s.csv", [("a", "x", ""), ("b", "x", ""), ("c", "x", "1 4")])
    score = score_rle(tmp_path / "s.csv", {("a", "x"): "", ("b", "x"): "4 1", ("c", "x"): "1 4"}, ["x"])
    assert score.score == pytest.approx(2 / 3)


def test_rows_are_joined_by_key_and_not_by_position(tmp_path):
    masks = blobs(3, 4, (6, 6))
    shuffled = {name: masks[name] for name in ("2.png", "0.png", "3.png", "1.png")}
    assert score_rle(rle_file(tmp_path / "s.csv", shuffled), keyed(masks), CLASSES).score == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ours, truth: ours.pop(("1.png", "right")), r"1 rows are missing \(1.png right\).*s\.csv"),
        (lambda ours, truth: ours.update({("9.png", "left"): ""}), r"1 rows are not in the truth \(9.png left\)"),
        (lambda ours, truth: truth.pop(("1.png", "right")), r"1 rows are missing \(1.png right\): the truth"),
        (lambda ours, truth: truth.update({("1.png", "wrong"): ""}), r"of an unknown class \(1.png wrong\)"),
        (lambda ours, truth: ours.update({("1.png", "left"): "1 2 3"}), r"s\.csv, 1\.png, left"),
        (lambda ours, truth: truth.update({("1.png", "left"): "4 1 1 1"}), r"truth, 1\.png, left"),
        (lambda ours, truth: ours.update({("1.png", "left"): "36 2"}), r"s\.csv, 1\.png, left"),
        (lambda ours, truth: [ours.clear(), truth.clear()], "nothing to score"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    ours, truth = keyed(blobs(1, 4, (6, 6))), keyed(blobs(2, 4, (6, 6)))
    change(ours, truth)
    write_rle_csv(tmp_path / "s.csv", ((*key, rle) for key, rle in ours.items()))
    with pytest.raises(CompetitionError, match=message):
        score_rle(tmp_path / "s.csv", truth, CLASSES, {f"{i}.png": (6, 6) for i in range(4)})


def test_many_missing_rows_are_counted(tmp_path):
    ours = keyed(blobs(1, 5, (6, 6)))
    write_rle_csv(tmp_path / "s.csv", [("0.png", cls, "") for cls in CLASSES])
    with pytest.raises(CompetitionError, match=r"12 rows are missing \(1.png left, .* and 7 more\)"):
        score_rle(tmp_path / "s.csv", ours, CLASSES)


def aneurysm_case(seed=0, patients=60):
    rng = np.random.default_rng(seed)
    truth = (rng.random((patients, 22)) < 0.2).astype(float)
    truth[:, 5] = 0  # a location that never occurs has no AUROC
    truth[:, 0] = truth[:, 1:].any(axis=1) & (rng.random(patients) < 0.5)
    outputs = np.column_stack(
        [(truth[:, 0] + rng.random(patients)) / 2, (truth[:, 1:] * (rng.random((patients, 21)) < 0.7))]
    )
    outputs[:, 0] = outputs[:, 0].round(1)  # ties count half
    ids = [f"{number:04d}" for number in rng.permutation(2000)[:patients]]
    return ids, truth, outputs


def test_aneurysm_score_equals_the_organisers_arithmetic(tmp_path):
    ids, truth, outputs = aneurysm_case()
    write_table_csv(tmp_path / "s.csv", "Index", ids, TABLE, outputs)
    shuffled = pd.DataFrame(truth, ids, list(TABLE)).sample(frac=1, random_state=1)
    score = score_table(tmp_path / "s.csv", shuffled, TABLE)
    assert score.score == pytest.approx(roc_auc_score(truth[:, 0], outputs[:, 0]), abs=1e-12)
    wrong = np.abs(truth[:, 1:] - outputs[:, 1:]).sum()
    figures = score.figures()
    assert set(figures) == {
        "metric", "score", "per_class", "rows", "accuracy", "all_zero_accuracy", "cells_gained"
    }  # fmt: skip
    assert figures["accuracy"] == pytest.approx(1 - wrong / (60 * 21))
    assert figures["all_zero_accuracy"] == pytest.approx(1 - truth[:, 1:].sum() / (60 * 21))
    assert figures["cells_gained"] == truth[:, 1:].sum() - wrong
    assert (figures["metric"], figures["rows"]) == ("auroc", 60)
    assert figures["per_class"][TABLE[5]] is None
    assert figures["per_class"][TABLE[3]] == pytest.approx(roc_auc_score(truth[:, 3], outputs[:, 3]))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_aneurysm_rows_and_values_that_do_not_fit(tmp_path):
    ids, truth, outputs = aneurysm_case()
    frame = pd.DataFrame(truth, ids, list(TABLE))
    write_table_csv(tmp_path / "s.csv", "Index", ids[1:], TABLE, outputs[1:])
    with pytest.raises(CompetitionError, match=rf"1 rows are missing \({int(ids[0])}\)"):
        score_table(tmp_path / "s.csv", frame, TABLE)
    with pytest.raises(CompetitionError, match=rf"1 rows are not in the truth \({int(ids[1])}\)"):
        score_table(tmp_path / "s.csv", frame.drop(ids[:2]), TABLE)
    with pytest.raises(CompetitionError, match="only one kind of Aneurysm"):
        score_table(tmp_path / "s.csv", frame.drop(ids[0]) * 0, TABLE)
    with pytest.raises(CompetitionError, match=r"truth of location-0 of Index \d+ is 0\.5, not 0 or 1"):
        score_table(tmp_path / "s.csv", frame.drop(ids[0]) * 0.5 + 0.5, TABLE)
    text = (tmp_path / "s.csv").read_text().splitlines()
    (tmp_path / "s.csv").write_text("\n".join([text[0], "NaN".join([ids[1] + ",", text[1][len("0000,0.00000000") :]])]))
    with pytest.raises(CompetitionError, match=rf"Aneurysm of Index {int(ids[1])} is not a finite number"):
        score_table(tmp_path / "s.csv", frame.loc[[ids[1]]], TABLE)


def label_folder(root, masks):
    (root / "deep").mkdir(parents=True)
    for name, stack in masks.items():
        cv2.imwrite(str(root / "deep" / name), pack_masks(stack)[..., 0])
    return root


def test_label_images_of_different_sizes_are_read_at_their_own(tmp_path):
    masks = {"a.dcm.png": blobs(1, 3, (5, 7))["1.png"], "b.png": blobs(2, 3, (9, 4))["2.png"]}
    folder = label_folder(tmp_path / "labels", masks)
    truth, sizes = truth_from_folder(folder_track(bits_label), folder, list(masks))
    assert truth == keyed(masks)
    assert sizes == {"a.dcm.png": (5, 7), "b.png": (9, 4)}
    assert score_rle(rle_file(tmp_path / "s.csv", masks), truth, CLASSES, sizes).score == 1.0


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
    truth, sizes = truth_from_folder(track, tmp_path, ["a.png"], given, known)
    full = f"1 {size_hw[0] * size_hw[1]}"
    assert truth == {("a.png", "left"): full, ("a.png", "right"): "", ("a.png", "both"): full}
    assert sizes == {"a.png": size_hw}


def test_labels_that_can_not_be_told_are_errors(tmp_path):
    masks = blobs(1, 3, (5, 7))
    folder = label_folder(tmp_path / "labels", masks)
    track = folder_track(bits_label)
    with pytest.raises(CompetitionError, match=r"2 of 3 images have no label, first x\.png, y\.png.*labels"):
        truth_from_folder(track, folder, ["x.png", "0.png", "y.png"])
    (folder / "0.json").write_text("{}")
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '0\.png' \(0\.json and deep/0\.png\)"):
        truth_from_folder(track, folder, ["0.png"])
    with pytest.raises(CompetitionError, match=r"5x7, not 5x8.*1\.png"):
        truth_from_folder(track, folder, ["1.png"], (5, 8))
    (folder / "points.json").write_text("{}")
    with pytest.raises(CompetitionError, match=r"how large this image is.*points\.json.*--size"):
        truth_from_folder(track, folder, ["points.png"])
    with pytest.raises(CompetitionError, match="no label files"):
        truth_from_folder(folder_track(None), folder, ["0.png"])


def test_one_mask_per_class_in_a_folder_of_its_name(tmp_path):
    masks = blobs(4, 3, (5, 7))
    for name, stack in masks.items():
        for class_name, mask in zip(CLASSES, stack, strict=True):
            (tmp_path / "masks" / class_name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "masks" / class_name / name), mask.astype(np.uint8) * 255)

    def read(path, size_hw):
        files = [str(path).replace("{class}", name) for name in CLASSES]
        return pack_masks(np.stack([cv2.imread(file, cv2.IMREAD_UNCHANGED) > 0 for file in files]))

    truth, sizes = truth_from_folder(folder_track(read), tmp_path, list(masks))
    assert truth == keyed(masks)
    assert set(sizes.values()) == {(5, 7)}
    (tmp_path / "masks" / "both" / "1.png").unlink()
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '1\.png'"):
        truth_from_folder(folder_track(read), tmp_path, list(masks))


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
    truth, sizes = truth_from_folder(track, tmp_path, names, sizes=dict.fromkeys(masks, (5, 7)))
    assert truth == keyed({name: masks[name] for name in names})
    assert set(sizes) == set(names)
    assert "2 of 4 labels below" in capsys.readouterr().out  # of images 1 and 3
    with pytest.raises(CompetitionError, match=r"1 of 1 images have no label, first 9\.png"):
        truth_from_folder(track, tmp_path, ["9.png"])
    twice = replace(track, find_labels=lambda folder: {"0": [folder / "a#0", folder / "b#0"]})
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '0\.png' \(a#0 and b#0\)"):
        truth_from_folder(twice, tmp_path, ["0.png"])


def test_leading_zeros_of_an_index_do_not_matter(tmp_path):
    ids, truth, outputs = aneurysm_case()
    write_table_csv(tmp_path / "s.csv", "Index", ids, TABLE, outputs)
    plain = pd.DataFrame(truth, [str(int(name)) for name in ids], list(TABLE))
    expected = score_table(tmp_path / "s.csv", pd.DataFrame(truth, ids, list(TABLE)), TABLE)
    assert score_table(tmp_path / "s.csv", plain, TABLE) == expected
    long = ["1" * 5000, "0" * 5000 + "2", "\u0663"]  # Python's int stops at 4,300 digits, and takes every alphabet's
    write_table_csv(tmp_path / "s.csv", "Index", [*long, *ids[3:]], TABLE, outputs)
    shortened = pd.DataFrame(truth, ["1" * 5000, "2", "\u0663", *ids[3:]], list(TABLE))
    assert score_table(tmp_path / "s.csv", shortened, TABLE).score == expected.score
    write_table_csv(tmp_path / "s.csv", "Index", ["7", "007"], TABLE, outputs[:2])
    with pytest.raises(CompetitionError, match="Index 7 appears twice"):
        score_table(tmp_path / "s.csv", plain, TABLE)
