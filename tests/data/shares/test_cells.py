"""How often cells and frames hold data and rain, beside a count of all frames at once."""

import numpy as np
import pytest

from nowcast.data.archive import blocks
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.shares.cells import count_cells
from nowcast.progress import silent
from tests.data.archives import frame, write


@pytest.mark.parametrize("cells_at_once", [80, 400, 20_000_000])
def test_counts_are_those_of_all_frames(tmp_path, monkeypatch, cells_at_once):
    monkeypatch.setattr(blocks, "CELLS_AT_ONCE", cells_at_once)
    draw = np.random.default_rng(3)
    values = draw.choice([0.0, 0.05, 0.1, 3.0, np.nan], size=(70, 8, 10))
    values[:, 0, 0], values[5] = np.nan, np.nan
    path = write(tmp_path / "a.nc", [frame(5 * k, one) for k, one in enumerate(values)])
    archive = Archive(path)
    counts = count_cells(archive, silent)
    rain = archive.read(slice(None), slice(None), slice(None))
    known, wet = ~np.isnan(rain), rain >= 0.1
    np.testing.assert_array_equal(counts.valid, known.sum(axis=0))
    np.testing.assert_array_equal(counts.wet, wet.sum(axis=0))
    np.testing.assert_array_equal(counts.frame_valid, known.sum(axis=(1, 2)))
    np.testing.assert_array_equal(counts.frame_wet, wet.sum(axis=(1, 2)))
    assert np.isnan(counts.wet_share[0, 0])
    assert counts.coverage[0, 0] == counts.frame_valid[5] == 0
    assert counts.wet_share[3, 4] == wet[:, 3, 4].sum() / known[:, 3, 4].sum()
    assert 0 < counts.wet_share[3, 4] < 1


def test_what_cannot_be_read_is_said(tmp_path):
    archive = Archive(write(tmp_path / "a.nc", [frame(5 * k) for k in range(3)]))
    (tmp_path / "a.nc").unlink()
    with pytest.raises(DataFormatError, match=r"a\.nc"):
        count_cells(archive, silent)
