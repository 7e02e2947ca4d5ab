"""Forecasts of other systems, read from files, scored as if they were models."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nowcast.data.interface import DataModule
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.data.results.places import difference_of_place
from nowcast.data.windows.dataset import Sample
from nowcast.data.windows.index import Split
from nowcast.forecasting.forecast import Ensemble, FieldForecast

log = logging.getLogger(__name__)


class FileForecasts(nn.Module):
    """Looks the forecast of a window up, by time and place, instead of computing it.

    Args:
        patterns: netCDF files or globs of one system.
        data: The windows of rain, on whole grids.

    Raises:
        ValueError: The forecasts have different numbers of members.
    """

    def __init__(self, patterns: Sequence[str], data: DataModule) -> None:
        """Find the forecasts."""
        super().__init__()
        data.setup()
        self.files = ForecastFiles(patterns)
        self.names = [series.name for series in data.series]
        self.grids = [series.grid for series in data.series]
        self.step_seconds = [series.step_seconds for series in data.series]
        of_members = {one.members: one.path for found in self.files.files.values() for one in found}
        if len(of_members) > 1:
            few, many = min(of_members), max(of_members)
            raise ValueError(
                f"{of_members[few]} has {few} member(s), {of_members[many]} {many}: the forecasts of a system need one "
                "number of members. Name them as systems of their own: forecasts={one: <files>, other: <files>}"
            )
        (self.members,) = of_members

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
        found: list[Tensor | None] = []
        for init, archive in zip(batch["init_time"].tolist(), batch["archive"].tolist(), strict=True):
            if shape != self.grids[archive].shape:
                raise ValueError(
                    f"forecasts= are on whole grids, the windows are tiles of {tuple(shape)}: add data.eval_crop=null"
                )
            leads = [self.step_seconds[archive] * (k + 1) for k in range(steps)]
            known = self._known(init, archive)
            found.append(torch.from_numpy(self.files.read(init, leads, self.grids[archive])) if known else None)
        nothing = torch.full((self.members, steps, *shape), np.nan)
        values = torch.stack([nothing if forecast is None else forecast for forecast in found]).unsqueeze(3)
        return Ensemble(values)  # (B, M, T, 1, H, W)

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
