"""A preparation that is killed again and again: the store that it ends with is that of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from nowcast.data.zarr.opening import archive_at
from tests.data.formats import fakes
from tests.data.prepare.stores import files_of

PROGRAM = """
import sys
from pathlib import Path
from nowcast.data.archive.limits import Limits
from nowcast.data.formats.netcdf import NetcdfReader
from nowcast.data.prepare.engines import Local
from nowcast.data.prepare.store import prepare_store
from nowcast.data.prepare.template import Layout
from nowcast.progress import silent
from tests.data.formats.readers import reader
from tests.data.prepare.preparing import LIMITS

if __name__ == "__main__":
    made = reader("netcdf")
    print("begins", flush=True)
    prepare_store(
        made, sys.argv[1], Path(sys.argv[2]), limits=LIMITS, on_error="stop", allow_overlapping_sums=False,
        engine=Local(int(sys.argv[3])), attributes={"title": "test"}, track=silent, layout=Layout(3, (1, None, None)),
    )
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program, and a folder of files: some of one frame, some of many."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "in").mkdir()
    draw = np.random.default_rng(0)
    for k in range(40):
        count = 1 + k % 3
        values = draw.gamma(0.3, 3.0, (count, 40, 50)).astype(np.float32)
        values[:, :3] = np.nan
        times = [5 * (3 * k + n) for n in range(count)]
        fakes.cf(folder / "in" / f"{k:02}.nc", values, times=times)
    (folder / "program.py").write_text(PROGRAM)
    return folder


def begin(program, output, workers, inputs="in"):
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1000000000", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(program / "program.py"), str(program / inputs), str(output), str(workers)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    assert process.stdout.readline() == "begins\n", process.stderr.read()
    return process


def ended(process):
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def undisturbed(program):
    """The files of a store, and how long it took."""
    process = begin(program, program / "undisturbed.zarr", 0)
    start = time.monotonic()
    assert ended(process) == 0
    return files_of(program / "undisturbed.zarr"), time.monotonic() - start


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kills", "workers"),
    [(3, 0), pytest.param(20, 0, marks=pytest.mark.slow), pytest.param(20, 2, marks=pytest.mark.slow)],
)
@pytest.mark.timeout(600)
def test_a_store_that_was_killed_again_and_again_is_the_undisturbed_one(program, undisturbed, kills, workers):
    expected, seconds = undisturbed
    output = program / f"killed_{kills}_{workers}.zarr"
    draw = random.Random(f"{kills} {workers}")
    cut_short = 0
    for _ in range(kills):
        process = begin(program, output, workers)
        # Kills move on through the work, since what was done is not done again.
        time.sleep(draw.uniform(0, 1.2 * seconds / kills if workers == 0 else seconds))
        os.killpg(process.pid, signal.SIGKILL)
        cut_short += ended(process) != 0
        readable = (output / "zarr.json").exists()
        assert not readable or files_of(output).keys() >= expected.keys()
    process = begin(program, output, workers)
    assert ended(process) == 0
    assert files_of(output) == expected
    assert cut_short > kills // 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_store_that_is_killed_while_it_grows_is_the_old_or_the_new_one_at_any_time(program, undisturbed):
    half = program / "half"
    half.mkdir()
    for path in sorted((program / "in").iterdir())[:19]:  # the last shard is not full
        os.link(path, half / path.name)
    output = program / "growing.zarr"
    assert ended(begin(program, output, 0, "half")) == 0
    archives = [archive_at(program / "undisturbed.zarr"), archive_at(output)]
    assert len(archives[1].times) % 3
    values = [archive.read(slice(None), slice(None), slice(None)) for archive in archives]
    draw, seen = random.Random(1), []
    for _ in range(12):
        process = begin(program, output, 0)
        time.sleep(draw.uniform(0, undisturbed[1] / 4))
        os.killpg(process.pid, signal.SIGKILL)
        ended(process)
        now = archive_at(output)
        seen.append(len(now.times))
        expected = values[0][: seen[-1]]
        assert np.array_equal(now.read(slice(None), slice(None), slice(None)), expected, equal_nan=True)
    assert set(seen) <= {len(archive.times) for archive in archives}
    assert len(archives[1].times) in seen
    assert ended(begin(program, output, 0)) == 0
    found, expected = files_of(output), undisturbed[0]
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == ["zarr.json"]  # two histories
