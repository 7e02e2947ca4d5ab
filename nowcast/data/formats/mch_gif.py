"""MeteoSwiss composites as palette GIFs (products AQC and relatives)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from nowcast.data.archive.frame import DataFormatError, Frame, regular_grid
from nowcast.data.formats.containers.gif import read_palette
from nowcast.units import Quantity

NO_DATA = 255  # palette index
FIRST_RAIN, LAST_RAIN = 2, 250  # palette indices; 0, 1 and 251-254 are no rain
WEST, NORTH, CELL = 255_000.0, 480_000.0, 1000.0  # outer corner and cells of the Swiss grid LV03, metres
CRS = "EPSG:21781"


@dataclass(frozen=True)
class MchGifReader:
    """Rain in mm per accumulation period behind the palette index i: (10^((i - 71.5)/20) / 316)^(1/1.5).

    The law is not in the file; it is the one by which the open-source library pysteps reads this product (its
    importer import_mch_gif). Steps are 8 %, so that values are not equally spaced and stay floating-point. Index 255
    is no data; 0 and 1 are no rain. The name carries year, DAY OF YEAR, hour and minute: the end of the accumulation.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        period_minutes: Accumulation period of the product.
    """

    pattern: str
    provider: str
    licence: str
    period_minutes: float

    def read(self, path: Path) -> list[Frame]:
        """The one field of a file.

        Raises:
            DataFormatError: Not such a picture, or a name without time.
        """
        match = re.match(r"[A-Z]{3}(\d{2})(\d{3})(\d{2})(\d{2})", path.name)
        if match is None:
            raise DataFormatError(path, "name is not like AQC151351545F_00005.801.gif (year, day of year, HHMM)")
        year, day, hour, minute = (int(part) for part in match.groups())
        if not (1 <= day <= 366 and hour < 24 and minute < 60):
            raise DataFormatError(path, f"day of year {day}, {hour:02}:{minute:02} in the name is no time")
        time = datetime(2000 + year, 1, 1) + timedelta(days=day - 1, hours=hour, minutes=minute)
        index, _ = read_palette(path)
        grid = regular_grid(WEST, NORTH, (CELL, CELL), (index.shape[0], index.shape[1]), CRS)
        return [
            Frame(
                np.datetime64(time, "s"),
                Quantity.RAIN_AMOUNT,
                rain_amount()[index],
                grid,
                period=self.period_minutes * 60,
            )
        ]


def rain_amount() -> np.ndarray:
    """(256,) float32 mm per period of each palette index, NaN = no data."""
    index = np.arange(256)
    amount = (10 ** ((index - 71.5) / 20) / 316.0) ** (1 / 1.5)
    amount[(index < FIRST_RAIN) | (index > LAST_RAIN)] = 0.0
    amount[NO_DATA] = np.nan
    return amount.astype(np.float32)
