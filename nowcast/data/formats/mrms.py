"""NOAA MRMS: GRIB2 mosaics of the conterminous United States."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nowcast.data.archive.frame import DataFormatError, Frame, Packing, regular_grid
from nowcast.data.formats.containers.raster import open_raster, read_band
from nowcast.data.formats.containers.unpack import is_gzip, unpack_gzip
from nowcast.units import Quantity

QUANTUM = 0.1  # mm h-1
MAX_UNPACKED = 400_000_000  # bytes; a frame packs into a few megabytes


@dataclass(frozen=True)
class MrmsReader:
    """PrecipRate in mm h-1, plain or gzipped: -3 is no coverage, 0 no rain; time is the valid time of the message.

    GRIB's own missing value (9999) is not used in the product but read as no data all the same.
    """

    pattern: str
    provider: str
    licence: str

    def read(self, path: Path) -> list[Frame]:
        """The one field of a file.

        Raises:
            DataFormatError: Not GRIB2, not one message, or damaged.
            ModuleNotFoundError: rasterio is not installed.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        content = unpack_gzip(path, MAX_UNPACKED) if is_gzip(path) else None
        with open_raster(path, content) as dataset:
            if dataset.driver != "GRIB" or dataset.count != 1:
                raise DataFormatError(path, f"{dataset.driver} with {dataset.count} fields, expected GRIB with one")
            tags, transform = dataset.tags(1), dataset.transform
            missing = dataset.nodata
            values = read_band(path, dataset).astype(np.float32)
        try:
            seconds = int(tags["GRIB_VALID_TIME"].split()[0])
        except (KeyError, ValueError) as error:
            raise DataFormatError(path, f"no valid time in {tags}") from error
        # -1 and -3 are the product's codes for "missing" and "no coverage"; no rain rate is negative.
        values[(values <= -1) | (values == missing) | ~np.isfinite(values)] = np.nan
        west = transform.c - 360 if transform.c >= 180 else transform.c
        shape = (values.shape[0], values.shape[1])
        grid = regular_grid(west, transform.f, (-transform.e, transform.a), shape, "EPSG:4326")
        return [Frame(np.datetime64(seconds, "s"), Quantity.RAIN_RATE, values, grid, Packing(QUANTUM, 0.0))]
