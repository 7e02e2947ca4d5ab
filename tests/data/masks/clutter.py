"""An archive with clutter and a corner without data, a mask of both, and the archive as if it held no data there."""

import netCDF4
import numpy as np

from tests.data.archives import frame, grid, write

SHAPE = (32, 40)
FRAMES = 60
HIDDEN = np.zeros(SHAPE, dtype=bool)
HIDDEN[2:5, 3:8] = True  # clutter
HIDDEN[25:, 30:] = True  # not seen


def rain(masked=False):
    """(60, 32, 40) mm/h: a wet band that moves on by seven columns a frame, and clutter that is always there."""
    values = np.zeros((FRAMES, *SHAPE))
    for k in range(FRAMES):
        values[k, 10:22, (7 * k) % 40 : (7 * k) % 40 + 5] = 4.0 + k % 3
    values[:, 2:5, 3:8] = 6.0
    values[:, 25:, 30:] = np.nan
    if masked:
        values[:, HIDDEN] = np.nan
    return values


def archive(path, masked=False, cell=1000.0):
    """Write it."""
    values = rain(masked)
    return write(path, [frame(5 * k, one, grid=grid(SHAPE, cell)) for k, one in enumerate(values)])


def users_mask(path, hidden=HIDDEN, *, name="mask", ascending=False, transposed=False, km=False, fill=False,
               cell=1000.0, more=()):  # fmt: skip
    """A mask as others write it."""
    rows, columns = hidden.shape
    step = cell / 1000 if km else cell
    axes = {"y": np.arange(rows)[:: 1 if ascending else -1] * step, "x": np.arange(columns) * step}
    with netCDF4.Dataset(path, "w") as dataset:
        crs = dataset.createVariable("crs", "i4", ())
        crs.spatial_ref = "EPSG:3035"
        for axis, centres in axes.items():
            dataset.createDimension(axis, len(centres))
            variable = dataset.createVariable(axis, "f8", (axis,))
            variable.setncatts({"standard_name": f"projection_{axis}_coordinate", "units": "km" if km else "m"})
            variable[:] = centres
        cells = hidden[:: -1 if ascending else 1]
        for one in (name, *more):
            kind = {"datatype": "f4", "fill_value": -1.0} if fill else {"datatype": "i1"}
            variable = dataset.createVariable(one, dimensions=("x", "y") if transposed else ("y", "x"), **kind)
            variable.grid_mapping = "crs"
            variable.set_auto_mask(False)
            values = np.where(cells, -1.0, 0.0) if fill else cells.astype("i1")
            variable[:] = values.T if transposed else values
    return path
