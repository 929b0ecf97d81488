"""Members opened from runs that were really trained, for a second each."""

from dataclasses import replace

import pytest
import torch

from competition.data.folds import FULL, Folds
from competition.errors import CompetitionError
from competition.files import write_sealed_json
from competition.formats.json_files import read_json
from competition.runs.fold_training import train_one
from competition.runs.members import (
    covered,
    open_member,
    out_of_fold_folders,
    parse_members,
    split_member,
    trained_runs,
)
from competition.runs.run import Run
from competition.training.checkpoints import load_trained

pytestmark = pytest.mark.slow


def run_of(prepared, experiment, name):
    return Run(name, prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)


@pytest.fixture(scope="module")
def trained(shared_hands, tiny_experiment):
    """Runs: quick (both folds and full, epoch 1 kept), other_seed (fold 0), whole (only full)."""
    quick = run_of(shared_hands, tiny_experiment(train={"keep_every": 1}), "quick")
    other_seed = run_of(shared_hands, tiny_experiment(train={"epochs": 1, "seed": 1}), "other_seed")
    whole = run_of(shared_hands, tiny_experiment(train={"epochs": 1}), "whole")
    for run, folds in ((quick, (0, 1, FULL)), (other_seed, (0,)), (whole, (FULL,))):
        for fold in folds:
            train_one(run, fold, force=False)
    return shared_hands


def opened(prepared, name, wanted=None, folds=None):
    return open_member(prepared.workspace, folds or prepared.folds, prepared.train(), name, wanted)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quick", {"quick": None}),
        ("quick,strong", {"quick": None, "strong": None}),
        ("quick:0,1,strong", {"quick": (0, 1), "strong": None}),
        ("quick@10,quick@20,quick", {"quick@10": None, "quick@20": None, "quick": None}),
        ("quick@10:0,2,strong:3", {"quick@10": (0, 2), "strong": (3,)}),
        ("quick:0,1,2,full", {"quick": (0, 1, 2, "full")}),
        ("quick:full,strong@5:full", {"quick": ("full",), "strong@5": ("full",)}),
        ("quick,full", {"quick": None, "full": None}),  # after no colon it is a name
        ("quick:0,full,10", {"quick": (0, "full", 10)}),
    ],
)
def test_members_are_read_with_their_epochs_and_folds(text, expected):
    assert parse_members(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quick,",
        "quick,quick",
        "quick:x",
        "quick:",
        "quick:0,,1",
        "quick@",
        "quick@x",
        "@10",
        "quick@-1",
        ":0",
        "quick@²",
        "quick:١",
        f"quick:{'9' * 5000}",
    ],
)
def test_what_names_no_member_is_explained(text):
    with pytest.raises(CompetitionError, match=r"--members takes NAME\[@EPOCH\]\[:FOLD,FOLD\.\.\.\]"):
        parse_members(text)


def test_a_member_is_a_run_and_an_epoch():
    assert split_member("quick") == ("quick", None)
    assert split_member("quick@10") == ("quick", 10)


def test_the_last_weights_vote_from_oof_and_kept_ones_from_a_folder_beside_it(trained):
    runs = trained.workspace.run_folder("quick")
    everyone = sorted(entry.sample for entry in trained.train())
    for name, folder in (("quick", "oof"), ("quick@1", "oof@1")):
        member = opened(trained, name)
        assert (member.name, member.folds) == (name, (0, 1))
        folder_of = out_of_fold_folders(trained.workspace, member)
        assert sorted(folder_of) == everyone
        for entry in trained.train():
            fold = trained.folds.fold_of[entry.group]
            assert folder_of[entry.sample] == runs / f"fold{fold}" / folder


def test_full_votes_only_where_it_is_named_and_is_scored_on_nothing(trained):
    assert opened(trained, "quick").folds == (0, 1)
    member = opened(trained, "quick", (0, FULL))
    assert member.folds == (0, FULL)
    held_out = [entry.sample for entry in trained.folds.held_out(trained.train(), 0)]
    folders = out_of_fold_folders(trained.workspace, member)
    assert sorted(folders) == sorted(held_out)
    samples = [entry.sample for entry in trained.train()]
    quick = out_of_fold_folders(trained.workspace, opened(trained, "quick"))
    assert covered([quick], samples) == samples
    assert covered([quick, folders], samples) == [name for name in samples if name in held_out]


def test_a_run_of_another_seed_is_another_member(trained):
    assert trained_runs(trained.workspace) == ["other_seed", "quick"]
    first, second = opened(trained, "quick", (0,)), opened(trained, "other_seed")
    assert first.config_hash != second.config_hash
    one, other = (out_of_fold_folders(trained.workspace, member) for member in (first, second))
    assert sorted(one) == sorted(other)
    weights = [
        load_trained(trained.workspace.fold_folder(run, 0) / "weights.pt").weights for run in ("quick", "other_seed")
    ]
    assert not torch.equal(weights[0]["encoder.model.conv1.0.weight"], weights[1]["encoder.model.conv1.0.weight"])


@pytest.mark.parametrize(
    ("name", "wanted", "sentence"),
    [
        ("quik", None, r"run 'quik' has no trained fold, did you mean 'quick'\?.*quik\)\.$"),
        ("quik", (0,), r"run 'quik' has no trained fold"),
        ("whole", None, r"full of run 'whole' .*Train a fold .*--members whole:0,full\."),
        ("quick", (0, 7), r"there is no fold 7; the folds are 0\.\.1: "),
        (
            "other_seed",
            (1,),
            r"fold 1 of run 'other_seed' is not trained yet.*seed/fold0/config\.yaml --name other_seed --fold 1",
        ),
        (
            "other_seed",
            (0, FULL),
            r"fold full of run 'other_seed' is not trained yet.*seed/fold0/config\.yaml --name other_seed --fold full",
        ),
        ("quick@7", None, r"run 'quick' kept no weights of epoch 7: .*fold0\. Its kept epochs: 1\."),
        ("quick@7", (FULL, 0), r"run 'quick' kept no weights of epoch 7: .*full\. Its kept epochs: 1\."),
        ("quick", (FULL,), r"full of run 'quick' learned from every sample.*Use --members quick:0,1,full\."),
        ("quick@1", (FULL,), r"full of run 'quick' learned .*Use --members quick@1:0,1,full\."),
        (
            "whole",
            (FULL,),
            r"full of run 'whole' .*Train a fold .*full/config\.yaml --name whole --fold 0.*--members whole:0,full\.",
        ),
        ("other_seed@1", None, r"kept no weights of epoch 1: .* --set train\.keep_every=N"),
    ],
)
def test_what_can_not_vote_is_named_with_what_mends_it(trained, name, wanted, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        opened(trained, name, wanted)


def test_a_fold_whose_weights_are_gone_is_named_with_the_command_that_trains_it_again(trained, tmp_path):
    weights = trained.workspace.fold_folder("quick", 0) / "weights.pt"
    weights.rename(tmp_path / "weights.pt")
    try:
        with pytest.raises(CompetitionError, match=r"weights of this fold are missing: .*fold0.*--fold 0 --force"):
            opened(trained, "quick")
    finally:
        (tmp_path / "weights.pt").rename(weights)


def test_full_of_other_folds_other_data_or_other_settings_is_refused(trained, tmp_path):
    moved = Folds(trained.folds.fold_of | {"person0": 1}, trained.folds.path)
    with pytest.raises(CompetitionError, match="'quick' was trained on other folds"):
        opened(trained, "quick", (FULL, 0), moved)
    entries = [replace(entry, pixels="other") for entry in trained.train()]
    with pytest.raises(CompetitionError, match="images or labels have changed since run 'quick'"):
        open_member(trained.workspace, trained.folds, entries, "quick", (FULL, 0))
    mark = trained.workspace.fold_folder("quick", FULL) / "finished.json"
    content = mark.read_text()
    stored = read_json(mark, "Train it again")
    stored["identity"]["config_hash"] = "0123456789"
    write_sealed_json(mark, stored)
    try:
        with pytest.raises(CompetitionError, match="folds of run 'quick' differ in settings"):
            opened(trained, "quick", (0, FULL))
    finally:
        mark.write_text(content)
