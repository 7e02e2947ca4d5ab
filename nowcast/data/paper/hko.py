"""The HKO-7 tree as the Hong Kong Observatory gives it out: radarPNG/YYYY/MM/DD/RADyymmddHHMM00.png, and masks."""

import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import DataFormatError, check_shape
from nowcast.data.paper.days import Day
from nowcast.data.windows.settings import check_pair
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
NOT_GREY = (
    "is not a grey picture of 8 bits (its kind is {}); HKO-7 has one byte per pixel, (dBZ + 10)/70 of 255, and colours "
    "or other ranges cannot be turned into it"
)


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
            raise ValueError(f"data.archives.source.masks must be ignore or no_data, got {self.masks!r}")
        check_pair("data.archives.source.years", self.years, "[first, last]")
        if self.years[0] > self.years[1]:
            raise ValueError(f"data.archives.source.years must be [first, last], got {list(self.years)}")
        if self.day_count < 1:
            raise ValueError(f"data.archives.source.day_count must be at least 1, got {self.day_count}")

    @property
    def pictures(self) -> Path:
        """The folder radarPNG."""
        return Path(self.folder).expanduser() / "radarPNG"

    def fingerprint(self) -> str:
        """What the result depends on: the settings, and the files of every day that can be chosen."""
        settings = (str(self.pictures.resolve()), tuple(self.years), self.day_count, self.day_list is None, self.masks)
        files = hashlib.sha256()
        for date in self._candidates():
            # Size and time stand for content: reading three years of pictures at every start would take an hour.
            files.update(repr((date, [_state(path) for path in self._files(date)])).encode())
        return repr((settings, files.hexdigest()))

    def days(self) -> list[Day]:
        """The chosen days, in order of time.

        Raises:
            FileNotFoundError: No tree, no list of days.
            ValueError: Fewer complete days than asked for, or a listed day is not complete; the message counts what
                was found.
            DataFormatError: A picture cannot be read, or is no grey picture of the size of the others.
        """
        dates = self._candidates()
        if self.day_list is None and len(dates) < self.day_count:
            raise ValueError(
                f"{self.pictures} holds {len(dates)} complete days ({FRAMES_PER_DAY} frames, 00:00 to 23:54) of "
                f"{self.years[0]} to {self.years[1]}, fewer than the {self.day_count} asked for. Expected: {LAYOUT}. "
                f"{self._found(dates)}. {HOW_TO_GET_IT}; or take fewer days with data.archives.source.day_count=…"
            )
        pictures = _Pictures.like(self._paths(dates[0])[0])
        if self.day_list is None:
            means = self._means(dates, pictures)
            dates = sorted(sorted(dates, key=lambda date: means[date], reverse=True)[: self.day_count])
        return [self._day(date, pictures) for date in dates]

    def _candidates(self) -> list[str]:
        """The days to choose from: the listed ones, or all complete days."""
        complete = self._complete_days()
        return complete if self.day_list is None else self._listed(complete)

    def _complete_days(self) -> list[str]:
        if not self.pictures.is_dir():
            raise FileNotFoundError(self._no_tree())
        years = range(self.years[0], self.years[1] + 1)
        folders = sorted(path for year in years for path in self.pictures.glob(f"{year:04}/??/??"))
        return [
            _date(folder)
            for folder in track(folders, "looking for complete days", len(folders))
            if not _lacking(folder)
        ]

    def _no_tree(self) -> str:
        given = Path(self.folder).expanduser().resolve()
        if given.name == "radarPNG":
            key = f"data.archives.source.folder={self.folder}"
            return f"{key} is the folder radarPNG itself; give its parent, {given.parent}"
        return f"no folder {self.pictures}; expected {LAYOUT} in data.archives.source.folder. {HOW_TO_GET_IT}"

    def _found(self, complete: list[str]) -> str:
        folders = [path for path in sorted(self.pictures.glob("????/??/??")) if path.is_dir()]
        if not folders:
            return "Found no day at all"
        here = {folder for folder in folders if self.years[0] <= _year(folder) <= self.years[1]}
        lacking = {folder: names for folder in sorted(here) if (names := _lacking(folder))}
        others = len(folders) - len(here)
        text = (
            f"Found {len(folders)} days: {len(complete)} complete, {len(lacking)} incomplete, {others} of other years"
        )
        if not lacking:
            return text
        nearest = min(lacking, key=lambda folder: len(lacking[folder]))
        return (
            f"{text}; the nearest of the incomplete, {nearest}, lacks {len(lacking[nearest])} of {FRAMES_PER_DAY} "
            f"frames, the first {lacking[nearest][0]}"
        )

    def _listed(self, complete: list[str]) -> list[str]:
        assert self.day_list is not None  # days asked
        try:
            lines = Path(self.day_list).expanduser().read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise FileNotFoundError(
                f"data.archives.source.day_list={self.day_list} cannot be read ({error.strerror}). Give a text file of "
                "one YYYY-MM-DD per line, or null for the rainiest days"
            ) from error
        wanted = [line.strip() for line in lines if line.strip()]
        missing = [date for date in wanted if date not in complete]
        if missing or not wanted:
            raise ValueError(
                f"{self.day_list}: {len(missing)} of {len(wanted)} days are not complete days of "
                f"{self.years[0]} to {self.years[1]} in {self.pictures}: {', '.join(missing[:5])}. Write one "
                "YYYY-MM-DD per line"
            )
        return sorted(set(wanted))

    def _means(self, dates: list[str], pictures: "_Pictures") -> dict[str, float]:
        """Mean grey value of each day: the paper says "top 97 rainy days" and not how they were ranked."""
        return {
            date: float(np.mean([pictures.read(path).mean() for path in self._paths(date)[::RANKING_STEP]]))
            for date in track(dates, "looking for the rainiest days", len(dates))
        }

    def _paths(self, date: str) -> list[Path]:
        year, month, day = date.split("-")
        folder = self.pictures / year / month / day
        return [folder / name for name in _names(date)]

    def _mask(self, picture: Path) -> Path:
        place = picture.relative_to(self.pictures).with_suffix(".mask")
        return Path(self.folder).expanduser() / "radarPNG_mask" / place

    def _files(self, date: str) -> list[Path]:
        paths = self._paths(date)
        return paths + [self._mask(path) for path in paths] if self.masks == "no_data" else paths

    def _day(self, date: str, pictures: "_Pictures") -> Day:
        start = np.datetime64(f"{date}T00:00:00", "s")
        times = start + np.arange(FRAMES_PER_DAY) * np.timedelta64(STEP_MINUTES * 60, "s")
        folder = str(self._paths(date)[0].parent)
        return Day(f"hko_{date.replace('-', '')}", times, lambda: self._frames(date, pictures), folder)

    def _frames(self, date: str, pictures: "_Pictures") -> Iterator[NDArray[np.float32]]:
        for path in self._paths(date):
            grey = pictures.read(path).astype(np.float32) / np.float32(255)
            if self.masks == "no_data":
                grey[~_read_mask(self._mask(path), grey.shape)] = np.nan
            yield grey


@dataclass(frozen=True)
class _Pictures:
    """Pictures of one size."""

    first: Path
    shape: tuple[int, ...]

    @classmethod
    def like(cls, first: Path) -> "_Pictures":
        return cls(first, _read_grey(first).shape)

    def read(self, path: Path) -> NDArray[np.uint8]:
        grey = _read_grey(path)
        if grey.shape != self.shape:
            raise DataFormatError(
                path,
                f"has {grey.shape[0]}x{grey.shape[1]} pixels and {self.first} {self.shape[0]}x{self.shape[1]}; all "
                "pictures of a tree must have one size",
            )
        return grey


def _date(folder: Path) -> str:
    return "-".join(folder.parts[-3:])


def _year(folder: Path) -> int:
    return int(name) if (name := folder.parts[-3]).isdecimal() else -1


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file, None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _names(date: str) -> list[str]:
    stamp = date.replace("-", "")[2:]
    minutes = range(0, 24 * 60, STEP_MINUTES)
    return [f"RAD{stamp}{minute // 60:02}{minute % 60:02}00.png" for minute in minutes]


def _lacking(folder: Path) -> list[str]:
    """Names of the frames that a day does not have."""
    there = set(os.listdir(folder)) if folder.is_dir() else set()  # noqa: PTH208 (names alone: a tree has 260,000)
    return [name for name in _names(_date(folder)) if name not in there]


def _read_grey(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8: dBZ = 70·P - 10, P = value/255."""
    # A name that ends in .png says nothing of the content: a JPEG has other values than were drawn, a TIFF may have.
    with damage(path, "cannot be read as a PNG picture", "PIL"), Image.open(path, formats=["PNG"]) as picture:
        check_shape(path, picture.height, picture.width)
        if picture.mode not in ("L", "RGB"):
            raise DataFormatError(path, NOT_GREY.format(picture.mode))
        values = np.asarray(picture)
    if values.ndim == 2:
        return values
    # Some programs store grey in three colours: that loses nothing as long as they are the same.
    if (values != values[..., :1]).any():
        raise DataFormatError(path, NOT_GREY.format("RGB, in colours"))
    return np.ascontiguousarray(values[..., 0])


def _read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool, True = usable: zlib over one byte per cell."""
    try:
        content = zlib.decompressobj().decompress(path.read_bytes(), shape[0] * shape[1] + 1)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no mask {path}; data.archives.source.masks=ignore does without masks, as the paper did"
        ) from error
    except zlib.error as error:
        raise DataFormatError(path, f"not a mask of HKO-7: {error}") from error
    if len(content) != shape[0] * shape[1]:
        raise DataFormatError(path, f"holds no mask of {shape[0]} x {shape[1]} cells")
    return np.asarray(np.frombuffer(content, dtype=np.uint8).reshape(shape) != 0)
