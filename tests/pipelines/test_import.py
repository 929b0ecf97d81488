"""The stage import, and the member it makes in tune and ensemble through the command line."""

import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from competition.data.folds import read_folds
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_lengths import encode_mask
from competition.masks.stored_arrays import read_array
from competition.prediction.histograms import load_histograms
from competition.prediction.probability_maps import read_map, read_scores
from competition.submission import leaderboard
from competition.submission.run_lengths.files import write_rle_csv

pytestmark = pytest.mark.slow

CLASSES = ("disc", "square", "bar")


def oof_folder(workspace, run, entry):
    """Where the fold that held an image out keeps its map."""
    fold = read_folds(workspace.fold_file()).fold_of[entry.group]
    return workspace.fold_folder(run, fold) / "oof"


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def softer(workspace, entry):
    """The held-out predictions of quick with less certainty: few pixels are contested between the two."""
    return np.clip(read_map(oof_folder(workspace, "quick", entry), entry.sample), 9, 246)


ARRAYS = {
    "npy float32 by sample": lambda f, e, levels: np.save(f / f"{e.sample}.npy", (levels / 255).astype(np.float32)),
    "npy float64 by name, classes last": lambda f, e, levels: np.save(
        f / f"{e.name}.npy", np.moveaxis(levels, 0, -1) / 255
    ),
    "NPY with litter beside": lambda f, e, levels: [
        (f / f"{e.sample}.NPY").write_bytes(npy((levels / 255).astype(np.float32))),
        (f / f"._{e.sample}.NPY").write_bytes(b"left by macOS"),
    ],
    "npz float16": lambda f, e, levels: np.savez_compressed(f / f"{e.sample}.npz", (levels / 255).astype(np.float16)),
    "npz uint8": lambda f, e, levels: np.savez(f / f"{e.sample}.npz", probs=levels),
    "npz by class": lambda f, e, levels: np.savez(f / f"{e.sample}.npz", **dict(zip(CLASSES, levels, strict=True))),
}


@pytest.fixture
def write_form(write_maps, noise):
    """Writes another team's maps in one of the forms they may have."""

    def write(form, folder, entries):
        if form.startswith("our form"):
            return write_maps(folder, entries, noise, (2, 0, 1) if "other order" in form else (0, 1, 2))
        folder.mkdir()
        for entry in entries:
            ARRAYS[form](folder, entry, noise(entry))
        return folder

    return write


@pytest.mark.parametrize("form", ["our form", "our form, other order", *ARRAYS])
def test_every_form_gives_the_same_member(stage, hands_with_run, hand_entries, noise, write_form, tmp_path, form):
    oof = write_form(form, tmp_path / "oof", hand_entries["train"])
    test = write_form(form, tmp_path / "test", hand_entries["test"])
    words = ("import", "--name", "theirs", "--oof", oof, "--folds", hands_with_run.fold_file(), "--test", test)
    figures, said = stage(*words)
    assert figures["folds"] == [0, 1]
    assert figures["classes"] == list(CLASSES)
    assert figures["samples"] == {"oof": 10, "test": 2}
    assert "Dice of held-out samples" in said
    histograms = {}
    for fold in (0, 1):
        histograms |= load_histograms(hands_with_run.fold_folder("theirs", fold) / "oof" / "histograms.npz")
    for entry in hand_entries["train"]:
        np.testing.assert_array_equal(read_map(oof_folder(hands_with_run, "theirs", entry), entry.sample), noise(entry))
        truth = unpack_planes(read_array(hands_with_run.label_file(entry.sample)), 3)
        for index in range(3):
            counts = np.bincount(noise(entry)[index][truth[index]], minlength=256)
            np.testing.assert_array_equal(histograms[entry.sample][index, 1], counts)
    for entry in hand_entries["test"]:
        np.testing.assert_array_equal(
            read_map(hands_with_run.imported_test_folder("theirs"), entry.sample), noise(entry)
        )
    again, said = stage(*words)
    assert "already imported and unchanged" in said
    assert again | {"seconds": 0, "peak_mb": 0} == figures | {"seconds": 0, "peak_mb": 0}


def test_a_csv_of_masks_becomes_maps_of_0_and_255(stage, hands_with_run, hand_entries, tmp_path, noise):
    masks = {entry.name: noise(entry) > 127 for split in hand_entries.values() for entry in split}
    for split, there in hand_entries.items():
        rows = [(e.name, name, encode_mask(masks[e.name][k])) for e in there for k, name in enumerate(CLASSES)]
        write_rle_csv(tmp_path / f"{split}.csv", rows[::-1])
    oof, test = tmp_path / "train.csv", tmp_path / "test.csv"
    test.write_bytes(b"\xef\xbb\xbf" + test.read_bytes().replace(b"\n", b"\r\n"))  # as a spreadsheet saves it
    stage("import", "--name", "theirs", "--oof", oof, "--folds", hands_with_run.fold_file(), "--test", test)
    for entry in hand_entries["train"]:
        levels = read_map(oof_folder(hands_with_run, "theirs", entry), entry.sample)
        np.testing.assert_array_equal(levels, masks[entry.name] * 255)
    for entry in hand_entries["test"]:
        levels = read_map(hands_with_run.imported_test_folder("theirs"), entry.sample)
        np.testing.assert_array_equal(levels, masks[entry.name] * 255)


def exported(workspace, run="quick"):
    """The folders of a trained run that hold its predictions."""
    (test,) = [index.parent for index in (workspace.run_folder(run) / "test").glob("*/index.json")]
    return [workspace.fold_folder(run, fold) / "oof" for fold in (0, 1)], test


def test_an_exported_member_comes_back_byte_for_byte_and_is_tuned_alike(stage, hands_with_run, hand_entries):
    first = stage("tune", "--members", "quick", "--name", "ours")[0]
    made = stage("ensemble", "--decision", "ours")[0]
    oof, test = exported(hands_with_run)
    stage("import", "--name", "theirs", "--oof", *oof, "--folds", hands_with_run.fold_file(), "--test", test)
    for fold in (0, 1):
        theirs = hands_with_run.fold_folder("theirs", fold) / "oof"
        for path in (hands_with_run.fold_folder("quick", fold) / "oof").iterdir():
            if path.suffix == ".b2":
                np.testing.assert_array_equal(read_array(theirs / path.name), read_array(path))
        ours = load_histograms(hands_with_run.fold_folder("quick", fold) / "oof" / "histograms.npz")
        again = load_histograms(theirs / "histograms.npz")
        assert ours.keys() == again.keys()
        for sample in ours:
            np.testing.assert_array_equal(again[sample], ours[sample])
    for entry in hand_entries["test"]:
        imported = hands_with_run.imported_test_folder("theirs") / f"{entry.sample}.b2"
        assert imported.read_bytes() == (test / f"{entry.sample}.b2").read_bytes()
    second = stage("tune", "--members", "theirs", "--name", "theirs")[0]
    same = ("thresholds", "operations", "fold_mean", "fold_sd", "oof", "oof_crossfit", "interval_low", "per_class")
    assert {key: second[key] for key in same} == {key: first[key] for key in same}
    twin = stage("ensemble", "--decision", "theirs")[0]
    assert Path(twin["submission"]).read_bytes() == Path(made["submission"]).read_bytes()
    both = stage("tune", "--members", "quick,theirs", "--name", "both", "--trials", 3, "--window", "0.5:0.5")[0]
    assert both["members"] == {"quick": 0.5, "theirs": 0.5}  # a twin adds nothing
    assert both["fold_mean"] == first["fold_mean"]
    stage("ensemble", "--decision", "both", "--members", "quick,theirs")
    rows = leaderboard.read(hands_with_run.leaderboard_file())
    assert rows["members"].tolist() == ["quick:0,1", "theirs:0,1", "quick:0,1+theirs:0,1"]


def test_all_runs_means_imported_ones_too_and_the_newest_decision_learns_of_them(
    stage, hands_with_run, hand_entries, tmp_path, write_maps, noise
):
    oof = write_maps(tmp_path / "oof", hand_entries["train"], partial(softer, hands_with_run))
    test = write_maps(tmp_path / "test", hand_entries["test"], noise)
    assert list(stage("tune", "--trials", 3)[0]["members"]) == ["quick"]
    stage("import", "--name", "theirs", "--oof", oof, "--folds", hands_with_run.fold_file(), "--test", test)
    figures, said = stage("ensemble")
    assert "predates theirs (folds 0,1): running tune again" in said
    decision = json.loads((hands_with_run.ensemble_folder("quick+theirs") / "decision.json").read_text())
    assert [member["name"] for member in decision["members"]] == ["quick", "theirs"]
    assert figures["samples"] == 2


def test_a_member_of_some_classes_votes_on_these_alone(stage, hands_with_run, hand_entries, tmp_path, noise):
    for split, there in hand_entries.items():
        (tmp_path / split).mkdir()
        for entry in there:
            levels = softer(hands_with_run, entry) if split == "train" else noise(entry)
            np.save(tmp_path / split / f"{entry.sample}.npy", levels[[2, 0]])  # bar before disc
    oof, test = tmp_path / "train", tmp_path / "test"
    words = ("--classes", "bar,disc", "--oof", oof, "--folds", hands_with_run.fold_file(), "--test", test)
    figures, _ = stage("import", "--name", "theirs", *words)
    assert figures["classes"] == ["disc", "bar"]
    entry = hand_entries["train"][0]
    levels = read_map(oof_folder(hands_with_run, "theirs", entry), entry.sample)
    np.testing.assert_array_equal(levels, softer(hands_with_run, entry)[[0, 2]])
    counts = load_histograms(oof_folder(hands_with_run, "theirs", entry) / "histograms.npz")[entry.sample]
    truth = unpack_planes(read_array(hands_with_run.label_file(entry.sample)), 3)[[0, 2]]
    assert counts[:, 1].sum(axis=1).tolist() == truth.sum(axis=(1, 2)).tolist()
    stage("tune", "--members", "quick,theirs", "--trials", 3, "--window", "0.5:0.5")
    stage("ensemble")


def test_predictions_of_some_folds_cover_these(stage, hands_with_run, hand_entries, tmp_path, write_maps):
    folds = read_folds(hands_with_run.fold_file())
    held_out = folds.held_out(hand_entries["train"], 1)
    oof = write_maps(tmp_path / "oof", held_out, partial(softer, hands_with_run))
    people = sorted({entry.group for entry in held_out})
    (tmp_path / "folds.csv").write_text("group,fold\n" + "".join(f"{person},late\n" for person in people))
    figures, said = stage("import", "--name", "theirs", "--oof", oof, "--folds", tmp_path / "folds.csv")
    assert (figures["folds"], figures["samples"]) == ([1], {"oof": len(held_out), "test": 0})
    assert "no test predictions yet" in said
    tuned, _ = stage("tune", "--members", "quick,theirs", "--trials", 3, "--window", "0.5:0.5")
    assert tuned["coverage"] == len(held_out)


@pytest.mark.parametrize("form", ["csv", "our form"])
def test_a_classification_comes_back_to_the_last_digit(stage, patients_with_run, shared_patients, tmp_path, form):
    track = shared_patients.track
    test = shared_patients.manifest.of("test")
    first = stage("tune", "--members", "quick", "--name", "ours")[0]
    made = stage("ensemble", "--decision", "ours")[0]
    oof, late = exported(patients_with_run)
    if form == "csv":
        for number, folder in enumerate([*oof, late]):
            frame = pd.read_parquet(folder / "scores.parquet").rename(columns={"sample": "Index"})
            frame[::-1].to_csv(tmp_path / f"{number}.csv", index=False)
        oof, late = [tmp_path / "0.csv", tmp_path / "1.csv"], tmp_path / "2.csv"
    words = ("--oof", *oof, "--folds", patients_with_run.fold_file(), "--test", late)
    figures, said = stage("import", "--name", "theirs", *words)
    assert "AUROC of held-out samples" in said
    assert figures["scores"].keys() == {"0", "1"}
    for fold in (0, 1):
        samples = [e.sample for e in read_folds(patients_with_run.fold_file()).held_out(shared_patients.train(), fold)]
        ours, theirs = (
            read_scores(patients_with_run.fold_folder(run, fold) / "oof", samples, track.classes)
            for run in ("quick", "theirs")
        )
        np.testing.assert_array_equal(theirs, ours)
    second = stage("tune", "--members", "theirs", "--name", "theirs")[0]
    assert {key: second[key] for key in ("thresholds", "gate", "oof", "oof_crossfit")} == {
        key: first[key] for key in ("thresholds", "gate", "oof", "oof_crossfit")
    }
    twin = stage("ensemble", "--decision", "theirs")[0]
    assert Path(twin["submission"]).read_bytes() == Path(made["submission"]).read_bytes()
    assert len(test) == twin["samples"]


def test_uint8_masks_of_0_and_1_are_taken_and_said(stage, hands_with_run, hand_entries, tmp_path, noise):
    for split, there in hand_entries.items():
        (tmp_path / split).mkdir()
        for entry in there:
            np.save(tmp_path / split / f"{entry.sample}.npy", (noise(entry) > 127).astype(np.uint8))
    words = ("--oof", tmp_path / "train", "--folds", hands_with_run.fold_file(), "--test", tmp_path / "test")
    _, said = stage("import", "--name", "theirs", *words)
    assert " ".join(said.split()).count("all values are 0 or 1, so they are taken as masks") == 2
    for entry in hand_entries["train"]:
        levels = read_map(oof_folder(hands_with_run, "theirs", entry), entry.sample)
        np.testing.assert_array_equal(levels, (noise(entry) > 127) * 255)
