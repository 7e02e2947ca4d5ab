"""Forecasts as CF-1.11 netCDF files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import EPOCH
from nowcast.data.archive.frame import Grid
from nowcast.data.archive.writer import write_grid
from nowcast.data.results.probabilities import (
    AT_LEAST,
    CHOICES,
    DECISION,
    LEVEL,
    MATCHED,
    ODDS,
    PROBABILITY,
    QUANTILE,
    RELATION,
    THRESHOLD,
    Probabilities,
)
from nowcast.files import written_whole
from nowcast.units import Quantity

BESIDE = {
    "grid_mapping": "crs", "coordinates": "forecast_reference_time forecast_period", "ancillary_variables": "mask",
}  # attributes of fields  # fmt: skip


@dataclass(frozen=True, eq=False)
class Forecast:
    """One forecast.

    Args:
        init_time: UTC datetime64[s] of the last input frame.
        step_seconds: Seconds between lead times; the first is one step after init_time.
        rain_rate: (T, H, W), or (M, T, H, W) of an ensemble, float32 mm h-1, NaN = no forecast.
        coverage: (H, W) bool, True where the last input frame held data.
        grid: Cells, row 0 north.
        probabilities: Of exceedance, where the forecast holds them; `rain_rate` is the field that follows from them.
    """

    init_time: np.datetime64
    step_seconds: int
    rain_rate: NDArray[np.float32]
    coverage: NDArray[np.bool_]
    grid: Grid
    probabilities: Probabilities | None = None


def write_forecast(path: Path, forecast: Forecast, attributes: Mapping[str, str]) -> None:
    """Write a forecast under a temporary name, then rename it.

    Raises:
        FileExistsError: `path` exists.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists; remove it or choose another output=")
    with written_whole(path) as partial, netCDF4.Dataset(partial, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"Conventions": "CF-1.11", **attributes})
        _fill(dataset, forecast)


def _fill(dataset: netCDF4.Dataset, forecast: Forecast) -> None:
    write_grid(dataset, forecast.grid)
    _write_times(dataset, forecast)
    _write_rain(dataset, forecast.rain_rate)
    if forecast.probabilities is not None:
        _write_probabilities(dataset, forecast.probabilities)
    _variable(
        dataset, "mask", "i1", ("y", "x"), forecast.coverage.astype(np.int8),
        long_name="radar coverage of the last input frame", flag_values=np.array([0, 1], dtype=np.int8),
        flag_meanings="no_data covered", grid_mapping="crs",
    )  # fmt: skip


def _variable(
    dataset: netCDF4.Dataset,
    name: str,
    kind: str | type[str],
    axes: tuple[str, ...],
    values: Any,  # noqa: ANN401 (what NumPy takes)
    **attributes: Any,  # noqa: ANN401
) -> None:
    """A variable with its values; fields are compressed, and NaN is what floating-point ones lack.

    Zstandard's first level makes files of forecasts as small as its fourth, netCDF's default, in half of the time.
    """
    field = "x" in axes
    fill = np.float32(np.nan) if field and kind == "f4" else None
    variable = dataset.createVariable(
        name, kind, axes, compression="zstd" if field else None, complevel=1, fill_value=fill
    )
    variable.setncatts(attributes)
    variable[...] = values


def _write_times(dataset: netCDF4.Dataset, forecast: Forecast) -> None:
    steps = np.arange(1, forecast.rain_rate.shape[-3] + 1) * forecast.step_seconds
    start = int(forecast.init_time.astype("datetime64[s]").astype(np.int64))
    dataset.createDimension("time", len(steps))
    since = {"units": EPOCH, "calendar": "standard"}
    _variable(dataset, "time", "i8", ("time",), start + steps, standard_name="time", axis="T", **since)
    _variable(dataset, "forecast_reference_time", "i8", (), start, standard_name="forecast_reference_time", **since)
    _variable(dataset, "forecast_period", "i8", ("time",), steps, standard_name="forecast_period", units="s")


def _write_rain(dataset: netCDF4.Dataset, rain_rate: NDArray[np.float32]) -> None:
    members, quantity = rain_rate.shape[:-3], Quantity.RAIN_RATE
    if members:
        dataset.createDimension("realization", members[0])
        _variable(
            dataset, "realization", "i4", ("realization",), np.arange(members[0]), standard_name="realization",
            units="1",
        )  # fmt: skip
    _variable(
        dataset, quantity.value, "f4", (*(["realization"] if members else []), "time", "y", "x"), rain_rate,
        standard_name=quantity.standard_name, long_name="forecast rain rate", units=quantity.units, **BESIDE,
    )  # fmt: skip


def _write_probabilities(dataset: netCDF4.Dataset, probabilities: Probabilities) -> None:
    """Without a standard name, since CF's table has none; the thresholds have that of what they are thresholds of."""
    dataset.createDimension(THRESHOLD, len(probabilities.thresholds))
    _variable(
        dataset, THRESHOLD, "f8", (THRESHOLD,), probabilities.thresholds,
        standard_name=Quantity.RAIN_RATE.standard_name, units=Quantity.RAIN_RATE.units, **{RELATION: AT_LEAST},
    )  # fmt: skip
    dataset[Quantity.RAIN_RATE.value].setncattr(DECISION, probabilities.decision or "probability 0.5")
    ancillary = [BESIDE["ancillary_variables"]]
    if probabilities.levels is not None:
        ancillary.append(LEVEL)
        _variable(
            dataset, LEVEL, "f4", (THRESHOLD, "time"), probabilities.levels.T, units="1", coordinates="forecast_period",
            long_name="probability from which on rain_rate reaches the threshold",
        )  # fmt: skip
    if probabilities.heavy is not None:
        ancillary += [ODDS, MATCHED]
        _write_heavy(dataset, probabilities.heavy)
    if probabilities.choices:
        _write_choices(dataset, probabilities.choices)
    _variable(
        dataset, PROBABILITY, "f4", (THRESHOLD, "time", "y", "x"), probabilities.values.swapaxes(0, 1), units="1",
        long_name="probability of a rainfall rate at or above the threshold",
        **BESIDE | {"ancillary_variables": " ".join(ancillary)},
    )  # fmt: skip


def _write_heavy(dataset: netCDF4.Dataset, heavy: NDArray[np.float32]) -> None:
    """What makes the same field of rain out of the probabilities, where they say no more than "at least so much"."""
    dataset.createDimension(QUANTILE, heavy.shape[2])
    _variable(
        dataset, QUANTILE, "f4", (QUANTILE,), np.linspace(0, 1, heavy.shape[2]), units="1",
        long_name="share of the cells at or above the highest threshold",
    )  # fmt: skip
    names = {ODDS: "rain rate that odds of reaching the highest threshold make", MATCHED: "rain_rate in place of that"}
    for (name, text), values in zip(names.items(), heavy, strict=True):
        _variable(
            dataset, name, "f4", (QUANTILE, "time"), values.T, units=Quantity.RAIN_RATE.units,
            coordinates="forecast_period", long_name=text,
        )  # fmt: skip


def _write_choices(dataset: netCDF4.Dataset, choices: Mapping[str, NDArray[np.float32]]) -> None:
    """The levels of every decision, for who wants another field of the same probabilities."""
    dataset.createDimension(DECISION, len(choices))
    _variable(
        dataset, DECISION, str, (DECISION,), np.array(list(choices), dtype=object),
        long_name="frequency bias 1, best CSI, or ratio of cost to loss, on validation windows",
    )  # fmt: skip
    _variable(
        dataset, CHOICES, "f4", (DECISION, THRESHOLD, "time"), np.stack([one.T for one in choices.values()]), units="1",
        coordinates="forecast_period", long_name="decision level by what it is for",
    )  # fmt: skip
