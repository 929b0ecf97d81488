"""Reading ahead and writing behind: in order, one at a time, with errors where they belong."""

import threading
import time

import pytest

from competition.background import one_behind, read_ahead
from competition.errors import CompetitionError


def test_items_come_in_order_while_only_the_next_one_is_read():
    begun = []
    allowed = threading.Semaphore(2)

    def read(item):
        begun.append(item)
        assert allowed.acquire(timeout=10)  # more than one ahead would wait here forever
        return item * item

    found = []
    for item, square in read_ahead(read, range(6)):
        assert max(begun, default=0) <= item + 1
        found.append((item, square))
        allowed.release()
    assert found == [(item, item * item) for item in range(6)]
    assert list(read_ahead(read, [])) == []


def test_the_next_item_is_read_while_this_one_is_in_work():
    second = threading.Event()

    def read(item):
        if item == 1:
            second.set()

    for item, _ in read_ahead(read, [0, 1]):
        if item == 0:
            assert second.wait(10)


def test_an_error_of_reading_comes_where_its_item_would():
    def read(item):
        if item == 2:
            raise CompetitionError("damaged", "file")
        return item

    rows = read_ahead(read, range(5))
    assert [next(rows)[0], next(rows)[0]] == [0, 1]
    with pytest.raises(CompetitionError, match="damaged"):
        next(rows)


def test_reading_ends_with_what_it_is_for():
    begun, threads = [], threading.active_count()
    rows = read_ahead(begun.append, range(100))
    next(rows)
    with pytest.raises(KeyboardInterrupt):
        rows.throw(KeyboardInterrupt())
    assert len(begun) <= 2
    assert threading.active_count() == threads


def test_tasks_run_in_order_and_the_block_ends_after_the_last():
    done, gate = [], threading.Event()

    def wait():
        assert gate.wait(10)
        done.append(0)

    with one_behind() as run:
        run(wait)  # returns at once
        assert done == []
        gate.set()
        for number in range(1, 5):
            run(lambda number=number: done.append(number))
            assert done[:number] == list(range(number))  # all before this one are finished
    assert done == list(range(5))


def fail():
    raise CompetitionError("no space left", "disk")


def run_behind(*tasks):
    with one_behind() as run:
        for task in tasks:
            task() if task is interrupt else run(task)


def interrupt():
    raise KeyboardInterrupt


def test_the_error_of_a_task_comes_with_the_next_one_or_at_the_end():
    with pytest.raises(CompetitionError, match="no space left"):
        run_behind(fail)
    later = []
    with pytest.raises(CompetitionError, match="no space left"):
        run_behind(fail, lambda: later.append(1))
    assert not later


def test_an_interrupt_waits_for_the_task_that_runs():
    done = []

    def write():
        time.sleep(0.2)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_behind(write, interrupt)
    assert done
