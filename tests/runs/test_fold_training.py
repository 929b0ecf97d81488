import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from competition.data.folds import FULL
from competition.data.manifest import Manifest
from competition.errors import CompetitionError
from competition.prediction.predictor import make_predictor, predict_map
from competition.prediction.probability_maps import read_index, read_map
from competition.runs.fold_training import fold_job, train_one
from competition.runs.out_of_fold_scores import out_of_fold_score
from competition.runs.run import Run, check_fold
from competition.training import loop
from competition.training.checkpoints import kept_epochs, load_checkpoint, load_network, load_trained

pytestmark = pytest.mark.slow


def run_of(prepared, experiment, name="tiny"):
    return Run(name, prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)


def weights_of(path):
    return load_trained(path).weights


def assert_equal_weights(first, second):
    assert list(first) == list(second)
    for name in first:
        assert torch.equal(first[name], second[name]), name


# A rate that does not depend on the number of epochs, and no average, whose reach does: then the weights after two of
# three epochs are those of a run of two.
STEADY = {"schedule": "step", "warmup_epochs": 0, "ema": False, "lr": 1e-2, "validate_every": 1}


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [(30, 10, [10, 20]), (7, 3, [3, 6]), (3, 1, [1, 2]), (3, 3, []), (3, 4, []), (3, None, [])],
)
def test_every_so_many_epochs_are_kept(tiny_experiment, epochs, every, expected):
    assert list(kept_epochs(tiny_experiment(train={"epochs": epochs, "keep_every": every}).train)) == expected


def test_kept_weights_are_those_of_a_run_that_ended_there(tiny_hands, tiny_experiment):
    long = run_of(tiny_hands, tiny_experiment(train=STEADY | {"epochs": 3, "keep_every": 2}))
    short = run_of(tiny_hands, tiny_experiment(train=STEADY | {"epochs": 2}), "short")
    for run in (long, short):
        train_one(run, 0, force=False)
    files = sorted(path.name for path in long.folder(0).glob("*.pt"))
    assert files == ["epoch002.pt", "last.pt", "weights.pt"]
    assert_equal_weights(
        weights_of(long.folder(0) / "epoch002.pt"), load_checkpoint(short.folder(0) / "last.pt")["model"]
    )
    kept = load_trained(long.folder(0) / "epoch002.pt")
    assert (kept.epoch, kept.identity, kept.experiment) == (
        2,
        load_trained(long.folder(0) / "weights.pt").identity,
        long.experiment,
    )
    assert kept.score == load_checkpoint(long.folder(0) / "last.pt")["history"][1]["score"]


def test_kept_weights_have_out_of_fold_maps_of_their_own(tiny_hands, tiny_experiment):
    experiment = tiny_experiment(
        train=STEADY | {"epochs": 3, "keep_every": 1}, model={"prior": 0.3}, predict={"views": ["hflip"]}
    )
    run = run_of(tiny_hands, experiment)
    train_one(run, 1, force=False)
    different = 0
    for epoch in (1, 2):
        network = load_network(load_trained(run.folder(1) / f"epoch00{epoch}.pt"), run.track)
        predictor = make_predictor([network], experiment, run.track, run.workspace, None)
        index = read_index(run.folder(1) / f"oof@{epoch}", "")
        assert index.made_by["epoch"] == epoch
        assert index.samples == tuple(entry.sample for entry in run.held_out(1))
        for entry in run.held_out(1):
            stored = read_map(run.folder(1) / f"oof@{epoch}", entry.sample)
            assert np.array_equal(stored, predict_map(predictor, entry, ["hflip"]))
            different += not np.array_equal(stored, read_map(run.folder(1) / f"oof@{3 - epoch}", entry.sample))
    assert different


def test_training_over_a_run_leaves_no_weights_of_the_old_one(tiny_hands, tiny_experiment):
    old = run_of(tiny_hands, tiny_experiment(train={"epochs": 3, "keep_every": 1}))
    train_one(old, 0, force=False)
    new = run_of(tiny_hands, tiny_experiment(train={"epochs": 3, "keep_every": 2}))
    with pytest.raises(CompetitionError, match="trained with other settings"):
        check_fold(new, 0)
    train_one(new, 0, force=True)
    assert sorted(path.name for path in new.folder(0).glob("epoch*")) == ["epoch002.pt"]
    assert sorted(path.name for path in new.folder(0).glob("oof*")) == ["oof", "oof@2"]
    check_fold(new, 0)


def test_a_pupil_is_not_finished_any_more_when_the_run_it_starts_from_is_trained_again(tiny_hands, tiny_experiment):
    source = run_of(tiny_hands, tiny_experiment(train={"epochs": 1}), "source")
    pupil = run_of(
        tiny_hands, tiny_experiment(train={"epochs": 1}, model={"init": "source/{fold}/weights.pt"}), "pupil"
    )
    with pytest.raises(CompetitionError, match=r"checkpoint not found: .*source/fold0/weights\.pt"):
        check_fold(pupil, 0)
    for fold in (0, 1):
        train_one(source, fold, force=False)
    train_one(pupil, 0, force=False)
    check_fold(pupil, 0)
    train_one(source, 0, force=True)  # the same weights, bit for bit
    check_fold(pupil, 0)
    train_one(run_of(tiny_hands, tiny_experiment(train={"epochs": 1, "lr": 0.1}), "source"), 1, force=True)
    check_fold(pupil, 0)  # fold 0 started from fold 0
    train_one(run_of(tiny_hands, tiny_experiment(train={"epochs": 1, "lr": 0.1}), "source"), 0, force=True)
    with pytest.raises(CompetitionError, match=r"the weights of model\.init, .* have changed since .*--force"):
        check_fold(pupil, 0)
    train_one(pupil, 0, force=True)
    check_fold(pupil, 0)
    # One that started from weights may teach one that did not.
    student = run_of(tiny_hands, tiny_experiment(train={"epochs": 1}, data={"pseudo": "pupil"}), "student")
    check_fold(student, 0)


def test_full_learns_from_every_sample_and_keeps_its_last_weights(tiny_hands, tiny_experiment, capsys):
    run = run_of(tiny_hands, tiny_experiment(train={"epochs": 3, "validate_every": 1}))
    job = fold_job(run, FULL, run.folder(FULL))
    assert job.training == tiny_hands.train()
    assert job.held_out == []
    train_one(run, FULL, force=False)
    trained, last = load_trained(run.folder(FULL) / "weights.pt"), load_checkpoint(run.folder(FULL) / "last.pt")
    assert (trained.epoch, trained.identity.fold) == (3, FULL)
    assert math.isnan(trained.score)
    assert_equal_weights(trained.weights, last["ema"])
    assert not list(run.folder(FULL).glob("oof*"))
    assert math.isnan(out_of_fold_score(run, FULL))
    assert json.loads((run.folder(FULL) / "finished.json").read_text())["identity"]["fold"] == FULL
    assert "10 samples to learn from, 0 held out" in capsys.readouterr().out
    train_one(run, FULL, force=False)
    assert "fold full: finished before" in capsys.readouterr().out


def test_full_draws_other_numbers_than_any_fold(tiny_hands, tiny_experiment, tmp_path):
    # The same samples in the same order: only the draws can make a difference.
    run = run_of(tiny_hands, tiny_experiment(train={"epochs": 1, "ema": False}, data={"augmentation": "light"}))
    weights = []
    for fold in (FULL, 0, 1):
        job = fold_job(run, fold, tmp_path / str(fold))
        weights.append(loop.train_fold(replace(job, training=tiny_hands.train())).model.state_dict())
    name = "encoder.model.conv1.0.weight"
    assert not torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])


class CutError(Exception):
    pass


@pytest.mark.parametrize("fold", [0, pytest.param(FULL, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(("function", "call"), [("_optimizer_step", 4), ("save_trained", 2), ("write_csv", 2)])
def test_a_cut_run_ends_with_the_same_kept_weights(tiny_hands, tiny_experiment, monkeypatch, fold, function, call):
    train = {"epochs": 3, "keep_every": 1, "validate_every": 2, "batch_size": 4}
    experiment = tiny_experiment(
        train=train, model={"dropout": 0.3}, data={"augmentation": "cutout", "copy_paste": 0.5, "preprocess": ["gamma"]}
    )
    whole, cut = run_of(tiny_hands, experiment, "whole"), run_of(tiny_hands, experiment, "cut")
    train_one(whole, fold, force=False)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    original, calls = getattr(loop, function), []

    def cutting(*args):
        calls.append(args)
        if len(calls) == call:
            raise CutError
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, function, cutting)
        if fold == 0 and function == "_optimizer_step":
            calls.append(None)  # fold 0 has one step an epoch, full has three
        with pytest.raises(CutError):
            train_one(cut, fold, force=False)
    torch.manual_seed(99)
    train_one(cut, fold, force=False)
    for file in ("epoch001.pt", "epoch002.pt", "weights.pt"):
        assert_equal_weights(weights_of(cut.folder(fold) / file), weights_of(whole.folder(fold) / file))
    for part in ("model", "ema"):
        first, second = (load_checkpoint(run.folder(fold) / "last.pt")[part] for run in (cut, whole))
        assert_equal_weights(first, second)


def test_patients_keep_weights_too(tiny_patients, tiny_experiment):
    experiment = tiny_experiment(multiview=True, model={"encoder": "test_resnet"}, train={"epochs": 2, "keep_every": 1})
    run = run_of(tiny_patients, experiment)
    for fold in (0, FULL):
        train_one(run, fold, force=False)
    assert (run.folder(0) / "oof@1" / "scores.parquet").exists()
    assert not list(run.folder(FULL).glob("oof*"))
    assert load_trained(run.folder(0) / "epoch001.pt").epoch == 1


def test_a_data_set_without_test_images_trains_all_the_same(tiny_hands, tiny_experiment):
    manifest = Manifest(tiny_hands.manifest.data_root, tuple(tiny_hands.train()))
    run = replace(run_of(tiny_hands, tiny_experiment(train={"epochs": 1})), manifest=manifest)
    train_one(run, 0, force=False)
    assert 0 <= out_of_fold_score(run, 0) <= 1
