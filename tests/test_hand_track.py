"""The hand-bone track from its own files to its own figures, through the user's door, on tiny drawn hands."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from competition.data.cache import read_cached_planes
from competition.data.manifest import read_manifest
from competition.ensembling.histograms import image_histogram, save_histograms
from competition.imaging.planes import unpack_planes
from competition.prediction.probability_maps import write_map
from competition.tracks.hand_bone import HAND_BONE
from competition.tracks.phantoms import hand
from competition.workspace import REPOSITORY, Workspace
from pipelines.__main__ import main

BONES = [
    *(f"finger-{number}" for number in range(1, 20)),
    *("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform", "Radius"),
    "Ulna",
]
CARPALS = BONES[19:27]
PEOPLE = 14  # the first fourteen people of the public training part are in all five folds
SETTINGS = """\
model: {architecture: Unet, encoder: tu-resnet10t, pretrained: false, decoder_channels: [8, 8], prior: 0.1}
data: {size: 32, augmentation: none, workers: 0}
train: {epochs: 1, batch_size: 4, precision: fp32}
"""
WRIST = "data.crop_to={run: tiny, classes: [Capitate, Lunate], margin: 0.5}"


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
    assert f"{shipped} has every group of this data: everybody's folds" in said
    assert not (tmp_path / "workspace" / "folds").exists()


def test_one_person_who_is_not_in_the_shipped_folds_makes_folds_of_ones_own(hands, stage, tmp_path):
    for folder in ("DCM", "outputs_json"):
        (hands / "train" / folder / "ID009").rename(hands / "train" / folder / "ID999")
    shipped = REPOSITORY / "folds" / "hand_bone.csv"
    before = shipped.read_bytes()
    figures, said = stage("prepare", "--data", hands)
    assert figures["folds"]["path"] == str(tmp_path / "workspace" / "folds" / "hand_bone_own.csv")
    assert f"folds: 1 of {PEOPLE} groups (ID999) are not in the shipped {shipped}" in said
    assert "everybody" not in said.replace("everybody must use the same", "")
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
    assert "exclude.txt: 1 lines name nothing that is here (ID777)" in said
    entries = manifest_of(tmp_path)
    assert broken.stem not in entries.index
    # The other hand of that person is still known by its place among both.
    assert entries.loc[entries["group"] == "ID003", "side"].tolist() == ["left"]


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


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("exclude.txt", "ID015\n", "'ID015' is a test X-ray, and a missing row voids a submission"),
        ("strata.csv", "ID,stratum\nID001,obliqe\n", "unknown stratum 'obliqe', did you mean 'oblique'"),
        ("strata.csv", "name;stratum\n", "the columns are image_name,stratum or ID,stratum"),
        ("meta_data.xlsx", "no sheet at all", "can't be read as an Excel sheet"),
    ],
)
def test_a_bad_list_stops_with_its_sentence(hands, refusal, name, content, sentence):
    (hands / name).write_text(content)
    error, _ = refusal("prepare", "--data", hands)
    assert sentence in error
    assert str(hands / name) in error


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run of everything and one of the carpals alone, with out-of-fold maps made by hand; figures of each stage.

    The first run is right about straight wrists but for their carpals; of bent wrists it sees nothing, but takes ring
    for index finger. The second run is right about all carpals.
    """
    root = tmp_path_factory.mktemp("tuned")
    (root / "tiny.yaml").write_text(SETTINGS)

    def here(*words):
        file = root / "figures.json"
        assert main([*map(str, words), "--phantom", "--workspace", str(root), "--json", str(file)]) == 0
        return json.loads(file.read_text())

    here("prepare", "--people", "5", "--test-people", "2", "--size", "128", "--folds", "2")
    workspace = Workspace(root, "phantom_hand_bone")
    train = ("train", "--experiment", root / "tiny.yaml", "--fold")
    for fold in (0, 1):
        here(*train, fold)
    rewrite(workspace, "tiny", seen_by_all)
    for fold in (0, 1):
        here(*train, fold, "--name", "wrist", "--set", f"data.classes={CARPALS}", "--set", WRIST)
    rewrite(workspace, "wrist", lambda masks, stratum: masks[19:27])
    figures = {"root": root, "alone": here("tune", "--members", "tiny", "--name", "alone")}
    figures["both"] = here("tune", "--members", "tiny,wrist", "--name", "both", "--trials", "10")
    figures["neighbours"] = root / "runs" / "phantom_hand_bone" / "ensembles" / "alone" / "neighbours.csv"
    for name in ("alone", "both"):
        figures[f"{name} handed in"] = here("ensemble", "--decision", name)
    # After one epoch nothing is seen anywhere; a second vote reads the maps that were kept, here full of carpals.
    for folder in workspace.run_folder("wrist").glob("test/*"):
        for sample in json.loads((folder / "index.json").read_text())["samples"]:
            write_map(folder, sample, np.full((len(CARPALS), 128, 128), 255, np.uint8))
    figures["both handed in"] = here("ensemble", "--decision", "both")
    return figures, here


def seen_by_all(masks, stratum):
    if stratum == "straight":
        return np.concatenate([masks[:19], np.zeros_like(masks[19:27]), masks[27:]])
    seen = np.zeros_like(masks)
    seen[3] = masks[11]  # finger-4, the tip of the index, where finger-12 is, that of the ring
    return seen


def rewrite(workspace, run, see):
    """Replaces the out-of-fold maps of a run and their histograms."""
    entries = read_manifest(workspace, HAND_BONE).by_sample()
    for folder in workspace.run_folder(run).glob("fold*/oof"):
        samples = json.loads((folder / "index.json").read_text())["samples"]
        histograms = []
        for sample in samples:
            planes = read_cached_planes(workspace, sample)
            levels = see(unpack_planes(planes, 29), entries[sample].stratum).astype(np.uint8) * 255
            write_map(folder, sample, levels)
            if len(levels) == 29:
                histograms.append(image_histogram(levels, planes))
        if histograms:
            save_histograms(folder / "histograms.npz", samples, np.stack(histograms))


def test_the_fourth_number_has_the_mix_of_the_test(tuned):
    figures, _ = tuned
    # Four of five people are straight: right about 21 of 29 bones. Empty against empty does not occur.
    assert figures["alone"]["oof_crossfit"] == pytest.approx(0.8 * 21 / 29)
    assert figures["alone"]["oof_reweighted"] == pytest.approx(0.42 * 21 / 29)
    decision = json.loads(Path(figures["alone"]["decision"]).read_text())
    assert decision["scores"]["oof_reweighted"] == figures["alone"]["oof_reweighted"]


def test_it_is_said_beside_the_other_numbers(tuned, capsys):
    _, here = tuned
    capsys.readouterr()
    here("tune", "--members", "tiny", "--name", "again")
    said = capsys.readouterr().out
    assert re.search(rf"re-weighted to the test's mix \(58% oblique, 42% straight\)\W+{0.42 * 21 / 29:.4f}", said)
    assert "finger-4 covers" in said
    here("tune", "--members", "tiny:0", "--name", "one_fold")  # of that fold's people nobody's wrist is bent, or all
    figures = json.loads((tuned[0]["root"] / "figures.json").read_text())
    manifest = pd.read_parquet(tuned[0]["root"] / "cache" / "phantom_hand_bone" / "manifest.parquet")
    covered = manifest[manifest["split"] == "train"]
    assert figures["coverage"] < len(covered)


def test_whose_pixels_each_bone_claims_is_in_a_table(tuned):
    figures, _ = tuned
    with figures["neighbours"].open(newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert list(rows) == BONES
    assert rows["finger-4"]["finger-12"] == "1.0"
    assert int(rows["finger-4"]["false_positives"]) > 0
    assert rows["finger-4"]["finger-4"] == ""
    assert rows["Ulna"]["false_positives"] == "0"


def test_a_member_of_the_carpals_mends_the_carpals_and_nothing_else(tuned):
    figures, _ = tuned
    decision = json.loads(Path(figures["both"]["decision"]).read_text())
    assert [member["classes"] for member in decision["members"]] == [BONES, CARPALS]
    for bone, row in figures["both"]["per_class"].items():
        expected = 1.0 if bone in CARPALS else figures["alone"]["per_class"][bone]["oof"]
        assert row["oof"] == pytest.approx(expected), bone
    assert figures["both"]["oof_reweighted"] == pytest.approx(0.58 * 8 / 29 + 0.42)


def test_their_votes_on_test_images_differ_in_the_carpals_alone(tuned):
    figures, _ = tuned
    alone, both = (
        {
            tuple(row[:2]): row[2]
            for row in csv.reader(Path(figures[f"{name} handed in"]["submission"]).read_text().splitlines())
        }
        for name in ("alone", "both")
    )
    assert list(alone) == list(both)
    assert len(alone) == 1 + 4 * 29
    changed = {bone for (image, bone), rle in alone.items() if both[image, bone] != rle}
    assert changed == set(CARPALS)


def test_carpals_alone_are_no_ensemble(tuned, capsys):
    root = tuned[0]["root"]
    assert main(["tune", "--members", "wrist", "--phantom", "--workspace", str(root)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no member predicts finger-1, finger-2")
    assert "Add a run of all classes to --members" in error


def test_the_score_of_each_stratum_is_that_of_its_images_alone(tuned, tmp_path):
    figures, here = tuned
    submission = Path(figures["both handed in"]["submission"])
    truth = figures["root"] / "data" / "phantom_hand_bone" / "truth" / "outputs_json"
    whole = here("score", submission, truth, "--by", "stratum")
    assert set(whole["per_stratum"]) == {"oblique", "straight"}
    people = {"oblique": "ID006", "straight": "ID007"}
    header, *lines = submission.read_text().splitlines()
    for stratum, person in people.items():
        images = {path.stem for path in (truth / person).glob("*.json")}
        part = tmp_path / f"{stratum}.csv"
        part.write_text("\n".join([header, *(line for line in lines if line.split(".png")[0] in images)]) + "\n")
        alone = here("score", part, truth / person)["score"]
        assert whole["per_stratum"][stratum] == pytest.approx(alone, abs=1e-12)
    assert whole["score"] == pytest.approx(np.mean(list(whole["per_stratum"].values())))


def test_a_first_stage_that_is_not_there_is_named(tuned, capsys):
    figures, _ = tuned
    words = ["train", "--experiment", figures["root"] / "tiny.yaml", "--name", "lost", "--fold", "0", "--set"]
    words += ["data.crop_to={run: nowhere, classes: [Lunate]}", "--phantom", "--workspace", figures["root"]]
    assert main([*map(str, words)]) == 1
    assert "run 'nowhere' has no trained fold" in capsys.readouterr().err
