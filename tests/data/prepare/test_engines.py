"""Who does the work of a preparation: processes, a dask cluster of which a worker dies, jobs of SLURM."""

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from nowcast.data.prepare.clusters import Dask, Slurm
from nowcast.data.prepare.engines import Local
from nowcast.progress import silent
from tests.data.formats import fakes
from tests.data.prepare.stores import files_of, prepare
from tests.programs import run

SLURM = {
    "workers": 3, "queue": "batch", "account": "radar", "walltime": "02:00:00", "memory": "8GB",
    "job_directives": ["--constraint=lustre"], "job_prologue": ["source .venv/bin/activate"],
}  # fmt: skip


def double(number):
    return 2 * number


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_the_order_of_the_items(workers):
    with Local(workers).pool() as pool:
        assert list(pool.in_order(double, range(30))) == list(range(0, 60, 2))


def test_the_job_of_slurm_asks_for_what_was_set():
    with Slurm(**SLURM).cluster() as cluster:
        script = cluster.job_script().splitlines()
    assert script[0].startswith("#!")
    for line in ("-p batch", "-A radar", "-t 02:00:00", "--mem=8G", "--constraint=lustre", "--cpus-per-task=1"):
        assert f"#SBATCH {line}" in script, script
    worker = next(line for line in script if "distributed.cli.dask_worker" in line or "dask worker" in line)
    assert script.index("source .venv/bin/activate") < script.index(worker)
    assert "--nthreads 1" in worker


@pytest.mark.parametrize("engine", ["dask", "slurm"])
def test_an_engine_that_is_not_installed_says_how_it_is(tmp_path, monkeypatch, engine):
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    monkeypatch.delitem(sys.modules, "nowcast.data.prepare.clusters")
    monkeypatch.delattr("nowcast.data.prepare.clusters")
    fakes.cf(tmp_path / "a.nc", np.ones((1, 4, 5), dtype=np.float32))
    given = ["source=netcdf", f"input={tmp_path / 'a.nc'}", f"output={tmp_path / 'a.zarr'}", f"engine={engine}"]
    code, message = run("prepare", *given)
    assert code == 1
    assert "need dask_jobqueue.slurm; in the checkout: pip install -c constraints.txt -e '.[cluster]'" in message


def test_slurm_without_slurm_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="there is no sbatch here"), Slurm(**SLURM).pool():
        pass


def test_nothing_else_imports_dask():
    code = "import sys, nowcast.data.prepare.store, nowcast.data.prepare.either; print('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for k in range(24):
        values = draw.gamma(0.3, 3.0, (1, 40, 50)).astype(np.float32)
        fakes.cf(tmp_path / "in" / f"{k:02}.nc", values, times=[5 * k])
    return tmp_path / "in"


@pytest.mark.slow  # a scheduler and two workers begin
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")  # dask's own
def test_a_worker_of_a_cluster_that_is_killed_changes_nothing(files, tmp_path, monkeypatch):
    import distributed

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    inputs = str(files)
    expected, _ = prepare(tmp_path / "undisturbed", inputs, shard=2)
    killed = []
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):

        def track(items, text, total):
            for count, item in enumerate(items):
                if text == "writing frames" and count == 3:
                    killed.append(next(iter(client.run(os.getpid).values())))
                    os.kill(killed[0], signal.SIGKILL)
                yield item

        engine = Dask(2, cluster.scheduler_address)
        found, report = prepare(tmp_path / "killed", inputs, shard=2, engine=engine, track=track)
    assert len(killed) == 1
    assert report.frames == 24
    assert files_of(found.path) == files_of(expected.path)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")
def test_a_cluster_of_this_machine_is_started_by_the_command(files, tmp_path):
    given = ["source=netcdf", f"input={files}", f"output={tmp_path / 'a.zarr'}", "engine=dask", "workers=2"]
    assert run("prepare", *given) == (0, "")
    whole, _ = prepare(tmp_path / "here", str(files), shard=96)
    found, expected = (
        {key: value for key, value in files_of(path).items() if "/c/" in key}
        for path in (tmp_path / "a.zarr", whole.path)
    )
    assert found == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_address_without_a_scheduler_is_one_line(files, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr("nowcast.data.prepare.clusters.SECONDS", 1)
    with pytest.raises(ConnectionError, match=f"engine.address={address}: no dask scheduler with a worker") as error:
        prepare(tmp_path, str(files), engine=Dask(1, address), track=silent)
    assert "\n" not in str(error.value)
