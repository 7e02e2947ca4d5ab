"""`nowcast prepare` on folders of providers' files."""

import netCDF4
import numpy as np
import pytest

from tests.data.formats import fakes
from tests.programs import run


def test_prepare_reads_a_folder_of_provider_files(tmp_path):
    (tmp_path / "in").mkdir()
    for k, end in enumerate(("00:00:00", "00:05:00", "00:10:00")):
        start = ("25-AUG-2010;23:55:00", "26-AUG-2010;00:00:00", "26-AUG-2010;00:05:00")[k]
        fakes.knmi(
            tmp_path / "in" / f"{k}.h5",
            np.full((4, 5), k),
            **{"overview/product_datetime_start": start, "overview/product_datetime_end": f"26-AUG-2010;{end}"},
        )
    output = tmp_path / "k.nc"
    assert run("prepare", "source=knmi", f"input={tmp_path / 'in'}", f"output={output}", "workers=0") == (0, "")
    with netCDF4.Dataset(output) as dataset:
        assert dataset.institution.startswith("Royal Netherlands")
        np.testing.assert_allclose(dataset["rain_amount"][:, 0, 0], [0, 0.01, 0.02])
    code, message = run("prepare", "source=knmi", f"input={tmp_path / 'in'}", f"output={output}", "workers=0")
    assert (code, "exists" in message) == (1, True)
    code, message = run("prepare", "source=knmi", f"input={tmp_path / 'no'}", f"output={tmp_path / 'x.nc'}")
    assert (code, "no such file" in message) == (1, True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:600]), ["b.nc", "not readable"]),
        (lambda p: p.write_text("<html>404</html>"), ["b.nc", "not readable"]),
        (lambda p: _again(p, np.zeros((1, 6, 5), dtype=np.float32)), ["b.nc", "(6, 5) differs from (4, 5)"]),
        (lambda p: _again(p, np.zeros((1, 4, 5), dtype=np.float32), {"units": "K"}), ["b.nc", "could be rain"]),
        (lambda p: _again(p, np.zeros((1, 4, 5), dtype=np.float32), {"units": "mm"}), ["b.nc", "period_seconds"]),
    ],
)
def test_bad_files_end_prepare_with_their_name_and_exit_code_1(tmp_path, spoil, words):
    (tmp_path / "in").mkdir()
    for name, minutes in (("a.nc", 0), ("b.nc", 5)):
        fakes.cf(tmp_path / "in" / name, np.ones((1, 4, 5), dtype=np.float32), times=(minutes,))
    spoil(tmp_path / "in" / "b.nc")
    output = tmp_path / "out.nc"
    code, message = run("prepare", "source=netcdf", f"input={tmp_path / 'in'}", f"output={output}", "workers=0")
    assert code == 1
    for word in words:
        assert word in message
    assert list(tmp_path.glob("out.nc*")) == []


def _again(path, values, attributes=None):
    path.unlink()
    fakes.cf(path, values, times=(5,), attributes=attributes or {})
