"""ODIM_H5 composites: OPERA and every service that follows the European data model."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyproj

from nowcast.data.formats.hdf5 import number, open_hdf5, text
from nowcast.data.frame import DataFormatError, Frame, Grid, Packing, check_shape, regular_grid
from nowcast.units import ZR, Quantity

QUANTITIES = {
    "RATE": Quantity.RAIN_RATE,
    "ACRR": Quantity.RAIN_AMOUNT,
    "DBZH": Quantity.REFLECTIVITY,
    "TH": Quantity.REFLECTIVITY,
    "DBZ": Quantity.REFLECTIVITY,
}


@dataclass(frozen=True)
class OdimReader:
    """Rain rate (RATE, mm h-1), accumulation (ACRR, mm over the file's own period) or reflectivity (DBZH, TH).

    `nodata` is no data, `undetect` is no rain. Time is the nominal time /what/date and time for RATE and
    reflectivity, and the end of the accumulation for ACRR.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        quantity: Which of QUANTITIES to read; None = the first of them, in that order, that the file holds.
        zr_a: Z-R factor for reflectivity.
        zr_b: Z-R exponent.

    Source: ODIM_H5 version 2 (EUMETNET OPERA).
    """

    pattern: str
    provider: str
    licence: str
    quantity: str | None
    zr_a: float
    zr_b: float

    def __post_init__(self) -> None:
        """Check the quantity."""
        if self.quantity is not None and self.quantity not in QUANTITIES:
            raise ValueError(f"source.quantity must be one of {', '.join(QUANTITIES)} or null, got {self.quantity!r}")

    def read(self, path: Path) -> list[Frame]:
        """The one field of the chosen quantity.

        Raises:
            DataFormatError: Not an ODIM composite, or without such a quantity.
        """
        with open_hdf5(path) as file:
            if not text(path, file, "/", "Conventions").startswith("ODIM_H5"):
                raise DataFormatError(path, "attribute Conventions does not say ODIM_H5; is source= right?")
            kind = text(path, file, "what", "object")
            if kind not in ("COMP", "IMAGE"):
                raise DataFormatError(path, f"object {kind!r} is no composite; only COMP and IMAGE are gridded")
            name, group = self._find(path, file)
            what = self._what(file, group)
            values, packing, no_echo = self._values(path, file, group, what, QUANTITIES[name])
            grid = self._grid(path, file, (values.shape[0], values.shape[1]))
            period, time = None, _time(path, file, "what", "date", "time")
            if QUANTITIES[name] is Quantity.RAIN_AMOUNT:
                begin = _time(path, file, what, "startdate", "starttime")
                time = _time(path, file, what, "enddate", "endtime")
                period = float((time - begin).astype(int))
                if period <= 0:
                    raise DataFormatError(path, f"accumulation from {begin} to {time} has no length")
        zr = ZR(self.zr_a, self.zr_b) if no_echo is not None else None
        return [Frame(time, QUANTITIES[name], values, grid, packing, period, no_echo, zr)]

    def _find(self, path: Path, file: h5py.File) -> tuple[str, str]:
        """Quantity and path of its data group."""
        found: dict[str, str] = {}
        for dataset in sorted(key for key in file if key.startswith("dataset")):
            for data in sorted(key for key in file[dataset] if key.startswith("data")):
                group = f"{dataset}/{data}"
                what = self._what(file, group, "quantity")
                if isinstance(file.get(f"{group}/data"), h5py.Dataset):
                    found.setdefault(text(path, file, what, "quantity"), group)
        for name in [self.quantity] if self.quantity else QUANTITIES:
            if name in found:
                return name, found[name]
        wanted = self.quantity or ", ".join(QUANTITIES)
        raise DataFormatError(path, f"holds {', '.join(found) or 'no quantity'}; expected {wanted}")

    def _what(self, file: h5py.File, group: str, name: str = "gain") -> str:
        """The `what` group that applies: attributes may stand at the data or at its dataset."""
        inner = file.get(f"{group}/what")
        return f"{group}/what" if inner is not None and name in inner.attrs else f"{group.split('/')[0]}/what"

    def _values(
        self, path: Path, file: h5py.File, group: str, what: str, quantity: Quantity
    ) -> tuple[np.ndarray, Packing | None, float | None]:
        data = file[f"{group}/data"]
        if data.ndim != 2 or data.dtype.kind not in "uif":
            raise DataFormatError(path, f"{group}/data has shape {data.shape} and type {data.dtype}, expected a field")
        check_shape(path, *data.shape)
        gain, offset = number(path, file, what, "gain"), number(path, file, what, "offset")
        nodata, undetect = number(path, file, what, "nodata"), number(path, file, what, "undetect")
        stored = data[()].astype(np.float64)
        values = stored * gain + offset
        no_echo = None
        if quantity is Quantity.REFLECTIVITY:
            # What the radar did not detect lies below anything that it can store.
            detected = (stored != nodata) & (stored != undetect)
            no_echo = min(float(values[detected].min(initial=np.inf)), 0.0) - 1 if gain <= 0 else offset - gain
            no_echo = float(np.round(no_echo, 6))
        values[stored == undetect] = 0.0 if no_echo is None else no_echo
        values[(stored == nodata) | ~np.isfinite(stored)] = np.nan
        packing = None
        if data.dtype.kind in "ui" and data.dtype.itemsize <= 2 and gain > 0:
            packing = Packing(gain, min(offset, 0.0 if no_echo is None else no_echo))
        return values.astype(np.float32), packing, no_echo

    def _grid(self, path: Path, file: h5py.File, shape: tuple[int, int]) -> Grid:
        crs = text(path, file, "where", "projdef")
        try:
            project = pyproj.Proj(crs)
        except pyproj.exceptions.CRSError as error:
            raise DataFormatError(path, f"projection {crs!r} is not understood") from error
        width, height = number(path, file, "where", "xscale"), number(path, file, "where", "yscale")
        left, top = project(number(path, file, "where", "UL_lon"), number(path, file, "where", "UL_lat"))
        if not (width > 0 and height > 0 and np.isfinite([left, top]).all()):
            raise DataFormatError(path, f"cells of {width} x {height} at {left}, {top} make no grid")
        return regular_grid(round(left, 3), round(top, 3), (height, width), shape, crs)


def _time(path: Path, file: h5py.File, group: str, date: str, time: str) -> np.datetime64:
    day, clock = text(path, file, group, date), text(path, file, group, time)
    try:
        return np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:8]}T{clock[:2]}:{clock[2:4]}:{clock[4:6] or '00'}", "s")
    except ValueError as error:
        raise DataFormatError(path, f"{group}: date {day!r}, time {clock!r} are no time") from error
