import argparse
import json
import re

import cv2
import numpy as np
import pandas as pd
import pytest
from documented_figures import check_keys

from competition.errors import CompetitionError
from competition.formats.parquet_tables import write_table
from competition.submission.leaderboard import Row, append
from competition.submission.run_lengths.files import write_rle_csv
from competition.submission.table.files import write_table_csv
from competition.tracks.aneurysm.track import CLASSES as VESSELS
from competition.tracks.hand_bone.track import HAND_BONE_CLASSES
from pipelines import check, leaderboard, score
from pipelines.options import parse_size

SIZE = (64, 48)


def arguments(stage, tmp_path, track, *words):
    """What the command line would hand to a stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--track", default="hand_bone")
    parser.add_argument("--phantom", action="store_true")
    stage.add_arguments(parser)
    args = parser.parse_args([*(["--track", track] if track else []), *map(str, words)])
    args.workspace = str(tmp_path / "workspace")
    return args


def call(stage, tmp_path, track, *words):
    figures = stage.run(arguments(stage, tmp_path, track, *words))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    check_keys(stage.__name__.removeprefix("pipelines."), figures, written=False)
    return figures


def rectangle_rle(top, left, bottom, right, width):
    """Row-major run lengths of a filled rectangle, corners included."""
    return " ".join(f"{row * width + left + 1} {right - left + 1}" for row in range(top, bottom + 1))


def boxes(seed):
    rng = np.random.default_rng(seed)
    tops, lefts = rng.integers(0, 40, 29), rng.integers(0, 30, 29)
    return [(int(t), int(x), int(t) + 10, int(x) + 12) for t, x in zip(tops, lefts, strict=True)]


def hand_rows(names, seed=0):
    return [
        (name, cls, rectangle_rle(*box, SIZE[1]))
        for position, name in enumerate(names)
        for cls, box in zip(HAND_BONE_CLASSES, boxes(seed + position), strict=True)
    ]


def annotate(folder, name, seed):
    """An annotation file as the organiser's tool writes it: any order, points only."""
    folder.mkdir(parents=True, exist_ok=True)
    annotations = [
        {"label": cls, "points": [[left, top], [right, top], [right, bottom], [left, bottom]]}
        for cls, (top, left, bottom, right) in zip(HAND_BONE_CLASSES, boxes(seed), strict=True)
    ]
    text = json.dumps({"annotations": annotations[::-1], "metadata": {"height": 3060, "width": 3060}})
    (folder / f"{name}.json").write_text(text)


def prepare(tmp_path, dataset, names, sizes=SIZE, split="test", strata=""):
    folder = tmp_path / "workspace" / "cache" / dataset
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"sample": names, "name": names, "split": split, "height": sizes[0], "width": sizes[1]})
    frame["stratum"] = strata
    write_table(folder / "manifest.parquet", frame)


def test_score_of_a_csv_truth(tmp_path):
    ours, truth = tmp_path / "s.csv", tmp_path / "t.csv"
    write_rle_csv(ours, [("a.png", "lv", "1 4"), ("b.png", "lv", "")])
    write_rle_csv(truth, [("b.png", "lv", ""), ("a.png", "lv", "3 4")])
    figures = call(score, tmp_path, "cardiac", ours, truth)
    assert figures == {"metric": "dice", "score": 0.75, "per_class": {"lv": 0.75}, "rows": 2}
    with pytest.raises(CompetitionError, match=r"truth, a\.png, lv"):
        call(score, tmp_path, "cardiac", ours, truth, "--size", "1x5")


def test_score_of_label_pictures(tmp_path, capsys):
    mask = np.zeros(SIZE, np.uint8)
    mask[3:9, 5:20] = 255
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "SC-N-01-a.dcm.png"), mask)
    write_rle_csv(tmp_path / "s.csv", [("SC-N-01-a.dcm.png", "lv", rectangle_rle(3, 5, 8, 19, SIZE[1]))])
    assert call(score, tmp_path, "cardiac", tmp_path / "s.csv", tmp_path / "labels")["score"] == 1.0
    said = capsys.readouterr().out
    assert "64x48 pixels (rows x columns)" in said
    assert "not scored" not in said
    cv2.imwrite(str(tmp_path / "labels" / "SC-N-02-b.dcm.png"), mask)
    call(score, tmp_path, "cardiac", tmp_path / "s.csv", tmp_path / "labels")
    said = capsys.readouterr()
    assert re.search(r"1 of 2 labels below .* so images that the submission lacks do not lower the score", said.out)


def test_check_says_bounds_only_where_a_size_is_known(tmp_path, capsys):
    write_rle_csv(tmp_path / "s.csv", [("a.png", "lv", "1 4")])
    call(check, tmp_path, "cardiac", tmp_path / "s.csv")
    assert "bounds" not in capsys.readouterr().out
    call(check, tmp_path, "cardiac", tmp_path / "s.csv", "--size", "2x2")
    assert "bounds of 2x2" in capsys.readouterr().out
    prepare(tmp_path, "cardiac", ["a.png"], (1, 3))
    with pytest.raises(CompetitionError, match=r"row 2, a\.png, lv"):
        call(check, tmp_path, "cardiac", tmp_path / "s.csv")
    assert "bounds, image set, order" in capsys.readouterr().out


def test_score_of_polygons_at_a_given_or_prepared_size(tmp_path, capsys):
    names = ["image1661130828152_R.png", "image1661130891365_L.png"]
    for position, name in enumerate(names):
        annotate(tmp_path / "labels" / "ID001", name.removesuffix(".png"), position)
    rows = hand_rows(names)
    rows[0] = (*rows[0][:2], "")
    ours = tmp_path / "s.csv"
    write_rle_csv(ours, rows)
    figures = call(score, tmp_path, "hand_bone", ours, tmp_path / "labels", "--size", "64x48", "--per-class")
    assert figures["score"] == pytest.approx(57 / 58)
    assert figures["per_class"]["finger-1"] == 0.5
    assert list(figures["per_class"]) == list(HAND_BONE_CLASSES)
    assert figures["rows"] == 58
    capsys.readouterr()
    assert call(score, tmp_path, "hand_bone", ours, tmp_path / "labels")["score"] < 0.3
    assert "wrong image size" in capsys.readouterr().out
    prepare(tmp_path, "phantom_hand_bone", names)
    assert call(score, tmp_path, "hand_bone", ours, tmp_path / "labels") == figures
    assert call(score, tmp_path, "hand_bone", ours, tmp_path / "labels", "--phantom") == figures


def test_score_by_stratum_is_that_of_each_strata_alone(tmp_path, capsys):
    names = ["a.png", "b.png", "c.png", "d.png"]
    truth, ours = tmp_path / "t.csv", tmp_path / "s.csv"
    write_rle_csv(truth, [(name, cls, "1 4") for name in names for cls in HAND_BONE_CLASSES])
    scored = {"a.png": "1 4", "b.png": "3 4", "c.png": "", "d.png": "5 4"}  # Dice 1, 0.5, 0, 0
    write_rle_csv(ours, [(name, cls, scored[name]) for name in names for cls in HAND_BONE_CLASSES])
    with pytest.raises(CompetitionError, match=r"none of these 4 images is known: .*s\.csv\. Put a strata\.csv"):
        call(score, tmp_path, "hand_bone", ours, truth, "--by", "stratum")
    # Synthetic data lists an image too; the real data takes precedence. Image d is in neither.
    prepare(tmp_path, "phantom_hand_bone", ["a.png", "c.png"], strata=["straight", "straight"])
    prepare(tmp_path, "hand_bone", ["c.png", "b.png", "a.png"], strata=["oblique", "", "oblique"])
    capsys.readouterr()
    figures = call(score, tmp_path, "hand_bone", ours, truth, "--by", "stratum")
    assert figures["per_stratum"] == pytest.approx({"oblique": 0.5, "unknown": 0.25})
    assert figures["score"] == pytest.approx(0.375)
    said = capsys.readouterr().out
    assert "by stratum" in said
    drawn = call(score, tmp_path, "hand_bone", ours, truth, "--by", "stratum", "--phantom")
    assert drawn["per_stratum"] == pytest.approx({"straight": 0.5, "unknown": 0.25})
    assert "per_stratum" not in call(score, tmp_path, "hand_bone", ours, truth)


def test_an_auroc_is_not_split_by_stratum(tmp_path):
    vessel_tables(tmp_path)
    with pytest.raises(CompetitionError, match="needs a mean over images, which AUROC is not"):
        call(score, tmp_path, "aneurysm", tmp_path / "s.csv", tmp_path / "t.csv", "--by", "stratum")


def vessel_tables(tmp_path):
    truth = np.zeros((4, 22))
    truth[:2, [0, 3]] = 1
    outputs = truth.copy()
    outputs[:, 0] = [0.9, 0.3, 0.4, 0.1]
    outputs[1, 3] = 0
    for name, values in (("s.csv", outputs), ("t.csv", truth)):
        write_table_csv(tmp_path / name, ["0001", "0002", "1003", "1004"], VESSELS, values)


def test_score_of_the_aneurysms(tmp_path):
    vessel_tables(tmp_path)
    figures = call(score, tmp_path, "aneurysm", tmp_path / "s.csv", tmp_path / "t.csv")
    assert set(figures) == {"metric", "score", "per_class", "rows", "accuracy", "all_zero_accuracy", "cells_gained"}
    assert (figures["metric"], figures["score"], figures["rows"]) == ("auroc", 0.75, 4)
    assert figures["accuracy"] == pytest.approx(1 - 1 / 84)
    assert figures["all_zero_accuracy"] == pytest.approx(1 - 2 / 84)
    assert figures["cells_gained"] == 1
    assert figures["per_class"][VESSELS[3]] == 0.75
    assert figures["per_class"]["BA"] is None


def test_aneurysm_truth_in_a_folder_is_the_one_table_of_that_form(tmp_path):
    vessel_tables(tmp_path)
    folder = tmp_path / "test_set"
    folder.mkdir()
    (folder / "notes.csv").write_text("a,b\n")
    with pytest.raises(CompetitionError, match="0 files with the columns Index,Aneurysm"):
        call(score, tmp_path, "aneurysm", tmp_path / "s.csv", folder)
    (tmp_path / "t.csv").rename(folder / "groundtruth.csv")
    assert call(score, tmp_path, "aneurysm", tmp_path / "s.csv", folder)["score"] == 0.75
    (folder / "test.csv").write_bytes((folder / "groundtruth.csv").read_bytes())
    with pytest.raises(CompetitionError, match=r"2 files .*groundtruth\.csv, test\.csv.*Name the one"):
        call(score, tmp_path, "aneurysm", tmp_path / "s.csv", folder)


def test_score_names_a_missing_file(tmp_path):
    with pytest.raises(CompetitionError, match=r"no such file or folder: .*t\.csv"):
        call(score, tmp_path, "cardiac", tmp_path / "s.csv", tmp_path / "t.csv")


def test_check_without_prepared_data_looks_at_form_classes_and_bounds(tmp_path, capsys):
    path = tmp_path / "s.csv"
    write_rle_csv(path, hand_rows(["b.png", "a.png"]))
    figures = call(check, tmp_path, "hand_bone", path)
    assert (figures["ok"], figures["rows"], figures["images"], figures["prepared"]) == (True, 58, 2, False)
    assert figures["not_checked"] == [
        "whether images are missing or unknown (no test images are prepared: run prepare)"
    ]
    said = capsys.readouterr().out
    assert f"NOT checked: {figures['not_checked'][0]}\nsubmission is valid, as far as it was checked\n" in said
    with pytest.raises(CompetitionError, match=r"invalid submission, \d+ errors: .*row \d+, b\.png"):
        call(check, tmp_path, "hand_bone", path, "--size", "40x48")
    write_rle_csv(path, hand_rows(["b.png"])[:-1])
    with pytest.raises(CompetitionError, match=r"1 error: image 'b.png' has 28 of 29 classes; missing: Ulna"):
        call(check, tmp_path, "hand_bone", path)


def test_check_with_prepared_data_compares_set_order_and_each_size(tmp_path):
    prepare(tmp_path, "hand_bone", ["b.png", "a.png"])
    path = tmp_path / "s.csv"
    write_rle_csv(path, hand_rows(["b.png", "a.png"]))
    assert call(check, tmp_path, "hand_bone", path)["prepared"] is True
    write_rle_csv(path, hand_rows(["a.png", "b.png"]))
    with pytest.raises(CompetitionError, match="the rows are the same but in another order"):
        call(check, tmp_path, "hand_bone", path)
    write_rle_csv(path, hand_rows(["b.png"]))
    with pytest.raises(CompetitionError, match=r"1 of 2 images missing: a\.png"):
        call(check, tmp_path, "hand_bone", path)
    beyond = hand_rows(["b.png", "a.png"])
    beyond[0] = ("b.png", "finger-1", f"{SIZE[0] * SIZE[1]} 2")
    write_rle_csv(path, beyond)
    with pytest.raises(CompetitionError, match=r"1 error: .*row 2, b\.png, finger-1"):
        call(check, tmp_path, "hand_bone", path)
    assert call(check, tmp_path, "hand_bone", path, "--size", "100x100")["ok"]


def test_real_submissions_are_not_compared_with_drawn_images(tmp_path, capsys):
    prepare(tmp_path, "phantom_hand_bone", ["p1.png", "p2.png"])
    path = tmp_path / "s.csv"
    write_rle_csv(path, hand_rows(["b.png", "a.png"]))
    assert call(check, tmp_path, "hand_bone", path)["prepared"] is False
    said = capsys.readouterr().out
    assert "these are not the synthetic images" in said
    assert "NOT checked: whether images are missing or unknown" in said
    with pytest.raises(CompetitionError, match=r"2 of 2 images missing: p1\.png, p2\.png"):
        call(check, tmp_path, "hand_bone", path, "--phantom")
    write_rle_csv(path, hand_rows(["p2.png", "p1.png"]))
    with pytest.raises(CompetitionError, match="in another order"):
        call(check, tmp_path, "hand_bone", path)


def test_prepared_data_without_test_images_says_so(tmp_path, capsys):
    prepare(tmp_path, "hand_bone", ["b.png"], split="train")
    write_rle_csv(tmp_path / "s.csv", hand_rows(["a.png"]))
    assert call(check, tmp_path, "hand_bone", tmp_path / "s.csv")["prepared"] is False
    assert "NOT checked: whether images are missing or unknown (no test images are prepared" in capsys.readouterr().out


def test_check_of_an_aneurysm_table(tmp_path, capsys):
    vessel_tables(tmp_path)
    path = tmp_path / "s.csv"
    assert call(check, tmp_path, "aneurysm", path)["ok"]
    prepare(tmp_path, "aneurysm", ["0002", "0001", "1003", "1004"])
    with pytest.raises(CompetitionError, match=r"in another order than the test set's, first in row 2: Index 0001"):
        call(check, tmp_path, "aneurysm", path)
    path.write_text(path.read_text().replace("0.9", "1.9"))
    capsys.readouterr()
    with pytest.raises(CompetitionError, match="2 errors"):
        call(check, tmp_path, "aneurysm", path)
    assert "error: row 2: Aneurysm of Index 0001 is '1.90000000', not a number from 0 to 1" in capsys.readouterr().out


def test_errors_of_one_kind_are_a_line_with_a_count(tmp_path, capsys):
    path = tmp_path / "s.csv"
    write_rle_csv(path, [(name, cls, "1") for name, cls, _ in hand_rows(["a.png"])])
    with pytest.raises(CompetitionError, match=r"29 errors: .*row 2, a\.png, finger-1.*and 28 more like it"):
        call(check, tmp_path, "hand_bone", path)
    assert "error:" not in capsys.readouterr().out


def test_check_with_everything_known_is_plainly_ok(tmp_path, capsys):
    prepare(tmp_path, "cardiac", ["a.png"])
    write_rle_csv(tmp_path / "s.csv", [("a.png", "lv", "1 4")])
    assert call(check, tmp_path, "cardiac", tmp_path / "s.csv")["not_checked"] == []
    assert "submission is valid\n" in capsys.readouterr().out


def test_check_without_sizes_says_that_they_are_not_checked(tmp_path):
    write_rle_csv(tmp_path / "s.csv", [("a.png", "lv", "1 4")])
    unchecked = call(check, tmp_path, "cardiac", tmp_path / "s.csv")["not_checked"]
    assert [sentence.split(" (")[0] for sentence in unchecked] == [
        "whether images are missing or unknown",
        "whether runs leave their image",
    ]


@pytest.mark.parametrize("text", ["2048", "0x5", "2048X2048", "axb", "-1x5", "5x"])
def test_a_size_is_rows_x_columns(text):
    with pytest.raises(argparse.ArgumentTypeError, match="not ROWSxCOLUMNS"):
        parse_size(text)
    assert parse_size("2048x1536") == (2048, 1536)


def test_leaderboard_shows_and_records(tmp_path, capsys):
    path = tmp_path / "workspace" / "submissions" / "leaderboard.csv"
    assert call(leaderboard, tmp_path, None) == {"rankings": []}
    assert "there are no submissions yet" in capsys.readouterr().out
    for name, crossfit, phantom in (("worse", 0.8, False), ("better", 0.9, False), ("drawn", 0.99, True)):
        append(path, Row(name, "2026-11-21T15:30:12", "hand_bone", phantom, "quick", "1", cv_crossfit=crossfit))
    append(path, Row("vessels", "2026-11-21T15:30:12", "aneurysm", False, "quick", "1", cv_crossfit=0.7))
    found = call(leaderboard, tmp_path, None)["rankings"]
    assert [(ranking["track"], ranking["phantom"], [row["id"] for row in ranking["rows"]]) for ranking in found] == [
        ("aneurysm", False, ["vessels"]),
        ("hand_bone", False, ["better", "worse"]),
        ("hand_bone", True, ["drawn"]),
    ]
    figures = call(leaderboard, tmp_path, "hand_bone", "record", "worse", "--public", "0.9730", "--private", "0.9733")
    worse = figures["rankings"][0]["rows"][1]
    assert (worse["id"], worse["public"], worse["private"], worse["test_score"]) == ("worse", 0.973, 0.9733, None)
    said = capsys.readouterr().out
    assert "PHANTOM" in said
    assert "0.9730" in said
    with pytest.raises(CompetitionError, match="needs the id"):
        call(leaderboard, tmp_path, None, "record", "--public", "0.9")
    with pytest.raises(CompetitionError, match="are for leaderboard record"):
        call(leaderboard, tmp_path, None, "--public", "0.9")
    with pytest.raises(CompetitionError, match="did you mean 'better'"):
        call(leaderboard, tmp_path, None, "record", "beter", "--public", "0.9")


@pytest.mark.parametrize("stage", [score, check, leaderboard])
def test_every_stage_explains_itself(stage):
    assert stage.__doc__
    assert "\n" not in stage.HELP
    assert stage.EXAMPLE.startswith(f"./run.sh {stage.__name__.rsplit('.', 1)[1]}")
