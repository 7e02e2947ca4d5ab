"""Where the work of `prepare` is done: on a dask cluster, or in jobs of SLURM. Needs the extra `cluster`."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from nowcast.data.prepare.engines import Pool, ended
from nowcast.files import how_to_install

_interrupt = signal.getsignal(signal.SIGINT)
try:
    import distributed
    from dask_jobqueue.slurm import SLURMCluster
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"engine=dask and engine=slurm need {error.name}; {how_to_install('cluster')}") from error
signal.signal(signal.SIGINT, _interrupt)  # dask_jobqueue puts a handler in its place that ends without a word

SECONDS = 60  # for which a scheduler is waited


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
        """
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
        """The cluster, without a job."""
        return SLURMCluster(
            queue=self.queue, account=self.account, walltime=self.walltime, memory=self.memory, cores=1, processes=1,
            job_extra_directives=list(self.job_directives), job_script_prologue=list(self.job_prologue),
            scheduler_options={"dashboard_address": None},
        )  # fmt: skip

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        """See Engine.

        Raises:
            FileNotFoundError: There is no sbatch.
        """
        if shutil.which("sbatch") is None:
            raise FileNotFoundError("engine=slurm: there is no sbatch here; begin it where jobs are submitted from")
        with ExitStack() as stack:
            cluster = stack.enter_context(self.cluster())
            cluster.scale(jobs=max(1, self.workers))
            yield from _workers_at(cluster, stack)


def _workers_at(place: Any, stack: ExitStack) -> Iterator[Pool]:  # noqa: ANN401
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
        raise ended() from error
    finally:
        executor.shutdown(wait=False)
