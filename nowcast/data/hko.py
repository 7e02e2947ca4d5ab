"""The HKO-7 tree as the Hong Kong Observatory gives it out: radarPNG/YYYY/MM/DD/RADyymmddHHMM00.png, and masks."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nowcast.data.days import Day
from nowcast.data.frame import DAMAGE, DataFormatError, check_shape
from nowcast.progress import track

STEP_MINUTES = 6
FRAMES_PER_DAY = 240
RANKING_STEP = 10  # the rain of a day is judged by every tenth frame, one an hour
CELL_KM = 512 / 480  # 480 cells over 512 km
HOW_TO_GET_IT = (
    "HKO-7 is given out for academic research on request to the Hong Kong Observatory (form and addresses: "
    "https://github.com/sxjscience/HKO-7)"
)
LAYOUT = "radarPNG/2011/05/03/RAD110503000000.png … RAD110503235400.png"
NAME = re.compile(r"RAD(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})00\.png")


@dataclass(frozen=True)
class HkoTree:
    """Days of radar echoes from the HKO-7 tree.

    Args:
        folder: Folder that holds radarPNG, and radarPNG_mask if masks are used.
        years: [first, last] whose days are chosen from.
        day_count: How many of the rainiest complete days to take.
        day_list: Text file with one YYYY-MM-DD per line instead of the rainiest days; None = choose.
        masks: "ignore", as in 2015, when there were none, or "no_data": cells that a mask of HKO-7 rejects are no
            data.

    Raises:
        ValueError: Unknown masks, or years that do not rise.
    """

    folder: str
    years: tuple[int, int]
    day_count: int
    day_list: str | None
    masks: Literal["ignore", "no_data"]

    cell_km = CELL_KM
    provider = "Hong Kong Observatory"
    licence = "HKO-7 undertaking: academic research only, no redistribution"

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.masks not in ("ignore", "no_data"):
            raise ValueError(f"masks must be ignore or no_data, got {self.masks!r}")
        if len(self.years) != 2 or self.years[0] > self.years[1]:
            raise ValueError(f"years must be [first, last], got {list(self.years)}")

    @property
    def pictures(self) -> Path:
        """The folder radarPNG."""
        return Path(self.folder).expanduser() / "radarPNG"

    def fingerprint(self) -> str:
        """What the result depends on, beside the files themselves."""
        listed = Path(self.day_list).expanduser().read_text() if self.day_list else ""
        return repr((str(self.pictures.resolve()), tuple(self.years), self.day_count, listed, self.masks))

    def days(self) -> list[Day]:
        """The chosen days, in order of time.

        Raises:
            FileNotFoundError: No tree, or a listed day is not in it.
            ValueError: Fewer complete days than asked for; the message counts what was found.
        """
        complete = self._complete_days()
        if self.day_list is not None:
            return self._listed(complete)
        if len(complete) < self.day_count:
            raise ValueError(
                f"{self.pictures} holds {len(complete)} complete days ({FRAMES_PER_DAY} frames, 00:00 to 23:54) of "
                f"{self.years[0]} to {self.years[1]}, fewer than the {self.day_count} asked for. Expected: {LAYOUT}. "
                f"{self._found()}. {HOW_TO_GET_IT}; or take fewer days with data.archives.source.day_count=…"
            )
        ranked = sorted(complete, key=self._ranking(complete), reverse=True)
        return [self._day(date) for date in sorted(ranked[: self.day_count])]

    def _complete_days(self) -> list[str]:
        if not self.pictures.is_dir():
            raise FileNotFoundError(
                f"no folder {self.pictures}; expected {LAYOUT} in data.archives.source.folder. {HOW_TO_GET_IT}"
            )
        years = range(self.years[0], self.years[1] + 1)
        folders = sorted(path for year in years for path in self.pictures.glob(f"{year:04}/??/??"))
        return [
            "-".join(folder.parts[-3:])
            for folder in track(folders, "looking for complete days", len(folders))
            if _is_complete(folder)
        ]

    def _found(self) -> str:
        folders = sorted(self.pictures.glob("????/??/??"))
        if not folders:
            return "Found no day at all"
        counts = {folder: sum(1 for path in folder.iterdir() if NAME.fullmatch(path.name)) for folder in folders[:1000]}
        fullest = max(counts, key=lambda folder: counts[folder])
        return f"Found {len(folders)} days of any kind; the fullest, {fullest}, has {counts[fullest]} frames"

    def _listed(self, complete: list[str]) -> list[Day]:
        assert self.day_list is not None  # days asked
        wanted = [line.strip() for line in Path(self.day_list).expanduser().read_text().splitlines() if line.strip()]
        missing = [date for date in wanted if date not in complete]
        if missing or not wanted:
            raise ValueError(
                f"{self.day_list}: {len(missing)} of {len(wanted)} days are not complete days of "
                f"{self.years[0]} to {self.years[1]} in {self.pictures}: {', '.join(missing[:5])}. Write one "
                "YYYY-MM-DD per line"
            )
        return [self._day(date) for date in sorted(set(wanted))]

    def _ranking(self, dates: list[str]) -> Any:  # noqa: ANN401 (a key function)
        """Mean grey value of each day: the paper says "top 97 rainy days" and not how they were ranked."""
        means = {
            date: float(np.mean([_read_grey(path).mean() for path in self._paths(date)[::RANKING_STEP]]))
            for date in track(dates, "looking for the rainiest days", len(dates))
        }
        return lambda date: means[date]

    def _paths(self, date: str) -> list[Path]:
        year, month, day = date.split("-")
        folder = self.pictures / year / month / day
        return [folder / name for name in _names(date)]

    def _day(self, date: str) -> Day:
        start = np.datetime64(f"{date}T00:00:00", "s")
        times = start + np.arange(FRAMES_PER_DAY) * np.timedelta64(STEP_MINUTES * 60, "s")
        return Day(f"hko_{date.replace('-', '')}", times, lambda: self._frames(date))

    def _frames(self, date: str) -> Iterator[NDArray[np.float32]]:
        for path in self._paths(date):
            grey = _read_grey(path).astype(np.float32) / np.float32(255)
            if self.masks == "no_data":
                mask = Path(self.folder).expanduser() / "radarPNG_mask" / path.relative_to(self.pictures)
                grey[~_read_mask(mask.with_suffix(".mask"), grey.shape)] = np.nan
            yield grey


def _names(date: str) -> list[str]:
    stamp = date.replace("-", "")[2:]
    minutes = range(0, 24 * 60, STEP_MINUTES)
    return [f"RAD{stamp}{minute // 60:02}{minute % 60:02}00.png" for minute in minutes]


def _is_complete(folder: Path) -> bool:
    there = {path.name for path in folder.iterdir()}
    return there.issuperset(_names("-".join(folder.parts[-3:])))


def _read_grey(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8: dBZ = 70·P - 10, P = value/255."""
    try:
        with Image.open(path) as picture:
            check_shape(path, picture.height, picture.width)
            return np.asarray(picture.convert("L"))
    except DataFormatError:
        raise
    except (*DAMAGE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataFormatError(path, f"cannot be read as a picture: {error}") from error


def _read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool, True = usable: zlib over one byte per cell."""
    try:
        content = zlib.decompressobj().decompress(path.read_bytes(), shape[0] * shape[1] + 1)
    except DAMAGE as error:
        raise DataFormatError(path, f"not a mask of HKO-7: {error}") from error
    if len(content) != shape[0] * shape[1]:
        raise DataFormatError(path, f"holds no mask of {shape[0]} x {shape[1]} cells")
    return np.asarray(np.frombuffer(content, dtype=np.uint8).reshape(shape) != 0)
