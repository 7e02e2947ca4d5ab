"""Statistics come back from their file as they went in."""

import dataclasses

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.results.statistics_file import read_statistics, write_statistics
from tests.statistics import mixed_statistics, statistics


@pytest.mark.parametrize("ensemble", [False, True])
def test_what_is_written_is_read(tmp_path, ensemble):
    before, _ = statistics({"good ü": 0.5, "bad": 3.0}, ensemble=ensemble)
    write_statistics(tmp_path / "s.nc", before)
    after = read_statistics(tmp_path / "s.nc")
    for name in ("models", "lead_times", "lead_unit", "groups", "families", "facts", "axes", "map_threshold"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.labels == {key: tuple(value) for key, value in before.labels.items()}
    assert after.sums.keys() == before.sums.keys()
    for grouping, sums in before.sums.items():
        assert after.sums[grouping].keys() == sums.keys()
        for key, values in sums.items():
            np.testing.assert_array_equal(after.sums[grouping][key], values, err_msg=key)
    np.testing.assert_array_equal(after.map_counts, before.map_counts)
    one, other = before.examples[0], after.examples[0]
    assert (one.name, one.score, one.archive, one.init_time) == (
        other.name,
        other.score,
        other.archive,
        other.init_time,
    )
    assert list(one.rain) == list(other.rain)
    for row in one.rain:
        np.testing.assert_allclose(other.rain[row], one.rain[row], atol=0.011)


def test_no_data_in_examples_stays_no_data(tmp_path):
    before, _ = statistics({"good": 0.5})
    before.examples[0].rain["good"][0, :2] = np.nan
    before.examples[0].rain["good"][1, 0, 0] = 5000.0
    write_statistics(tmp_path / "s.nc", before)
    rain = read_statistics(tmp_path / "s.nc").examples[0].rain["good"]
    assert np.isnan(rain[0, :2]).all()
    assert np.isfinite(rain[0, 2:]).all()
    assert rain[1, 0, 0] == pytest.approx(65534 * 0.02)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no statistics at .*s.nc; `nowcast train`"):
        read_statistics(tmp_path / "s.nc")
    (tmp_path / "s.nc").write_bytes(b"nothing")
    with pytest.raises(DataFormatError, match="not a file of statistics"):
        read_statistics(tmp_path / "s.nc")
    with netCDF4.Dataset(tmp_path / "t.nc", "w") as dataset:
        dataset.title = "something else"
    with pytest.raises(DataFormatError, match="is not a file of `nowcast statistics 2`"):
        read_statistics(tmp_path / "t.nc")


def of_an_earlier_version(path, labels):
    """Statistics as version 0.1.0 wrote them: 12 blocks with these labels."""
    before, _ = statistics({"good": 0.5, "bad": 3.0})
    before.facts["caveat"] = "split=paper"
    write_statistics(path, dataclasses.replace(before, groups=before.groups | {"block": labels}))
    with netCDF4.Dataset(path, "r+") as dataset:
        dataset.format = "nowcast statistics 1"
    return before


def test_days_of_archives_become_days(tmp_path):
    labels = tuple(f"radar {name} 2024-05-{day:02d}" for name in "ab" for day in (9, 3, 5, 7, 1, 11))
    before = of_an_earlier_version(tmp_path / "s.nc", labels)
    after = read_statistics(tmp_path / "s.nc")
    assert after.groups["block"] == tuple(f"2024-05-{day:02d}" for day in (1, 3, 5, 7, 9, 11))
    for key, values in before.sums["block"].items():
        np.testing.assert_allclose(after.sums["block"][key][:, 0], values[:, 4] + values[:, 10], err_msg=key)
        np.testing.assert_allclose(after.sums["block"][key][:, 4], values[:, 0] + values[:, 6], err_msg=key)
        np.testing.assert_array_equal(after.sums["season"][key], before.sums["season"][key])
    assert after.facts["caveat"] == "split=paper"
    write_statistics(tmp_path / "again.nc", after)
    assert read_statistics(tmp_path / "again.nc").groups == after.groups


def test_archives_that_an_earlier_version_took_as_blocks_are_said_to_be_so(tmp_path):
    labels = tuple(f"event {k}" for k in range(12))
    of_an_earlier_version(tmp_path / "s.nc", labels)
    after = read_statistics(tmp_path / "s.nc")
    assert after.groups["block"] == labels
    assert after.facts["caveat"].startswith("split=paper Blocks are whole archives, counted as independent even where")


def test_probabilities_of_examples_are_read_back_and_none_where_none_were_said(tmp_path):
    before, _ = mixed_statistics()
    before.examples[0].probabilities["probabilities"][0, :2] = np.nan
    write_statistics(tmp_path / "s.nc", before)
    one, other = before.examples[0], read_statistics(tmp_path / "s.nc").examples[0]
    assert (list(other.probabilities), other.threshold) == (["probabilities"], 0.5)
    np.testing.assert_allclose(other.probabilities["probabilities"], one.probabilities["probabilities"], atol=0.0026)
    write_statistics(tmp_path / "none.nc", mixed_statistics(("field",))[0])
    assert read_statistics(tmp_path / "none.nc").examples[0].probabilities == {}
