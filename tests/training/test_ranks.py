"""Processes that train together learn what one alone learns, and end together."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from started_ranks import GroupNetwork, finish, note_draws, predict, start, train, travelling

from competition.data.loader import Share
from competition.errors import CompetitionError
from competition.training import loop
from competition.training.checkpoints import load_checkpoint, load_trained
from competition.training.ranks import ALONE, Ranks, join_ranks
from competition.training.state import restore

pytestmark = pytest.mark.slow

# Twelve draws in batches of five, five and two, the last of two sizes of image; two batches a step.
TRAIN = {"epochs": 3, "batch_size": 5, "accumulate": 2, "repeats": 2, "validate_every": 1, "lr": 1e-2}


@pytest.fixture(scope="module")
def job_in(shared_hands, tiny_experiment):
    """Makes the job of fold 1 in a folder."""

    def make(folder, dropout=0.0, **changes):
        model = {"architecture": "groups", "dropout": dropout, "decoder_channels": None}
        experiment = tiny_experiment(model=model, data={"augmentation": "light", "flip": True}, train=TRAIN | changes)
        folder.mkdir(exist_ok=True)
        job = shared_hands.job(experiment, folder, fold=1)
        return replace(job, track=travelling(job.track))

    return make


def compare(first, second, tolerance=0.0):
    for part in ("model", "ema"):
        for name, value in first[part].items():
            torch.testing.assert_close(value, second[part][name], rtol=0, atol=tolerance, msg=name)


@pytest.fixture(scope="module")
def one(job_in, tmp_path_factory):
    job = job_in(tmp_path_factory.mktemp("one"))
    note_draws(ALONE, job)
    return job.folder


@pytest.fixture(scope="module")
def two(job_in, tmp_path_factory):
    job = job_in(tmp_path_factory.mktemp("two"))
    assert finish(start(2, train, job)) == [0, 0]
    return job.folder


def test_two_ranks_learn_what_one_learns_also_from_uneven_batches(one, two):
    first, second = load_checkpoint(one / "last.pt"), load_checkpoint(two / "last.pt")
    fresh = GroupNetwork(3, 0.0).state_dict()
    assert not torch.allclose(first["model"]["last.weight"], fresh["last.weight"], atol=1e-2)
    compare(first, second, 1e-5)
    assert torch.equal(second["model"]["unused"], torch.ones(2, 2))  # no gradient, so no decay
    for row, other in zip(first["history"], second["history"], strict=True):
        assert other["loss"] == pytest.approx(row["loss"], abs=1e-5)
        assert other["score"] == pytest.approx(row["score"], abs=1e-3)  # a pixel at the threshold may change sides
    assert (second["step"], second["epoch"]) == (first["step"], 3)


def test_only_the_first_rank_writes(one, two):
    # Rank 1 could rename no file, which every file needs; TensorBoard's file has the number of its process.
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()} - {"draws0.json"}
    assert len(list((two / "tensorboard").iterdir())) == 1
    assert (two / "history.csv").read_text().count("\n") == 4


def test_the_draws_are_the_same_whatever_the_number_of_ranks(one, job_in, tmp_path):
    job = job_in(tmp_path / "three", epochs=1)
    assert finish(start(3, note_draws, job)) == [0, 0, 0]
    shares = [json.loads((job.folder / f"draws{number}.json").read_text()) for number in range(3)]
    whole = json.loads((one / "draws0.json").read_text())[:3]
    assert sorted(len(batch) for batch in whole) == [2, 5, 5]
    assert [[*a, *b, *c] for a, b, c in zip(*shares, strict=True)] == whole
    assert [sorted(len(batch) for batch in share) for share in shares] == [[1, 1, 1], [1, 2, 2], [0, 2, 2]]


def test_a_rank_without_samples_adds_nothing(job_in, tmp_path):
    alone, job = job_in(tmp_path / "alone", batch_size=1, epochs=1), job_in(tmp_path / "both", batch_size=1, epochs=1)
    loop.train_fold(alone)
    assert finish(start(2, train, job)) == [0, 0]
    compare(*(load_checkpoint(each.folder / "last.pt") for each in (alone, job)), 1e-6)


@pytest.mark.parametrize(("fewest", "busy"), [(1, None), (2, "5 samples gives only 2 of 3")])
def test_batches_that_are_too_small_for_all_ranks_are_a_warning(job_in, tmp_path, capsys, fewest, busy):
    job = replace(job_in(tmp_path / "small"), ranks=Ranks(2, 3))
    share = loop._share(job, SimpleNamespace(fewest=fewest))
    assert share == Share(2, 3, fewest)
    said = capsys.readouterr().out
    assert f"a batch of {busy} processes something to learn from" in said if busy else not said


@pytest.fixture(scope="module")
def uncut(job_in, tmp_path_factory):
    job = job_in(tmp_path_factory.mktemp("uncut"), dropout=0.4)
    assert finish(start(2, train, job)) == [0, 0]
    return job.folder


def test_after_a_rank_was_killed_the_other_ends_and_both_resume_bit_for_bit(uncut, job_in, tmp_path):
    job = job_in(tmp_path / "cut", dropout=0.4)
    assert finish(start(2, train, job, "killed", 4)) == [1, -9]  # in the second epoch
    assert "a process that trains together with this one has ended" in (job.folder / "error0.txt").read_text()
    assert load_checkpoint(job.folder / "last.pt")["epoch"] == 1
    assert finish(start(2, train, job)) == [0, 0]
    found, wanted = load_checkpoint(job.folder / "last.pt"), load_checkpoint(uncut / "last.pt")
    compare(found, wanted)
    for moments, expected in zip(*(each["optimizer"]["state"].values() for each in (found, wanted)), strict=True):
        assert all(torch.equal(moments[name], expected[name]) for name in ("step", "exp_avg", "exp_avg_sq"))
    assert torch.equal(found["random"], wanted["random"])
    assert torch.equal(found["other_ranks"][0]["random"], wanted["other_ranks"][0]["random"])
    assert not torch.equal(found["random"], found["other_ranks"][0]["random"])
    trained = [load_trained(folder / "weights.pt") for folder in (job.folder, uncut)]
    assert all(torch.equal(value, trained[1].weights[name]) for name, value in trained[0].weights.items())
    assert [row["loss"] for row in found["history"]] == [row["loss"] for row in wanted["history"]]


def test_short_memory_of_one_rank_neither_hangs_nor_changes_gradients(two, job_in, tmp_path):
    job = job_in(tmp_path / "short")
    assert finish(start(2, train, job, "short", 2)) == [0, 0]
    found = load_checkpoint(job.folder / "last.pt")
    compare(found, load_checkpoint(two / "last.pt"), 1e-5)
    assert (found["chunk"], found["other_ranks"][0]["chunk"]) == (6, 1)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("nan", r"DivergedError: the loss became nan in epoch 1, batch 3 \((hand\d+, ){4}hand\d+\)"),
        ("too short", "CompetitionError: the GPU's memory does not hold one sample"),
    ],
)
def test_what_ends_one_rank_ends_all_with_one_sentence(job_in, tmp_path, fault, sentence):
    job = job_in(tmp_path / "failed")
    assert finish(start(2, train, job, fault, 2)) == [1, 1]
    (said,) = job.folder.glob("error*.txt")
    assert said.name == "error0.txt"
    assert re.match(sentence, said.read_text())


@pytest.mark.parametrize("data", ["shared_hands", "shared_patients"])
def test_ranks_store_and_score_what_one_does_byte_for_byte(data, tiny_experiment, tmp_path, request):
    prepared = request.getfixturevalue(data)
    experiment = tiny_experiment(multiview=data == "shared_patients", train={"epochs": 1}, model={"prior": 0.3})
    (tmp_path / "fold").mkdir()
    job = prepared.job(experiment, tmp_path / "fold", fold=0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        loop.train_fold(job)
        for folder in ("alone", "both"):
            (tmp_path / folder).mkdir()
        what = (travelling(job.track), job.workspace, job.held_out[:3]), job.folder / "weights.pt"
        predict(ALONE, *what, tmp_path / "alone")
    finally:
        torch.set_num_threads(threads)
    assert finish(start(2, predict, *what, tmp_path / "both")) == [0, 0]
    files = {path.name: path.read_bytes() for path in (tmp_path / "alone" / "oof").iterdir()}
    assert len(files) == (5 if data == "shared_hands" else 2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "both" / "oof").iterdir()} == files
    scores = [
        (tmp_path / folder / f"score{rank}.txt").read_text()
        for folder, rank in (("alone", 0), ("both", 0), ("both", 1))
    ]
    assert len(set(scores)) == 1


def test_a_rank_that_a_checkpoint_does_not_know_keeps_its_own_random_numbers(uncut, job_in, tmp_path):
    stored, job = load_checkpoint(uncut / "last.pt"), job_in(tmp_path / "other", dropout=0.4, epochs=1)
    state = loop.train_fold(job)
    for rank in range(3):
        torch.manual_seed(rank)
        own = torch.get_rng_state()
        restore(state, stored, rank)
        expected = [stored["random"], stored["other_ranks"][0]["random"], own][rank]
        assert torch.equal(torch.get_rng_state(), expected)
        assert state.epoch == 3


def test_a_run_of_two_ranks_resumes_alone(uncut, job_in, tmp_path):
    job = job_in(tmp_path / "cut", dropout=0.4)
    assert finish(start(2, train, job, "killed", 1)) == [1, -9]
    begun = load_checkpoint(job.folder / "last.pt")
    assert not torch.equal(begun["random"], begun["other_ranks"][0]["random"])  # each rank drops out other numbers
    assert loop.train_fold(job).epoch == 3
    assert load_checkpoint(job.folder / "last.pt")["other_ranks"] == []


@pytest.mark.parametrize(
    ("draws", "count", "fewest", "sizes"),
    [
        (5, 2, 1, [2, 3]),
        (1, 2, 1, [1, 0]),
        (3, 4, 1, [1, 1, 1, 0]),
        (2, 2, 2, [2, 0]),
        (5, 4, 2, [2, 3, 0, 0]),
        (4, 1, 1, [4]),
    ],
)
def test_shares_are_even_and_none_is_too_small(draws, count, fewest, sizes):
    batch = [(index, 7) for index in range(draws)]
    shares = [Share(number, count, fewest).of(batch) for number in range(count)]
    assert [len(share) for share in shares] == sizes
    assert [draw for share in shares for draw in share] == batch


def test_items_are_shared_in_order():
    for count in (1, 2, 3, 5):
        shares = [Ranks(number, count).share("abcd") for number in range(count)]
        assert "".join(shares) == "abcd"
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_alone_talks_to_nobody(monkeypatch):
    for name in ("all_reduce", "all_gather_object", "broadcast", "broadcast_object_list", "init_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda *_, **__: pytest.fail("it did"))
    monkeypatch.setenv("WORLD_SIZE", "2")  # as some clusters set it, without torchrun
    assert join_ranks() == ALONE
    model = torch.nn.Linear(1, 1)
    ALONE.copy_first(model)
    ALONE.wait()
    assert ALONE.sum_gradients(model, [1.5]) == [1.5]
    assert (ALONE.join("ab"), ALONE.of_first(3)) == (["a", "b"], 3)
    with pytest.raises(CompetitionError, match="why"):
        ALONE.fail(CompetitionError("why"))


def test_more_processes_than_gpus_are_one_sentence(monkeypatch):
    for name, value in {"RANK": 2, "WORLD_SIZE": 3, "LOCAL_RANK": 2, "MASTER_ADDR": "a", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("competition.training.ranks.computing_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(CompetitionError, match=r"more than 2 processes .* --nproc-per-node 2"):
        join_ranks()
