import csv
import math
import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from competition.data.draw_sampler import DrawSampler
from competition.errors import CompetitionError
from competition.machine import peak_memory_mb
from competition.models.factory import build_model
from competition.prediction.predictor import make_predictor
from competition.training import loop
from competition.training.checkpoints import load_checkpoint, load_network, load_trained
from competition.training.loop import held_out_score
from competition.training.state import FoldState, open_start, start_or_resume
from competition.training.steps import learning_rate, make_optimizer

from timm.utils import ModelEmaV3  # isort: skip

pytestmark = pytest.mark.slow


def timm_decay(step, highest):
    """ModelEmaV3's warm-up as its documentation has it: 1 - (1 + updates)^(-2/3), at most ``highest``."""
    return 0.0 if step <= 1 else min(1 - step ** (-2 / 3), highest)


def test_the_moving_average_equals_one_made_by_hand(tiny_experiment):
    settings = tiny_experiment(train={"optimizer": "sgd", "momentum": 0, "weight_decay": 0, "lr": 0.1}).train
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = ModelEmaV3(model, decay=0.6, use_warmup=True)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    state = FoldState(model, ema, make_optimizer(model, settings), scaler, "fp32", chunk=1)
    weight = average = 1.0
    for step in range(1, 9):
        (model(torch.tensor([[1.0]])).squeeze() * step).backward()  # the gradient is the number of the step
        loop._optimizer_step(state, clip=None)
        weight -= 0.1 * step
        decay = timm_decay(step, 0.6)
        average = decay * average + (1 - decay) * weight
        assert model.weight.item() == pytest.approx(weight, rel=1e-5, abs=1e-6)
        assert state.predicting().weight.item() == pytest.approx(average, rel=1e-5, abs=1e-6)
    assert state.step == 8


def test_a_step_that_the_scaler_leaves_out_counts_for_nothing(tiny_experiment):
    settings = tiny_experiment(train={"optimizer": "sgd", "momentum": 0, "weight_decay": 0, "lr": 0.5}).train
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    state = FoldState(model, ModelEmaV3(model, decay=0.0), make_optimizer(model, settings), scaler, "fp16", chunk=1)
    for gradient, weight, step in ((math.inf, 1.0, 0), (1.0, 0.5, 1)):
        scaler.scale(model(torch.tensor([[1.0]])).squeeze() * gradient).backward()
        loop._optimizer_step(state, clip=None)
        assert (model.weight.item(), state.predicting().weight.item(), state.step) == (weight, weight, step)


@pytest.mark.parametrize(
    ("wanted", "device", "fixed_shapes", "expected"),
    [
        ("auto", "cpu", True, (True, False)),
        ("auto", "cuda", True, (False, True)),
        ("auto", "cuda", False, (False, False)),
        (True, "cuda", True, (True, False)),
        (False, "cpu", True, (False, True)),
    ],
)
def test_equal_weights_must_be_asked_for_on_a_gpu(wanted, device, fixed_shapes, expected):
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        loop.make_deterministic(wanted, torch.device(device), fixed_shapes)
        assert (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark) == expected
        assert not torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=True)
        torch.backends.cudnn.benchmark = before[1]


def test_gradients_are_clipped_to_the_norm_of_all(tiny_experiment):
    settings = tiny_experiment(train={"optimizer": "sgd", "momentum": 0, "weight_decay": 0, "lr": 1.0}).train
    model = nn.Linear(2, 1)
    before = torch.cat([model.weight.detach().flatten(), model.bias.detach()])
    state = FoldState(
        model, None, make_optimizer(model, settings), torch.amp.GradScaler("cpu", enabled=False), "fp32", 1
    )
    model(torch.tensor([[2.0, 2.0]])).squeeze().backward()  # gradients 2, 2 and 1: norm 3
    loop._optimizer_step(state, clip=1.5)
    after = torch.cat([model.weight.detach().flatten(), model.bias.detach()])
    assert (before - after).tolist() == pytest.approx([1.0, 1.0, 0.5], rel=1e-4)
    assert model.weight.grad is None


def test_a_run_leaves_history_curves_and_its_last_weights(shared_hands, tiny_experiment, tmp_path):
    experiment = tiny_experiment(train={"epochs": 5, "validate_every": 2, "ema": False, "lr": 1e-2})
    job = shared_hands.job(experiment, tmp_path)
    state = loop.train_fold(job)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["score"] != "" for row in rows] == [False, True, False, True, True]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    memory = [float(row["memory_mb"]) for row in rows]
    assert 50 < memory[0] <= memory[-1] <= peak_memory_mb()
    # Two batches an epoch; the row shows the rate of the last.
    rates = [learning_rate(experiment.train, step, 2) for step in (1, 3, 5, 7, 9)]
    assert [float(row["lr"]) for row in rows] == pytest.approx(rates)
    trained = load_trained(tmp_path / "weights.pt")
    assert (trained.epoch, trained.score) == (5, state.score) == (5, float(rows[-1]["score"]))
    assert all(torch.equal(trained.weights[name], value) for name, value in state.model.state_dict().items())
    assert (trained.identity, trained.experiment, trained.precision) == (job.identity, experiment, "fp32")
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize("scores", [[0.2, 0.9, 0.3], [math.nan, 0.1, 0.0], [math.nan, math.nan, math.nan]])
def test_the_last_epoch_is_kept_whatever_the_held_out_samples_say(
    shared_hands, tiny_experiment, tmp_path, monkeypatch, scores
):
    answers = iter(scores)
    monkeypatch.setattr(loop, "held_out_score", lambda *_: next(answers))
    experiment = tiny_experiment(train={"epochs": 3, "validate_every": 1})
    loop.train_fold(shared_hands.job(experiment, tmp_path))
    trained = load_trained(tmp_path / "weights.pt")
    assert (trained.epoch, trained.score) == (3, pytest.approx(scores[-1], nan_ok=True))


@pytest.mark.parametrize("ema", [True, False])
def test_the_weights_that_are_scored_are_those_that_are_kept(shared_hands, tiny_experiment, tmp_path, ema):
    experiment = tiny_experiment(train={"epochs": 1, "ema": ema, "lr": 0.1})
    job = shared_hands.job(experiment, tmp_path)
    loop.train_fold(job)
    last, trained = load_checkpoint(tmp_path / "last.pt"), load_trained(tmp_path / "weights.pt")
    expected = last["ema" if ema else "model"]
    assert all(torch.equal(trained.weights[name], value) for name, value in expected.items())
    network = load_network(trained, shared_hands.track)
    predictor = make_predictor([network], experiment, shared_hands.track, shared_hands.workspace, None)
    assert held_out_score(predictor, shared_hands.workspace, job.held_out) == pytest.approx(trained.score, abs=1e-3)


def test_the_same_settings_give_the_same_weights_and_another_fold_or_seed_others(
    shared_hands, tiny_experiment, tmp_path
):
    def conv(name, fold, **train):
        (tmp_path / name).mkdir()
        loop.train_fold(shared_hands.job(tiny_experiment(train={"epochs": 1} | train), tmp_path / name, fold))
        return load_checkpoint(tmp_path / name / "last.pt")["model"]["encoder.model.conv1.0.weight"]

    first = conv("a", 0)
    assert torch.equal(first, conv("b", 0))
    assert not torch.equal(first, conv("c", 0, seed=1))
    assert not torch.equal(first, conv("d", 1))


def test_every_epoch_draws_anew(shared_hands, tiny_experiment, tmp_path, monkeypatch):
    shown, original = [], loop.batch_loss

    def recording(model, batch, *others):
        shown.extend((name, image.numpy().tobytes()) for name, image in zip(batch.samples, batch.images, strict=True))
        return original(model, batch, *others)

    monkeypatch.setattr(loop, "batch_loss", recording)
    job = shared_hands.job(tiny_experiment(data={"augmentation": "light"}), tmp_path, fold=1)
    loop.train_fold(job)
    first, second = shown[:6], shown[6:]
    everyone = sorted(entry.sample for entry in job.training)
    assert [sorted(name for name, _ in epoch) for epoch in (first, second)] == [everyone, everyone]
    assert [name for name, _ in first] != [name for name, _ in second]
    assert sum(dict(first)[name] != dict(second)[name] for name in everyone) >= 5


def test_a_loss_that_is_no_number_names_the_samples(shared_hands, tiny_experiment, tmp_path):
    plain = tiny_experiment()
    weights = build_model(plain, shared_hands.track).state_dict()
    weights["segmentation_head.0.bias"][1] = math.nan
    torch.save(weights, tmp_path / "nan.pt")
    experiment = tiny_experiment(model={"init": tmp_path / "nan.pt"}, train={"batch_size": 3})
    job = shared_hands.job(experiment, tmp_path / "run", fold=1)
    job.folder.mkdir()
    sampler = DrawSampler([(64, 64)] * len(job.training), 3, 1, 1000)
    names = ", ".join(job.training[index].sample for index, _ in next(iter(sampler)))
    with pytest.raises(CompetitionError, match=rf"loss became nan in epoch 1, batch 1 \({names}\).*train\.lr"):
        loop.train_fold(job)
    assert not (job.folder / "weights.pt").exists()


def test_a_warm_start_begins_with_the_given_weights_and_lists_what_does_not_fit(
    shared_hands, tiny_experiment, tmp_path, capsys
):
    other = build_model(tiny_experiment(train={"seed": 7}), replace(shared_hands.track, classes=("a", "b")))
    torch.save(other.state_dict(), tmp_path / "other.pt")
    experiment = tiny_experiment(model={"init": tmp_path / "other.pt"})
    state = fresh_state(shared_hands, experiment, tmp_path)
    stored, own = other.state_dict(), state.model.state_dict()
    same = [name for name in own if own[name].shape == stored[name].shape and torch.equal(own[name], stored[name])]
    assert set(own) - set(same) == {"segmentation_head.0.weight", "segmentation_head.0.bias"}
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("warm start"))
    for part in ("encoder", "decoder"):
        count = sum(name.startswith(f"{part}.") for name in own)
        assert f"{count} of {count} tensors of {part}" in line
    assert line.endswith("loaded, 0 of them reshaped; not touched: segmentation_head")
    assert "segmentation_head.0.bias is (2,) in the checkpoint, (3,) here, and keeps its random weights" in said


def test_a_warm_start_of_which_nothing_fits_names_the_file(shared_hands, tiny_experiment, tmp_path):
    torch.save({"something": torch.zeros(3)}, tmp_path / "other.pt")
    experiment = tiny_experiment(model={"init": tmp_path / "other.pt"})
    with pytest.raises(CompetitionError, match=r"no layer of the checkpoint fits this model: .*other\.pt"):
        fresh_state(shared_hands, experiment, tmp_path)


def test_every_fold_starts_from_the_checkpoint_of_its_own_fold(tiny_hands, tiny_experiment, tmp_path):
    source = tiny_experiment(train={"epochs": 1, "ema": False, "seed": 7})
    folders = {fold: tiny_hands.workspace.fold_folder("first", fold) for fold in (0, 1)}
    for fold, folder in folders.items():
        folder.mkdir(parents=True)
        loop.train_fold(tiny_hands.job(source, folder, fold=fold))
    learned = {fold: load_trained(folder / "weights.pt").weights for fold, folder in folders.items()}
    name = "segmentation_head.0.weight"
    assert not torch.equal(learned[0][name], learned[1][name])
    experiment = tiny_experiment(model={"init": "first/{fold}/weights.pt"})
    for fold in (0, 1):
        (tmp_path / f"next{fold}").mkdir()
        state = fresh_state(tiny_hands, experiment, tmp_path / f"next{fold}", fold)
        assert torch.equal(state.model.state_dict()[name], learned[fold][name])
    leaking = tiny_experiment(model={"init": folders[1] / "weights.pt"})
    with pytest.raises(CompetitionError, match=r"weights of fold 1 .* have learned from what fold 0 .* holds out"):
        fresh_state(tiny_hands, leaking, tmp_path / "leak")


@pytest.mark.parametrize("architecture", ["contrastive", "reconstructed"])
def test_a_network_with_a_loss_of_its_own_trains_and_starts_a_classifier(
    tiny_patients, tiny_experiment, tmp_path, capsys, architecture
):
    settings = {"architecture": architecture, "encoder": "test_resnet"}
    train = {"loss": "bce_first_and_own", "clip": None, "ema": False, "epochs": 1, "batch_size": 4}
    experiment = tiny_experiment(multiview=True, model=settings, train=train)
    folder = tiny_patients.workspace.fold_folder("first", 0)
    folder.mkdir(parents=True)
    loop.train_fold(tiny_patients.job(experiment, folder))
    learned = load_trained(folder / "weights.pt")
    assert 0 <= learned.score <= 1
    classifier = tiny_experiment(multiview=True, model={"encoder": "test_resnet", "init": "first/{fold}/weights.pt"})
    capsys.readouterr()
    state = fresh_state(tiny_patients, classifier, tmp_path)
    own = state.model.state_dict()
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("warm start"))
    counts = [(int(got), int(count)) for got, count in re.findall(r"(\d+) of (\d+) tensors of", line)]
    assert all(got == count for got, count in counts)
    assert sum(count for _, count in counts) == len(own)
    assert all(torch.equal(value, learned.weights[name]) for name, value in own.items())


def fresh_state(prepared, experiment, folder, fold=0):
    job = prepared.job(experiment, folder, fold=fold)
    dataset = loop.TrainingSet(job.training, job.workspace, job.track, experiment)
    return start_or_resume(job, open_start(job), dataset, DrawSampler(dataset.canvases, 2, 1, 0), torch.device("cpu"))


@pytest.mark.parametrize(
    ("train", "samples", "repair"),
    [({"batch_size": 1}, 4, "train.batch_size=2"), ({"batch_size": 2}, 1, "train.repeats=2")],
)
def test_a_network_that_normalises_single_pixels_is_not_asked_to_learn_from_one_sample(
    shared_hands, tiny_experiment, tmp_path, train, samples, repair
):
    model = {"architecture": "DeepLabV3Plus", "decoder_channels": None}
    experiment = tiny_experiment(model=model, data={"size": 64}, train=train | {"epochs": 1})
    job = shared_hands.job(experiment, tmp_path)
    job = replace(job, training=job.training[:samples])
    with pytest.raises(CompetitionError, match=rf"DeepLabV3Plus can't learn from one sample at a time.*{repair}"):
        loop.train_fold(job)
    section, key = repair.split("=")[0].split(".")
    assert section == "train"
    mended = tiny_experiment(model=model, data={"size": 64}, train=train | {"epochs": 1, key: 2})
    loop.train_fold(replace(job, experiment=mended))
    assert (tmp_path / "weights.pt").exists()


@pytest.mark.parametrize(("epochs", "decay"), [(1, 0.5), (400, 1 - 20 / 800)])
def test_the_average_reaches_over_a_twentieth_of_the_run(shared_hands, tiny_experiment, tmp_path, epochs, decay):
    # Fold 0 learns from four samples, two batches an epoch.
    state = fresh_state(shared_hands, tiny_experiment(train={"epochs": epochs}), tmp_path)
    assert state.ema.decay == pytest.approx(decay)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fold_hash": "0123456789"}, "trained with other folds .*0123456789.*--name NEW"),
        ({"config_hash": "0123456789"}, "trained with other settings .*0123456789.*--name NEW"),
        ({"fold": 1}, "holds out fold 0, not fold 1"),
        ({"dataset": "phantom_tiny"}, "trained on tiny_hands, not phantom_tiny"),
    ],
)
def test_a_run_of_something_else_is_not_gone_on_with(shared_hands, tiny_experiment, tmp_path, change, sentence):
    job = shared_hands.job(tiny_experiment(train={"epochs": 1}), tmp_path)
    loop.train_fold(job)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(CompetitionError, match=rf"{sentence}|{sentence}.*last\.pt"):
        loop.train_fold(replace(job, identity=replace(job.identity, **change)))
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_damaged_checkpoint_is_named(shared_hands, tiny_experiment, tmp_path):
    job = shared_hands.job(tiny_experiment(train={"epochs": 1}), tmp_path)
    loop.train_fold(job)
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CompetitionError, match=r"file is damaged .*last\.pt.*--force"):
        loop.train_fold(job)


def test_a_network_learns_the_task(shared_hands, tiny_experiment, tmp_path):
    experiment = tiny_experiment(
        train={"epochs": 6, "repeats": 4, "batch_size": 4, "lr": 1e-2, "validate_every": 6}, model={"prior": 0.1}
    )
    state = loop.train_fold(shared_hands.job(experiment, tmp_path, fold=1))
    assert np.isfinite(state.score)
    assert state.score > 0.6


def test_to_group_normalisation_the_split_of_the_effective_batch_does_not_matter(
    shared_hands, tiny_experiment, tmp_path, monkeypatch
):
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU(), nn.Conv2d(4, 3, 1)]
    monkeypatch.setattr("competition.training.state.build_model", lambda *_, **__: deepcopy(nn.Sequential(*layers)))
    ends = []
    for size, times in ((4, 1), (2, 2), (1, 4)):
        experiment = tiny_experiment(train={"batch_size": size, "accumulate": times, "loss": "bce", "lr": 1e-2})
        job = shared_hands.job(experiment, tmp_path / str(size))
        ends.append(loop.train_fold(replace(job, training=job.training[::2] * 2, held_out=[])))  # of one size
    assert [state.step for state in ends] == [2 * math.ceil(len(job.training[::2] * 2) / 4)] * 3
    for state in ends[1:]:
        for found, wanted in zip(state.model.parameters(), ends[0].model.parameters(), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
