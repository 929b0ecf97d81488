"""The stages vote and compare through the command line."""

import json

import numpy as np
import pytest
from documented_figures import check_keys

from competition.masks.run_lengths import encode_mask
from competition.submission.run_lengths.files import read_rle_csv, write_rle_csv
from competition.submission.table.files import read_table_csv, write_table_csv
from competition.tracks import get_track
from pipelines.__main__ import main

BONES = get_track("hand_bone").classes
COLUMNS = get_track("aneurysm").classes


@pytest.fixture
def run(tmp_path, capsys):
    """Runs a stage in an empty workspace; gives status, figures and what was printed."""

    def stage(*words):
        file = tmp_path / "figures.json"
        status = main([*map(str, words), "--workspace", str(tmp_path / "workspace"), "--json", str(file)])
        captured = capsys.readouterr()
        figures = json.loads(file.read_text()) if status == 0 else {}
        if status == 0:
            check_keys(words[0], figures)
        return status, figures, captured.out + captured.err

    return stage


@pytest.fixture
def masks():
    """Five submissions of two images: bool (5, 2, 29, 12, 10)."""
    return np.random.default_rng(0).random((5, 2, 29, 12, 10)) < 0.4


def write_masks(path, masks, images=("a.png", "b.png"), order=1):
    rows = [
        (image, bone, encode_mask(mask))
        for image, one in zip(images, masks, strict=True)
        for bone, mask in zip(BONES, one, strict=True)
    ]
    write_rle_csv(path, rows[::order])
    return path


def test_masks_are_voted_on_by_key_and_written_in_the_order_of_the_first(run, masks, tmp_path):
    files = [
        write_masks(tmp_path / f"{number}.csv", one, order=-1 if number == 2 else 1) for number, one in enumerate(masks)
    ]
    status, figures, said = run("vote", *files, "--out", tmp_path / "V.csv")
    assert (status, figures["rows"], figures["weights"]) == (0, 58, [0.2] * 5)
    expected = {
        (image, bone): encode_mask(masks[:, i, j].sum(axis=0) > 2.5)
        for i, image in enumerate(("a.png", "b.png"))
        for j, bone in enumerate(BONES)
    }
    assert read_rle_csv(tmp_path / "V.csv") == expected
    assert list(read_rle_csv(tmp_path / "V.csv")) == list(expected)
    assert "normalised" not in said


def test_weights_are_normalised_and_that_is_said(run, masks, tmp_path):
    files = [write_masks(tmp_path / f"{number}.csv", one) for number, one in enumerate(masks[:3])]
    status, figures, said = run("vote", *files, "--weights", "4,1,1", "--threshold", "0.5", "--out", tmp_path / "V.csv")
    assert (status, figures["weights"]) == (0, pytest.approx([4 / 6, 1 / 6, 1 / 6]))
    assert "weights, normalised: 0.6667, 0.1667, 0.1667" in said
    assert read_rle_csv(tmp_path / "V.csv") == read_rle_csv(files[0])  # four of six outvote the others


def test_tables_are_averaged_and_elected_by_patient(run, tmp_path):
    first, second = np.zeros((2, 22)), np.zeros((2, 22))
    first[:, 0], second[:, 0] = (0.2, 0.8), (0.6, 0.4)
    first[0, 3] = second[0, 3] = first[1, 4] = 1
    write_table_csv(tmp_path / "a.csv", ["0047", "12"], COLUMNS, first)
    write_table_csv(tmp_path / "b.csv", ["12", "0047"], COLUMNS, second[::-1])
    status, _, _ = run(
        "vote",
        "--track",
        "aneurysm",
        tmp_path / "a.csv",
        tmp_path / "b.csv",
        "--weights",
        "0.75,0.25",
        "--out",
        tmp_path / "v.csv",
    )
    assert status == 0
    voted = read_table_csv(tmp_path / "v.csv", COLUMNS)
    assert list(voted.index) == ["0047", "12"]
    assert voted["Aneurysm"].tolist() == pytest.approx([0.3, 0.7])
    assert voted.to_numpy()[:, 1:].sum() == 2  # the location only one of them saw has 0.75 of the votes
    assert voted.to_numpy()[[0, 1], [3, 4]].tolist() == [1, 1]
    status, _, said = run("compare", "--track", "aneurysm", tmp_path / "a.csv", tmp_path / "b.csv")
    assert status == 0
    assert "2 of 22 columns differ" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["0.csv"], "two submissions or more"),
        (["0.csv", "1.csv", "--weights", "1"], "names 1 weights for 2 submissions"),
        (["0.csv", "1.csv", "--weights", "1,x"], "--weights takes numbers such as 0.5, not 'x'"),
        (["0.csv", "1.csv", "--weights", "1,-1"], "can't be normalised"),
        (["0.csv", "1.csv", "--threshold", "1"], "a threshold lies from 0 to below 1"),
        (["0.csv", "one.csv"], "29 rows are missing, which 0.csv has (b.png finger-1"),
        (["0.csv", "none.csv"], "none.csv"),
        (["0.csv", "odd.csv"], "odd.csv, a.png, class number 1"),
    ],
)
def test_a_wrong_vote_is_one_sentence_and_writes_nothing(run, masks, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        write_masks(tmp_path / f"{number}.csv", masks[number])
    write_masks(tmp_path / "one.csv", masks[1, :1], ("a.png",))
    text = (tmp_path / "1.csv").read_text().splitlines()
    (tmp_path / "odd.csv").write_text("\n".join([text[0], "a.png,finger-1,1 2 3", *text[2:]]))
    status, _, said = run("vote", *words, "--out", tmp_path / "V.csv")
    assert status == 1
    assert sentence in said
    assert not (tmp_path / "V.csv").exists()


@pytest.mark.parametrize(
    ("values", "task", "column", "cells"),
    [
        ("probability", "task: multilabel", "targets: [a]", ("0.2", "0.9")),
        ("binary", "task: multilabel", "targets: [a]", ("0", "1")),
        ("class", "task: multiclass\nclasses: [p, q]", "target: a", ("p", "q")),
    ],
)
def test_a_threshold_is_for_cells_that_are_elected(run, tmp_path, values, task, column, cells):
    (tmp_path / "mine.yaml").write_text(
        f"{task}\ntrain: train/*.png\ntest: test/*.png\ngroup: (.+)\nmetric: accuracy\n"
        f"table: {{csv: train.csv, image: id, {column}}}\n"
        f"submission: {{kind: table, values: {values}, ending: false}}\n"
    )
    for name, cell in zip("AB", cells, strict=True):
        (tmp_path / f"{name}.csv").write_text(f"id,a\nx,{cell}\n")
    out = tmp_path / "V.csv"
    words = ["vote", "--track", tmp_path / "mine.yaml", tmp_path / "A.csv", tmp_path / "B.csv", "--out", out]
    status, _, said = run(*words, "--weights", "1,2", "--threshold", "0.7")
    if values == "binary":
        assert (status, out.read_text()) == (0, "id,a\nx,0\n")  # 2/3 of the votes are too few
    else:
        assert status == 1
        assert "--threshold has no effect on submissions of mine, which hold neither masks nor" in said
        assert not out.exists()
    assert run(*words, "--weights", "1,2")[0] == 0


def test_a_vote_does_not_take_the_place_of_its_own_votes(run, masks, tmp_path):
    for number in range(2):
        write_masks(tmp_path / f"{number}.csv", masks[number])
    before = (tmp_path / "0.csv").read_bytes()
    status, _, said = run("vote", tmp_path / "0.csv", tmp_path / "1.csv", "--out", tmp_path / "." / "0.csv")
    assert status == 1
    assert "--out is one of the submissions, which would be lost" in said
    assert (tmp_path / "0.csv").read_bytes() == before


def test_compare_counts_pixels_and_names_the_least_alike(run, masks, tmp_path):
    other = masks[0].copy()
    other[1, 7] = ~other[1, 7]
    other[0, 0, 0, 0] = ~other[0, 0, 0, 0]
    files = [write_masks(tmp_path / "a.csv", masks[0]), write_masks(tmp_path / "b.csv", other, order=-1)]
    status, figures, said = run("compare", *files)
    assert (status, figures["rows"], figures["rows_that_differ"], figures["pixels"]) == (0, 58, 2, 121)
    both = 2 * (masks[0] & other).sum(axis=(2, 3)) / (masks[0].sum(axis=(2, 3)) + other.sum(axis=(2, 3)))
    assert figures["dice"] == pytest.approx(both.mean())
    assert figures["per_class"]["finger-8"] == pytest.approx(both[:, 7].mean())
    assert "2 of 58 rows differ, by 121 pixels" in said
    status, figures, _ = run("compare", files[0], files[0])
    assert (status, figures["rows_that_differ"], figures["dice"]) == (0, 0, 1)
