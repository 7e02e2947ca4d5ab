"""Where the work of `prepare` is done: here, in other processes, on a dask cluster, in jobs of SLURM."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 4  # items each worker may be ahead of the one in use: bounds the memory
SECONDS = 60  # for which a scheduler is waited
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
            raise _ended() from error
        finally:
            executor.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Dask:
    """Workers of a dask cluster, which see the same files at the same paths and have this version of nowcast.

    Args:
        workers: How many, of a cluster that is started here.
        address: Of a scheduler that is there, such as tcp://host:8786; None = start a cluster on this machine.
    """

    workers: int
    address: str | None

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        """See Engine.

        Raises:
            ConnectionError: No scheduler, or one without workers, at the address.
            ModuleNotFoundError: The extra `cluster` is not installed.
        """
        distributed = _distributed()
        with ExitStack() as stack:
            place: Any = self.address
            if place is None:
                start = distributed.LocalCluster
                place = stack.enter_context(start(max(1, self.workers), threads_per_worker=1, dashboard_address=None))
            yield from _workers_at(place, stack)


@dataclass(frozen=True)
class Slurm:
    """Workers in jobs of SLURM, which end with the preparation.

    Args:
        workers: Jobs, of one process each.
        queue: Partition.
        account: Who pays.
        walltime: Of a job.
        memory: Of a job.
        job_directives: Further lines of #SBATCH.
        job_prologue: Lines of shell before the worker begins, such as the activation of an environment.
    """

    workers: int
    queue: str | None
    account: str | None
    walltime: str
    memory: str
    job_directives: list[str]
    job_prologue: list[str]

    def cluster(self) -> Any:  # noqa: ANN401 (dask_jobqueue is untyped)
        """The cluster, without a job.

        Raises:
            ModuleNotFoundError: The extra `cluster` is not installed.
        """
        _distributed()
        import dask_jobqueue.slurm

        return dask_jobqueue.slurm.SLURMCluster(
            queue=self.queue, account=self.account, walltime=self.walltime, memory=self.memory, cores=1, processes=1,
            job_extra_directives=list(self.job_directives), job_script_prologue=list(self.job_prologue),
            scheduler_options={"dashboard_address": None},
        )  # fmt: skip

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        """See Engine.

        Raises:
            FileNotFoundError: There is no sbatch.
            ModuleNotFoundError: The extra `cluster` is not installed.
        """
        with ExitStack() as stack:
            cluster = stack.enter_context(self.cluster())
            cluster.scale(jobs=max(1, self.workers))
            yield from _workers_at(cluster, stack)


def _workers_at(place: Any, stack: ExitStack) -> Iterator[Pool]:  # noqa: ANN401
    distributed = _distributed()
    try:
        client = stack.enter_context(distributed.Client(place, timeout=SECONDS))
        client.wait_for_workers(1, timeout=SECONDS if isinstance(place, str) else None)
    except OSError as error:  # a TimeoutError, too
        raise ConnectionError(
            f"engine.address={place}: no dask scheduler with a worker within {SECONDS} s ({error}); begin them with "
            "`dask scheduler` and `dask worker <address>`, or leave engine.address out for a cluster on this machine"
        ) from error
    executor = client.get_executor()
    try:
        yield Pool(executor, max(1, len(client.ncores())))
    except distributed.KilledWorker as error:
        raise _ended() from error
    finally:
        executor.shutdown(wait=False)


def _ended() -> ChildProcessError:
    return ChildProcessError(
        "a process that reads files ended abruptly, as one does that the system takes its memory from; give the same "
        "command again, with fewer workers= where memory is short"
    )


def _distributed() -> Any:  # noqa: ANN401
    try:
        import dask_jobqueue  # noqa: F401
        import distributed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"engine=dask and engine=slurm need {error.name}; in the checkout: "
            "pip install -c constraints.txt -e '.[cluster]'"
        ) from error
    return distributed
