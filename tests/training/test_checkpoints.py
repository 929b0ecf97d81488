import math
import os
from dataclasses import replace

import pytest
import torch

from competition.errors import CompetitionError
from competition.models.factory import build_model
from competition.training.checkpoints import (
    Identity,
    TrainedWeights,
    check_identity,
    check_start,
    load_checkpoint,
    load_network,
    load_trained,
    save_checkpoint,
    save_trained,
    state_hash,
)

IDENTITY = Identity("hands", ("a", "b", "c"), "config1", "folds1", "data1", 2)


@pytest.fixture
def trained(shared_hands, tiny_experiment):
    experiment = tiny_experiment(train={"seed": 3})
    weights = build_model(experiment, shared_hands.track).state_dict()
    return TrainedWeights(weights, experiment, IDENTITY, "bf16", 7, 0.875)


def test_trained_weights_come_back_with_all_that_belongs_to_them(tmp_path, trained):
    save_trained(tmp_path / "weights.pt", trained)
    back = load_trained(tmp_path / "weights.pt")
    assert replace(back, weights={}) == replace(trained, weights={})
    assert list(back.weights) == list(trained.weights)
    assert all(torch.equal(back.weights[name], value) for name, value in trained.weights.items())


def test_a_score_that_is_undefined_comes_back_so(tmp_path, trained):
    save_trained(tmp_path / "weights.pt", replace(trained, score=math.nan))
    assert math.isnan(load_trained(tmp_path / "weights.pt").score)


def test_the_network_of_a_checkpoint_answers_as_the_one_that_was_saved(tmp_path, trained, shared_hands):
    network = build_model(trained.experiment, shared_hands.track)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    save_trained(tmp_path / "weights.pt", replace(trained, weights=network.state_dict()))
    loaded = load_network(load_trained(tmp_path / "weights.pt"), shared_hands.track)
    images = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        # Another order of channels in memory adds numbers up in another order.
        torch.testing.assert_close(loaded.cpu()(images), network.eval()(images), rtol=1e-3, atol=1e-3)
    assert all(torch.equal(loaded.state_dict()[name].cpu(), value) for name, value in network.state_dict().items())
    assert not loaded.training


def test_a_checkpoint_is_nothing_that_runs_code(tmp_path):
    torch.save({"harmless": os.system}, tmp_path / "evil.pt")
    with pytest.raises(CompetitionError, match=r"evil\.pt"):
        load_checkpoint(tmp_path / "evil.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 0.999])
def test_a_damaged_file_is_named_with_what_mends_it(tmp_path, trained, share):
    path = tmp_path / "weights.pt"
    save_trained(path, trained)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    for load in (load_trained, load_checkpoint):
        with pytest.raises(CompetitionError, match=r"file is damaged .*weights\.pt\. Train the fold again"):
            load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CompetitionError, match=r"checkpoint not found: .*weights\.pt"):
        load_trained(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    "content", [{"weights": {}}, {"state_dict": {}, "identity": {"fold": 1}}, [1, 2], torch.zeros(2)]
)
def test_a_file_of_another_project_is_refused(tmp_path, content):
    save_checkpoint(tmp_path / "weights.pt", content)
    with pytest.raises(CompetitionError, match=r"not a checkpoint of this project: .*weights\.pt"):
        load_trained(tmp_path / "weights.pt")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", {"epoch": 1})

    def full(*_):
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CompetitionError, match=r"can't write .*a\.pt"):
        save_checkpoint(tmp_path / "a.pt", {"epoch": 2})
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "a.pt") == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_an_equal_identity_passes(tmp_path):
    check_identity(IDENTITY, replace(IDENTITY), tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": "phantom_hands"}, r"trained on phantom_hands, not hands: .*weights\.pt"),
        ({"classes": ("a", "c", "b")}, r"trained for other classes: .*weights\.pt"),
        (
            {"fold_hash": "f2"},
            r"trained with other folds \(fold file f2, now folds1\): .*weights\.pt\. .*--name NEW.*--force",
        ),
        (
            {"config_hash": "c2"},
            r"trained with other settings \(c2, now config1\): .*weights\.pt\. .*--name NEW.*--force",
        ),
        (
            {"data_hash": "d2"},
            r"images or labels have changed .*d2, now data1\): .*weights\.pt\. .*--name NEW.*--force",
        ),
        ({"fold": 0}, r"holds out fold 0, not fold 2: .*weights\.pt"),
        ({"fold": "full"}, r"holds out fold full, not fold 2: .*weights\.pt"),
        (
            {"pseudo_hash": "p2"},
            r"the teacher or the test images .*\(p2, now none\): .*weights\.pt\. .*--name NEW.*--force",
        ),
        ({"init_hash": "i2"}, r"weights of model\.init, .* \(i2, now none\): .*weights\.pt\. .*--name NEW.*--force"),
    ],
)
def test_weights_of_something_else_are_refused_with_what_differs(tmp_path, change, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        check_identity(replace(IDENTITY, **change), IDENTITY, tmp_path / "weights.pt")


def stored(**change):
    identity = replace(IDENTITY, **change)
    return {"weights": {}, "identity": vars(identity) | {"classes": list(identity.classes)}}


def test_a_checkpoint_from_before_starts_were_hashed_belongs_to_a_run_that_started_from_nothing(tmp_path, trained):
    save_trained(tmp_path / "weights.pt", trained)
    content = load_checkpoint(tmp_path / "weights.pt")
    del content["identity"]["init_hash"]
    save_checkpoint(tmp_path / "weights.pt", content)
    found = load_trained(tmp_path / "weights.pt").identity
    check_identity(found, IDENTITY, tmp_path / "weights.pt")
    with pytest.raises(CompetitionError, match=r"have changed since .*\(not kept, now i1\)"):
        check_identity(found, replace(IDENTITY, init_hash="i1"), tmp_path / "weights.pt")


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_every_weight_counts_in_the_hash_and_its_order_in_memory_does_not(kind):
    weights = {"a": torch.arange(24).reshape(2, 3, 2, 2).to(kind), "b": torch.tensor(3).to(kind)}
    same = {"a": weights["a"].to(memory_format=torch.channels_last), "b": weights["b"].clone()}
    assert state_hash(weights) == state_hash(same)
    changed = [weights | {"b": torch.tensor(2).to(kind)}, weights | {"a": weights["a"].flip(0)}, {"a": weights["a"]}]
    assert len({state_hash(each) for each in (weights, *changed)}) == 4


@pytest.mark.parametrize("change", [{"fold": 1}, {"fold": "full"}, {"fold_hash": "folds2"}])
def test_a_fold_never_starts_from_weights_that_know_what_it_holds_out(tmp_path, change):
    with pytest.raises(
        CompetitionError, match=r"weights of fold .* have learned from what fold 2 .*RUN/\{fold\}/weights\.pt"
    ):
        check_start(stored(**change), IDENTITY, tmp_path / "weights.pt")
    assert check_start(stored(**change), replace(IDENTITY, fold="full"), tmp_path / "weights.pt") is None


@pytest.mark.parametrize(
    "content",
    [
        stored(),
        stored(config_hash="config2", classes=("d",), data_hash="data2"),  # other settings, another head
        stored(dataset="other_hands", fold=0, fold_hash="folds2"),
        {"state_dict": {}},
        [1, 2],
    ],
)
def test_weights_of_the_same_fold_of_other_data_or_of_another_program_may_start_a_fold(tmp_path, content):
    assert check_start(content, IDENTITY, tmp_path / "weights.pt") is None
