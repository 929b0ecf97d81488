"""What is tuned on hands: the mix of the test's wrists, confusions, members of the carpals, scores of each kind."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from competition.data.cache import read_cached_planes
from competition.data.folds import read_folds
from competition.data.manifest import read_manifest
from competition.formats.parquet_tables import write_table
from competition.masks.bit_planes import unpack_planes
from competition.prediction.histograms import image_histogram, save_histograms
from competition.prediction.probability_maps import write_map
from competition.tracks.hand_bone.track import HAND_BONE
from competition.workspace import Workspace
from pipelines.__main__ import main

BONES = [
    *(f"finger-{number}" for number in range(1, 20)),
    *("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform", "Radius"),
    "Ulna",
]
CARPALS = BONES[19:27]
SETTINGS = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [8, 8], prior: 0.1}
data: {size: 32, augmentation: none, workers: 0}
train: {epochs: 1, batch_size: 4, precision: fp32}
"""
WRIST = "data.crop_to={run: tiny, classes: [Capitate, Lunate], margin: 0.5}"


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
    figures["confusions"] = root / "runs" / "phantom_hand_bone" / "ensembles" / "alone" / "confusions.csv"
    for name in ("alone", "both"):
        figures[f"{name} handed in"] = here("ensemble", "--decision", name, "--no-report")
    # After one epoch nothing is seen anywhere; a second vote reads the maps that were kept, here full of carpals.
    for folder in workspace.run_folder("wrist").glob("test/*"):
        for sample in json.loads((folder / "index.json").read_text())["samples"]:
            write_map(folder, sample, np.full((len(CARPALS), 128, 128), 255, np.uint8))
    figures["both handed in"] = here("ensemble", "--decision", "both", "--no-report")
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


@pytest.mark.exhaustive
def test_the_fourth_number_has_the_mix_of_the_test(tuned):
    figures, _ = tuned
    # Four of five persons are straight: right about 21 of 29 bones. Empty against empty does not occur.
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


def fold_of_the_bent_wrist(root):
    """The number of the fold that holds out the one person with bent wrists."""
    manifest = pd.read_parquet(root / "cache" / "phantom_hand_bone" / "manifest.parquet")
    (person,) = set(manifest.loc[(manifest["split"] == "train") & (manifest["stratum"] == "oblique"), "group"])
    return read_folds(root / "folds" / "phantom_hand_bone.csv").fold_of[person]


def test_a_fold_without_bent_wrists_has_no_such_score_and_that_is_said(tuned, capsys):
    figures, here = tuned
    fold = 1 - fold_of_the_bent_wrist(figures["root"])
    capsys.readouterr()
    alone = here("tune", "--members", f"tiny:{fold}", "--name", "one_fold")
    assert alone["oof_reweighted"] is None
    assert alone["oof"] == pytest.approx(21 / 29)
    said = " ".join(capsys.readouterr().out.split())
    sentence = f"no score re-weighted to the test's mix: of {alone['coverage']} samples none is known to be oblique"
    assert sentence in said


def test_hands_of_unknown_wrists_are_left_out_of_it_and_counted(tuned, capsys):
    """One hand of the bent-wristed person and one of another are not known: the means of the kinds stay the same."""
    figures, here = tuned
    workspace = Workspace(figures["root"], "phantom_hand_bone")
    before = workspace.manifest_file().read_bytes()
    manifest = pd.read_parquet(workspace.manifest_file())
    for stratum in ("oblique", "straight"):
        first = manifest.index[(manifest["split"] == "train") & (manifest["stratum"] == stratum)][0]
        manifest.loc[first, "stratum"] = ""
    write_table(workspace.manifest_file(), manifest)
    try:
        capsys.readouterr()
        found = here("tune", "--members", "tiny", "--name", "unknown")
    finally:
        workspace.manifest_file().write_bytes(before)
    assert found["oof_reweighted"] == pytest.approx(0.42 * 21 / 29)
    assert "the re-weighted score leaves out 2 of 10 samples" in " ".join(capsys.readouterr().out.split())


def test_it_is_on_the_leaderboard(tuned, capsys):
    figures, here = tuned
    capsys.readouterr()
    (ranking,) = here("leaderboard")["rankings"]
    expected = {name: figures[name]["oof_reweighted"] for name in ("alone", "both")}
    found = {row["id"].rsplit("-", 1)[-1]: row["cv_reweighted"] for row in ranking["rows"]}
    assert found["alone"] == pytest.approx(expected["alone"], abs=1e-6)
    assert "re-weighted" in capsys.readouterr().out


def test_whose_pixels_each_bone_claims_is_in_a_table(tuned):
    figures, _ = tuned
    with figures["confusions"].open(newline="") as file:
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


@pytest.mark.parametrize(
    ("by", "parts"),
    [
        ("stratum", {"oblique": ["ID006/*.json"], "straight": ["ID007/*.json"]}),
        ("side", {"right": ["ID006/{0}", "ID007/{0}"], "left": ["ID006/{1}", "ID007/{1}"]}),
    ],
)
def test_the_score_of_each_kind_is_that_of_its_images_alone(tuned, tmp_path, by, parts):
    figures, here = tuned
    submission = Path(figures["both handed in"]["submission"])
    truth = figures["root"] / "data" / "phantom_hand_bone" / "truth" / "outputs_json"
    whole = here("score", submission, truth, "--by", by)
    assert set(whole[f"per_{by}"]) == set(parts)
    header, *lines = submission.read_text().splitlines()
    for kind, places in parts.items():
        folder = tmp_path / kind
        folder.mkdir()
        for place in places:
            person = place.split("/")[0]
            names = sorted(path.name for path in (truth / person).glob("*.json"))  # the right hand's sorts first
            for label in truth.glob(place.format(*names)):
                shutil.copy(label, folder)
        images = {path.stem for path in folder.glob("*.json")}
        assert len(images) == 2
        part = tmp_path / f"{kind}.csv"
        part.write_text("\n".join([header, *(line for line in lines if line.split(".png")[0] in images)]) + "\n")
        assert whole[f"per_{by}"][kind] == pytest.approx(here("score", part, folder)["score"], abs=1e-12)
    assert whole["score"] == pytest.approx(np.mean(list(whole[f"per_{by}"].values())))


def test_a_first_stage_that_is_not_there_is_named(tuned, capsys):
    figures, _ = tuned
    words = ["train", "--experiment", figures["root"] / "tiny.yaml", "--name", "lost", "--fold", "0", "--set"]
    words += ["data.crop_to={run: nowhere, classes: [Lunate]}", "--phantom", "--workspace", figures["root"]]
    assert main([*map(str, words)]) == 1
    assert "run 'nowhere' has no trained fold" in capsys.readouterr().err
