"""FMI composites as GeoTIFF."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nowcast.data.archive.frame import DataFormatError, Frame, Packing, regular_grid
from nowcast.data.formats.containers.raster import open_raster, read_band
from nowcast.units import ZR, Quantity


@dataclass(frozen=True)
class FmiGeotiffReader:
    """8-bit reflectivity. Gain, offset, no data and undetect stand as XML text inside the tag GDAL_METADATA.

    GDAL itself therefore knows neither unit nor missing value. "Undetect" is no echo.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        zr_a: Z-R factor.
        zr_b: Z-R exponent.
    """

    pattern: str
    provider: str
    licence: str
    zr_a: float
    zr_b: float

    def read(self, path: Path) -> list[Frame]:
        """The one field of a file.

        Raises:
            DataFormatError: Not such a file.
            ModuleNotFoundError: rasterio is not installed.
        """
        with open_raster(path) as dataset:
            tags = _items(path, dataset.tags().get("GDAL_METADATA", ""))
            stored = read_band(path, dataset)
            transform, crs = dataset.transform, dataset.crs
        if stored.dtype != np.uint8:
            raise DataFormatError(path, f"type {stored.dtype}, expected 8 bits")
        if crs is None:
            raise DataFormatError(path, "no projection")
        if "dBZ" not in tags["Quantity unit"]:
            raise DataFormatError(path, f"unit {tags['Quantity unit']!r}, expected dBZ")
        gain, offset, no_data, undetect = (_number(path, tags, key) for key in ("Gain", "Offset", "Nodata", "Undetect"))
        if not gain > 0:
            raise DataFormatError(path, f"gain {gain} is not positive")
        values = (stored.astype(np.float64) * gain + offset).astype(np.float32)
        no_echo = undetect * gain + offset
        values[stored == no_data] = np.nan
        grid = regular_grid(
            transform.c, transform.f, (-transform.e, transform.a), (stored.shape[0], stored.shape[1]), crs.to_wkt()
        )
        return [
            Frame(
                _time(path, tags["Observation time"]),
                Quantity.REFLECTIVITY,
                values,
                grid,
                Packing(gain, offset),
                no_echo=no_echo,
                zr=ZR(self.zr_a, self.zr_b),
            )
        ]


def _items(path: Path, xml: str) -> dict[str, str]:
    """Items of the metadata; a fixed pattern, so that no XML parser meets foreign text."""
    pattern = r'<Item name="([^"<>]{1,40})"(?: (?:format|unit)="([^"<>]{0,40})")?>([^<>]{0,80})</Item>'
    tags: dict[str, str] = {}
    for name, extra, value in re.findall(pattern, xml):
        tags[name] = value
        tags[f"{name} unit"] = extra
    missing = {"Observation time", "Quantity unit", "Gain", "Offset", "Nodata", "Undetect"} - tags.keys()
    if missing:
        raise DataFormatError(path, f"GDAL_METADATA lacks {', '.join(sorted(missing))}")
    return tags


def _number(path: Path, tags: dict[str, str], key: str) -> float:
    try:
        value = float(tags[key])
    except ValueError as error:
        raise DataFormatError(path, f"{key} is {tags[key]!r}, expected a number") from error
    if not np.isfinite(value):
        raise DataFormatError(path, f"{key} is {value}, expected a finite number")
    return value


def _time(path: Path, text: str) -> np.datetime64:
    try:
        return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:12]}:00", "s")
    except ValueError as error:
        raise DataFormatError(path, f"observation time {text!r} is not YYYYMMDDhhmm") from error
