"""A forecast from the newest radar frames."""

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nowcast.config.command_line.arguments import moment, one_archive, refuse_no_steps
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Reader
from nowcast.data.archive.grid import area_average, averaging_factor, cell_km
from nowcast.data.archive.limits import Limits, as_plain, limits_of
from nowcast.data.prepare.engines import Local
from nowcast.data.prepare.files import find_names
from nowcast.data.prepare.netcdf import prepare_archive
from nowcast.data.recent_files import recent_files
from nowcast.data.results.forecast_writer import Forecast
from nowcast.data.results.probabilities import Probabilities
from nowcast.data.windows.index import frames_per_step
from nowcast.data.windows.region import Region
from nowcast.data.zarr.opening import archive_at
from nowcast.forecasting.forecast import Ensemble, FieldForecast
from nowcast.forecasting.forecaster import Forecaster
from nowcast.forecasting.network import NetworkForecaster, at_lead_times, forecast_with
from nowcast.progress import Track
from nowcast.units import Spacing

log = logging.getLogger(__name__)
WET, WET_SHARE = 0.1, 0.01  # mm h-1 that is rain for a network without thresholds; share of cells that is rain enough
FURTHER_BACK = 2  # so many times the frames that are needed are read of a folder: after a gap there may be others


@dataclass(frozen=True, eq=False)
class Input:
    """Radar frames to forecast from.

    Args:
        archive: The frames.
        given: What the user calls them.
        files: Names of the provider files that they come from; empty for an archive.
    """

    archive: Archive
    given: str
    files: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Prediction:
    """A forecast with the frames that it was made from.

    Args:
        said: What was predicted, of one window; NaN where the last input holds no data.
        forecast: The same for a file.
        inputs: (T_in, H, W) mm h-1, NaN = no data.
        source: Where they come from.
        remarks: What is to be said of it: lead times that were not trained, input limited otherwise than in training.
    """

    said: FieldForecast
    forecast: Forecast
    inputs: NDArray[np.float32]
    source: Input
    remarks: Sequence[str]


@contextmanager
def open_input(
    inputs: str | Sequence[str],
    reader: Reader | None,
    limits: Limits,
    forecaster: Forecaster,
    init_time: str | None,
    track: Track,
) -> Iterator[Input]:
    """An archive, or the provider files that a forecast needs, prepared into a temporary one.

    Args:
        inputs: An archive, or a folder, files or globs.
        reader: Format of provider files; None for an archive.
        limits: Physical range of values of provider files.
        forecaster: What is to forecast.
        init_time: Time of the last frame (ISO 8601, UTC); None = the newest.
        track: Shows progress.

    Raises:
        ValueError: Several inputs or a folder without source=.
    """
    if reader is None:
        path = one_archive(inputs)
        yield Input(archive_at(path), str(inputs))
        return
    count, span = wanted(forecaster)
    end = None if init_time is None else np.datetime64(moment(init_time), "s")
    chosen = recent_files(find_names(inputs, reader.pattern), reader, count, span, end)
    with open_files(chosen, reader, limits, inputs if isinstance(inputs, str) else inputs[0], track) as source:
        yield source


def wanted(forecaster: Forecaster) -> tuple[int, np.timedelta64]:
    """How many frames of a folder a forecaster may need at least, and how much time between the first and the last."""
    span = np.timedelta64((forecaster.input_steps - 1) * max(forecaster.timesteps, default=0), "s")
    return FURTHER_BACK * max(forecaster.input_steps, 2), span


@contextmanager
def open_files(files: Sequence[Path], reader: Reader, limits: Limits, given: str, track: Track) -> Iterator[Input]:
    """Provider files, prepared into a temporary archive.

    Args:
        files: The files.
        reader: Their format.
        limits: Physical range of their values.
        given: What the user calls them.
        track: Shows progress.

    Raises:
        DataFormatError: A file is unreadable or does not fit the others.
    """
    with tempfile.TemporaryDirectory() as folder:
        name = re.sub(r"[^\w.-]+", "", Path(given).name) or "input"
        path = Path(folder) / f"{name}.nc"
        prepare_archive(
            reader,
            [str(file) for file in files],
            path,
            limits=limits,
            on_error="stop",
            allow_overlapping_sums=False,
            engine=Local(0),
            attributes={"institution": reader.provider, "license": reader.licence},
            track=track,
        )
        archive = Archive(path)
        yield Input(archive, given, [file.name for file in files])
        archive.close()


def input_frames(source: Input, forecaster: Forecaster, init_time: str | None) -> tuple[slice, int]:
    """Which frames of an input the model gets.

    Args:
        source: The input.
        forecaster: What is to forecast.
        init_time: Time of the last frame (ISO 8601, UTC); None = the newest.

    Returns:
        Slice of the archive's frames, and the time step in seconds.

    Raises:
        ValueError: Wrong time step, too few frames, a gap, or no frame at init_time.
    """
    times, native, count = source.archive.times, source.archive.timestep, forecaster.input_steps
    if native is None or len(times) < count:
        alone = ", whose time step is not known" if native is None else ""
        raise ValueError(f"{source.given}: {len(times)} frame(s){alone}; the model needs {max(count, 2)} in a row")
    step = forecaster.step_for(source.given, native)
    every = frames_per_step(native, step)
    last = len(times) - 1 if init_time is None else _find(source, init_time)
    first = last - (count - 1) * every
    wanted = times[last] - np.arange(count)[::-1] * np.timedelta64(step, "s")
    if first < 0 or not np.array_equal(times[first : last + 1 : every], wanted):
        missing = np.setdiff1d(wanted, times)
        raise ValueError(
            f"{source.given}: gap in the {count} frames up to {times[last]}: no frame at "
            f"{', '.join(map(str, missing))}; {_newest_complete(source, last, count, step)}"
        )
    return slice(first, last + 1, every), step


def _find(source: Input, init_time: str) -> int:
    times, wanted = source.archive.times, np.datetime64(moment(init_time), "s")
    nearest = int(np.argmin(np.abs(times - wanted)))
    if times[nearest] != wanted:
        raise ValueError(f"{source.given}: no frame at init_time={init_time}; the nearest: init_time={times[nearest]}")
    return nearest


def _newest_complete(source: Input, last: int, count: int, step: int) -> str:
    times = source.archive.times
    known = set(times.tolist())
    for end in times[last::-1]:
        wanted = (end - np.arange(count) * np.timedelta64(step, "s")).tolist()
        if known.issuperset(wanted):
            return f"the newest complete input up to then ends at init_time={end}"
    return f"there is no complete input from {times[0]} to then; choose another init_time="


@torch.inference_mode()
def predict(
    forecaster: Forecaster, source: Input, *, init_time: str | None, forecast_steps: int, device: torch.device
) -> Prediction:
    """Forecast; cells without data in the last input frame get no forecast (NaN).

    Raises:
        ValueError: The input does not fit the model (time step, gap, cell size), its last frame holds no data, or a
            network says nothing (refuse_empty).
    """
    refuse_no_steps(forecast_steps)
    archive, region = source.archive, region_of(source.archive, forecaster)
    frames, step = input_frames(source, forecaster, init_time)
    rows, columns = (size * factor for size, factor in zip(region.shape, region.factor, strict=True))
    inputs = area_average(archive.read(frames, slice(rows), slice(columns)), region.factor)  # (T_in, H, W)
    coverage = np.isfinite(inputs[-1])
    if not coverage.any():
        raise ValueError(
            f"{source.given}: the frame of {archive.times[frames.stop - 1]} holds no data at all; choose init_time="
        )
    leads = [step * (k + 1) / 60 for k in range(forecast_steps)]
    model = at_lead_times({"": forecaster.model}, leads)[""].to(device)
    batch = torch.from_numpy(inputs)[None, :, None].to(device)  # (1, T_in, 1, H, W)
    spacing = Spacing(torch.tensor([step / 60]), torch.tensor([region.cell_sides_km]))
    said = forecast_with(model, batch, forecast_steps, spacing).to(torch.device("cpu"))
    said = replace(said, values=said.values.masked_fill(torch.from_numpy(~coverage), torch.nan))
    forecast = Forecast(
        archive.times[frames.stop - 1], step, rain_rate_of(said), coverage, region.grid, probabilities_of(said)
    )
    refuse_empty(forecaster, forecast.rain_rate, inputs[-1])
    remarks = [forecaster.of_step(step), forecaster.beyond(forecast_steps, step), *_other_limits(source, forecaster)]
    if forecaster.masked and archive.mask is None:
        remarks.append(f"{forecaster.name} was trained with data.mask; give mask=<file>, or it sees what it never saw")
    return Prediction(said, forecast, inputs, source, [text for text in remarks if text])


def region_of(archive: Archive, forecaster: Forecaster) -> Region:
    """An archive in the cells that a forecaster is to forecast in, which is said where it knows others.

    Raises:
        ValueError: Its cells cannot be averaged to those that the forecaster knows, whichever it forecasts in.
    """
    factor = averaging_factor(archive, forecaster.cell_km, _other_cells(forecaster.cell_km))
    if factor == (1, 1):
        return Region(archive, factor, 1)
    native = cell_km(archive.grid)[0]
    known = native * factor[0]
    if forecaster.native_cells:
        log.info("%s: forecast in its cells of %.3g km, the network looks at %.3g km", archive.name, native, known)
        return Region(archive, (1, 1), 1)
    log.info("%s: cells of %.3g km are averaged to the network's %.3g km", archive.name, native, known)
    return Region(archive, factor, 1)


def refuse_empty(forecaster: Forecaster, rain_rate: NDArray[np.float32], last: NDArray[np.float32]) -> None:
    """Refuse a network's forecast that says nothing at all, though it rains: its weights are no use.

    Args:
        forecaster: Whose forecast it is; extrapolation may well move all rain out of a small field, and is not judged.
        rain_rate: (…, H, W) mm h-1, NaN = no forecast.
        last: (H, W) mm h-1, the last input; NaN = no data.

    Raises:
        ValueError: All is NaN where there was data, or dry where there was rain.
    """
    if not isinstance(forecaster.model, NetworkForecaster):
        return
    seen = np.isfinite(last)
    wet = forecaster.model.thresholds[0] if forecaster.model.thresholds else WET
    share, said = float((last[seen] >= wet).mean()), rain_rate[..., seen]
    if np.isnan(said).all():
        problem = "NaN for every cell"
    elif share >= WET_SHARE and not (said >= wet).any():
        rained = f"it rained that much in {share:.0%} of the last input"
        problem = f"less than {wet:g} mm/h for every cell and lead time, and {rained}"
    else:
        return
    raise ValueError(
        f"{forecaster.name} says {problem}: its weights are damaged or barely trained, and nothing is written. "
        f"Give another checkpoint=, or model=extrapolation forecast_steps={rain_rate.shape[-3]} in its place"
    )


def rain_rate_of(said: FieldForecast) -> NDArray[np.float32]:
    """(T, H, W) mm h-1 of one window, or (M, T, H, W) of an ensemble of several."""
    if isinstance(said, Ensemble) and said.values.shape[1] > 1:
        return said.values[0, :, :, 0].numpy()
    return said.single()[0, :, 0].numpy()


def probabilities_of(said: FieldForecast) -> Probabilities | None:
    """What a forecast of one window holds of probabilities, for a file."""
    held = said.exceedance
    if held is None:
        return None
    levels = None if held.levels is None else held.levels.expand(held.values.shape[:3])[0].numpy()
    choices = {name: one.numpy() for name, one in held.choices.items()}
    heavy = None if held.heavy is None else held.heavy[0].numpy()
    return Probabilities(held.values[0].numpy(), held.thresholds, levels, held.decision, choices, heavy)


def _other_limits(source: Input, forecaster: Forecaster) -> list[str]:
    """What is to be said of an archive whose values were limited otherwise than those that the model was trained on."""
    text = source.archive.attributes.get("limits")
    if source.files or text is None or not forecaster.limits:
        return []
    ours = limits_of(json.loads(text))
    if ours in forecaster.limits:
        return []
    known = " or ".join(json.dumps(as_plain(limits)) for limits in forecaster.limits)
    return [f"{source.given} was prepared with limits {text}, the archives of the training with {known}"]


def _other_cells(km: float | None) -> str:
    """What to do with cells that cannot be averaged to the network's."""
    if km is None:
        return ""
    return (
        f"this network knows cells of {km:.3g} km: give frames with cells of {km:.3g}, {km / 2:.3g} or {km / 3:.3g} "
        "km, or a network trained on cells of yours (nowcast train … data.windows.cell_km=)"
    )
