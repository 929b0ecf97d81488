import shutil
from dataclasses import replace

import numpy as np
import pytest

from competition.data.folds import FULL
from competition.errors import CompetitionError
from competition.prediction import store
from competition.prediction.predictor import make_predictor, predict_map
from competition.prediction.probability_maps import read_index, read_map, read_scores
from competition.runs.fold_training import train_one
from competition.runs.members import Member
from competition.runs.run import Run
from competition.runs.test_set_predictions import predict_test_set
from competition.training.checkpoints import load_network, load_trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(shared_hands, tiny_experiment):
    """A run of fold 0 and full, with the weights of epochs 1 and 2 of 3."""
    experiment = tiny_experiment(train={"epochs": 3, "keep_every": 1, "lr": 1e-2}, model={"prior": 0.3})
    run = Run("maps", shared_hands.track, shared_hands.workspace, experiment, shared_hands.manifest, shared_hands.folds)
    for fold in (0, FULL):
        train_one(run, fold, force=False)
    return run


def member_of(run, name="maps", folds=(0,)):
    return Member(name=name, folds=folds, config_hash=run.experiment.hash(), fold_hash=run.folds.hash())


def maps_of(run, member):
    entries = run.manifest.of("test")
    folder = predict_test_set(run.track, run.workspace, run.workspace, member, entries)
    return folder, {entry.sample: read_map(folder, entry.sample) for entry in entries}


def expected(run, entry, *files):
    """What the mean of these checkpoints says."""
    networks = [load_network(load_trained(run.workspace.run_folder("maps") / file), run.track) for file in files]
    predictor = make_predictor(networks, run.experiment, run.track, run.workspace, None)
    return predict_map(predictor, entry, run.experiment.predict.views)


@pytest.mark.parametrize(
    ("name", "folds", "files"),
    [
        ("maps", (0,), ["fold0/weights.pt"]),
        ("maps@1", (0,), ["fold0/epoch001.pt"]),
        ("maps@2", (0,), ["fold0/epoch002.pt"]),
        ("maps", (0, FULL), ["fold0/weights.pt", "full/weights.pt"]),
        ("maps@1", (FULL,), ["full/epoch001.pt"]),
    ],
)
def test_a_member_says_on_test_samples_what_its_weights_say(trained, name, folds, files):
    folder, maps = maps_of(trained, member_of(trained, name, folds))
    assert folder.parent == trained.workspace.run_folder("maps") / "test"
    assert read_index(folder, "").made_by["folds"] == list(folds)
    assert len(maps) == 2
    for entry in trained.manifest.of("test"):
        np.testing.assert_array_equal(maps[entry.sample], expected(trained, entry, *files))


def test_each_member_has_maps_of_its_own_and_keeps_them(trained, capsys):
    members = [member_of(trained, "maps@1"), member_of(trained, "maps@2"), member_of(trained, "maps", (0, FULL))]
    folders = [maps_of(trained, member)[0] for member in members]
    assert len(set(folders)) == 3
    first, second = (maps_of(trained, member)[1] for member in members[:2])
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    capsys.readouterr()
    assert [maps_of(trained, member)[0] for member in members] == folders
    assert capsys.readouterr().out.count("using cached test predictions") == 3


def counted_calls(monkeypatch, name):
    """The samples that a function of the store is called with from now on."""
    asked, original = [], getattr(store, name)

    def counted(predictor, entry, *others):
        asked.append(entry)
        return original(predictor, entry, *others)

    monkeypatch.setattr(store, name, counted)
    return asked


def test_a_growing_test_set_costs_its_new_pictures_alone(trained, monkeypatch, capsys):
    asked, original = [], store.predict_map
    monkeypatch.setattr(
        store, "predict_map", lambda of, entry, *others: asked.append(entry) or original(of, entry, *others)
    )
    member, (first, second) = member_of(trained, "maps@1", (0, FULL)), trained.manifest.of("test")

    def predict(*entries):
        asked.clear()
        folder = predict_test_set(trained.track, trained.workspace, trained.workspace, member, entries)
        return {entry.sample: read_map(folder, entry.sample) for entry in entries}

    alone = predict(first)
    assert asked == [first]
    both = predict(first, second)
    assert asked == [second]
    assert "1 of 2 test samples were predicted before" in capsys.readouterr().out
    np.testing.assert_array_equal(both[first.sample], alone[first.sample])
    np.testing.assert_array_equal(
        both[second.sample], expected(trained, second, "fold0/epoch001.pt", "full/epoch001.pt")
    )
    exchanged = replace(first, pixels="other")
    predict(exchanged, second)
    assert asked == [exchanged]


def test_a_growing_table_costs_its_new_patients_alone(shared_patients, tiny_experiment, monkeypatch):
    prepared, experiment = shared_patients, tiny_experiment(multiview=True)
    run = Run("table", prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)
    train_one(run, 0, force=False)
    asked, original = [], store.predict_scores
    monkeypatch.setattr(
        store, "predict_scores", lambda of, each, *others: asked.append(each) or original(of, each, *others)
    )
    entries, member = prepared.train()[:2], member_of(run, "table")
    tables = []
    for part in (entries[:1], entries):
        asked.clear()
        folder = predict_test_set(run.track, run.workspace, run.workspace, member, part)
        tables.append(read_scores(folder, [entry.sample for entry in part], run.track.classes))
    assert asked == entries[1:]
    np.testing.assert_array_equal(tables[0][0], tables[1][0])


@pytest.mark.parametrize("change", [{"config_hash": "other"}, {"fold_hash": "other"}])
def test_weights_that_were_not_tuned_are_refused(trained, change):
    with pytest.raises(CompetitionError, match=r"not the one that was tuned: .*epoch001\.pt\. Run \./run\.sh tune\."):
        maps_of(trained, member_of(trained, "maps@1").model_copy(update=change))


def test_weights_of_another_fold_in_its_place_are_refused(trained):
    path = trained.workspace.run_folder("maps") / "fold0" / "weights.pt"
    kept = path.read_bytes()
    shutil.copyfile(trained.workspace.run_folder("maps") / "full" / "weights.pt", path)
    try:
        with pytest.raises(CompetitionError, match=r"not the one that was tuned: .*fold0"):
            maps_of(trained, member_of(trained))
    finally:
        path.write_bytes(kept)
