"""Archives and forecasts as xarray objects, and xarray objects as files that our readers read."""

from pathlib import Path

import numpy as np
import xarray

from nowcast.config.command_line.arguments import moment
from nowcast.data.archive.archive import Archive
from nowcast.units import Quantity

Frames = xarray.DataArray | xarray.Dataset
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


def recent(frames: Frames, count: int, span: np.timedelta64, end: str | None) -> Frames:
    """Those of the frames that a forecast needs: of many, few are written and read.

    Args:
        frames: With a dimension `time`, else all are kept.
        count: Frames that are wanted at least.
        span: Time before the last frame that is wanted at least.
        end: Time of the last frame (ISO 8601, UTC); None = the newest. All are kept where there is no frame then.
    """
    if not isinstance(frames, (xarray.DataArray, xarray.Dataset)) or "time" not in frames.dims:
        return frames
    times = frames["time"].values
    if times.dtype.kind != "M" or (end is not None and np.datetime64(moment(end)) not in times):
        return frames
    last = times.max() if end is None else np.datetime64(moment(end))
    before = np.unique(times[times <= last])[-count:]
    return frames.isel(time=(times <= last) & (times >= min(before[0], last - span)))


def write_frames(frames: Frames, path: Path) -> None:
    """Write frames so that the reader of CF files reads them, which checks unit, times and grid.

    Attributes that netCDF cannot hold (None, dictionaries) are left out: no reader of files knows them.

    Raises:
        TypeError: Neither a DataArray nor a Dataset of xarray.
    """
    if isinstance(frames, xarray.DataArray):
        frames = frames.to_dataset(name=frames.name or "rain_rate")
    if not isinstance(frames, xarray.Dataset):
        raise TypeError(f"frames must be an xarray.DataArray or xarray.Dataset, got {type(frames).__name__}")
    frames = frames.copy()
    for part in (frames, *(frames[name] for name in frames.variables)):
        part.attrs = {name: value for name, value in part.attrs.items() if is_storable(value)}
    frames.to_netcdf(path, engine="netcdf4")


def is_storable(value: object) -> bool:
    """Whether netCDF holds it as an attribute: text, a number, or several of either."""
    try:
        return np.asarray(value).dtype.kind in "iufSU"
    except ValueError:  # lists of different lengths
        return False
