import importlib.util
import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from competition.data.folds import write_folds
from competition.errors import CompetitionError
from competition.files import file_lock
from competition.prediction.histograms import load_histograms
from competition.prediction.predictor import make_predictor, predict_map, predict_scores
from competition.prediction.probability_maps import read_index, read_map, read_scores
from competition.runs import fold_training as one_fold
from competition.settings import load_experiment
from competition.training import tracking
from competition.training.checkpoints import load_checkpoint, load_network, load_trained
from pipelines import train

pytestmark = pytest.mark.slow


@pytest.fixture
def command(stage_on, tmp_path):
    """Runs the stage on a prepared data set."""

    def run(prepared, experiment, **options):
        path = tmp_path / "tiny.yaml"
        path.write_text(experiment.to_yaml())
        return stage_on(train, prepared, **{"fold": "1", "experiment": path} | options)

    return run


def test_a_trained_fold_has_maps_of_what_it_held_out_and_their_score(command, tiny_hands, tiny_experiment):
    views = ("identity", "hflip")
    # A network that is unsure everywhere shows which side of the threshold a pixel near it is counted on.
    experiment = tiny_experiment(predict={"views": views}, model={"prior": 0.5}, train={"lr": 1e-4})
    figures = command(tiny_hands, experiment)
    folder = tiny_hands.workspace.fold_folder("tiny", 1)
    held_out = tiny_hands.folds.held_out(tiny_hands.train(), 1)
    index = read_index(folder / "oof", "")
    assert index.samples == tuple(entry.sample for entry in held_out)
    assert index.classes == tiny_hands.track.classes
    assert index.made_by["config_hash"] == experiment.hash()
    trained = load_trained(folder / "weights.pt")
    predictor = make_predictor(
        [load_network(trained, tiny_hands.track)], experiment, tiny_hands.track, tiny_hands.workspace, None
    )
    histograms = load_histograms(folder / "oof" / "histograms.npz")
    scores, nearest = [], 0
    for entry in held_out:
        values = read_map(folder / "oof", entry.sample)
        assert np.array_equal(values, predict_map(predictor, entry, views))
        nearest += int((values == 127).sum()) * int((values == 128).sum())
        truth = np.load(tiny_hands.workspace.root / "raw" / f"{entry.sample.replace('hand', 'mask')}.npy")
        for index, (levels, mask) in enumerate(zip(values, truth, strict=True)):
            positive = levels >= 128
            assert histograms[entry.sample][index, 1, 128:].sum() == (positive & mask).sum()
            total = positive.sum() + mask.sum()
            scores.append(2 * (positive & mask).sum() / total if total else 1.0)
    assert nearest
    assert figures["run"] == "tiny"
    assert figures["scores"] == {"1": pytest.approx(np.mean(scores), rel=1e-12)}
    assert figures["folder"] == str(folder.parent)


def test_a_tracker_gets_the_settings_and_every_epoch_with_its_score(command, tiny_hands, tiny_experiment, monkeypatch):
    opened, logged = [], []

    @contextmanager
    def pretend(tracked):
        opened.append(tracked)
        yield lambda epoch, figures: logged.append((epoch, figures))

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(tracking.TRACKERS, "mlflow", pretend)
    experiment = tiny_experiment(train={"epochs": 4, "validate_every": 2})
    command(tiny_hands, experiment, tracker="mlflow")
    command(tiny_hands, experiment, name="plain")
    (tracked,) = opened
    assert (tracked.project, tracked.name) == ("tiny_hands", "tiny/fold1")
    assert tracked.folder == tiny_hands.workspace.root / "tracking"
    assert tracked.facts["identity"]["config_hash"] == experiment.hash()
    assert tracking.flat(tracked.facts)["settings.train.validate_every"] == 2
    assert [epoch for epoch, _ in logged] == [1, 2, 3, 4]
    assert ["score" in figures for _, figures in logged] == [False, True, False, True]
    folders = [tiny_hands.workspace.fold_folder(name, 1) for name in ("tiny", "plain")]
    tracked, plain = (load_trained(folder / "weights.pt") for folder in folders)
    assert logged[-1][1]["score"] == tracked.score
    assert all(torch.equal(tracked.weights[name], value) for name, value in plain.weights.items())
    assert tracked.identity == plain.identity


def test_patients_get_a_table_of_scores(command, tiny_patients, tiny_experiment):
    experiment = tiny_experiment(multiview=True, model={"encoder": "test_resnet"}, train={"epochs": 1})
    figures = command(tiny_patients, experiment, name="other")
    folder = tiny_patients.workspace.fold_folder("other", 1)
    held_out = tiny_patients.folds.held_out(tiny_patients.train(), 1)
    table = read_scores(folder / "oof", [entry.sample for entry in held_out], tiny_patients.track.classes)
    network = load_network(load_trained(folder / "weights.pt"), tiny_patients.track)
    predictor = make_predictor([network], experiment, tiny_patients.track, tiny_patients.workspace, None)
    for row, entry in zip(table, held_out, strict=True):
        assert np.array_equal(row, predict_scores(predictor, entry, ["identity"]))
    pairs = [
        (positive > negative) + 0.5 * (positive == negative)
        for positive, one in zip(table[:, 0], held_out, strict=True)
        for negative, other in zip(table[:, 0], held_out, strict=True)
        if one.targets[0] > other.targets[0]
    ]
    assert figures["scores"] == {"1": pytest.approx(np.mean(pairs))}


def test_a_finished_fold_is_left_alone_and_trained_again_with_force(command, tiny_hands, tiny_experiment, capsys):
    experiment = tiny_experiment(train={"epochs": 1})
    first = command(tiny_hands, experiment)
    folder = tiny_hands.workspace.fold_folder("tiny", 1)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert command(tiny_hands, experiment) == first
    assert "fold 1: finished before" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert command(tiny_hands, experiment, force=True)["scores"] == first["scores"]
    assert (folder / "weights.pt").stat().st_mtime_ns > times[folder / "weights.pt"]


def test_other_settings_need_another_name_or_force(command, tiny_hands, tiny_experiment):
    command(tiny_hands, tiny_experiment(train={"epochs": 1}))
    changed = tiny_experiment(train={"epochs": 1, "lr": 5e-4})
    with pytest.raises(
        CompetitionError, match=r"trained with other settings \(train\.lr 0\.001, now 0\.0005\).*--name NEW.*--force"
    ):
        command(tiny_hands, changed)
    # Also before a fold is trained that is new: it could not vote with the others.
    with pytest.raises(CompetitionError, match=r"fold 1 of run 'tiny' was trained with other settings \(train\.lr"):
        command(tiny_hands, changed, fold="0")
    with pytest.raises(CompetitionError, match="fold 1 of run 'tiny' was trained with other settings"):
        command(tiny_hands, changed, fold="0", force=True)
    begun = tiny_hands.workspace.fold_folder("tiny", 0) / "config.yaml"  # cut before it had learned anything
    begun.parent.mkdir(exist_ok=True)
    begun.write_text(tiny_experiment(train={"epochs": 9}).to_yaml())
    command(tiny_hands, changed, force=True)
    stored = load_checkpoint(tiny_hands.workspace.fold_folder("tiny", 1) / "last.pt")
    assert stored["config"]["train"]["lr"] == 5e-4
    assert (
        json.loads((tiny_hands.workspace.fold_folder("tiny", 1) / "finished.json").read_text())["identity"][
            "config_hash"
        ]
        == changed.hash()
    )


def test_other_folds_need_another_name_or_force(command, tiny_hands, tiny_experiment):
    experiment = tiny_experiment(train={"epochs": 1})
    command(tiny_hands, experiment)
    moved = tiny_hands.folds.fold_of | {"person0": 1}
    write_folds(tiny_hands.workspace.fold_file(), moved, "moved by hand")
    with pytest.raises(CompetitionError, match=r"trained with other folds .*weights\.pt.*Restore that fold file"):
        command(tiny_hands, experiment)


def test_a_fold_cut_while_predicting_goes_on_without_training_again(command, tiny_hands, tiny_experiment, monkeypatch):
    experiment = tiny_experiment(train={"epochs": 1})

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(one_fold, "_predict_held_out", cut)
        with pytest.raises(KeyboardInterrupt):
            command(tiny_hands, experiment)
    folder = tiny_hands.workspace.fold_folder("tiny", 1)
    trained = (folder / "last.pt").read_bytes()
    assert not (folder / "finished.json").exists()
    command(tiny_hands, experiment)
    assert (folder / "last.pt").read_bytes() == trained
    assert (folder / "finished.json").exists()


def test_a_fold_that_another_process_trains_is_refused(command, tiny_hands, tiny_experiment):
    folder = tiny_hands.workspace.fold_folder("tiny", 1)
    with (
        file_lock(folder / ".lock", ""),
        pytest.raises(CompetitionError, match="fold 1 is being trained by another process"),
    ):
        command(tiny_hands, tiny_experiment(train={"epochs": 1}))
    assert not (folder / "last.pt").exists()


@pytest.mark.parametrize("name", ["search", "ensembles", "a@10", "a:0", "a,b", "a/b"])
def test_a_name_that_members_could_not_be_called_by_is_refused(command, tiny_hands, tiny_experiment, name):
    with pytest.raises(CompetitionError, match=rf"a run can't be called '{name}' .*Give another --name"):
        command(tiny_hands, tiny_experiment(), name=name)


def test_full_is_trained_beside_the_folds_and_has_no_score(command, tiny_hands, tiny_experiment, capsys):
    figures = command(tiny_hands, tiny_experiment(train={"epochs": 1}), fold="0,full")
    assert figures["scores"]["full"] is None
    assert 0 <= figures["scores"]["0"] <= 1
    assert "it votes only with folds of its run: use --members tiny:0,full" in capsys.readouterr().out
    command(tiny_hands, tiny_experiment(train={"epochs": 1}), fold="full", name="alone")
    said = capsys.readouterr().out
    assert "train a fold too (--fold 0), then --members alone:0,full" in said
    command(tiny_hands, tiny_experiment(train={"epochs": 1}), fold="1", name="alone")
    capsys.readouterr()
    command(tiny_hands, tiny_experiment(train={"epochs": 1}), fold="full", name="alone")
    assert "use --members alone:1,full" in capsys.readouterr().out
    assert (tiny_hands.workspace.run_folder("tiny") / "full" / "finished.json").exists()


def test_a_teacher_is_named_by_an_option_which_is_a_setting_too(command, tiny_hands, tiny_experiment):
    command(tiny_hands, tiny_experiment(train={"epochs": 1}))
    with pytest.raises(CompetitionError, match="run 'tiny' can't be its own teacher"):
        command(tiny_hands, tiny_experiment(data={"pseudo": "tiny"}))
    options = {"name": "student", "set": ["train.lr=0.1"], "pseudo": "tiny"}
    with pytest.raises(
        CompetitionError,
        match=r"fold 0 of the teacher 'tiny' is not trained yet.*Run \./run\.sh train --experiment \S+ --name tiny",
    ):
        command(tiny_hands, tiny_experiment(), fold="0", **options)
    figures = command(tiny_hands, tiny_experiment(), **options)
    assert list(figures["scores"]) == ["1"]
    learned = load_experiment(tiny_hands.workspace.fold_folder("student", 1) / "config.yaml")
    assert (learned.train.lr, learned.data.pseudo) == (0.1, "tiny")


def test_mistakes_are_found_before_anything_is_trained(command, tiny_hands, tiny_experiment):
    with pytest.raises(CompetitionError, match="unknown loss 'bse'"):
        command(tiny_hands, tiny_experiment(train={"loss": "bse"}))
    unmirrored = replace(tiny_hands, track=replace(tiny_hands.track, mirror=None))
    with pytest.raises(CompetitionError, match="hflip mirrors the images"):
        command(unmirrored, tiny_experiment(predict={"views": ["hflip"]}))
    upright = replace(tiny_hands, track=replace(tiny_hands.track, upright=True))
    with pytest.raises(CompetitionError, match=r"data\.augmentation 'turning' turns images"):
        command(upright, tiny_experiment(data={"augmentation": "turning"}))
    tiny_hands.workspace.fold_file().unlink()
    with pytest.raises(CompetitionError, match=r"no fold file: .*tiny_hands\.csv\. Run \./run\.sh prepare"):
        command(tiny_hands, tiny_experiment())
    assert not tiny_hands.workspace.run_folder("tiny").exists()


def test_masks_have_no_labels_to_shuffle(command, tiny_hands, tiny_experiment):
    with pytest.raises(CompetitionError, match=r"shuffle_labels shuffles class labels, and track .* has masks"):
        command(tiny_hands, tiny_experiment(data={"shuffle_labels": True}))


def test_a_fold_of_one_kind_of_patients_has_no_score(command, tiny_patients, tiny_experiment):
    healthy = {"0": 1, "1": 1, "4": 1, "5": 1, "2": 0, "3": 0, "6": 0, "7": 0}
    write_folds(tiny_patients.workspace.fold_file(), healthy, "made for a test")
    experiment = tiny_experiment(multiview=True, model={"encoder": "test_resnet"}, train={"epochs": 1})
    assert command(tiny_patients, experiment)["scores"] == {"1": None}
    assert torch.isnan(torch.tensor(load_trained(tiny_patients.workspace.fold_folder("tiny", 1) / "weights.pt").score))
