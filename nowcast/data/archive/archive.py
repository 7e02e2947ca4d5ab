"""The one on-disk layout of radar sequences: a CF netCDF-4 file, read here and written by archive_writer.

Layout: dimensions (time, y, x), row 0 north, the provider's own quantity (`rain_rate`, `rain_amount` or
`reflectivity`) packed in 16 bits without losing its quantisation, or as float32. The fill value is "no data",
which is never "no rain". `rain_fraction` and `valid_fraction` summarise tiles of TILE×TILE cells so that
sampling by rain needs no second pass over the data.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nowcast.config.command_line.arguments import refuse_missing_archive
from nowcast.data.archive.damage import damage, reason
from nowcast.data.archive.frame import MAX_TIMES, DataFormatError, Grid, Packing, ToRainRate, check_shape, check_size
from nowcast.data.archive.mask import Mask
from nowcast.data.archive.probe import open_netcdf
from nowcast.units import ZR, Quantity

FILL = 65535  # stored value of "no data" in packed variables
TILE = 32  # cells per side of a summary tile
RAIN_THRESHOLD = 0.1  # mm h-1: what counts as rain in the tile summary
EPOCH = "seconds since 1970-01-01 00:00:00"
Shares = tuple[NDArray[np.float32], NDArray[np.float32]]  # of rain and of data
DATA_VARIABLES = tuple(quantity.value for quantity in Quantity)


@dataclass
class Archive:
    """A radar archive opened for reading. Picklable: every process opens its own file handle.

    Args:
        path: The netCDF file; of an archive elsewhere (nowcast/data/zarr), a folder or an address.

    Attributes:
        name: File name without ending.
        times: (N,) UTC datetime64[s], rising, possibly with gaps; end of accumulation for amounts.
        grid: Cells and projection, row 0 north.
        attributes: Global attributes (institution, license, history, fingerprint, …).
        unpacked: File of the same stored values to read instead (unpacked.py), None = there is none.
        mask: Cells that are read as no data, whatever is stored (nowcast/data/masks); None = none.
        snapshot: Which state it is, of a store that keeps its states.
        summarise: What counts the tile shares where the file does not say them, or not those of what is read.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: The file is not an archive of this project, or is damaged.
    """

    path: Path | str
    times: NDArray[np.datetime64] = field(init=False, repr=False)
    grid: Grid = field(init=False, repr=False)
    to_rain_rate: ToRainRate = field(init=False, repr=False)
    attributes: dict[str, str] = field(init=False, repr=False)
    unpacked: Path | None = field(default=None, init=False, repr=False)
    mask: Mask | None = field(default=None, init=False, repr=False)
    snapshot: str | None = field(default=None, init=False, repr=False)
    summarise: "Callable[[Archive], Shares] | None" = field(default=None, init=False, repr=False)
    _summaries: Shares | None = field(default=None, init=False, repr=False)
    _mapped: np.memmap[Any, Any] | None = field(default=None, init=False, repr=False)
    _handle: tuple[int, netCDF4.Dataset] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Read everything but the fields themselves."""
        self.path = path = Path(self.path)
        refuse_missing_archive(path)
        what = "not a nowcast archive, which `nowcast prepare` makes"
        with damage(path, what, "netCDF4"), open_netcdf(path) as dataset:
            self._read_header(dataset)

    def _read_header(self, dataset: netCDF4.Dataset) -> None:
        found = [name for name in DATA_VARIABLES if name in dataset.variables]
        if len(found) != 1:
            raise DataFormatError(
                self.path,
                f"an archive holds exactly one of {', '.join(DATA_VARIABLES)}; found "
                f"{', '.join(found) or 'none'} among {', '.join(dataset.variables)}",
            )
        variable = dataset.variables[found[0]]
        quantity = Quantity(found[0])
        _check_layout(self.path, dataset, variable)
        units = str(getattr(variable, "units", None))
        if units != quantity.units:
            raise DataFormatError(self.path, f"{found[0]} has unit {units!r}, an archive has {quantity.units!r}")
        a, b, period, no_echo = (
            _number(self.path, variable, name) for name in ("zr_a", "zr_b", "accumulation_period", "no_echo")
        )
        try:
            zr = None if a is None or b is None else ZR(a, b)
            self.to_rain_rate = ToRainRate(quantity, period, no_echo, zr)
        except ValueError as error:
            raise DataFormatError(self.path, f"{found[0]}: {error}") from error
        self._packed = variable.dtype == np.uint16
        self._scale = _number(self.path, variable, "scale_factor", 1.0)
        self._offset = _number(self.path, variable, "add_offset", 0.0)
        seconds = np.asarray(dataset.variables["time"][:], dtype=np.int64)
        self.times = seconds.astype("datetime64[s]")
        self.grid = Grid(
            np.asarray(dataset.variables["x"][:], dtype=np.float64),
            np.asarray(dataset.variables["y"][:], dtype=np.float64),
            str(getattr(dataset.variables.get("crs"), "nowcast_crs", "")),
        )
        rain, valid = (dataset.variables[name][:] for name in ("rain_fraction", "valid_fraction"))
        self._shares = np.asarray(rain, dtype=np.float32), np.asarray(valid, dtype=np.float32)
        self.attributes = {name: str(dataset.getncattr(name)) for name in dataset.ncattrs()}
        if "fingerprint" not in self.attributes:
            raise DataFormatError(self.path, "has no fingerprint, which `nowcast prepare` writes last")
        if len(self.times) == 0:
            raise DataFormatError(self.path, "the archive holds no frame")
        if np.any(np.diff(seconds) <= 0):
            raise DataFormatError(self.path, "times do not rise strictly")

    @property
    def name(self) -> str:
        """File name without ending, the archive's name in reports and split settings."""
        return Path(self.path).stem

    @property
    def rain_fraction(self) -> NDArray[np.float32]:
        """(N, tiles_y, tiles_x) share of rainy among the valid cells of each tile."""
        return self._tile_shares()[0]

    @property
    def valid_fraction(self) -> NDArray[np.float32]:
        """(N, tiles_y, tiles_x) share of cells that hold data of each tile."""
        return self._tile_shares()[1]

    def _tile_shares(self) -> Shares:
        if self.summarise is None:
            return self._shares
        if self._summaries is None:
            self._summaries = self.summarise(self)
        return self._summaries

    @property
    def cache_folder(self) -> Path:
        """Where copies and summaries of the archive are kept."""
        return Path(self.path).parent

    @property
    def field_name(self) -> str:
        """Of the data variable."""
        return self.to_rain_rate.quantity.value

    @property
    def readers(self) -> int:
        """Threads that may read at once: netCDF's library takes one."""
        return 1

    @property
    def frames_at_once(self) -> int:
        """Frames that lie in one chunk and are best read together."""
        return 1

    @property
    def stored_frames(self) -> NDArray[np.int64]:
        """(N,) number of each frame in the file."""
        return np.arange(len(self.times))

    @property
    def flips(self) -> tuple[bool, bool]:
        """Whether rows and columns lie in the file the other way round."""
        return False, False

    @property
    def fingerprint(self) -> str:
        """SHA-256 over times, grid and stored values, as computed when the archive was written."""
        return self.attributes["fingerprint"]

    @property
    def seen(self) -> str:
        """Fingerprint of what is read: that of the content, and of the mask where there is one."""
        if self.mask is None:
            return self.fingerprint
        return hashlib.sha256(f"{self.fingerprint} {self.mask.digest}".encode()).hexdigest()

    @property
    def timestep(self) -> int | None:
        """Seconds between frames (the commonest difference), None for a single frame."""
        if len(self.times) < 2:
            return None
        steps: Counter[int] = Counter(np.diff(self.times).astype(int).tolist())
        return min(step for step, count in steps.items() if count == max(steps.values()))

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the file handle, which belongs to one process."""
        return {**self.__dict__, "_handle": None, "_table": None, "_mapped": None, "_summaries": None}

    def _variable(self) -> Any:  # noqa: ANN401 (netCDF4 is untyped)
        """The data variable through a handle of this very process (netCDF handles do not survive a fork)."""
        if self._handle is None or self._handle[0] != os.getpid():
            try:
                dataset = netCDF4.Dataset(self.path)
            except OSError as error:
                raise DataFormatError(self.path, f"cannot be opened any more: {error}") from error
            dataset.set_auto_maskandscale(False)
            self._handle = (os.getpid(), dataset)
        return self._handle[1].variables[self.to_rain_rate.quantity.value]

    def rate_table(self) -> NDArray[np.float32]:
        """(65536,) rain rate in mm h-1 of every stored value, where they are 16 bits: unpacking, Z-R and "no data"."""
        table: NDArray[np.float32] | None = self.__dict__.get("_table")
        if table is None:
            with np.errstate(over="ignore"):  # most of 16 bits lies beyond any reflectivity
                physical = np.arange(65536, dtype=np.float64) * self._scale + self._offset
                table = self.to_rain_rate(physical).astype(np.float32)
            table[FILL] = np.nan
            self.__dict__["_table"] = table
        return table

    def read(self, frames: slice, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Rain rate of a block of the archive.

        Args:
            frames: Slice of the time axis (a step is allowed).
            rows: Slice of the y axis.
            columns: Slice of the x axis.

        Returns:
            (T, rows, columns) float32 in mm h-1; NaN = no data.

        Raises:
            DataFormatError: The file can no longer be read (removed, truncated).
        """
        stored = self.read_stored(frames, rows, columns)
        if self._packed:
            # Every 16-bit number is in the table: "clip" only spares the check, and is twice as fast as indexing.
            # Frame by frame, what it makes in between stays in the processor's cache.
            rate, table = np.empty(stored.shape, dtype=np.float32), self.rate_table()
            for frame, values in zip(rate, stored, strict=True):
                table.take(values, out=frame, mode="clip")
            return rate
        return self.to_rain_rate(stored).astype(np.float32, copy=False)

    @property
    def meaning(self) -> tuple[ToRainRate, float, float]:
        """What stored values mean: archives that agree in it have the same `rate_table`."""
        return self.to_rain_rate, float(self._scale), float(self._offset)

    @property
    def packing(self) -> Packing | None:
        """Of the stored values; None = they are float32."""
        return Packing(float(self._scale), float(self._offset)) if self._packed else None

    @property
    def stored_type(self) -> np.dtype[Any]:
        """Type of the stored values: 16 bits where they are packed."""
        return np.dtype(np.uint16 if self._packed else np.float32)

    def read_stored(self, frames: slice, rows: slice, columns: slice) -> NDArray[Any]:
        """A block of values as they are stored, no data where the mask hides a cell.

        Raises:
            DataFormatError: The file can no longer be read (removed, truncated).
        """
        stored = self.read_unmasked(frames, rows, columns)
        return stored if self.mask is None else self.mask.hide(stored, rows, columns, FILL if self._packed else np.nan)

    def read_unmasked(self, frames: slice, rows: slice, columns: slice) -> NDArray[Any]:
        """The same without regard to the mask."""
        if self.unpacked is not None:
            return np.asarray(self._map(self.unpacked)[frames, rows, columns])
        return self._block(frames, rows, columns)

    def _block(self, frames: slice, rows: slice, columns: slice) -> NDArray[Any]:
        """`read_stored` of the archive itself."""
        with damage(self.path, f"cannot read frames {frames}", "netCDF4"):
            return np.asarray(self._variable()[frames, rows, columns])

    def _map(self, path: Path) -> "np.memmap[Any, Any]":
        """The unpacked copy, mapped. To touch what is gone of it would kill the process, or read as zeros.

        Raises:
            DataFormatError: It is gone, cut short or no such copy.
        """
        try:
            if self._mapped is None:
                self._mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            size = path.stat().st_size
        except (OSError, ValueError, EOFError) as error:
            raise DataFormatError(path, f"cannot read frames of it: {reason(error, path)}") from error
        if size < self._mapped.offset + self._mapped.nbytes:
            raise DataFormatError(path, "cannot read frames of it: the file was cut short")
        return self._mapped

    def close(self) -> None:
        """Close this process's file handle; reading opens it again."""
        if self._handle is not None and self._handle[0] == os.getpid():
            self._handle[1].close()
        self._handle = None


def _number(path: Path | str, variable: Any, name: str, default: float | None = None) -> Any:  # noqa: ANN401
    """A number among the attributes of a variable.

    Raises:
        DataFormatError: It is there and no finite number.
    """
    value = np.asarray(getattr(variable, name, default))
    if value.dtype == object:  # None
        return default
    if value.size != 1 or value.dtype.kind not in "uif" or not np.isfinite(value).all():
        raise DataFormatError(path, f"{variable.name} has {name} {value.tolist()!r}, expected a finite number")
    return float(value.reshape(-1)[0])


def _check_layout(path: Path | str, dataset: netCDF4.Dataset, variable: Any) -> None:  # noqa: ANN401 (netCDF4 is untyped)
    """Refuse sizes and types that no archive has, before they are read."""
    if variable.ndim != 3 or str(variable.dtype) not in ("uint16", "float32"):
        raise DataFormatError(path, f"{variable.name} has shape {variable.shape} and type {variable.dtype}")
    frames, rows, columns = variable.shape
    check_shape(path, rows, columns)
    check_size(path, "time", frames, MAX_TIMES)
    tiles = (frames, -(-rows // TILE), -(-columns // TILE))
    expected = {"time": (frames,), "y": (rows,), "x": (columns,), "rain_fraction": tiles, "valid_fraction": tiles}
    for name, shape in expected.items():
        if name not in dataset.variables:
            raise DataFormatError(path, f"has no variable {name}; an archive has one")
        if getattr(dataset.variables[name].dtype, "kind", "O") not in "uif":
            raise DataFormatError(path, f"{name} has type {dataset.variables[name].dtype}, expected numbers")
        if dataset.variables[name].shape != shape:
            raise DataFormatError(path, f"{name} has shape {dataset.variables[name].shape}, expected {shape}")


def describe_steps(times: ArrayLike) -> str:
    """One line about the steps between rising times: the commonest, gaps, and what no window can use."""
    seconds = np.diff(np.asarray(times, dtype="datetime64[s]")).astype(int)
    if len(seconds) == 0:
        return "one frame: no time step"
    steps, counts = np.unique(seconds, return_counts=True)
    common = int(steps[counts.argmax()])
    gaps, odd = int((seconds > common).sum()), steps[steps % common != 0]
    if len(odd) == 0:
        return f"time step {common / 60:g} min, " + (f"{gaps} of {len(seconds)} longer (gaps)" if gaps else "no gap")
    others = ", ".join(f"{step / 60:.3g}" for step in odd[:5]) + (", …" if len(odd) > 5 else "")
    share = int(np.isin(seconds, odd).sum())
    return (
        f"irregular time steps: {share} of {len(seconds)} are no multiple of the commonest, {common / 60:g} min "
        f"({others} min); a window never spans one"
    )
