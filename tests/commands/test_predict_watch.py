"""`nowcast predict watch=<folder>` as a process of its own, beside files that arrive one by one."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import netCDF4
import numpy as np
import pytest

from tests.data.formats import fakes
from tests.programs import ended, run

PATIENCE = 90  # seconds; a busy machine imports slowly
NAME = "20240501T00{:02}00Z.nc"


def provider_file(folder, minute):
    """Rain that moves a cell to the right every five minutes."""
    rain = np.zeros((1, 24, 24), dtype=np.float32)
    rain[0, 4:12, 2 + minute // 5 : 8 + minute // 5] = 7.0
    return fakes.cf(folder / f"radar_20240501{minute // 60:02}{minute % 60:02}.nc", rain, times=(minute,))


@contextmanager
def watching(folder, *more):
    """The process, its log, and a function that waits for words in that."""
    log = folder / "log"
    model = [] if any(text.startswith("checkpoint=") for text in more) else ["model=extrapolation", "forecast_steps=2"]
    typed = [*model, "source=netcdf", f"watch={folder / 'in'}", "poll_seconds=0.2", f"output={folder / 'out'}", *more]
    command = [sys.executable, "-m", "nowcast", "predict", *typed]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:

        def wait_for(words):
            until = time.monotonic() + PATIENCE
            while words not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, f"{words!r} is not in: {log.read_text()}"
                time.sleep(0.05)

        try:
            yield process, wait_for
        finally:
            process.kill()


def rain(path):
    with netCDF4.Dataset(path) as dataset:
        return dataset["rain_rate"][:].filled(np.nan)


@pytest.mark.timeout(6 * PATIENCE)
def test_files_that_arrive_one_by_one(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "made").mkdir()
    files = {minute: provider_file(tmp_path / "made", minute) for minute in range(0, 45, 5)}
    out = tmp_path / "out"

    def arrive(minute, share=1.0):
        content = files[minute].read_bytes()
        (tmp_path / "in" / files[minute].name).write_bytes(content[: int(share * len(content))])

    with watching(tmp_path) as (process, wait_for):
        wait_for("watching")
        for minute in (5, 10, 15):
            arrive(minute)
        wait_for(f"wrote {out / NAME.format(15)} in ")
        # Half a file is waited for.
        arrive(20, share=0.5)
        wait_for("0020.nc: not readable")
        arrive(20)
        wait_for(f"wrote {out / NAME.format(20)}")
        # What comes late makes no forecast.
        arrive(0)
        wait_for("the frame of 2024-05-01T00:00:00 came after the forecast from 2024-05-01T00:20:00")
        # A gap is said, and what completes the newest input makes a forecast of that alone.
        arrive(30)
        wait_for("no forecast from 2024-05-01T00:30:00: no frame at 2024-05-01T00:25:00")
        arrive(25)
        wait_for(f"wrote {out / NAME.format(30)}")
        # A file of another grid is said, and what comes after it is forecast from, once there is enough of it.
        other = np.zeros((1, 8, 8), dtype=np.float32)
        fakes.cf(tmp_path / "in" / "radar_202405010035.nc", other, times=(35,))
        wait_for("no forecast: ")
        arrive(35)
        wait_for(f"wrote {out / NAME.format(35)}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert sorted(path.name for path in out.iterdir()) == [NAME.format(minute) for minute in (15, 20, 30, 35)]
    # Each is what `predict` makes of the same files, and has their times.
    for minute in (20, 30):
        single = [f"input={tmp_path / 'made'}", f"output={tmp_path / f'{minute}.nc'}", "source=netcdf"]
        single += ["model=extrapolation", "forecast_steps=2", f"init_time=2024-05-01T00:{minute}"]
        assert run("predict", *single) == (0, "")
        np.testing.assert_array_equal(rain(out / NAME.format(minute)), rain(tmp_path / f"{minute}.nc"))
        assert np.nanmax(rain(out / NAME.format(minute))) > 5
        with netCDF4.Dataset(out / NAME.format(minute)) as dataset:
            assert dataset["forecast_period"][:].tolist() == [300, 600]


@pytest.mark.thorough
@pytest.mark.timeout(4 * PATIENCE)
def test_a_network_forecasts_and_what_is_to_be_said_of_it_is_said_once(trained, tmp_path):
    (tmp_path / "in").mkdir()
    along = np.arange(16) * 2000.0
    best = trained / "checkpoints" / "best.ckpt"
    network = [f"checkpoint={best}", "forecast_steps=9", "plot=true"]
    with watching(tmp_path, *network) as (process, wait_for):
        for minute in range(0, 25, 5):
            rain = np.random.default_rng(minute).random((1, 16, 16)).astype(np.float32)
            fakes.cf(tmp_path / "in" / f"2405010{minute:03}.nc", rain, times=(minute,), y=along[::-1], x=along)
            if minute >= 10:
                wait_for(f"wrote {tmp_path / 'out' / NAME.format(minute)} in ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".nc", ".png", ".gif"}
    assert (tmp_path / "log").read_text().count("were never trained nor scored") == 1


@pytest.mark.thorough
@pytest.mark.timeout(4 * PATIENCE)
def test_started_again_it_keeps_what_is_there_and_ctrl_c_ends_it(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for minute in (0, 5, 10):
        provider_file(tmp_path / "in", minute)
    there = tmp_path / "out" / "20240501_0010.nc"
    there.write_text("precious")
    with watching(tmp_path, f"output={tmp_path / 'out'}/%Y%m%d_%H%M.nc") as (process, wait_for):
        wait_for(f"{there} is there already")
        provider_file(tmp_path / "in", 15)
        wait_for("20240501_0015.nc in ")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert there.read_text() == "precious"
    assert sorted(path.name for path in there.parent.iterdir()) == ["20240501_0010.nc", "20240501_0015.nc"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("watch=nowhere output=out source=netcdf", "watch=nowhere: no such folder"),
        ("watch=. output=../out", "watch= reads provider files: add source=<format>"),
        ("watch=. output=../out source=netcdf input=a.nc", "leave out input= and init_time="),
        ("watch=. output=../out source=netcdf init_time=2024-05-01", "leave out input= and init_time="),
        ("watch=. output=../out source=netcdf poll_seconds=0", "poll_seconds must be above 0, got 0"),
        ("watch=. output=out source=netcdf", "output=out lies in the watched folder"),
        ("watch=. output=../%Y%m%d.nc source=netcdf", "gives forecasts of different times one name"),
        ("watch=. output=../file source=netcdf", "output=../file is a file"),
        ("watch=. output=../out source=netcdf checkpoint=no.ckpt", "no checkpoint at no.ckpt"),
    ],
)
def test_what_cannot_be_watched_is_refused_at_once(tmp_path, monkeypatch, typed, words):
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path / "in")
    arguments = typed.split()
    if "checkpoint" not in typed:
        arguments += ["model=persistence", "forecast_steps=1"]
    code, message = ended("predict", *arguments)
    assert (code, words in message) == (2, True), message
