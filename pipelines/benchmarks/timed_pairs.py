"""Two ways to do one thing, measured in turns in one run.

Times are processor seconds of all threads. On an idle machine and with one thread this is what a clock shows; on a busy
one a clock favours whichever side ends before another program gets its turn: beside twenty others 5 ms of work took
33 ms, and 0.5 ms took 0.9.
"""

import multiprocessing
import operator
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from competition.errors import CompetitionError
from competition.machine import peak_memory_mb

# One call of a millisecond is too noisy; it is repeated until its turn has taken this long.
TURN_SECONDS = 0.1
MOST_CALLS = 25


@dataclass(frozen=True)
class Scale:
    """The size of the benchmarks."""

    size: int  # rows and columns of an image
    rounds: int  # turns of each side
    images: tuple[int, int]  # two numbers of images for what is measured on many and extrapolated
    trials: int  # weight vectors that tune tries
    full: bool  # whether targets are evaluated at this size


FULL = Scale(size=2048, rounds=5, images=(40, 80), trials=500, full=True)
QUICK = Scale(size=128, rounds=1, images=(2, 4), trials=5, full=False)


@dataclass(frozen=True)
class Row:
    """One figure beside its rival's."""

    work: str  # what is done
    unit: Literal["s", "mb"]  # of both figures
    ours: float  # median of ours
    rival: float | None  # median of the rival's; None where the rival can't be run here
    target: float | None = None  # the target; None for a row without one
    # "ratio": the rival's figure divided by ours is at least the target; "ours": ours is at most that
    target_of: Literal["ratio", "ours"] = "ratio"
    note: str = ""  # caveats, such as what was extrapolated

    @property
    def ratio(self) -> float | None:
        """Return the rival's figure divided by ours, None without a rival or where ours is too small to be measured."""
        return None if self.rival is None or self.ours == 0 else self.rival / self.ours

    def ok(self, full: bool) -> bool | None:
        """Return whether the target is reached; None without a target, or where targets are not evaluated."""
        reached = self.ours if self.target_of == "ours" else self.ratio
        if not full or self.target is None or reached is None:
            return None
        return reached <= self.target if self.target_of == "ours" else reached >= self.target

    def figures(self, full: bool) -> dict[str, Any]:
        """Return the keys of ``bench --json``; the figures' keys end in their unit."""
        return {
            "work": self.work,
            "unit": self.unit,
            f"ours_{self.unit}": self.ours,
            f"rival_{self.unit}": self.rival,
            "ratio": self.ratio,
            "target": self.target,
            "target_of": self.target_of,
            "ok": self.ok(full),
            "equal": True,  # else nothing is timed
            "note": self.note,
        }


def require_equal(equal: bool, work: str) -> None:
    """Refuse to time two sides with different results."""
    if not equal:
        raise CompetitionError("ours and the rival's results differ, so nothing was timed", f"bench, {work}")


def compare(
    work: str,
    ours: Callable[[], Any],
    rival: Callable[[], Any],
    rounds: int,
    target: float | None = None,
    equal: Callable[[Any, Any], bool] = operator.eq,
    note: str = "",
) -> Row:
    """Time two functions in turns after making sure that their results are equal; ``target`` is a ratio."""
    require_equal(equal(ours(), rival()), work)
    return Row(work, "s", *time_pair(ours, rival, rounds), target=target, note=note)


def time_pair(ours: Callable[[], object], rival: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Time two functions in turns, short ones several times a turn; return the median processor seconds of a call."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, seconds in zip((ours, rival), times, strict=True):
            seconds += _turn(side)
    return statistics.median(times[0]), statistics.median(times[1])


def _turn(function: Callable[[], object]) -> list[float]:
    """Return the processor seconds of each call of one turn."""
    seconds: list[float] = []
    while not seconds or (sum(seconds) < TURN_SECONDS and len(seconds) < MOST_CALLS):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return seconds


@dataclass(frozen=True)
class OwnProcess:
    """The result of a function in a process of its own, with its cost; only peak_mb includes the interpreter."""

    result: Any
    seconds: float
    processor_seconds: float
    peak_mb: float


def in_own_process(function: Callable[..., Any], *arguments: object) -> OwnProcess:
    """Run a function of a module in a fresh process, so that only its own memory is counted.

    It is forked from one that has done nothing but the imports, which take 4 s.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.bench"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_measured, function, arguments).result()
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()  # or leaving the pool would wait for its end
            raise


def _measured(function: Callable[..., Any], arguments: tuple[object, ...]) -> OwnProcess:
    before = os.times()
    result = function(*arguments)
    after = os.times()
    # Its own and that of processes it started, user and system; the last figure is the clock's.
    processor_seconds = sum(after[:4]) - sum(before[:4])
    return OwnProcess(result, after.elapsed - before.elapsed, processor_seconds, peak_memory_mb())
