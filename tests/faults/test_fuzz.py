"""Readers of damaged files: a few inputs here, many in processes of their own (fuzz.py) when there is time."""

import contextlib

import pytest

from nowcast.data.archive import probe
from nowcast.data.archive.frame import DataFormatError
from tests.faults import fuzz

FEW, MANY = 40, 10_000


# Damage that hangs the library is waited for.
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.thorough if one == "ukmo_netcdf" else ()) for one in fuzz.READERS]
)
def test_a_reader_reads_or_refuses(tmp_path, monkeypatch, name):
    monkeypatch.setattr(probe, "SECONDS", 2)  # one of the inputs hangs netCDF
    paths = fuzz.sound(name, tmp_path)
    contents, read = [path.read_bytes() for path in paths], fuzz.reader_of(name)
    refused = 0
    for number in range(FEW):
        paths[0].write_bytes(fuzz.input_of(name, number, contents))
        with contextlib.suppress(DataFormatError):
            read(paths[0])
            refused -= 1
        refused += 1
    assert refused > 0  # the damage reaches what the reader looks at


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", fuzz.READERS)
def test_no_input_of_many_gets_through(name):
    failures, peak = fuzz.fuzz(name, MANY)
    assert failures == []
    assert peak < 2000  # MB


@pytest.mark.thorough
def test_the_search_notices_what_it_is_looking_for(tmp_path, monkeypatch):
    """A reader that raises something else, one that hangs and one that crashes are all reported."""
    broken = tmp_path / "broken_reader.py"
    broken.write_text(
        "import os, time\n"
        "def read(path):\n"
        "    size = len(path.read_bytes())\n"
        "    if size < 6: raise KeyError('x')\n"
        "    if size == 7: os.abort()\n"
        "    if size == 6: time.sleep(100)\n"
    )
    script = (
        "import sys; sys.argv[0] = 'x'\n"
        "from tests.faults import fuzz, sound\n"
        "from broken_reader import read\n"
        "fuzz.SECONDS = 1.0\n"
        "fuzz.OTHERS['broken'] = read\n"
        "sound.FILES['broken'] = lambda folder: sound.named(folder, 'a', [bytes(20)])\n"
        "fuzz.input_of = lambda name, number, contents: bytes(5 + number)\n"
        "_, name, first, last, state = sys.argv\n"
        "fuzz.work(name, int(first), int(last), int(state))\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{fuzz.Path(fuzz.__file__).parents[2]}")
    monkeypatch.setattr(fuzz, "COMMAND", ["-c", script])
    failures, _ = fuzz.fuzz("broken", 5)
    assert [failure["number"] for failure in failures] == [0, 1, 2]
    assert "KeyError" in failures[0]["what"]
    assert "exit 1" in failures[1]["what"]
    assert "exit -6" in failures[2]["what"]
