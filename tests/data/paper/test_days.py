"""Days of archives in place of the paper's pictures."""

import numpy as np

from nowcast.data.archive.archive import Archive
from nowcast.data.paper.days import ArchiveDays
from tests.data.archives import frame, write
from tests.data.paper.hko_tree import archives


def test_archives_are_days_of_24_hours_from_their_first_frame(tmp_path):
    rain = 9 * np.random.default_rng(0).random((300, 12, 12))
    write(tmp_path / "two.nc", [frame(k * 6, field) for k, field in enumerate(rain)])
    source = ArchiveDays([str(tmp_path / "two.nc")], 118.239, 1.5241, -10.0, 60.0)
    days = source.days()
    assert [(day.name, len(day.times)) for day in days] == [("two_000", 240), ("two_001", 60)]
    grey = next(days[1].frames())
    rate = Archive(tmp_path / "two.nc").read(slice(240, 241), slice(None), slice(None))[0]
    dbz = 10 * np.log10(118.239) + 15.241 * np.log10(np.maximum(rate, 1e-9))
    np.testing.assert_allclose(grey, np.clip((dbz + 10) / 70, 0, 1), atol=1e-5)


def test_no_data_of_an_archive_stays_no_data(tmp_path):
    fields = 9 * np.random.default_rng(0).random((20, 12, 12))
    fields[:, :6] = np.nan
    write(tmp_path / "half.nc", [frame(k * 6, field) for k, field in enumerate(fields)])
    source = ArchiveDays([str(tmp_path / "half.nc")], 118.239, 1.5241, -10.0, 60.0)
    (path,) = archives(source, tmp_path / "made", disk_radius=0.0).paths()
    values = Archive(path).read(slice(None), slice(None), slice(None))
    assert np.isnan(values[:, :3]).all()
    assert np.isfinite(values[:, 3:]).all()
