"""Files of one input that do not go together: what is kept, what is skipped on the record, and what to type."""

from dataclasses import replace

import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.prepare.engines import Local
from nowcast.data.prepare.files import find_files
from nowcast.data.prepare.netcdf import prepare_archive
from tests.data.formats import fakes
from tests.data.formats.readers import reader
from tests.data.prepare.preparing import LIMITS, cf, prepare, read


def test_mixed_grids_are_refused_with_both_shapes(tmp_path):
    cf(tmp_path, "a.nc", 0)
    cf(tmp_path, "b.nc", 5, np.zeros((1, 6, 5), dtype=np.float32))
    with pytest.raises(DataFormatError, match=r"b\.nc: grid \(6, 5\) differs from \(4, 5\)"):
        prepare(tmp_path)


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
    options = {"limits": LIMITS, "allow_overlapping_sums": False, "engine": Local(0), "attributes": {},
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
