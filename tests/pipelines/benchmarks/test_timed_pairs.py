"""The figures of a row, and how two functions are timed."""

import multiprocessing
import os
import signal
import time
from threading import Timer

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.machine import peak_memory_mb
from pipelines.benchmarks import timed_pairs
from pipelines.benchmarks.timed_pairs import Row, in_own_process, require_equal, time_pair


@pytest.mark.parametrize(
    ("ours", "rival", "target", "target_of", "ok"),
    [
        (2.0, 40.0, 20.0, "ratio", True),
        (2.0, 39.9, 20.0, "ratio", False),
        (2.0, None, 20.0, "ratio", None),
        (2.0, 40.0, None, "ratio", None),
        (2.0, 40.0, 2.0, "ours", True),
        (2.1, None, 2.0, "ours", False),
    ],
)
def test_a_target_is_reached_or_not(ours, rival, target, target_of, ok):
    row = Row("work", "s", ours, rival, target, target_of)
    assert row.ok(full=True) is ok
    assert row.ok(full=False) is None
    figures = row.figures(full=True)
    assert (figures["ours_s"], figures["rival_s"], figures["ok"]) == (ours, rival, ok)
    assert figures["ratio"] == (None if rival is None else rival / ours)


def test_the_unit_is_in_the_keys():
    figures = Row("size", "mb", 1.0, 8.0).figures(full=True)
    assert (figures["unit"], figures["ours_mb"], figures["rival_mb"], figures["ratio"]) == ("mb", 1.0, 8.0, 8.0)
    assert "ours_s" not in figures


def test_different_results_are_not_timed():
    require_equal(True, "work")
    with pytest.raises(CompetitionError, match=r"results differ, so nothing was timed: bench, work"):
        require_equal(False, "work")


def test_sides_take_turns_and_short_ones_are_repeated(monkeypatch):
    monkeypatch.setattr(timed_pairs, "MOST_CALLS", 3)
    calls = []
    time_pair(lambda: calls.append("ours"), lambda: calls.append("rival"), rounds=2)
    assert calls == ["ours"] * 3 + ["rival"] * 3 + ["ours"] * 3 + ["rival"] * 3


def test_medians_are_of_processor_time(monkeypatch):
    # A turn of the rival takes 3 s, then 5 s, then 4 s; one of ours 1 s, and then as often as fits.
    clock, costs = [0.0], {"ours": iter([1.0, 2.0, 9.0]), "rival": iter([3.0, 5.0, 4.0])}
    monkeypatch.setattr(time, "process_time", lambda: clock[0])

    def work(side):
        clock[0] += next(costs[side])

    assert time_pair(lambda: work("ours"), lambda: work("rival"), rounds=3) == (2.0, 4.0)


def hold(megabytes):
    """Fill an array; return the process id and the sum."""
    return os.getpid(), int(np.ones(megabytes * 2**17).sum())


@pytest.mark.slow
def test_a_process_of_its_own_has_memory_of_its_own():
    mine = np.ones(150 * 2**17)  # the parent's peak is no part of the child's
    small, large = in_own_process(hold, 1), in_own_process(hold, 300)
    assert small.result[0] != os.getpid()
    assert large.result[1] == 300 * 2**17
    assert 280 < large.peak_mb - small.peak_mb < 330
    assert small.peak_mb < peak_memory_mb() - 100
    assert large.processor_seconds > 0
    assert large.seconds > 0
    assert mine[0] == 1


@pytest.fixture
def interruptible():
    """Workers of pytest-xdist ignore the interruption."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interruption_ends_the_other_process():
    Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_own_process(time.sleep, 300)
    assert time.monotonic() - start < 100
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_an_error_of_the_other_process_arrives():
    with pytest.raises(TypeError):
        in_own_process(hold, None)


def test_what_is_too_small_to_be_measured_has_no_ratio():
    row = Row("memory", "mb", ours=0.0, rival=6.3, target=2)
    assert row.ratio is None
    assert row.ok(full=True) is None
