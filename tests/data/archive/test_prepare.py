"""Provider files to archive: order, duplicates, gaps, limits, damage, and nothing half-finished."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.limits import Limits
from nowcast.data.archive.prepare import find_files, prepare_archive
from tests.data.formats import fakes
from tests.data.formats.readers import reader

LIMITS = Limits((0.0, 300.0), (-60.0, 80.0), below="mask", above="clip")


def prepare(tmp_path, inputs=None, source="netcdf", overrides=(), **changes):
    options = {
        "limits": LIMITS,
        "on_error": "stop",
        "allow_overlapping_sums": False,
        "workers": 0,
        "attributes": {"title": "test"},
        "track": lambda items, text, total: items,
    } | changes
    output = tmp_path / "out" / "archive.nc"
    report = prepare_archive(reader(source, *overrides), str(inputs or tmp_path / "in"), output, **options)
    return Archive(output), report


def cf(tmp_path, name, minutes, value=1.0, **options):
    (tmp_path / "in").mkdir(exist_ok=True)
    values = np.full((1, 4, 5), value, dtype=np.float32) if np.ndim(value) == 0 else value
    return fakes.cf(tmp_path / "in" / name, values, times=(minutes,), **options)


def read(archive):
    return archive.read(slice(None), slice(None), slice(None))


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


@pytest.mark.parametrize("workers", [1, 2])
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


def test_mixed_grids_are_refused_with_both_shapes(tmp_path):
    cf(tmp_path, "a.nc", 0)
    cf(tmp_path, "b.nc", 5, np.zeros((1, 6, 5), dtype=np.float32))
    with pytest.raises(DataFormatError, match=r"b\.nc: grid \(6, 5\) differs from \(4, 5\)"):
        prepare(tmp_path)


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


def test_a_damaged_file_stops_the_job_by_name_or_is_skipped_on_the_record(tmp_path):
    cf(tmp_path, "a.nc", 0)
    bad = cf(tmp_path, "b.nc", 5)
    bad.write_bytes(bad.read_bytes()[:1000])
    cf(tmp_path, "c.nc", 10)
    with pytest.raises(DataFormatError, match=r"b\.nc"):
        prepare(tmp_path)
    with pytest.raises(DataFormatError, match=r"b\.nc"):
        prepare(tmp_path, workers=2)
    archive, report = prepare(tmp_path, on_error="skip")
    assert len(archive.times) == 2
    assert len(report.skipped) == 1
    assert "skipped" in archive.attributes["history"]
    assert "b.nc" in archive.attributes["history"]


def test_a_foreign_grid_can_be_skipped_too(tmp_path):
    cf(tmp_path, "a.nc", 0)
    cf(tmp_path, "b.nc", 5, np.zeros((1, 6, 5), dtype=np.float32))
    archive, report = prepare(tmp_path, on_error="skip")
    assert len(archive.times) == 1
    assert "(6, 5) differs from (4, 5)" in report.skipped[0]


def test_the_first_file_does_not_settle_what_is_kept(tmp_path):
    """Of files that do not fit together the kind that most hold is kept, and the rule is said."""
    cf(tmp_path, "00.nc", 0, np.zeros((1, 6, 5), dtype=np.float32))
    for k in range(1, 6):
        cf(tmp_path, f"{k:02}.nc", 5 * k, float(k))
    archive, report = prepare(tmp_path, on_error="skip")
    assert read(archive)[:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert (report.files, report.frames) == (5, 5)
    assert report.cells == 5 * 20
    history = archive.attributes["history"]
    assert (
        "2 kinds of frames do not fit into one archive: 5 of 6 files are like 01.nc; the kind that most hold" in history
    )
    assert f"skipped {tmp_path}/in/00.nc: grid (6, 5) differs from (4, 5)" in history


def test_the_kind_that_most_files_hold_may_come_last_and_lie_anywhere(tmp_path):
    """Kinds differ in quantity, place, packing or period; a conflict among files that are left out is none."""
    cf(tmp_path, "a0.nc", 0, 1.0, attributes={"units": "dBZ"})
    cf(tmp_path, "a1.nc", 0, 2.0, attributes={"units": "dBZ"})
    cf(tmp_path, "b0.nc", 5, 3.0, x=np.arange(5) * 1000.0 + 1e6)
    for k in range(3):
        cf(tmp_path, f"c{k}.nc", 5 * k, 4.0)
    archive, report = prepare(tmp_path, on_error="skip")
    assert read(archive)[:, 0, 0].tolist() == [4, 4, 4]
    assert [text.split(": ")[0].rsplit("/", 1)[1] for text in report.skipped] == ["a0.nc", "a1.nc", "b0.nc"]
    assert "lies elsewhere" in report.skipped[2]
    with pytest.raises(DataFormatError, match=r"a1\.nc: second, different frame"):
        prepare(tmp_path / "x", inputs=tmp_path / "in" / "a*.nc", on_error="skip")


def test_of_equally_many_the_first_by_name_is_kept_and_that_is_said(tmp_path):
    cf(tmp_path, "a.nc", 0)
    cf(tmp_path, "b.nc", 5, np.zeros((1, 6, 5), dtype=np.float32))
    _, report = prepare(tmp_path, on_error="skip")
    assert "1 of 2 files are like a.nc; as many hold another; the first by name was kept" in report.choice


def test_a_file_whose_own_frames_do_not_fit_is_skipped(tmp_path):
    class Mixed:
        pattern, provider, licence = "*.nc", "", ""

        def read(self, path):
            first = reader("netcdf").read(path)
            return first * 2 if path.name == "a.nc" else [*first, replace(first[0], period=60.0)]

    cf(tmp_path, "a.nc", 0)
    cf(tmp_path, "b.nc", 5)
    options = {"limits": LIMITS, "allow_overlapping_sums": False, "workers": 0, "attributes": {},
               "track": lambda items, text, total: items}  # fmt: skip
    report = prepare_archive(Mixed(), str(tmp_path / "in"), tmp_path / "o.nc", on_error="skip", **options)
    assert (report.files, report.frames, report.duplicates) == (1, 1, 1)
    assert "b.nc: its own frames do not fit together: period 60.0 differs" in report.skipped[0]
    with pytest.raises(DataFormatError, match=r"b\.nc: its own frames"):
        prepare_archive(Mixed(), str(tmp_path / "in"), tmp_path / "p.nc", on_error="stop", **options)


def test_when_all_files_fail_in_the_same_way_it_is_not_the_files(tmp_path):
    for k in range(30):
        cf(tmp_path, f"{k:02}.nc", 5 * k, attributes={"units": f"bananas per {k} hours"})
    with pytest.raises(ValueError, match="all 30 fail in the same way, so that it is hardly the files") as caught:
        prepare(tmp_path, on_error="skip")
    assert str(caught.value).count("\n") == 0
    for k in range(30):
        (tmp_path / "in" / f"{k:02}.nc").write_bytes(b"x" * k + b"no" * (k % 2))
    (tmp_path / "in" / "a.nc").write_bytes(b"CDF\x01")
    (tmp_path / "in" / "b.nc").touch()
    cf(tmp_path, "c.nc", 0, attributes={"units": "bananas"})
    with pytest.raises(ValueError, match="no file could be read:") as caught:
        prepare(tmp_path, on_error="skip")
    assert str(caught.value).endswith("and 23 more")


@pytest.mark.parametrize("on_error", ["skip", "stop"])
@pytest.mark.parametrize("bug", [AttributeError, TypeError, KeyError, IndexError, RuntimeError, MemoryError])
def test_a_bug_in_a_reader_is_no_damaged_file(tmp_path, monkeypatch, bug, on_error):
    """What only a program can do wrong goes through, also where files are skipped."""

    def broken(*given):
        raise bug("a bug of ours")

    cf(tmp_path, "a.nc", 0)
    monkeypatch.setattr("nowcast.data.formats.odim.read_grid", broken)
    odim = fakes.odim(tmp_path / "in" / "a.hdf", np.ones((4, 5)))
    with pytest.raises(bug, match="a bug of ours"):
        prepare(tmp_path, inputs=odim, source="odim", on_error=on_error)


def test_nothing_readable_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nc").write_text("no")
    with pytest.raises(ValueError, match=r"no file could be read[\s\S]*a\.nc"):
        prepare(tmp_path, on_error="skip")


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


def two_radars(folder, first, second):
    """A netCDF file of each of two radars, whose grids differ."""
    for name, minutes, shape in ((first, 0, (4, 5)), (second, 5, (6, 5))):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fakes.cf(path, np.zeros((1, *shape), dtype=np.float32), times=(minutes,))


def test_two_radars_in_two_folders_are_told_apart(tmp_path):
    two_radars(tmp_path / "in", "CASCM/2024/0000_CASCM_Rain.nc", "CASGO/2024/0005_CASGO_Rain.nc")
    with pytest.raises(DataFormatError) as caught:
        prepare(tmp_path)
    text = str(caught.value)
    assert "such as 0000_CASCM_Rain.nc; an archive holds one product of one radar or composite" in text
    choices = text.partition("choose ")[2].split(" or ")
    assert choices == [f"input={tmp_path}/in/CASCM", f"input={tmp_path}/in/CASGO"]
    assert prepare(tmp_path, choices[0].removeprefix("input="))[1].files == 1


def test_two_radars_in_one_folder_are_told_apart_by_their_names(tmp_path):
    two_radars(tmp_path / "in", "T0000Z_CASCM_Rain.nc", "T0005Z_CASGO_Rain.nc")
    with pytest.raises(DataFormatError) as caught:
        prepare(tmp_path)
    choices = str(caught.value).partition("choose ")[2].split(" or ")
    assert choices == [f"'input={tmp_path}/in/*CASCM*'", f"'input={tmp_path}/in/*CASGO*'"]
    assert prepare(tmp_path, choices[1].strip("'").removeprefix("input="))[1].files == 1


def test_two_products_are_told_apart_whatever_is_met_first(tmp_path):
    """A mixture may show as another grid, as a second frame of one time, or as a file that the reader does not know."""

    def folder(name, **second):
        (tmp_path / name).mkdir()
        fakes.cf(tmp_path / name / "T0000Z_5min_Rain.nc", np.ones((1, 4, 5), dtype=np.float32))
        fakes.cf(tmp_path / name / "T0000Z_c60_Rain.nc", np.full((1, 4, 5), 2.0, dtype=np.float32), **second)
        return tmp_path / name

    for name, second in (
        ("time", {}),
        ("unit", {"attributes": {"units": "K"}}),
        ("kind", {"attributes": {"units": "dBZ"}}),
    ):
        inputs = folder(name, **second)
        with pytest.raises(DataFormatError) as caught:
            prepare(tmp_path, inputs)
        choices = str(caught.value).partition("choose ")[2].split(" or ")
        assert choices == [f"'input={inputs}/*5min*'", f"'input={inputs}/*c60*'"], str(caught.value)
        assert len(find_files(choices[0].strip("'").removeprefix("input="), "*.nc")) == 1


def test_names_that_differ_in_numbers_only_tell_no_radars_apart(tmp_path):
    two_radars(tmp_path / "in", "0000.nc", "0005.nc")
    with pytest.raises(DataFormatError, match=r"choose its files by input=$"):
        prepare(tmp_path)
