"""Archives and forecasts as xarray objects, and xarray objects as files that our readers read."""

from pathlib import Path

import numpy as np
import xarray

from nowcast.data.archive.archive import Archive
from nowcast.units import Quantity

OURS = ("rain_fraction", "valid_fraction", *(quantity.value for quantity in Quantity))


def rain_rates(path: Path, start: str | None, end: str | None) -> xarray.Dataset:
    """Rain rates of an archive.

    Args:
        path: The archive.
        start: First time (ISO 8601, UTC); None = the archive's first.
        end: Last time, included; None = the archive's last.

    Returns:
        `rain_rate` (time, y, x) float32 mm h-1, NaN = no data, row 0 north, with the archive's projection. It is in
        memory: 4 bytes for each cell of each frame.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Not an archive, or damaged.
        ValueError: There is no frame between the times.
    """
    archive = Archive(path)
    times = archive.times
    first = 0 if start is None else int(np.searchsorted(times, np.datetime64(start, "s")))
    last = len(times) if end is None else int(np.searchsorted(times, np.datetime64(end, "s"), side="right"))
    if first >= last:
        raise ValueError(f"{path} has no frame from {start} to {end}; it goes from {times[0]} to {times[-1]}")
    chosen = slice(first, last)
    with xarray.open_dataset(path, engine="netcdf4") as file:
        found = file.isel(time=chosen).drop_vars([name for name in OURS if name in file]).load()
    found = found.drop_dims([name for name in found.dims if name not in ("time", "y", "x")])
    quantity = Quantity.RAIN_RATE
    attributes = {"standard_name": quantity.standard_name, "units": quantity.units, "grid_mapping": "crs"}
    found["rain_rate"] = (("time", "y", "x"), archive.read(chosen, slice(None), slice(None)), attributes)
    return found


def as_dataset(path: Path) -> xarray.Dataset:
    """A forecast file as a dataset in memory."""
    with xarray.open_dataset(path, engine="netcdf4") as file:
        return file.load()


def write_frames(frames: xarray.DataArray | xarray.Dataset, path: Path) -> None:
    """Write frames so that the reader of CF files reads them, which checks unit, times and grid.

    Raises:
        TypeError: Neither a DataArray nor a Dataset of xarray.
    """
    if isinstance(frames, xarray.DataArray):
        frames = frames.to_dataset(name=frames.name or "rain_rate")
    if not isinstance(frames, xarray.Dataset):
        raise TypeError(f"frames must be an xarray.DataArray or xarray.Dataset, got {type(frames).__name__}")
    frames.to_netcdf(path, engine="netcdf4")
