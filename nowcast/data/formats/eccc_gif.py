"""Environment and Climate Change Canada: single-radar rain pictures (DPQPE) with a legend."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError, Frame, regular_grid
from nowcast.data.formats.containers.gif import read_palette
from nowcast.units import Quantity

MAP_SIDE = 480  # pixels of the map, 1 km each; the legend stands right of it
CELL = 1000.0
RANGE = 240.0  # km that the radar sees
# Colours of the legend from the lowest class up, and the lower bound of each class in mm h-1.
CLASSES = (
    ("99ccff", 0.1), ("0099ff", 1), ("00ff66", 2), ("00cc00", 4), ("009900", 8), ("006600", 12), ("ffff33", 16),
    ("ffcc00", 24), ("ff9900", 32), ("ff6600", 50), ("ff0000", 64), ("ff0099", 100), ("9933cc", 125), ("660099", 200),
)  # fmt: skip
COLOUR_TOLERANCE = 2  # of 255 in red, green and blue: the map draws class 100 as ff0299, the legend as ff0099
NO_RAIN = ("333366", "999966")  # water and land of the map
LOGO = (22, 170)  # rows and columns of the flag and its text
BORDER = 2  # pixels of red frame, in the very colour of the class from 64 mm h-1


@dataclass(frozen=True)
class EcccGifReader:
    """Rain rate in 14 classes by colour. What lies under logo, frame, coast lines and letters is no data.

    The order of the palette differs from file to file, so that classes are found by colour. Outside the disc of
    240 km round the radar there is no data.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        class_value: Value of a class: its "lower" bound or the "geometric_mean" of its bounds.
        sites: Site → [latitude, longitude] of the radar.
    """

    pattern: str
    provider: str
    licence: str
    class_value: str
    sites: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        """Check the option."""
        if self.class_value not in ("lower", "geometric_mean"):
            raise ValueError(f"source.class_value must be lower or geometric_mean, got {self.class_value!r}")

    def read(self, path: Path) -> list[Frame]:
        """The one field of a file.

        Raises:
            DataFormatError: Not such a picture, or a site whose coordinates are not in source.sites.
        """
        match = re.match(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})Z.*_([A-Z]{5})_Rain", path.name)
        if match is None:
            raise DataFormatError(path, "name is not like 20240710T2106Z_MSC_Radar-DPQPE_CASCM_Rain.gif")
        try:
            time = np.datetime64("{}-{}-{}T{}:{}:00".format(*match.groups()[:5]), "s")
        except ValueError as error:
            raise DataFormatError(path, "the name holds no time") from error
        site = match[6]
        if site not in self.sites:
            raise DataFormatError(
                path, f"site {site} is unknown; give its place with '+source.sites.{site}=[<latitude>,<longitude>]'"
            )
        index, palette = read_palette(path)
        if index.shape[0] != MAP_SIDE or index.shape[1] < MAP_SIDE:
            raise DataFormatError(path, f"picture of {index.shape} pixels, expected {MAP_SIDE} rows and a legend")
        values = self._class_values(palette)[index[:, :MAP_SIDE]]
        values[_hidden()] = np.nan
        latitude, longitude = self.sites[site]
        crs = f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +datum=WGS84 +units=m +no_defs"
        half = MAP_SIDE * CELL / 2
        grid = regular_grid(-half, half, (CELL, CELL), (MAP_SIDE, MAP_SIDE), crs)
        return [Frame(time, Quantity.RAIN_RATE, values, grid)]

    def _class_values(self, palette: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(256,) mm h-1 of each palette index; NaN for colours that are neither class nor map."""
        lower = [bound for _, bound in CLASSES]
        upper = [*lower[1:], lower[-1]]  # the highest class is open: its lower bound is all that is known
        by_colour = dict.fromkeys(NO_RAIN, 0.0)
        for (colour, low), high in zip(CLASSES, upper, strict=True):
            by_colour[colour] = low if self.class_value == "lower" else float(np.sqrt(low * high))
        colours = np.array([list(bytes.fromhex(name)) for name in by_colour])  # (classes, 3)
        near = (np.abs(palette[:, None].astype(int) - colours) <= COLOUR_TOLERANCE).all(axis=2)  # (256, classes)
        known = np.array(list(by_colour.values()), dtype=np.float32)[near.argmax(axis=1)]
        return np.where(near.any(axis=1), known, np.float32(np.nan))


def _hidden() -> NDArray[np.bool_]:
    """(480, 480) True where the picture shows no radar: outside the disc, frame, logo."""
    centre = np.arange(MAP_SIDE) + 0.5 - MAP_SIDE / 2
    hidden: NDArray[np.bool_] = np.hypot(centre[:, None], centre[None]) > RANGE
    hidden[:BORDER] = hidden[-BORDER:] = True
    hidden[:, :BORDER] = hidden[:, -BORDER:] = True
    hidden[: LOGO[0], : LOGO[1]] = True
    return hidden
