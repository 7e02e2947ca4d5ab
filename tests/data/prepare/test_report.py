"""The table of months that `prepare` ends with, against one worked out by hand."""

import numpy as np

from nowcast.data.prepare.report import Counts, Entry, Report, absent_times
from tests.data.prepare.preparing import cf, prepare


def entry(time, below=0, above=0, missing=0):
    return Entry(np.datetime64(time), "x", 0, b"", Counts(below, above, missing, 20))


def test_frames_gaps_no_data_and_values_out_of_range_by_month(tmp_path):
    report = Report(tmp_path)
    report.entries = [
        entry("2024-01-31T23:40:00", missing=5),
        entry("2024-01-31T23:45:00", above=2),
        entry("2024-02-01T00:05:00", below=3),  # 23:50 and 23:55 are absent from January, 00:00 from February
        entry("2024-02-01T00:10:00", above=1, missing=10),
    ]
    assert [line.split() for line in report.by_month()] == [
        ["month", "frames", "absent", "no", "data", "above", "below"],
        ["2024-01", "2", "2", "12.50%", "2", "0"],
        ["2024-02", "2", "1", "25.00%", "1", "3"],
    ]


def test_months_without_a_frame_are_left_out():
    report = Report("x")
    assert report.by_month() == []
    report.entries = [entry("2024-01-01T00:00:00")]
    assert len(report.by_month()) == 2
    assert len(absent_times([np.datetime64("2024-01-01")])) == 0


def test_an_archive_is_counted_frame_by_frame(tmp_path):
    values = np.full((1, 4, 5), 1.0, dtype=np.float32)
    values[0, 0, :3] = np.nan
    cf(tmp_path, "a.nc", 0, values)
    cf(tmp_path, "b.nc", 5, np.where(np.isnan(values), 400, values).astype(np.float32))
    cf(tmp_path, "c.nc", 15)
    _, report = prepare(tmp_path)
    assert [tuple(entry.counts) for entry in report.entries] == [(0, 0, 3, 20), (0, 3, 0, 20), (0, 0, 0, 20)]
    assert [(report.missing, report.above, report.cells)] == [(3, 3, 60)]
    assert report.by_month()[1].split()[1:] == ["3", "1", "5.00%", "3", "0"]
