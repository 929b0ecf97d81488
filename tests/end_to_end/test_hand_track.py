"""The hand-bone track from its own files to folds and manifest, through the command line, on tiny synthetic hands."""

import re
import shutil
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from competition.data.folds import read_folds
from competition.phantoms.hand_bone import phantom as hand
from competition.workspace import REPOSITORY

PEOPLE = 14  # the first fourteen persons of the public training part are in all five folds


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    hand.draw(folder, PEOPLE, 2, 64, 0, lambda: None)
    return folder


@pytest.fixture
def hands(drawn, tmp_path):
    """Raw hands of the test's own, without the list of wrists: as the organisers give them."""
    folder = Path(shutil.copytree(drawn, tmp_path / "hands"))
    (folder / "strata.csv").unlink()
    return folder


def manifest_of(tmp_path):
    return pd.read_parquet(tmp_path / "workspace" / "cache" / "hand_bone" / "manifest.parquet").set_index("sample")


def stems(hands, split):
    return sorted(path.stem for path in hands.glob(f"{split}/DCM/*/*.png"))


def test_public_people_get_everybodys_folds_and_that_is_said(hands, stage, tmp_path):
    figures, said = stage("prepare", "--data", hands)
    shipped = REPOSITORY / "folds" / "hand_bone.csv"
    assert figures["folds"]["path"] == str(shipped)
    assert figures["folds"]["count"] == 5
    assert f"{shipped} has every group of this data: the shipped folds" in said
    assert not (tmp_path / "workspace" / "folds").exists()


def test_one_person_who_is_not_in_the_shipped_folds_makes_folds_of_ones_own(hands, stage, tmp_path):
    for folder in ("DCM", "outputs_json"):
        (hands / "train" / folder / "ID009").rename(hands / "train" / folder / "ID999")
    shipped = REPOSITORY / "folds" / "hand_bone.csv"
    before = shipped.read_bytes()
    figures, said = stage("prepare", "--data", hands)
    assert figures["folds"]["path"] == str(tmp_path / "workspace" / "folds" / "hand_bone_own.csv")
    assert f"folds: 1 of {PEOPLE} groups (ID999) are not in the shipped {shipped}" in said
    assert "has every group" not in said
    assert shipped.read_bytes() == before
    with open(figures["folds"]["path"]) as file:
        mine = [line.split(",")[0] for line in file if line.startswith("ID")]
    assert mine == sorted(path.name for path in (hands / "train" / "DCM").iterdir())


def test_folds_that_would_hold_out_nobody_are_refused(hands, refusal, stage):
    for number in range(2, PEOPLE + 1):
        shutil.rmtree(hands / "train" / "DCM" / f"ID{number:03d}")
        shutil.rmtree(hands / "train" / "outputs_json" / f"ID{number:03d}")
    error, _ = refusal("prepare", "--data", hands)
    assert re.search(r"fold 0 holds out no group of this data.*hand_bone\.csv.*prepare --refold", error)


def test_sides_and_wrists_are_in_the_manifest_and_told_ones_are_not_read_again(hands, stage, tmp_path):
    figures, _ = stage("prepare", "--data", hands)
    entries = manifest_of(tmp_path)
    for split in ("train", "test"):
        sides = [entries.loc[stem, "side"] for stem in stems(hands, split)]
        assert sides == ["right", "left"] * (len(sides) // 2)
    assert set(entries.loc[stems(hands, "train"), "stratum"]) == {"straight"}
    assert set(entries.loc[stems(hands, "test"), "stratum"]) == {""}
    assert figures["remarks"] == [f"wrists: train {2 * PEOPLE} straight; test 4 unknown"]
    first = stems(hands, "test")[0]
    (hands / "strata.csv").write_text(f"image_name,stratum\n{first}.png,oblique\nID004,oblique\n")
    figures, said = stage("prepare")
    assert figures["samples"]["read"] == 0
    assert f"wrists: train 2 oblique, {2 * PEOPLE - 2} straight; test 1 oblique, 3 unknown" in said
    entries = manifest_of(tmp_path)
    assert entries.loc[first, "stratum"] == "oblique"
    assert set(entries.loc[entries["group"] == "ID004", "stratum"]) == {"oblique"}


def test_what_is_excluded_is_left_out_with_its_faults_and_said(hands, stage, tmp_path):
    broken = min((hands / "train" / "outputs_json" / "ID003").glob("*.json"))
    broken.write_text("{")
    (hands / "exclude.txt").write_text(f"# wrong labels\nID003/{broken.stem}\nID001\nID777\n")
    figures, said = stage("prepare", "--data", hands)
    assert figures["samples"]["train"] == 2 * PEOPLE - 3
    assert figures["problems"] == []
    assert f"exclude.txt: 3 training X-rays are left out (ID003/{broken.stem}, ID001)" in said
    assert "exclude.txt: 1 lines match no X-ray (ID777)" in said
    entries = manifest_of(tmp_path)
    assert broken.stem not in entries.index
    # The other hand of that person is still known by its place among both.
    assert entries.loc[entries["group"] == "ID003", "side"].tolist() == ["left"]


def test_xrays_known_to_be_bad_are_named_where_they_are_not_excluded(hands, stage):
    name = "image1661392103627"
    for folder, ending in (("DCM", "png"), ("outputs_json", "json")):
        person = (hands / "train" / folder / "ID002").rename(hands / "train" / folder / "ID058")
        min(person.iterdir()).rename(person / f"{name}.{ending}")
    sentence = f"known to be labelled wrongly: ID058/{name} (bones mixed up); lines of exclude.txt with these names"
    figures, said = stage("prepare", "--data", hands)
    assert said.count(sentence) == 1
    assert figures["samples"]["train"] == 2 * PEOPLE
    (hands / "exclude.txt").write_text(f"ID058/{name}\n")
    figures, said = stage("prepare")
    assert "known to be labelled wrongly" not in said
    assert figures["samples"]["train"] == 2 * PEOPLE - 1


def test_labels_of_the_other_hand_are_listed(hands, stage):
    first, second = sorted((hands / "train" / "outputs_json" / "ID002").glob("*.json"))
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    figures, said = stage("prepare", "--data", hands)
    expected = (
        "left or right is contradictory for 2 X-rays: "
        f"ID002/{first.stem}.png (right by its place, left by its bones), "
        f"ID002/{second.stem}.png (left by its place, right by its bones)"
    )
    assert expected in figures["remarks"]
    assert expected in said


def test_the_sheet_of_people_is_summed_up(hands, stage):
    book = openpyxl.Workbook()
    book.active.append(["ID", "나이", "성별", "체중(몸무게)", "키(신장)"])
    for number in range(1, PEOPLE + 3):
        book.active.append([f"{number:03d}", 30, "_x0008_여" if number <= PEOPLE else " 남", 60, 170])
    book.save(hands / "meta_data.xlsx")
    _, said = stage("prepare", "--data", hands)
    assert (
        "meta_data.xlsx: 16 people; train 14 of 14 (100% female, 30.0 years (30-30), 170.0 cm (170-170), "
        "60.0 kg (60-60)); test 2 of 2 (0% female, 30.0 years (30-30), 170.0 cm (170-170), 60.0 kg (60-60))"
    ) in said


def test_folds_that_are_made_balance_the_sexes_of_the_sheet_and_keep_them_to_themselves(hands, stage, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["ID", "성별"])
    women = {f"ID{number:03d}" for number in (1, 2, 3, 4, 8, 9)}
    for number in range(1, PEOPLE + 1):
        book.active.append([f"{number:03d}", "여" if f"ID{number:03d}" in women else "남"])
    book.save(hands / "meta_data.xlsx")
    figures, _ = stage("prepare", "--data", hands, "--folds", 2, "--stratified", "--refold")
    fold_of = read_folds(Path(figures["folds"]["path"])).fold_of
    assert sorted(fold_of[name] for name in women) == [0] * 3 + [1] * 3
    assert "sex" not in manifest_of(tmp_path).columns
    assert not manifest_of(tmp_path).isin(["female", "male"]).any(axis=None)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("exclude.txt", "ID015\n", "'ID015' is a test X-ray, and a missing row voids a submission"),
        ("strata.csv", "ID,stratum\nID001,obliqe\n", "unknown stratum 'obliqe', did you mean 'oblique'"),
        ("strata.csv", "name,stratum\n", "the columns are image_name,stratum or ID,stratum"),
        ("strata.csv", "name;stratum\n", "cells are separated by ';', not by ','"),
        ("meta_data.xlsx", "no sheet at all", "can't be read as an Excel sheet"),
    ],
)
def test_a_bad_list_stops_with_its_sentence(hands, refusal, name, content, sentence):
    (hands / name).write_text(content)
    error, _ = refusal("prepare", "--data", hands)
    assert sentence in error
    assert str(hands / name) in error
