"""Of a folder of many files those that a forecast needs are read, found by the times in their names."""

from pathlib import Path

import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.prepare.files import find_names
from nowcast.data.recent_files import KINDS, in_order_of_names, recent_files, time_in_name
from tests.data.archives import START, frame


class Reading:
    """A format of one frame a file, at the minute that `times` says, counting what is read."""

    def __init__(self, times, damaged=()):
        self.times, self.damaged, self.read_files = times, damaged, []

    def read(self, path):
        self.read_files.append(path.name)
        if path.name in self.damaged:
            raise DataFormatError(path, "truncated")
        return [frame(self.times[path.name])]


def folder_of(count, step=5):
    """Names in an order that is not theirs by the alphabet, with the minutes after START of their frames."""
    made = {}
    for k in range(count):
        moment = START + np.timedelta64(step * k, "m")
        made[f"{'ba'[k % 2]}_{str(moment).replace('-', '').replace(':', '')[:13]}.nc"] = step * k
    return [f"in/{name}" for name in sorted(made)], made


def chosen(files, reader, count=4, span=15, init=None):
    moment = None if init is None else START + np.timedelta64(init, "m")
    return [path.name for path in recent_files(files, reader, count, np.timedelta64(span, "m"), moment)]


def test_the_newest_are_read_and_no_more():
    files, times = folder_of(3000)
    reader = Reading(times)
    assert [times[name] for name in chosen(files, reader)] == [14980, 14985, 14990, 14995]
    assert len(reader.read_files) == 4
    assert [times[name] for name in chosen(files, reader, count=1, span=30)] == list(range(14965, 15000, 5))


def test_those_up_to_a_time_are_found_by_halving():
    files, times = folder_of(3000)
    reader = Reading(times)
    assert [times[name] for name in chosen(files, reader, init=7000)] == [6985, 6990, 6995, 7000]
    assert len(reader.read_files) < 4 + 13
    # A damaged file that is not needed is in nobody's way.
    far = [name for name, minutes in times.items() if minutes > 7100 or minutes < 6900]
    assert [times[name] for name in chosen(files, Reading(times, far), init=7000)] == [6985, 6990, 6995, 7000]
    needed = [name for name, minutes in times.items() if minutes == 6995]
    with pytest.raises(DataFormatError, match="truncated"):
        chosen(files, Reading(times, needed), init=7000)


def test_a_time_that_no_frame_has_and_names_that_mislead_read_all():
    files, times = folder_of(40)
    assert len(chosen(files, Reading(times), init=7)) == 40
    mixed = dict(zip(times, reversed(times.values()), strict=True))
    assert len(chosen(files, Reading(mixed))) == 40
    assert len(chosen(["a.nc", "b.nc"], Reading({"a.nc": 5, "b.nc": 0}), count=1, span=0)) == 2


@pytest.mark.parametrize(
    "names",
    [
        ["RAD_NL25_RAP_5min_201008262355.h5", "RAD_NL25_RAP_5min_201008270000.h5"],
        ["66_20201031_235000.prcp-c10.nc", "66_20201101_000000.prcp-c10.nc"],
        ["20240710T2354Z_MSC_Radar-DPQPE_CASGO_Rain.gif", "20240711T0000Z_MSC_Radar-DPQPE_CASGO_Rain.gif"],
        ["PrecipRate_00.00_20190610-235800.grib2.gz", "PrecipRate_00.00_20190611-000000.grib2.gz"],
        ["raa01-ry_10000-9912312355-dwd---bin.gz", "raa01-ry_10000-0001010000-dwd---bin.gz"],
        ["AQC143652355F_00005.801.gif", "AQC150010000F_00005.801.gif"],
        ["z_2016-09-28T23:55.pgm", "a_2016-09-29T00:00.pgm"],
    ],
)
def test_names_as_providers_give_them(names):
    assert in_order_of_names(names[::-1]) == names


@pytest.mark.parametrize("name", ["radar_2016.nc", "run_1234567890123.nc", "x_20241301_0000.nc", "d_2405322455.nc"])
def test_numbers_that_are_no_times(name):
    assert [time_in_name(name, kind) for kind in KINDS] == [None] * len(KINDS)


def test_names_with_brackets_are_no_globs_and_few_paths_are_made(tmp_path, monkeypatch):
    folder = tmp_path / "runs [1]"
    folder.mkdir()
    names = [f"a[{k % 2}]_202405{1 + k // 24:02d}{k % 24:02d}00.nc" for k in range(200)]
    for name in names:
        (folder / name).touch()
    made = []

    class Counted:
        def __new__(cls, *parts):
            made.append(parts)
            return Path(*parts)

    monkeypatch.setattr("nowcast.data.prepare.files.Path", Counted)
    found = find_names(str(folder), "*.nc")
    assert in_order_of_names(found) == [f"{folder}/{name}" for name in names]
    assert len(made) < 10
    assert find_names(found[:3], "*.nc") == found[:3]


def test_a_file_found_twice_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    for name in ("a.nc", "below/b.nc"):
        Path(name).touch()
    assert find_names([".", "a.nc", "./a.nc", "below", "*.nc", "./below/*.nc"], "*.nc") == ["a.nc", "below/b.nc"]
