"""Where the work of `prepare` is done: in this process, or in others."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 4  # items each worker may be ahead of the one in use: bounds the memory


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, pool: Executor | None
) -> Iterator[Result]:
    """Results in the order of the items, a bounded number of them in memory.

    Raises:
        ChildProcessError: A process ended before it was done.
    """
    if pool is None:
        yield from map(work, items)
        return
    running: deque[Future[Result]] = deque()
    try:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) >= AHEAD * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenExecutor as error:
        raise ChildProcessError(
            "a process that reads files ended abruptly, as one does that the system takes its memory from; give the "
            "same command again, with fewer workers= where memory is short"
        ) from error


@contextmanager
def processes(workers: int) -> Iterator[Executor | None]:
    """A pool that drops what is not begun when the block ends; None without workers."""
    if not workers:
        yield None
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
