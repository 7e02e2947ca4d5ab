"""Forecasts of any system, read from CF netCDF files: ours, pysteps' or others'."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.archive.probe import open_netcdf
from nowcast.data.cf.file import NOTHING_TOLD, CFFile
from nowcast.data.results.forecast_fields import FoundForecast, exceedance_of, forecasts_of, rain_of
from nowcast.data.results.places import difference_of_place, unplaced
from nowcast.data.results.probabilities import Probabilities

log = logging.getLogger(__name__)


@dataclass
class ForecastFiles:
    """Forecasts of one system by time of their last observation and by place.

    Args:
        patterns: Files or globs.

    Attributes:
        files: init_time (seconds since 1970) → the forecasts from then, one for each place.

    Raises:
        FileNotFoundError: Nothing matches.
        DataFormatError: A file lacks something that makes a forecast, or two hold the same one.
    """

    patterns: Sequence[str]
    files: dict[int, list[FoundForecast]] = field(init=False, repr=False)
    _open: CFFile | None = field(init=False, repr=False, default=None)
    _said: set[str] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        """Look into every file for the times and places of its forecasts."""
        paths = [Path(name) for pattern in self.patterns for name in sorted(glob(str(Path(pattern).expanduser())))]  # noqa: PTH207
        if not paths:
            raise FileNotFoundError(f"no forecast file matches {', '.join(self.patterns)}")
        self.files = {}
        for path in paths:
            with open_forecast(path) as file:
                found = forecasts_of(file)
            for text in file.assumptions:
                self._warn(path, f"assumed: {text}")
            for init, one in found:
                same = [two.path for two in self.files.get(init, []) if not difference_of_place(two.grid, one.grid)]
                if same:
                    raise DataFormatError(path, f"holds the forecast from {_text(init)} UTC, as {same[0]} does")
                self.files.setdefault(init, []).append(one)

    def _warn(self, path: Path, text: str) -> None:
        """Say something of the first file that it is true of."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s: %s", path, text)

    def find(self, init_time: int, grid: Grid) -> FoundForecast | None:
        """The forecast from a time for a grid, None if there is none."""
        found = next((one for one in self.files.get(init_time, []) if not difference_of_place(one.grid, grid)), None)
        if found is not None and (who := unplaced(found.grid, grid)):
            self._warn(
                found.path,
                f"taken for the windows' place by its coordinates alone, since no projection is named by {who}",
            )
        return found

    def layout(self, init_time: int) -> tuple[list[int], Grid]:
        """Lead times in seconds, and the grid of the first of the forecasts from one of the times in `files`."""
        found = self.files[init_time][0]
        return list(found.leads), found.grid

    def read(self, init_time: int, lead_seconds: Sequence[int], grid: Grid) -> NDArray[np.float32]:
        """One forecast of rain rates; of the file only that is read.

        Args:
            init_time: Seconds since 1970; one of `files`.
            lead_seconds: T lead times.
            grid: Where it is wanted.

        Returns:
            (M, T, H, W) float32 mm h-1, row 0 north; M = 1 without members; NaN = no value.

        Raises:
            DataFormatError: No forecast for that grid, a lead time that is missing, or values that are no rain.
        """
        found, steps = self._look_up(init_time, lead_seconds, grid)
        with _readable(found.path):
            return rain_of(self._file(found.path), found.number, steps)

    def probabilities(self, init_time: int, lead_seconds: Sequence[int], grid: Grid) -> Probabilities:
        """One forecast of probabilities of exceedance, one that has `thresholds`; of the file only that is read.

        Raises:
            DataFormatError: No forecast for that grid, a lead time that is missing, or values that are no probability.
        """
        found, steps = self._look_up(init_time, lead_seconds, grid)
        with _readable(found.path):
            values = exceedance_of(self._file(found.path), found.number, steps)
        levels, heavy = (None if one is None else one[..., steps, :] for one in (found.levels, found.heavy))
        return Probabilities(values, found.thresholds, levels, heavy=heavy)

    def _look_up(self, init_time: int, lead_seconds: Sequence[int], grid: Grid) -> tuple[FoundForecast, list[int]]:
        """Where a forecast lies, and at which places of its axis the lead times."""
        found = self.find(init_time, grid)
        if found is None:
            other = self.files[init_time][0]
            raise DataFormatError(
                other.path,
                f"{difference_of_place(other.grid, grid)}: bring the forecasts to that grid first, and score whole "
                "grids (data.eval_crop=null)",
            )
        missing = [lead for lead in lead_seconds if lead not in found.leads]
        if missing:
            known = ", ".join(f"{lead / 60:g}" for lead in found.leads)
            raise DataFormatError(found.path, f"has no lead time of {missing[0] / 60:g} min; it has {known}")
        return found, [found.leads.index(lead) for lead in lead_seconds]

    def _file(self, path: Path) -> CFFile:
        """The file, which stays open until another one is wanted: windows in order ask for the same again and again."""
        if self._open is None or self._open.path != path:
            if self._open is not None:
                self._open.dataset.close()
            self._open = None
            dataset = _opened(path, netCDF4.Dataset)  # it opened before
            self._open = CFFile(path, dataset, NOTHING_TOLD, by_config=False)
        return self._open


@contextmanager
def open_forecast(path: Path) -> Iterator[CFFile]:
    """A file of forecasts, open for a look.

    Raises:
        DataFormatError: There is none, it is no netCDF file, or what is looked for in it is damaged.
    """
    with _opened(path, open_netcdf) as dataset, _readable(path):
        yield CFFile(path, dataset, NOTHING_TOLD, by_config=False)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What a library finds damaged becomes a DataFormatError."""
    with damage(path, "not readable as a forecast", "netCDF4", "cftime"):
        yield


def _opened(path: Path, opens: Callable[[Path], netCDF4.Dataset]) -> netCDF4.Dataset:
    with damage(path, "not a netCDF file", "netCDF4"):
        return opens(path)


def _text(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))
