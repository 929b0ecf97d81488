"""A run cut anywhere and started again gives bit for bit the same weights as one that was not cut."""

import math
import shutil

import pytest
import torch

from competition.training import loop
from competition.training.checkpoints import load_checkpoint, load_trained
from competition.training.state import restore, snapshot

pytestmark = pytest.mark.slow

EPOCHS = 4
STEPS_PER_EPOCH = 2  # six samples twice in batches of four are three batches, two optimizer steps of two and one


class CutError(Exception):
    pass


@pytest.fixture(scope="module")
def experiment(tiny_experiment):
    train = {"epochs": EPOCHS, "batch_size": 4, "accumulate": 2, "repeats": 2, "validate_every": 2, "lr": 3e-3}
    return tiny_experiment(model={"dropout": 0.4}, data={"augmentation": "light", "flip": True}, train=train)


@pytest.fixture(scope="module")
def uncut(shared_hands, experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uncut")
    loop.train_fold(shared_hands.job(experiment, folder, fold=1))
    return folder


def assert_same(first, second):
    """Compares dictionaries of dictionaries of tensors bit for bit; seconds and memory may differ."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert list(first) == list(second)
        for name in first:
            if name not in ("seconds", "memory_mb"):
                assert_same(first[name], second[name])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)
    else:
        assert first == second or (math.isnan(first) and math.isnan(second))


def assert_same_run(folder, uncut):
    assert_same(load_checkpoint(folder / "last.pt"), load_checkpoint(uncut / "last.pt"))
    assert_same(load_checkpoint(folder / "weights.pt"), load_checkpoint(uncut / "weights.pt"))
    rows = [[line.split(",") for line in (run / "history.csv").read_text().splitlines()] for run in (folder, uncut)]
    assert [row[:3] + row[4:5] for row in rows[0]] == [row[:3] + row[4:5] for row in rows[1]]


def cut_at(monkeypatch, name, call):
    """Makes the ``call``-th call of a function of the loop raise, before it does anything."""
    original, calls = getattr(loop, name), []

    def cut(*args):
        calls.append(args)
        if len(calls) == call:
            raise CutError
        return original(*args)

    monkeypatch.setattr(loop, name, cut)


@pytest.mark.parametrize("step", [1, 3, 4, 6, 8])
def test_a_run_cut_in_any_epoch_ends_the_same(shared_hands, experiment, uncut, tmp_path, monkeypatch, step):
    job = shared_hands.job(experiment, tmp_path, fold=1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        cut_at(patch, "_optimizer_step", step)
        with pytest.raises(CutError):
            loop.train_fold(job)
    epochs_done = (step - 1) // STEPS_PER_EPOCH
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == epochs_done
    torch.manual_seed(99)  # a new process does not start where the cut one stopped
    loop.train_fold(job)
    assert_same_run(tmp_path, uncut)


@pytest.mark.parametrize(("name", "call"), [("_score", 1), ("save_last", 2), ("write_csv", 3), ("save_trained", 1)])
def test_a_run_cut_between_two_files_ends_the_same(shared_hands, experiment, uncut, tmp_path, monkeypatch, name, call):
    job = shared_hands.job(experiment, tmp_path, fold=1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        cut_at(patch, name, call)
        with pytest.raises(CutError):
            loop.train_fold(job)
    loop.train_fold(job)
    assert_same_run(tmp_path, uncut)


def test_a_run_cut_in_its_first_half_minute_starts_afresh(shared_hands, experiment, uncut, tmp_path, monkeypatch):
    job = shared_hands.job(experiment, tmp_path, fold=1)
    with monkeypatch.context() as patch:
        cut_at(patch, "_optimizer_step", 6)
        with pytest.raises(CutError):
            loop.train_fold(job)
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 0
    loop.train_fold(job)
    assert_same_run(tmp_path, uncut)


def test_the_run_had_dropout_a_moving_average_and_scores(shared_hands, uncut):
    last, trained = load_checkpoint(uncut / "last.pt"), load_trained(uncut / "weights.pt")
    assert last["step"] == EPOCHS * STEPS_PER_EPOCH
    assert [math.isnan(row.get("score", math.nan)) for row in last["history"]] == [True, False, True, False]
    assert (trained.epoch, trained.score) == (EPOCHS, last["history"][-1]["score"])
    assert any(not torch.equal(last["model"][name], last["ema"][name]) for name in last["ema"])
    assert_same(trained.weights, dict(last["ema"]))


def test_weights_that_are_lost_come_back_from_the_finished_state(shared_hands, experiment, uncut, tmp_path):
    shutil.copytree(uncut, tmp_path, dirs_exist_ok=True)
    (tmp_path / "weights.pt").unlink()
    loop.train_fold(shared_hands.job(experiment, tmp_path, fold=1))
    assert_same_run(tmp_path, uncut)


def test_a_finished_run_is_not_trained_on(shared_hands, experiment, uncut, monkeypatch):
    before = (uncut / "last.pt").read_bytes()
    cut_at(monkeypatch, "_optimizer_step", 1)
    state = loop.train_fold(shared_hands.job(experiment, uncut, fold=1))
    assert state.epoch == EPOCHS
    assert (uncut / "last.pt").read_bytes() == before


def test_dropout_makes_a_difference_to_the_weights(shared_hands, experiment, uncut, tmp_path):
    # Without this the tests above would pass even if the random numbers of torch were not restored.
    without = experiment.model_copy(update={"model": experiment.model.model_copy(update={"dropout": 0.0})})
    loop.train_fold(shared_hands.job(without, tmp_path, fold=1))
    name = "encoder.model.conv1.0.weight"
    first, second = (load_checkpoint(folder / "last.pt")["model"][name] for folder in (tmp_path, uncut))
    assert not torch.equal(first, second)


def test_loading_processes_change_neither_the_weights_nor_where_a_cut_run_ends(
    shared_hands, experiment, uncut, tmp_path, monkeypatch
):
    with_process = experiment.model_copy(update={"data": experiment.data.model_copy(update={"workers": 1})})
    assert with_process.hash() == experiment.hash()
    job = shared_hands.job(with_process, tmp_path, fold=1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        cut_at(patch, "_optimizer_step", 2 * STEPS_PER_EPOCH + 1)
        with pytest.raises(CutError):
            loop.train_fold(job)
    loop.train_fold(job)
    found, wanted = (load_checkpoint(folder / "last.pt") for folder in (tmp_path, uncut))
    for part in ("model", "ema", "optimizer"):
        assert_same(found[part], wanted[part])


def test_patients_too_end_the_same(shared_patients, tiny_experiment, tmp_path, monkeypatch):
    experiment = tiny_experiment(
        multiview=True,
        model={"dropout": 0.3, "encoder": "test_resnet"},
        data={"flip": True},
        train={"loss": "asymmetric"},
    )
    for folder in ("uncut", "cut"):
        (tmp_path / folder).mkdir()
    loop.train_fold(shared_patients.job(experiment, tmp_path / "uncut"))
    job = shared_patients.job(experiment, tmp_path / "cut")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        cut_at(patch, "_optimizer_step", 4)  # the last of the second and last epoch
        with pytest.raises(CutError):
            loop.train_fold(job)
    loop.train_fold(job)
    assert_same_run(tmp_path / "cut", tmp_path / "uncut")


def test_a_checkpoint_holds_the_random_numbers_of_one_gpu(shared_hands, experiment, uncut, monkeypatch):
    job = shared_hands.job(experiment, uncut, fold=1)
    state = loop.train_fold(job)
    mine, other, restored = torch.zeros(16, dtype=torch.uint8), torch.ones(16, dtype=torch.uint8), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: mine)
    monkeypatch.setattr(torch.cuda, "set_rng_state", restored.append)
    content = snapshot(job, state)
    assert content["random_cuda"] == [mine]
    restore(state, content | {"random_cuda": [mine, other, other, other]})  # an earlier version kept those of all four
    assert restored == [mine]


def test_on_a_larger_gpu_whole_batches_are_tried_again(shared_hands, experiment, uncut, monkeypatch):
    job = shared_hands.job(experiment, uncut, fold=1)
    state = loop.train_fold(job)
    monkeypatch.setattr("competition.training.state.gpu_of", lambda device: "small, 16.0 GiB")
    content = snapshot(job, state) | {"chunk": 1}
    state.chunk = 5
    restore(state, content)
    assert state.chunk == 1
    monkeypatch.setattr("competition.training.state.gpu_of", lambda device: "large, 80.0 GiB")
    state.chunk = 5
    restore(state, content)
    assert state.chunk == 5


@pytest.mark.exhaustive
def test_a_run_with_gradient_checkpointing_is_cut_and_ends_as_one_without(
    shared_hands, experiment, uncut, tmp_path, monkeypatch
):
    thrifty = experiment.model_copy(
        update={"train": experiment.train.model_copy(update={"gradient_checkpointing": True})}
    )
    job = shared_hands.job(thrifty, tmp_path, fold=1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        cut_at(patch, "_optimizer_step", 4)
        with pytest.raises(CutError):
            loop.train_fold(job)
    loop.train_fold(job)
    one, other = (load_checkpoint(folder / "last.pt") for folder in (tmp_path, uncut))
    assert one.pop("config") != other.pop("config")
    assert_same(one, other)
