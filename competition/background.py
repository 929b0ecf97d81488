"""Reading and writing in a thread of their own while a network computes; an image or a map ahead, so memory is bounded.

Compression, checksums and OpenCV release Python's lock, and a GPU computes without it, so that both go on at once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Yield items with what ``read`` gives of them, in order; the next one is read meanwhile.

    Its errors are raised where the item would have been yielded.
    """
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(1)
    try:
        for item in items:
            waiting.append((item, pool.submit(read, item)))
            if len(waiting) > 1:
                first, result = waiting.popleft()
                yield first, result.result()
        for last, result in waiting:
            yield last, result.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_behind() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield what runs tasks in a thread, in order; it returns at once unless the task before is unfinished.

    The block ends after the last task. The error of a task is raised when the next one is given, or at the end.
    """
    pool = ThreadPoolExecutor(1)
    running: deque[Future[None]] = deque()

    def run(task: Callable[[], None]) -> None:
        while running:
            running.popleft().result()
        running.append(pool.submit(task))

    try:
        yield run
        for last in running:
            last.result()
    finally:
        pool.shutdown()
