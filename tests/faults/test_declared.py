"""What a file declares is checked: each attribute and variable of a sound file taken away, or made into another."""

import shutil

import h5py
import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from tests.faults import fuzz

ATTRIBUTES = {
    "gone": None,
    "text": "x",
    "three": np.array([1.0, 2.0, 3.0]),
    "nan": np.float64("nan"),
    "huge": np.float64(1e308),
    "none at all": h5py.Empty("f8"),
}
DATASETS = {
    "gone": None,
    "text": np.array(["a", "b"], dtype=h5py.string_dtype()),
    "a single number": np.float32(1.5),
    "pairs": np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
    "other shape": np.ones((2, 3, 4, 5), dtype=np.float64),
}
# What netCDF keeps its own books in: to change that is damage, which crashes the library (fuzz.py)
BOOKS = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4", "_nc3_strict", "_NCProperties")
READERS = ("archive", "netcdf", "forecasts", "odim", "knmi", "statistics")


def places(path):
    """(object, attribute) of every attribute, and (object, None) of every data set."""
    found = []
    with h5py.File(path, "r") as file:

        def note(name, node):
            found.extend((name, attribute) for attribute in node.attrs if not attribute.startswith(BOOKS))
            if isinstance(node, h5py.Dataset) and not _is_bookkeeping(node):
                found.append((name, None))

        note("/", file)
        file.visititems(note)
    return found


def _is_bookkeeping(node):
    """Whether a data set only holds the length of a dimension that has no variable."""
    return b"not a netCDF variable" in bytes(node.attrs.get("NAME", b""))


def change(path, name, attribute, value):
    with h5py.File(path, "a") as file:
        if attribute is None:
            del file[name]
            if value is not None:
                file[name] = value
            return
        del file[name].attrs[attribute]
        if value is not None:
            file[name].attrs[attribute] = value


def problem_of(read, path):
    try:
        read(path)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_or_refuses_whatever_is_declared(tmp_path, name, every):
    (tmp_path / "sound").mkdir()
    whole = fuzz.sound(name, tmp_path / "sound")[0]
    read, refused, tried = fuzz.reader_of(name), 0, 0
    wrong = []
    changes = [(*place, *of) for place in places(whole) for of in (DATASETS, ATTRIBUTES)[place[1] is not None].items()]
    for number, (where, attribute, kind, value) in enumerate(changes[::every]):
        path = tmp_path / f"{number}_{kind}" / whole.name
        path.parent.mkdir()
        shutil.copy(whole, path)
        change(path, where, attribute, value)
        tried += 1
        problem = problem_of(read, path)
        if isinstance(problem, DataFormatError):
            refused += 1
            if str(problem).count(str(path)) != 1 or "\n" in str(problem):
                wrong.append(f"{where} {attribute} {kind}: {problem}")
        elif problem is not None:
            wrong.append(f"{where} {attribute} {kind}: {problem!r} at {fuzz.last_lines(problem)[-2:]}")
        shutil.rmtree(path.parent)
    assert wrong == []
    assert refused > 0
    assert refused < tried or every > 1  # of few changes, all may be refused


# Something that each reader calls of ours while the file is open
OURS = {
    "knmi": "nowcast.data.formats.knmi._metres",
    "odim": "nowcast.data.formats.odim.read_grid",
    "fmi_pgm": "nowcast.data.formats.fmi_pgm._grid",
    "fmi_geotiff": "nowcast.data.formats.fmi_geotiff._items",
    "mch_gif": "nowcast.data.formats.containers.gif.check_shape",
    "eccc_gif": "nowcast.data.formats.containers.gif.check_shape",
    "radolan": "nowcast.data.formats.radolan._grid",
    "mrms": "nowcast.data.formats.containers.raster.check_shape",
    "netcdf": "nowcast.data.formats.netcdf.grid_of",
    "archive": "nowcast.data.archive.archive._check_layout",
    "forecasts": "nowcast.data.results.forecast_fields.grid_of",
    "npz": "nowcast.data.mnist.files._check_numbers",
    "hko_png": "nowcast.data.paper.hko.check_shape",
    "statistics": "nowcast.data.results.statistics_file._read",
}


@pytest.mark.parametrize("bug", [AttributeError, TypeError, KeyError, RuntimeError, MemoryError, ValueError])
@pytest.mark.parametrize("name", OURS)
def test_a_bug_of_ours_is_no_damaged_file(tmp_path, monkeypatch, name, bug):
    path, read = fuzz.sound(name, tmp_path)[0], fuzz.reader_of(name)

    def broken(*given, **more):
        raise bug("a bug of ours")

    monkeypatch.setattr(OURS[name], broken)
    with pytest.raises(bug, match="a bug of ours") as caught:
        read(path)
    assert not isinstance(caught.value, DataFormatError)
