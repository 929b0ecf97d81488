"""The study of a search: what is drawn, what is pruned, and who trains what, with real processes that are killed."""

import json
import multiprocessing
import os
import signal
import time
from contextlib import ExitStack

import optuna
import pytest
from filelock import FileLock
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from competition.errors import CompetitionError
from competition.training import shared_study
from competition.training.shared_study import (
    TRIALS_BEFORE_PRUNING,
    finished_trials,
    is_held,
    known_score,
    next_trial,
    open_study,
    tell_failed,
)
from competition.workspace import trial_lock_file

pytestmark = pytest.mark.slow

SPACE = {"train.lr": FloatDistribution(1e-4, 1e-2, log=True), "train.loss": CategoricalDistribution(["bce", "focal"])}
MADE_FOR = {"experiment": "abc", "fold": "0"}
OWN = {"train.lr": 1e-3}
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.journal"


def opened(path, **changed):
    return open_study(path, MADE_FOR | changed, epochs=9, first=OWN)


def value_of(trial):
    return trial.params["train.lr"] + 0.01 * (trial.params["train.loss"] == "focal")


def drawn(path, count, cut=()):
    """Runs trials to so many in all; those whose number is in ``cut`` are left once, as by a killed process."""
    cut = set(cut)
    while True:
        shared = opened(path)
        with next_trial(shared, SPACE, count) as trial:
            if trial is None:
                return values_of(shared)
            if trial.number in cut:
                cut.remove(trial.number)
                continue
            shared.study.tell(trial, value_of(trial))


def values_of(shared):
    return [(trial.params, trial.value) for trial in finished_trials(shared.study)]


def test_a_single_process_draws_what_tpe_draws_alone(path):
    plain = optuna.create_study(direction="maximize")
    plain.enqueue_trial(OWN)
    for number in range(14):
        plain.sampler = optuna.samplers.TPESampler(
            n_startup_trials=10, n_ei_candidates=24, multivariate=False, group=False, constant_liar=False, seed=number
        )
        trial = plain.ask(SPACE)
        plain.tell(trial, value_of(trial))
    assert drawn(path, 14) == [(trial.params, trial.value) for trial in plain.trials]
    assert plain.trials[0].params["train.lr"] == OWN["train.lr"]
    assert len({trial.params["train.lr"] for trial in plain.trials}) == 14


def test_a_study_that_was_cut_draws_what_it_would_have_drawn(tmp_path, path):
    assert drawn(tmp_path / "cut.journal", 14, cut=(0, 3, 12, 13)) == drawn(path, 14)


def test_a_study_goes_on_where_it_was(path):
    first = drawn(path, 3)
    assert values_of(opened(path)) == first
    assert drawn(path, 2) == first
    assert drawn(path, 5)[:3] == first


def test_a_trial_that_failed_by_itself_has_ended_and_one_that_was_cut_has_not(path):
    shared = opened(path)
    with next_trial(shared, SPACE, 9) as failed:
        tell_failed(shared.study, failed, "no room")
    with next_trial(shared, SPACE, 9) as cut:
        cut.report(0.5, 3)
    again = opened(path)
    assert [trial.number for trial in finished_trials(again.study)] == [failed.number]
    with next_trial(again, SPACE, 9) as trial:
        assert (trial.number, trial.params) == (cut.number, cut.params)
        assert shared_study.reported_epochs(trial) == {3}
    assert cut.params != failed.params


def test_a_process_killed_while_it_draws_leaves_a_trial_that_is_completed(tmp_path, path):
    steps = {"a": IntDistribution(10, 1000, log=True), "b": IntDistribution(0, 90, step=30)}
    space = SPACE | steps | {"c": FloatDistribution(0.0, 1.0, step=0.25)}
    whole, cut = opened(tmp_path / "whole.journal"), opened(path)
    for number in range(2):
        cut.study.ask()  # of which nothing is drawn yet
        with next_trial(whole, space, 9) as expected, next_trial(cut, space, 9) as trial:
            assert trial.number == number
            assert (trial.params, trial.distributions) == (expected.params, space)
            for shared in (whole, cut):
                shared.study.tell(number, 0.5)


def test_a_trial_whose_lock_is_held_is_left_alone(path):
    mine, other = opened(path), opened(path)
    with next_trial(mine, SPACE, 9) as first, next_trial(other, SPACE, 9) as second:
        assert (first.number, second.number) == (0, 1)
        assert first.params != second.params
        assert is_held(trial_lock_file(path, 0))
    assert not is_held(trial_lock_file(path, 0))
    with next_trial(other, SPACE, 9) as third, next_trial(mine, SPACE, 9) as fourth:
        assert [third.number, fourth.number] == [0, 1]  # both were left, and each is continued once


def test_no_more_trials_are_begun_than_asked_for(path, monkeypatch, capsys):
    mine, other = opened(path), opened(path)
    asleep = []

    def sleep(_):
        asleep.append(is_held(trial_lock_file(path, 0)))
        mine.study.tell(0, 0.5)

    monkeypatch.setattr(shared_study.time, "sleep", sleep)
    with next_trial(mine, SPACE, 1) as trial:
        assert trial.number == 0
        with next_trial(other, SPACE, 1) as nothing:
            assert nothing is None
    assert asleep == [True]
    assert capsys.readouterr().out == "waiting for other processes, which train the last trials\n"
    assert len(mine.study.trials) == 1


def test_a_killed_trial_is_not_continued_beyond_the_number_asked_for(path):
    with next_trial(opened(path), SPACE, 1) as trial:
        cut = trial.number
    shared = opened(path)
    with ExitStack() as others:
        others.enter_context(FileLock(trial_lock_file(path, cut)))
        with next_trial(shared, SPACE, 2) as trial:
            shared.study.tell(trial, 0.5)
    with next_trial(shared, SPACE, 1) as nothing:
        assert nothing is None


def worker(path, total, log, hang):
    """Runs trials to so many in all, and writes what it trains; hangs in the trial of number ``hang``."""
    shared = opened(path)
    while True:
        with next_trial(shared, SPACE, total) as trial:
            if trial is None:
                return
            with log.open("a") as file:
                file.write(json.dumps([os.getpid(), trial.number, trial.params]) + "\n")
            if trial.number == hang:
                time.sleep(600)
            time.sleep(0.02)
            shared.study.tell(trial, value_of(trial))


def test_of_two_processes_one_is_killed_and_no_trial_is_lost_or_run_twice(path, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_study, "POLL_SECONDS", 0.05)
    log = tmp_path / "log.txt"
    first = FORK.Process(target=worker, args=(path, 12, log, 3))
    second = FORK.Process(target=worker, args=(path, 12, log, None))
    first.start()
    while not log.exists() or f"[{first.pid}, 3," not in log.read_text():
        time.sleep(0.01)
    second.start()
    while len(finished_trials(opened(path).study)) < 11:
        time.sleep(0.01)
    assert second.is_alive()  # it waits for the last trial, which the first one holds
    os.kill(first.pid, signal.SIGKILL)
    second.join(20)
    first.join(20)
    assert second.exitcode == 0
    begun = [json.loads(line) for line in log.read_text().splitlines()]
    by_number = {number: [row for row in begun if row[1] == number] for number in range(12)}
    assert sorted(len(rows) for rows in by_number.values()) == [1] * 11 + [2]
    hung, continued = by_number[3]
    assert (hung[0], continued[0]) == (first.pid, second.pid)
    assert hung[2] == continued[2]
    study = opened(path).study
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 12
    assert [trial.params for trial in study.trials] == [rows[-1][2] for rows in by_number.values()]


def test_four_processes_draw_different_trials_and_exactly_as_many_as_asked_for(path, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_study, "POLL_SECONDS", 0.05)
    log = tmp_path / "log.txt"
    processes = [FORK.Process(target=worker, args=(path, 16, log, None)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    begun = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(row[1] for row in begun) == list(range(16))
    assert len({row[2]["train.lr"] for row in begun}) == 16
    assert len(finished_trials(opened(path).study)) == 16


def test_a_known_score_is_that_of_the_settings_as_they_are_typed(path):
    shared = opened(path)
    with next_trial(shared, SPACE, 9) as trial:
        assert known_score(shared.study, trial.params) is None
        shared.study.tell(trial, 0.5)
    rate = float(f"{trial.params['train.lr']:.3g}")
    assert known_score(shared.study, trial.params | {"train.lr": rate}) == 0.5
    assert known_score(shared.study, trial.params | {"train.lr": rate * 1.1}) is None


@pytest.mark.parametrize("name", sorted(MADE_FOR))
def test_a_study_of_something_else_is_refused_and_left_alone(path, name):
    before = drawn(path, 2)
    content = path.read_bytes()
    sentence = rf"made for another {name} \({MADE_FOR[name]}, now other\): .*a\.journal.*--name"
    with pytest.raises(CompetitionError, match=sentence):
        opened(path, **{name: "other"})
    assert path.read_bytes() == content
    assert values_of(opened(path)) == before


@pytest.mark.parametrize("content", [b"no journal" * 1000, b'{"op_code":\n{}\n', b"\x00\xff\n"])
def test_a_damaged_study_is_named_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match=r"the search can't be read .*a\.journal\. Delete it"):
        opened(path)
    assert path.read_bytes() == content


def test_a_line_that_a_full_disk_cut_off_costs_nothing_that_was_whole(path):
    before = drawn(path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:20])
    assert values_of(opened(path)) == before
    assert path.read_bytes() == whole
    assert len(drawn(path, 4)) == 4


@pytest.mark.exhaustive
def test_a_study_in_sqlite_goes_on_as_a_journal(path):
    older = optuna.create_study(
        storage=f"sqlite:///{path.with_suffix('.db')}", study_name="search", direction="maximize"
    )
    for name, value in MADE_FOR.items():
        older.set_user_attr(name, value)
    for number in range(3):
        trial = older.ask(SPACE)
        trial.report(0.1, 2)
        if number < 2:
            older.tell(trial, value_of(trial))
    shared = opened(path)
    assert values_of(shared) == [(trial.params, trial.value) for trial in older.trials[:2]]
    assert shared.study.trials[0].intermediate_values == {2: 0.1}
    with next_trial(shared, SPACE, 9) as trial:
        assert trial.params == older.trials[2].params  # it was running, and its process has ended
    assert opened(path).study.trials[0].params == older.trials[0].params
    with pytest.raises(CompetitionError, match="made for another fold"):
        opened(path, fold="1")


def test_a_damaged_study_in_sqlite_is_named(path):
    path.with_suffix(".db").write_bytes(b"no database" * 1000)
    with pytest.raises(CompetitionError, match=r"the search can't be read .*a\.db\. Delete it"):
        opened(path)


@pytest.mark.parametrize(
    ("before", "epoch", "score", "pruned"),
    [
        ([0.1, 0.2, 0.3, 0.4], 3, 0.24, True),  # the median is 0.25
        ([0.1, 0.2, 0.3, 0.4], 3, 0.26, False),
        ([0.1, 0.2, 0.3, 0.4], 2, 0.0, False),  # the first third of nine epochs is left alone
        ([0.1, 0.2, 0.3], 3, 0.0, False),  # a median of three says little
    ],
)
def test_a_trial_below_the_median_of_the_same_epoch_is_stopped(path, before, epoch, score, pruned):
    assert TRIALS_BEFORE_PRUNING == 4
    shared = opened(path)
    for value in before:
        with next_trial(shared, SPACE, 9) as trial:
            trial.report(value, epoch)
            shared.study.tell(trial, value)
    with next_trial(shared, SPACE, 9) as trial:
        trial.report(score, epoch)
        assert trial.should_prune() == pruned


def test_a_killed_trial_is_stopped_for_what_it_had_reported(path):
    shared = opened(path)
    for _ in range(TRIALS_BEFORE_PRUNING):
        with next_trial(shared, SPACE, 9) as trial:
            trial.report(0.2, 3)
            trial.report(0.3, 4)
            shared.study.tell(trial, 0.3)
    with next_trial(shared, SPACE, 9) as cut:
        cut.report(0.1, 3)
    again = opened(path)
    with next_trial(again, SPACE, 9) as trial:
        assert trial.should_prune()
        trial.report(0.4, 4)
        assert not trial.should_prune()
        again.study.tell(trial, 0.4)
    assert [each.number for each in again.study.trials] == list(range(TRIALS_BEFORE_PRUNING + 1))
    assert (again.study.trials[-1].params, again.study.trials[-1].value) == (cut.params, 0.4)
    assert again.study.trials[-1].intermediate_values == {3: 0.1, 4: 0.4}


def test_no_option_of_the_sampler_is_left_to_the_version_of_optuna(path, monkeypatch):
    given = {}
    original = optuna.samplers.TPESampler

    def recording(**options):
        given.update(options)
        return original(**options)

    monkeypatch.setattr(optuna.samplers, "TPESampler", recording)
    with next_trial(opened(path), SPACE, 9):
        pass
    assert {"multivariate", "group", "constant_liar", "n_startup_trials", "n_ei_candidates", "seed"} == set(given)
