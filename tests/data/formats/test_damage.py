"""Whatever is done to a file, a reader returns frames or says what is wrong with the file."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nowcast.data.archive.frame import DataFormatError
from tests.conftest import thinned
from tests.data.formats import fakes
from tests.data.formats.readers import reader

EXAMPLES = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def whole(name, folder):
    """A sound little file of a format."""
    if name == "knmi":
        return fakes.knmi(folder / "a.h5", np.zeros((4, 5)))
    if name == "odim":
        return fakes.odim(folder / "a.hdf", np.ones((4, 5)))
    if name == "fmi_pgm":
        return fakes.fmi_pgm(folder / "a.pgm", np.zeros((4, 5)), packed=False)
    if name == "mch_gif":
        return fakes.gif(folder / "AQC151351545F_00005.801.gif", np.zeros((4, 5)))
    if name == "eccc_gif":
        return fakes.gif(folder / "20240710T2106Z_MSC_Radar-DPQPE_CASCM_Rain.gif", np.zeros((480, 580)))
    if name == "radolan":
        return fakes.radolan(folder / "a-bin", np.zeros((900, 900), dtype=np.uint16))
    return fakes.cf(folder / "a.nc", np.zeros((1, 4, 5), dtype=np.float32))


NAMES = ["knmi", "odim", "fmi_pgm", "mch_gif", "eccc_gif", "radolan", "netcdf"]


@pytest.mark.parametrize("name", thinned(NAMES, fast=[2, 3, 4, 5, 6]))  # those of HDF5 cost a second
@EXAMPLES
@given(data=st.data())
def test_damaged_files_give_frames_or_a_clear_error(tmp_path, name, data):
    path = whole(name, tmp_path)
    content = bytearray(path.read_bytes())
    reach = min(len(content), 4000)  # headers are where damage hurts
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, reach - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path.write_bytes(bytes(content))
    with contextlib.suppress(DataFormatError):
        for frame in reader(name).read(path):
            assert frame.values.shape == frame.grid.shape
    path.unlink()


@pytest.mark.parametrize("name", [*NAMES, "mrms", "fmi_geotiff", "bom", "ukmo_netcdf"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"GIF89a", b"\x89HDF\r\n\x1a\n", b"GRIB", b"\x1f\x8b\x08"])
def test_foreign_content_is_refused_by_name(tmp_path, name, content):
    path = whole(name if name in NAMES else "netcdf", tmp_path)
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=path.name.replace(".", r"\.")):
        reader(name).read(path)


@pytest.mark.parametrize("name", [*NAMES, "mrms", "fmi_geotiff", "bom", "ukmo_netcdf"])
def test_a_missing_file_is_named(tmp_path, name):
    path = whole(name if name in NAMES else "netcdf", tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=path.name.replace(".", r"\.")):
        reader(name).read(path)
