"""Forecasts of other systems, read from files, scored as if they were models."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nowcast.data.archive.frame import Grid
from nowcast.data.interface import DataModule
from nowcast.data.results.forecast_fields import FoundForecast
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.data.results.places import difference_of_place
from nowcast.data.windows.index import Split
from nowcast.data.windows.sample import Sample
from nowcast.forecasting.forecast import HALF, Ensemble, Exceedance, FieldForecast

log = logging.getLogger(__name__)
Levels = NDArray[np.float32]


class FileForecasts(nn.Module):
    """Looks the forecast of a window up, by time and place, instead of computing it.

    Args:
        patterns: netCDF files or globs of one system.
        data: The windows of rain, on whole grids.

    Raises:
        ValueError: The forecasts have different numbers of members, or thresholds or levels of decision.
    """

    def __init__(self, patterns: Sequence[str], data: DataModule) -> None:
        """Find the forecasts."""
        super().__init__()
        data.setup()
        self.files = ForecastFiles(patterns)
        self.names = [series.name for series in data.series]
        self.grids = [series.grid for series in data.series]
        self.step_seconds = [series.step_seconds for series in data.series]
        found = [one for several in self.files.files.values() for one in several]
        _refuse_different(
            found,
            lambda one: one.members,
            lambda one: f"has {one.members} member(s)",
            "the forecasts of a system need one number of members",
        )
        _refuse_different(
            found,
            lambda one: one.thresholds,
            lambda one: f"has {_held(one.thresholds)}",
            "the forecasts of a system hold the same, with the same thresholds",
        )
        _refuse_different(
            found,
            lambda one: one.heavy is not None,
            lambda one: f"has {'rates' if one.heavy is not None else 'no rates'} of heavy rain",
            "the forecasts of a system hold the same",
        )
        self.members, self.thresholds = found[0].members, found[0].thresholds
        self.tells_heavy = found[0].heavy is not None

    def has(self, batch: Sample) -> Tensor:
        """(B,) bool: whether there is a forecast from the time of a window's last input, for its cells."""
        pairs = zip(batch["init_time"].tolist(), batch["archive"].tolist(), strict=True)
        return torch.tensor([self._known(init, archive) for init, archive in pairs])

    def _known(self, init: int, archive: int) -> bool:
        return self.files.find(init, self.grids[archive]) is not None

    def for_windows(self, batch: Sample) -> FieldForecast:
        """Forecasts of the windows of a batch; NaN where there is no value or no forecast.

        Raises:
            DataFormatError: A forecast without one of the lead times.
            ValueError: The windows are tiles.
        """
        steps, shape = batch["targets"].shape[1], batch["targets"].shape[-2:]
        found: list[FieldForecast | None] = []
        for init, archive in zip(batch["init_time"].tolist(), batch["archive"].tolist(), strict=True):
            if shape != self.grids[archive].shape:
                raise ValueError(
                    f"forecasts= are on whole grids, the windows are tiles of {tuple(shape)}: add data.eval_crop=null"
                )
            leads = [self.step_seconds[archive] * (k + 1) for k in range(steps)]
            known = self._known(init, archive)
            found.append(read_forecast(self.files, init, leads, self.grids[archive]) if known else None)
        return self._joined(found, steps, (shape[0], shape[1]))

    def _joined(self, found: Sequence[FieldForecast | None], steps: int, shape: tuple[int, int]) -> FieldForecast:
        """Forecasts of one window each as one of all; None = NaN."""
        if self.thresholds:
            nothing = torch.full((1, steps, len(self.thresholds), *shape), torch.nan)
            values = torch.cat([nothing if forecast is None else forecast.values for forecast in found])
            levels = _levels_of_all(found, steps, len(self.thresholds))
            return Exceedance(values, self.thresholds, levels, heavy=_heavy_of_all(found))
        nothing = torch.full((1, self.members, steps, 1, *shape), torch.nan)
        return Ensemble(torch.cat([nothing if forecast is None else forecast.values for forecast in found]))

    def of(self, archives: NDArray[np.int64], init_times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(N,) whether there is a forecast for each window, of which (N,) archive and time of the last input are given.

        Raises:
            ValueError: There is none; the message says whether times or places do not meet.
        """
        windows = list(zip(init_times.tolist(), archives.tolist(), strict=True))
        known = np.array([self._known(init, archive) for init, archive in windows], dtype=bool)
        if known.any():
            return known
        names = ", ".join(sorted({self.names[archive] for _, archive in windows}))
        at_other_places = [(init, archive) for init, archive in windows if init in self.files.files]
        if at_other_places:
            init, archive = at_other_places[0]
            why = difference_of_place(self.files.files[init][0].grid, self.grids[archive])
            raise ValueError(
                f"{', '.join(self.files.patterns)} forecast from the times of the windows of {names}, but for "
                f"another place: {why}. Give forecasts for that grid, or the archive that they are for: "
                "data.archives=[<file>]"
            )
        raise ValueError(
            f"{', '.join(self.files.patterns)} hold no forecast for any window: they begin {_span(self.files.files)}, "
            f"the {len(windows)} windows of {names} {_span([init for init, _ in windows])}. Give files that begin at a "
            "window's last input, or archives (data.archives=) and a split (split=, data.split.method=all) of their "
            "times"
        )


def read_forecast(files: ForecastFiles, init_time: int, lead_seconds: Sequence[int], grid: Grid) -> FieldForecast:
    """One forecast (B = 1) of those in files: probabilities of exceedance, or members of which there may be one.

    Args:
        files: They.
        init_time: Seconds since 1970; one of `files.files`.
        lead_seconds: T lead times.
        grid: Where it is wanted.

    Raises:
        DataFormatError: No forecast for that grid, a lead time that is missing, or values that cannot be.
    """
    found = files.find(init_time, grid)
    if found is not None and found.thresholds:
        said = files.probabilities(init_time, lead_seconds, grid)
        levels = None if said.levels is None else torch.from_numpy(said.levels)
        heavy = None if said.heavy is None else torch.from_numpy(said.heavy)[None]
        return Exceedance(torch.from_numpy(said.values)[None], said.thresholds, levels, heavy=heavy)
    return Ensemble(torch.from_numpy(files.read(init_time, lead_seconds, grid))[None, :, :, None])


def _refuse_different(
    found: Sequence[FoundForecast],
    key: Callable[[FoundForecast], Any],
    words: Callable[[FoundForecast], str],
    rule: str,
) -> None:
    """Refuse forecasts of one system that are not all alike."""
    kinds = {key(one): one for one in found}
    if len(kinds) > 1:
        one, other = kinds[min(kinds)], kinds[max(kinds)]
        raise ValueError(
            f"{one.path} {words(one)}, {other.path} {words(other).removeprefix('has ')}: {rule}. Name them as systems "
            "of their own: forecasts={one: <files>, other: <files>}"
        )


def _held(thresholds: Sequence[float]) -> str:
    if not thresholds:
        return "rain rates"
    return f"probabilities of at least {', '.join(f'{threshold:g}' for threshold in thresholds)} mm/h"


def _levels_of_all(found: Sequence[FieldForecast | None], steps: int, thresholds: int) -> Tensor | None:
    """(B, T, K) levels of decision of forecasts of one window each, ½ where one has none; None where none has."""
    said = [None if forecast is None else forecast.exceedance for forecast in found]
    held = [None if one is None else one.levels for one in said]
    if all(levels is None for levels in held):
        return None
    half = torch.full((steps, thresholds), HALF)
    return torch.stack([half if levels is None else levels for levels in held])


def _heavy_of_all(found: Sequence[FieldForecast | None]) -> Tensor | None:
    """(B, 2, T, Q) what heavy rain is made of in forecasts of a window each, NaN where one has none; None of all."""
    said = [None if forecast is None else forecast.exceedance for forecast in found]
    held = [None if one is None else one.heavy for one in said]
    known = next((one for one in held if one is not None), None)
    if known is None:
        return None
    return torch.cat([torch.full_like(known, torch.nan) if one is None else one for one in held])


def check_common_windows(systems: Mapping[str, FileForecasts], data: DataModule, split: Split) -> None:
    """See that there is something to compare, and say what there is not.

    Raises:
        ValueError: A system has no forecast for any window, or no window has one of every system.
    """
    if not systems:
        return
    archives, init_times = data.origins(split)
    common = np.ones(len(archives), dtype=bool)
    for name, system in systems.items():
        try:
            known = system.of(archives, init_times)
        except ValueError as error:
            raise ValueError(f"forecasts.{name}: {error}") from error
        common &= known
        if not known.all():
            first = np.datetime64(int(init_times[np.argmin(known)]), "s")
            log.warning(
                "forecasts.%s: for %d of %d %s windows; the others (the first from %s UTC) are left out for all models",
                name, known.sum(), len(known), split, first,
            )  # fmt: skip
    if not common.any():
        raise ValueError(
            f"no {split} window has a forecast of each of {', '.join(systems)}: only windows that all have are scored. "
            "Evaluate them one by one, or give files of the same times"
        )


def _span(times: Iterable[int]) -> str:
    times = list(times)
    first, last = (np.datetime64(time, "s") for time in (min(times), max(times)))
    return f"{first} to {last} UTC"
