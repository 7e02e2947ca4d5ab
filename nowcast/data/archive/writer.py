"""Writes archives: complete or not at all."""

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import netCDF4
import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast import __version__
from nowcast.data.archive.archive import EPOCH, FILL, RAIN_THRESHOLD, TILE
from nowcast.data.archive.frame import Frame, Grid, Packing, ToRainRate
from nowcast.files import partial_name

TIME_CHUNK = 20  # frames per chunk: about one training window
BUFFER_CELLS = 60_000_000  # cells of the frames that wait for a full chunk: large grids get shorter chunks
SPACE_CHUNK = 128  # cells per chunk side: about one training crop


class ArchiveWriter:
    """Writes frames of one grid and quantity, in rising time order, to a partial file, renamed on success.

    Use as a context manager; leaving it through an exception removes the partial file. A killed process
    leaves only `<path>.<process>-<random>.partial`, which nothing reads.

    Args:
        path: The archive to make; must not exist.
        first: Any frame of the series: it fixes grid, quantity, packing, period and Z-R.
        attributes: Global attributes, e.g. title, institution, license, source.

    Raises:
        FileExistsError: `path` exists already.
    """

    def __init__(self, path: Path, first: Frame, attributes: Mapping[str, str]) -> None:
        """Create the partial file with its grid and attributes."""
        if path.exists():
            raise FileExistsError(f"{path} exists; remove it or choose another output=")
        self.path = path
        self._partial = partial_name(path)
        self._first = first
        self._to_rain_rate = ToRainRate(first.quantity, first.period, first.no_echo, first.zr)
        self._time_chunk = max(1, min(TIME_CHUNK, BUFFER_CELLS // (first.grid.shape[0] * first.grid.shape[1])))
        self._buffer: list[NDArray[np.generic]] = []
        self._summaries: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self._times: list[int] = []
        self._written = 0
        self._digest = hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._dataset = netCDF4.Dataset(self._partial, "w", format="NETCDF4")
        self._dataset.setncatts({"Conventions": "CF-1.11", **attributes})
        self._dataset.nowcast_version = __version__
        write_grid(self._dataset, first.grid)
        self._define_variables()

    def _define_variables(self) -> None:
        dataset, first = self._dataset, self._first
        rows, columns = first.grid.shape
        dataset.createDimension("time", None)
        time = dataset.createVariable("time", "i8", ("time",), chunksizes=(512,))
        time.setncatts({"standard_name": "time", "units": EPOCH, "calendar": "standard", "axis": "T"})
        if first.period is not None:
            dataset.createDimension("bounds", 2)
            time.bounds = "time_bounds"
            dataset.createVariable("time_bounds", "i8", ("time", "bounds"), chunksizes=(512, 2))
        chunks = (self._time_chunk, min(rows, SPACE_CHUNK), min(columns, SPACE_CHUNK))
        variable = dataset.createVariable(
            first.quantity.value,
            "f4" if first.packing is None else "u2",
            ("time", "y", "x"),
            compression="zstd",
            complevel=3,
            chunksizes=chunks,
            fill_value=np.float32(np.nan) if first.packing is None else FILL,
        )
        variable.set_auto_maskandscale(False)
        variable.setncatts(_variable_attributes(first))
        dataset.createDimension("tile_y", -(-rows // TILE))
        dataset.createDimension("tile_x", -(-columns // TILE))
        for name, text in (
            ("rain_fraction", f"fraction of valid cells with at least {RAIN_THRESHOLD} mm h-1"),
            ("valid_fraction", "fraction of cells that hold a value"),
        ):
            summary = dataset.createVariable(name, "f4", ("time", "tile_y", "tile_x"), compression="zstd")
            summary.setncatts({"units": "1", "long_name": f"{text}, tiles of {TILE}x{TILE} cells"})

    def append(self, frame: Frame) -> None:
        """Add the next frame.

        Raises:
            ValueError: Time does not rise, or grid, quantity, packing, period or Z-R differ from the first
                frame, or a value does not fit the packing.
        """
        seconds = int(frame.time.astype("datetime64[s]").astype(np.int64))
        if self._times and seconds <= self._times[-1]:
            raise ValueError(f"frame of {frame.time} comes after {np.datetime64(self._times[-1], 's')}")
        difference = describe_difference(self._first, frame)
        if difference:
            raise ValueError(difference)
        self._times.append(seconds)
        self._buffer.append(pack(frame))
        self._summaries.append(summarise_tiles(self._to_rain_rate(unpack(self._buffer[-1], frame))))
        if len(self._buffer) == self._time_chunk:
            self._flush()

    def _flush(self) -> None:
        if not self._buffer:
            return
        with self._said_by_name():
            self._write_buffer()

    @contextmanager
    def _said_by_name(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, OSError) as error:  # netCDF does not say why
            free = shutil.disk_usage(self.path.parent).free
            raise OSError(
                f"{self.path}: cannot be written ({error}); {free / 1e6:.1f} MB are free on its disk. Nothing is left "
                "of it; make room and give the same command again"
            ) from error

    def _write_buffer(self) -> None:
        block = np.stack(self._buffer)  # (T, ny, nx)
        start, stop = self._written, self._written + len(block)
        seconds = np.asarray(self._times[start:stop], dtype=np.int64)
        dataset, first = self._dataset, self._first
        dataset.variables["time"][start:stop] = seconds
        if first.period is not None:
            bounds = np.stack([seconds - int(first.period), seconds], axis=1)
            dataset.variables["time_bounds"][start:stop] = bounds
        dataset.variables[first.quantity.value][start:stop] = block
        dataset.variables["rain_fraction"][start:stop] = [rain for rain, _ in self._summaries]
        dataset.variables["valid_fraction"][start:stop] = [valid for _, valid in self._summaries]
        self._digest.update(seconds.tobytes())
        self._digest.update(np.ascontiguousarray(block).tobytes())
        self._written = stop
        self._buffer.clear()
        self._summaries.clear()

    def finish(self, history: str) -> None:
        """Write what is buffered, the history and the fingerprint, and give the file its final name.

        Raises:
            ValueError: No frame was appended.
        """
        if not self._times:
            raise ValueError(f"{self.path}: no frame to write")
        self._flush()
        self._digest.update(repr(sorted(_variable_attributes(self._first).items())).encode())
        self._digest.update(self._first.grid.x.tobytes() + self._first.grid.y.tobytes())
        with self._said_by_name():
            self._dataset.fingerprint = self._digest.hexdigest()
            self._dataset.history = history
            self._dataset.close()
            with self._partial.open("rb") as file:
                os.fsync(file.fileno())
        self._partial.rename(self.path)

    def __enter__(self) -> "ArchiveWriter":
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the partial file unless `finish` was called."""
        if self._dataset.isopen():
            with suppress(RuntimeError):  # on a full disk closing fails, too
                self._dataset.close()
        self._partial.unlink(missing_ok=True)


def write_grid(dataset: netCDF4.Dataset, grid: Grid) -> None:
    """Write dimensions, coordinates and the CF grid mapping `crs` of a grid."""
    dataset.createVariable("crs", "i4", ()).setncatts(mapping_attributes(grid))
    for name, values in (("y", grid.y), ("x", grid.x)):
        dataset.createDimension(name, len(values))
        variable = dataset.createVariable(name, "f8", (name,))
        variable.setncatts(coordinate_attributes(name, grid))
        variable[:] = values


def mapping_attributes(grid: Grid) -> dict[str, Any]:
    """The grid mapping of CF, and the projection in the words of its provider."""
    if not grid.crs:
        return {"nowcast_crs": ""}
    with warnings.catch_warnings():
        # Some projections have a parameter that CF has no name for; the attribute crs_wkt keeps it.
        warnings.filterwarnings("ignore", message=".*lost in conversion to CF")
        attributes = pyproj.CRS.from_user_input(grid.crs).to_cf()
    return {"nowcast_crs": grid.crs} | {key: value for key, value in attributes.items() if value is not None}


def coordinate_attributes(name: str, grid: Grid) -> dict[str, str]:
    """CF attributes of the axis `x` or `y` of a grid."""
    crs = pyproj.CRS.from_user_input(grid.crs) if grid.crs else None
    degrees = crs is not None and bool(crs.is_geographic)
    if crs is not None and degrees and crs.is_derived:
        # Degrees that are not those of the earth: other tools would put "latitude" on the map as it stands.
        standard_name, units = {"y": "grid_latitude", "x": "grid_longitude"}[name], "degrees"
    elif degrees:
        standard_name, units = {"y": ("latitude", "degrees_north"), "x": ("longitude", "degrees_east")}[name]
    else:
        standard_name, units = f"projection_{name}_coordinate", "m"
    return {"standard_name": standard_name, "units": units, "axis": name.upper()}


def _variable_attributes(frame: Frame) -> dict[str, str | float]:
    attributes: dict[str, str | float] = {
        "standard_name": frame.quantity.standard_name,
        "units": frame.quantity.units,
        "grid_mapping": "crs",
        "cell_methods": "time: sum" if frame.period is not None else "time: point",
    }
    if frame.packing is not None:
        attributes |= {"scale_factor": frame.packing.scale, "add_offset": frame.packing.offset}
    if frame.period is not None:
        attributes["accumulation_period"] = frame.period  # seconds
    if frame.no_echo is not None:
        attributes["no_echo"] = frame.no_echo  # dBZ
    if frame.zr is not None:
        attributes |= {"zr_a": frame.zr.a, "zr_b": frame.zr.b}
    return attributes


def describe_difference(first: Frame, frame: Frame) -> str:
    """Say how two frames differ in what an archive has only one of; "" when they agree."""
    if frame.quantity != first.quantity:
        return f"holds {frame.quantity}, the frames before it {first.quantity}"
    if frame.grid.shape != first.grid.shape:
        return f"grid {frame.grid.shape} differs from {first.grid.shape} of the frames before it"
    if not frame.grid.same_as(first.grid):
        return f"grid of shape {frame.grid.shape} lies elsewhere than the frames before it"
    for name in ("packing", "period", "no_echo", "zr"):
        if getattr(frame, name) != getattr(first, name):
            advice = " (source=netcdf: source.keep_packing=false stores float32)" if name == "packing" else ""
            return f"{name} {getattr(frame, name)} differs from {getattr(first, name)} of the frames before it{advice}"
    return ""


def pack(frame: Frame) -> NDArray[np.generic]:
    """Stored form of a frame's values: uint16 with 65535 for no data, or float32 with NaN.

    Raises:
        ValueError: A value lies outside what the packing can hold.
    """
    return pack_values(frame.values, frame.packing, frame.quantity.units)


def pack_values(values: NDArray[np.float32], packing: Packing | None, units: str) -> NDArray[Any]:
    """Values of any shape as a packing has them: uint16 with FILL for no data; without one, as they are.

    Raises:
        ValueError: A value lies outside what the packing can hold; `units` is for the message.
    """
    if packing is None:
        return values
    # float32 holds 24 bits, enough to round to 16; float64 would double the memory of a continent's frame.
    scaled = np.rint((values - np.float32(packing.offset)) / np.float32(packing.scale))
    missing = np.isnan(scaled)
    scaled[missing] = FILL
    if scaled.size and (scaled.min() < 0 or scaled[~missing].max(initial=0) >= FILL):
        raise ValueError(
            f"values {np.nanmin(values)} to {np.nanmax(values)} {units} do not fit 16-bit packing {packing}"
        )
    stored: NDArray[np.uint16] = scaled.astype(np.uint16)
    return stored


def unpack(stored: NDArray[np.generic], like: Frame) -> NDArray[np.float32]:
    """Physical values of `pack`ed ones; NaN = no data."""
    return unpack_values(stored, like.packing)


def unpack_values(stored: NDArray[np.generic], packing: Packing | None) -> NDArray[np.float32]:
    """The same of `pack_values`."""
    if packing is None:
        return np.asarray(stored, dtype=np.float32)
    values = stored.astype(np.float32) * np.float32(packing.scale) + np.float32(packing.offset)
    values[stored == FILL] = np.nan
    return values


def summarise_tiles(rain_rate: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per tile the fraction of rainy among valid cells, and of valid cells.

    (H, W) → two (tiles_y, tiles_x). A tile without any valid cell has rain and valid fraction 0. Cells
    beyond the grid's edge do not count.
    """
    valid = np.isfinite(rain_rate)
    wet = np.greater_equal(rain_rate, RAIN_THRESHOLD, where=valid, out=np.zeros_like(valid))
    cells, valid_cells, wet_cells = (_tile_sums(part) for part in (np.ones_like(valid), valid, wet))
    rain = np.divide(wet_cells, valid_cells, where=valid_cells > 0, out=np.zeros_like(wet_cells))
    return rain.astype(np.float32), (valid_cells / cells).astype(np.float32)


def _tile_sums(cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows = np.add.reduceat(cells, np.arange(0, cells.shape[0], TILE), axis=0, dtype=np.float64)
    return np.asarray(np.add.reduceat(rows, np.arange(0, cells.shape[1], TILE), axis=1))
