"""Stores of real files: what the netCDF archive of the same files holds, from every format."""

import pytest

from tests.data.prepare import preparing
from tests.data.prepare.stores import prepare, same

pytestmark = pytest.mark.real_data
# Source, its files, how many of them, and settings
KINDS = {
    "knmi": ("knmi_hdf5/20100826/*.h5", 4, ()),
    "odim": ("opera_odim/*/*.hdf", 1, ()),
    "fmi_pgm": ("fmi_pgm/20160928/*.pgm.gz", 2, ()),
    "mch_gif": ("mch_gif/20150515/*.gif", 4, ()),
    "bom": ("bom_netcdf_c10/66/20201031/*.nc", 4, ()),
    "eccc_gif": ("eccc_dpqpe_gif/CASGO/*.gif", 4, ()),
    "ukmo_netcdf": ("ukmo_netcdf/20181103/*.nc", 2, ()),
    "netcdf": ("catalonia_cf/*.nc", 1, ()),
    "fmi_geotiff": ("fmi_geotiff/20160928/*.tif", 1, ()),
}
SLOW = {"fmi_geotiff", "knmi", "netcdf", "odim"}  # seconds of decoding


FAST = {"ukmo_netcdf"}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW) + [pytest.mark.thorough] * (name not in FAST))
        for name in KINDS
    ],
)
def test_a_store_of_real_files_is_their_archive(real_data, tmp_path, source):
    pattern, count, overrides = KINDS[source]
    files = [str(path) for path in sorted(real_data.glob(pattern))[:count]]
    assert len(files) == count
    netcdf, _ = preparing.prepare(tmp_path, files, source=source, overrides=overrides)
    store, report = prepare(tmp_path, files, source=source, overrides=overrides, shard=3)
    same(store, netcdf)
    assert report.frames == len(netcdf.times)
    assert store.attributes["license"]
