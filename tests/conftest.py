"""Fixtures shared by all tests, what stays fast of a product, and that the real-data tests run wherever the data is."""

import fcntl
import gc
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich import get_console

from tests.config.once import once
from tests.programs import TINY, run
from tests.s3 import S3

# Several test processes share the cores; threads of one would wait for those of another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REAL_DATA = Path(os.environ.get("NOWCAST_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def thinned(cases, fast):
    """All cases as pytest's parameters; those whose numbers are not in `fast` are left to `make test-thorough`."""
    cases = list(cases)
    assert set(fast) <= set(range(len(cases)))
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if k in fast else pytest.mark.thorough)
        for k, case in enumerate(cases)
    ]


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """What is imported stays to the end: half a million objects that each full collection would walk through again.

    With it and with rarer collections of what is young, a sixth of the processor time of all tests.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(1000, 10, 50)


@pytest.fixture(scope="session", autouse=True)
def _configs_are_found_once() -> Iterator[None]:
    with once():
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real radar files in their original formats; the test is skipped, visibly, without it."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real radar data at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny run with scores and pictures, made once for all test processes; nothing may write there.

    Its data lie beside it, in `data`.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, whole = shared / "trained", shared / "trained.whole"
    with (shared / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            more = [f"output={folder / 'run'}", f"data.archives.folder={folder / 'data'}", "hydra.job.chdir=false"]
            assert run("train", *TINY, *more, "picture=true") == (0, "")
            whole.touch()
    return folder / "run"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server, started when a test first asks for it."""
    with S3(tmp_path_factory.mktemp("s3") / "served").running() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The S3 server without faults; its address and credentials are in the environment."""
    s3_server.calm()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of what version 0.1.0 left behind, entered, since its configs name relative paths."""
    with tarfile.open(Path(__file__).parent / "before" / "version_0_1_0.tar.xz") as file:
        file.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        file.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_progress_bar_goes_on() -> Iterator[None]:
    """A bar that is left running waits for ever for the next one."""
    yield
    left = [*get_console()._live_stack]
    for bar in reversed(left):
        bar.stop()
    assert not left


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run when real_data tests were required (NOWCAST_REQUIRE_REAL_DATA=1) and did not run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("NOWCAST_REQUIRE_REAL_DATA") != "1":
        return
    passed, skipped = (
        # A module that is skipped whole, for want of an optional library, is no test and has no marks.
        sum("real_data" in getattr(report, "keywords", ()) for report in reporter.stats.get(outcome, []))
        for outcome in ("passed", "skipped")
    )
    reporter.write_line(f"real_data tests: {passed} passed, {skipped} skipped")
    if (passed == 0 or skipped) and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
