"""Provider files to archive: order, duplicates, gaps, limits, damage, and nothing half-finished."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.limits import Limits
from nowcast.data.prepare.files import find_files
from tests.conftest import thinned
from tests.data.formats import fakes
from tests.data.prepare.preparing import cf, prepare, read


def test_frames_are_put_in_time_order(tmp_path):
    for name, minutes in (("a.nc", 10), ("b.nc", 0), ("c.nc", 5)):
        cf(tmp_path, name, minutes, minutes)
    archive, report = prepare(tmp_path)
    assert read(archive)[:, 0, 0].tolist() == [0, 5, 10]
    assert (report.files, report.frames) == (3, 3)


def test_frames_of_interleaved_files(tmp_path):
    (tmp_path / "in").mkdir()
    fakes.cf(tmp_path / "in" / "a.nc", np.arange(40, dtype=np.float32).reshape(2, 4, 5), times=(0, 10))
    fakes.cf(tmp_path / "in" / "b.nc", np.full((1, 4, 5), 99, dtype=np.float32), times=(5,))
    archive, _ = prepare(tmp_path)
    assert read(archive)[:, 0, 0].tolist() == [0, 99, 20]


@pytest.mark.parametrize("workers", thinned([1, 2], fast=[0]))
def test_workers_change_nothing(tmp_path, workers):
    for k in range(12):
        cf(tmp_path, f"{k:02}.nc", 5 * k, float(k))
    archive, _ = prepare(tmp_path, workers=workers)
    assert read(archive)[:, 0, 0].tolist() == list(range(12))


def test_gaps_stay_gaps(tmp_path):
    for k in (0, 1, 2, 5, 6):
        cf(tmp_path, f"{k}.nc", 5 * k)
    archive, _ = prepare(tmp_path)
    assert (np.diff(archive.times).astype(int) // 60).tolist() == [5, 5, 15, 5]
    assert archive.timestep == 300


def test_identical_duplicates_are_left_out_and_counted(tmp_path):
    cf(tmp_path, "a.nc", 0)
    cf(tmp_path, "b.nc", 0)
    cf(tmp_path, "c.nc", 5)
    archive, report = prepare(tmp_path)
    assert (len(archive.times), report.duplicates) == (2, 1)
    assert "1 identical duplicates" in archive.attributes["history"]


def test_different_frames_of_one_time_are_an_error(tmp_path):
    cf(tmp_path, "a.nc", 0, 1.0)
    cf(tmp_path, "b.nc", 0, 2.0)
    with pytest.raises(DataFormatError, match=r"b\.nc: second, different frame for 2024-05-01T00:00:00.*a\.nc"):
        prepare(tmp_path)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_limits_clip_above_and_mask_below_and_count(tmp_path):
    values = np.array([[[-1.0, 0.0, 300.0, 8647.0, np.nan]] * 4], dtype=np.float32)
    cf(tmp_path, "a.nc", 0, values)
    cf(tmp_path, "b.nc", 5, values)
    archive, report = prepare(tmp_path)
    np.testing.assert_array_equal(read(archive)[0, 0], [np.nan, 0, 300, 300, np.nan])
    assert (report.above, report.below) == (8, 8)
    assert "8 values above the physical range clipped, 8 below set to no data" in archive.attributes["history"]


def test_limits_can_mask_above_and_clip_below(tmp_path):
    cf(tmp_path, "a.nc", 0, np.array([[[-1.0, 0.0, 400.0, 1.0, 2.0]] * 4], dtype=np.float32))
    limits = Limits((0.0, 300.0), (-60.0, 80.0), below="clip", above="mask")
    np.testing.assert_array_equal(read(prepare(tmp_path, limits=limits)[0])[0, 0], [0, 0, np.nan, 1, 2])


def test_limits_of_amounts_go_by_their_rate(tmp_path):
    attributes = {"units": "mm"}
    cf(tmp_path, "a.nc", 10, 51.0, attributes=attributes)  # 306 mm/h
    archive, report = prepare(tmp_path, overrides=("source.period_seconds=600",))
    assert report.above == 20
    assert read(archive).max() == pytest.approx(300)


@pytest.mark.parametrize("change", [{"below": "drop"}, {"rain_rate": (5.0, 5.0)}])
def test_impossible_limits_are_refused(change):
    with pytest.raises(ValueError, match=r"limits\."):
        Limits(
            **({"rain_rate": (0.0, 300.0), "reflectivity": (-60.0, 80.0), "below": "mask", "above": "clip"} | change)
        )


def test_overlapping_sums_are_refused_unless_asked_for(tmp_path):
    for k in range(3):
        cf(tmp_path, f"{k}.nc", 15 * k, 2.0, attributes={"units": "mm"})
    hourly = ("source.period_seconds=3600",)
    with pytest.raises(ValueError, match=r"amounts over 60 min come every 15 min.*allow_overlapping_sums"):
        prepare(tmp_path, overrides=hourly)
    archive, _ = prepare(tmp_path, overrides=hourly, allow_overlapping_sums=True)
    assert read(archive).max() == pytest.approx(2.0)


def test_no_data_is_not_no_rain(tmp_path):
    values = np.array([[[np.nan, 0.0, 1.0, 0.0, np.nan]] * 4], dtype=np.float32)
    cf(tmp_path, "a.nc", 0, values)
    archive, report = prepare(tmp_path)
    np.testing.assert_array_equal(read(archive)[0], values[0])
    assert report.missing / report.cells == 0.4


def test_an_existing_output_is_refused(tmp_path):
    cf(tmp_path, "a.nc", 0)
    prepare(tmp_path)
    with pytest.raises(FileExistsError, match="choose another output"):
        prepare(tmp_path)


def test_inputs_may_be_folder_glob_file_or_list(tmp_path):
    a, b = cf(tmp_path, "a.nc", 0), cf(tmp_path, "b.nc", 5)
    folder = str(tmp_path / "in")
    assert find_files(folder, "*.nc") == [a, b]
    assert find_files(f"{folder}/b*", "*.nc") == [b]
    assert find_files([str(a), folder], "*.nc") == [a, b]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [("in", r"matches '\*\.h5' \(files there end in \.nc\)"), ("none", "no such file"), ("in/x*", "matches no file")],
)
def test_missing_inputs_are_explained(tmp_path, inputs, message):
    cf(tmp_path, "a.nc", 0)
    with pytest.raises(FileNotFoundError, match=message):
        find_files(str(tmp_path / inputs), "*.h5")


def test_an_empty_folder_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"input=.* is an empty folder$"):
        find_files(str(tmp_path), "*.h5")


def test_a_killed_run_leaves_nothing_that_looks_finished(tmp_path):
    for k in range(40):
        cf(tmp_path, f"{k:02}.nc", 5 * k, np.random.default_rng(k).random((1, 300, 300)).astype(np.float32))
    output = tmp_path / "archive.nc"
    command = [sys.executable, "-m", "nowcast.commands.prepare", "source=netcdf", f"input={tmp_path / 'in'}"]
    process = subprocess.Popen(
        [*command, f"output={output}", "workers=0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not list(tmp_path.glob("*.partial")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert not output.exists()
