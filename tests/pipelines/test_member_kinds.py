"""Seeds, kept epochs, full and pupils vote together: train, tune and ensemble as a user calls them."""

import csv
import json

import numpy as np
import pytest

from competition.data.folds import FULL
from competition.ensembling.voting.class_votes import blend
from competition.masks.run_length_text import parse
from competition.masks.run_lengths import runs_to_mask
from competition.prediction.probability_maps import read_map
from pipelines import ensemble, train, tune

pytestmark = pytest.mark.slow


@pytest.mark.exhaustive
def test_all_kinds_of_members_vote_together(stage_on, tiny_hands, tiny_experiment, tmp_path, capsys):
    settings = tmp_path / "tiny.yaml"
    sections = {"train": {"lr": 1e-2, "epochs": 16, "keep_every": 8}, "model": {"prior": 0.3}}
    settings.write_text(tiny_experiment(**sections).to_yaml())
    common = ("--experiment", settings)
    stage_on(train, tiny_hands, *common, "--fold", "0..1,full")
    stage_on(train, tiny_hands, *common, "--fold", "0..1", "--set", "train.seed=1", "--name", "seed1")
    stage_on(train, tiny_hands, *common, "--fold", "0..1", "--pseudo", "tiny", "--name", "pupil")
    capsys.readouterr()
    members = "tiny@8,tiny:0,1,full,seed1,pupil"
    figures = stage_on(tune, tiny_hands, "--members", members, "--name", "kinds", "--trials", 5, "--window", "0.5:0.5")
    assert "tiny: full was trained on every sample" in capsys.readouterr().out
    assert figures["coverage"] == 10
    assert list(figures["members"]) == ["tiny@8", "tiny", "seed1", "pupil"]
    decision = json.loads((tiny_hands.workspace.ensemble_folder("kinds") / "decision.json").read_text())
    assert [member["folds"] for member in decision["members"]] == [[0, 1], [0, 1, FULL], [0, 1], [0, 1]]
    made = stage_on(ensemble, tiny_hands, "--decision", "kinds", "--members", members)

    # What was submitted is the weighted vote of the members' maps, decided at the thresholds.
    weights = [member["weight"] for member in decision["members"]]
    folders = [next(iter(map_folders(tiny_hands, member))) for member in decision["members"]]
    assert len(set(folders)) == 4
    with open(made["submission"], newline="") as file:
        rows = {(row["image_name"], row["class"]): row["rle"] for row in csv.DictReader(file)}
    for entry in tiny_hands.manifest.of("test"):
        levels = blend([read_map(folder, entry.sample) for folder in folders], weights)
        for index, name in enumerate(tiny_hands.track.classes):
            mask = levels[index] > decision["levels"][name]
            if decision["operations"][name] == "none":
                found = runs_to_mask(parse(rows[entry.name, name], entry.name), mask.shape)
                np.testing.assert_array_equal(found, mask)


def map_folders(prepared, member):
    """Folders of test maps of a member's run that were made by its folds and epoch."""
    run, _, epoch = member["name"].partition("@")
    for index in sorted((prepared.workspace.run_folder(run) / "test").glob("*/index.json")):
        made_by = json.loads(index.read_text())["made_by"]
        if made_by["folds"] == member["folds"] and (member["name"] != "tiny@8" or epoch):
            yield index.parent
