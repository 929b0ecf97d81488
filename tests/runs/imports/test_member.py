"""What an imported member is asked for by tune and ensemble."""

import json
from dataclasses import replace

import pytest

from competition.data.folds import FULL
from competition.data.manifest import data_hash
from competition.errors import CompetitionError
from competition.prediction.probability_maps import MapFolder, write_index
from competition.runs.imports.member import Imported, imported_test_maps, read_imported, write_imported
from competition.runs.leak_alarm import learned_by
from competition.runs.members import Member
from competition.runs.roi_run import find_first_stage
from competition.settings import CropSettings


@pytest.fixture
def theirs(tiny_hands):
    """An imported member of both folds that has predicted the test samples."""
    test = tiny_hands.manifest.of("test")
    pictures = {entry.sample: entry.pixels for entry in test}
    imported = Imported("0123456789", (0, 1), tiny_hands.folds.hash(), "abcdefghij", pictures)
    write_imported(tiny_hands.workspace.imported_file("theirs"), imported)
    folder = tiny_hands.workspace.imported_test_folder("theirs")
    write_index(folder, MapFolder(tiny_hands.track.classes, tuple(pictures), {}))
    return imported


def voter(**changes):
    settings = {"name": "theirs", "folds": (0, 1), "config_hash": "0123456789", "fold_hash": "f"}
    return Member(**settings | changes)


def test_what_was_written_is_read(tiny_hands, theirs):
    assert read_imported(tiny_hands.workspace, "theirs") == theirs
    alone = replace(theirs, folds=(FULL,), pictures={})
    write_imported(tiny_hands.workspace.imported_file("theirs"), alone)
    assert read_imported(tiny_hands.workspace, "theirs") == alone


@pytest.mark.parametrize("content", ["{}", '{"folds": [0]}', "[]", '{"folds": [0], "more": 1}'])
def test_what_describes_no_import_is_refused(tiny_hands, theirs, content):
    tiny_hands.workspace.imported_file("theirs").write_text(content)
    with pytest.raises(
        CompetitionError, match=r"does not describe an imported member.*imported\.json.*Import it again"
    ):
        read_imported(tiny_hands.workspace, "theirs")


def test_the_test_maps_are_those_that_came_with_it(tiny_hands, theirs):
    test = tiny_hands.manifest.of("test")
    folder = tiny_hands.workspace.imported_test_folder("theirs")
    assert imported_test_maps(tiny_hands.workspace, voter(), test) == folder
    assert imported_test_maps(tiny_hands.workspace, voter(), test[1:]) == folder


@pytest.mark.parametrize("changes", [{"sample": "late"}, {"pixels": "another picture of that name"}])
def test_a_later_picture_is_named(tiny_hands, theirs, changes):
    test = tiny_hands.manifest.of("test")
    entries = [test[0], replace(test[1], **changes)]
    named = changes.get("sample", "hand11")
    with pytest.raises(CompetitionError, match=rf"has not predicted 1 of these 2 test images \(first: {named}\)"):
        imported_test_maps(tiny_hands.workspace, voter(), entries)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"config_hash": "9876543210"}, r"was imported again since it was tuned.*Run \./run\.sh tune\."),
        ({"folds": (0,)}, "its folds can't vote alone.*Leave out --folds"),
    ],
)
def test_a_decision_on_something_else_is_refused(tiny_hands, theirs, changes, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        imported_test_maps(tiny_hands.workspace, voter(**changes), tiny_hands.manifest.of("test"))


def test_it_can_not_tell_a_second_stage_where_to_look(tiny_hands, theirs):
    identity = {
        "fold_hash": tiny_hands.folds.hash(),
        "config_hash": theirs.content_hash,
        "data_hash": data_hash(tiny_hands.train()),
        "classes": list(tiny_hands.track.classes),
    }
    for fold in (0, 1):
        folder = tiny_hands.workspace.fold_folder("theirs", fold)
        held_out = tuple(entry.sample for entry in tiny_hands.folds.held_out(tiny_hands.train(), fold))
        write_index(folder / "oof", MapFolder(tiny_hands.track.classes, held_out, {}))
        (folder / "finished.json").write_text(json.dumps({"identity": identity}))
    settings = CropSettings(run="theirs", classes=["disc"])
    with pytest.raises(CompetitionError, match="'theirs' was imported and has no weights to predict new images"):
        find_first_stage(tiny_hands.workspace, tiny_hands.folds, tiny_hands.train(), settings)


def test_others_learned_the_labels_as_they_are(tiny_hands, tiny_experiment, theirs):
    workspace, training = tiny_hands.workspace, tiny_hands.train()
    guest = Member(name="theirs", folds=(0, 1), config_hash="h", fold_hash="f")
    write_imported(workspace.imported_file("theirs"), theirs)
    assert learned_by(workspace, [guest], training) == training
    alarm = Member(name="alarm", folds=(0, 1), config_hash="h", fold_hash="f")
    workspace.fold_folder("alarm", 0).mkdir(parents=True)
    config = workspace.fold_folder("alarm", 0) / "config.yaml"
    config.write_text(tiny_experiment(multiview=True, data={"shuffle_labels": True}).to_yaml())
    with pytest.raises(CompetitionError, match="shuffled labels can't be weighted with others"):
        learned_by(workspace, [guest, alarm], training)
    config.write_text(tiny_experiment().to_yaml())
    assert learned_by(workspace, [guest, alarm], training) == training
