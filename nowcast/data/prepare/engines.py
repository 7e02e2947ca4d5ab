"""Where the work of `prepare` is done: here, or in other processes; on clusters: clusters.py."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 4  # items each worker may be ahead of the one in use: bounds the memory
_alone = threading.Lock()


@dataclass(frozen=True)
class Pool:
    """Workers that are there.

    Args:
        executor: What hands work to them; None = it is done in this process.
        workers: How many they are.
    """

    executor: Executor | None
    workers: int

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order of the items, a bounded number of them in memory."""
        if self.executor is None:
            yield from map(work, items)
            return
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(self.executor.submit(_one_at_a_time, work, item))
            if len(running) >= AHEAD * self.workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _one_at_a_time(work: Callable[[Item], Result], item: Item) -> Result:
    """Workers of clusters may have several threads, and the libraries that read files do not bear them."""
    with _alone:
        return work(item)


class Engine(Protocol):
    """A way to have work done."""

    def pool(self) -> AbstractContextManager[Pool]:
        """Workers, which end with the block; what is not begun then is dropped.

        Raises:
            ChildProcessError: By the block: a worker ended before its work was done.
        """
        ...


@dataclass(frozen=True)
class Local:
    """Processes of this machine.

    Args:
        workers: How many; 0 = this one.
    """

    workers: int

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        """See Engine."""
        if not self.workers:
            yield Pool(None, 0)
            return
        executor = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))
        try:
            yield Pool(executor, self.workers)
        except BrokenExecutor as error:
            raise ended() from error
        finally:
            executor.shutdown(cancel_futures=True)


def ended() -> ChildProcessError:
    """What is raised where a worker ended before its work was done."""
    return ChildProcessError(
        "a process that reads files ended abruptly, as one does that the system takes its memory from; give the same "
        "command again, with fewer workers= where memory is short"
    )
