"""A forecast from the newest radar frames and a checkpoint."""

import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nowcast import __version__
from nowcast.checkpoint import Checkpoint
from nowcast.colours import RainColours
from nowcast.data.archive import Archive
from nowcast.data.cells import averaging_factor, cell_km
from nowcast.data.dataset import Region, area_average
from nowcast.data.forecast_file import Forecast, write_forecast
from nowcast.data.frame import Reader
from nowcast.data.limits import Limits
from nowcast.data.preparation import prepare_archive
from nowcast.data.windows import frames_per_step
from nowcast.maplines import map_lines
from nowcast.plotting import Case, animate_forecast, plot_forecast
from nowcast.progress import track

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Prediction:
    """A forecast with the frames that it was made from.

    Args:
        forecast: What was predicted.
        inputs: (T_in, H, W) mm h-1, NaN = no data.
        archive: Name of the input.
        model: Name of the model, with "_calibrated" where the calibration was applied.
    """

    forecast: Forecast
    inputs: NDArray[np.float32]
    archive: str
    model: str


@contextmanager
def open_input(inputs: str | Sequence[str], reader: Reader | None) -> Iterator[Archive]:
    """An archive, or provider files prepared into a temporary one.

    Raises:
        ValueError: Several inputs or a folder without source=.
    """
    if reader is None:
        if not isinstance(inputs, str) or Path(inputs).expanduser().is_dir():
            raise ValueError(f"input={inputs} is not one archive; for provider files add source=<format>")
        yield Archive(Path(inputs).expanduser())
        return
    with tempfile.TemporaryDirectory() as folder:
        first = inputs if isinstance(inputs, str) else inputs[0]
        name = re.sub(r"[^\w.-]+", "", Path(first).name) or "input"
        path = Path(folder) / f"{name}.nc"
        prepare_archive(
            reader,
            inputs,
            path,
            limits=Limits((0.0, 300.0), (-60.0, 80.0), below="mask", above="clip"),
            on_error="stop",
            allow_overlapping_sums=False,
            workers=0,
            attributes={"institution": reader.provider, "license": reader.licence},
            track=track,
        )
        archive = Archive(path)
        yield archive
        archive.close()


def input_frames(archive: Archive, count: int, steps: Sequence[int], init_time: str | None) -> tuple[slice, int]:
    """Which frames of an archive the network gets.

    Args:
        archive: The input.
        count: Number of frames.
        steps: Time steps in seconds that the network was trained on.
        init_time: Time of the last frame (ISO 8601, UTC); None = the newest.

    Returns:
        Slice of the archive's frames, and the time step in seconds.

    Raises:
        ValueError: Wrong time step, too few frames, a gap, or no frame at init_time.
    """
    times, native = archive.times, archive.timestep
    if native is None or len(times) < count:
        raise ValueError(f"{archive.path}: {len(times)} frame(s); the network needs {count} in a row")
    fitting = [step for step in steps if step % native == 0]
    if not fitting:
        trained = ", ".join(f"{step / 60:g}" for step in steps)
        raise ValueError(f"{archive.path}: time step {native / 60:g} min; this checkpoint was trained on {trained} min")
    step = native if native in fitting else fitting[0]
    every = frames_per_step(native, step)
    last = len(times) - 1 if init_time is None else _find(archive, init_time)
    first = last - (count - 1) * every
    wanted = times[last] - np.arange(count)[::-1] * np.timedelta64(step, "s")
    if first < 0 or not np.array_equal(times[first : last + 1 : every], wanted):
        missing = np.setdiff1d(wanted, times)
        raise ValueError(
            f"{archive.path}: gap in the {count} frames up to {times[last]}: no frame at "
            f"{', '.join(map(str, missing))}; {_newest_complete(times, count, step)}"
        )
    return slice(first, last + 1, every), step


def _find(archive: Archive, init_time: str) -> int:
    try:
        moment = np.datetime64(init_time.removesuffix("Z"), "s")
    except ValueError as error:
        raise ValueError(f"init_time={init_time!r} is not a time such as 2026-01-31T12:00") from error
    found = np.flatnonzero(archive.times == moment)
    if len(found) == 0:
        raise ValueError(
            f"{archive.path}: no frame at init_time={init_time}; it spans {archive.times[0]} to {archive.times[-1]}"
        )
    return int(found[0])


def _newest_complete(times: NDArray[np.datetime64], count: int, step: int) -> str:
    known = set(times.tolist())
    for last in times[::-1]:
        wanted = (last - np.arange(count) * np.timedelta64(step, "s")).tolist()
        if known.issuperset(wanted):
            return f"the newest complete input ends at init_time={last}"
    return "there is no complete input in this file"


@torch.inference_mode()
def predict(
    loaded: Checkpoint,
    archive: Archive,
    *,
    init_time: str | None,
    forecast_steps: int,
    calibrated: bool,
    device: torch.device,
) -> Prediction:
    """Forecast; cells without data in the last input frame get no forecast (NaN).

    Raises:
        ValueError: The input does not fit the checkpoint (time step, gap, cell size), its last frame holds no
            data, or calibrated=true with a checkpoint that has no calibration.
    """
    if forecast_steps < 1:
        raise ValueError(f"forecast_steps must be at least 1, got {forecast_steps}")
    forecaster = loaded.calibrated() if calibrated else loaded.forecaster
    if forecaster is None:
        raise ValueError(f"{loaded.path} holds no calibration; use calibrated=false")
    region = Region(archive, averaging_factor(archive, float(loaded.data["cell_km"])), 1)
    if region.factor != (1, 1):
        native = cell_km(archive.grid)[0]
        averaged = native * region.factor[0]
        log.info("%s: cells of %.3g km are averaged to the network's %.3g km", archive.name, native, averaged)
    frames, step = input_frames(archive, int(loaded.data["input_steps"]), loaded.data["timesteps_seconds"], init_time)
    rows, columns = (size * factor for size, factor in zip(region.shape, region.factor, strict=True))
    inputs = area_average(archive.read(frames, slice(rows), slice(columns)), region.factor)  # (T_in, H, W)
    coverage = np.isfinite(inputs[-1])
    if not coverage.any():
        raise ValueError(
            f"{archive.path}: the frame of {archive.times[frames.stop - 1]} holds no data at all; choose init_time="
        )
    forecaster = forecaster.at([step * (k + 1) / 60 for k in range(forecast_steps)])
    batch = torch.from_numpy(inputs)[None, :, None].to(device)  # (1, T_in, 1, H, W)
    rain_rate = forecaster.to(device)(batch, forecast_steps)[0, :, 0].cpu().numpy()  # (T_out, H, W)
    rain_rate[:, ~coverage] = np.nan
    name = str(loaded.config["model"]["_target_"]).rsplit(".", 1)[1].lower()
    forecast = Forecast(archive.times[frames.stop - 1], step, rain_rate, coverage, region.grid)
    return Prediction(forecast, inputs, archive.name, f"{name}_calibrated" if calibrated else name)


def write(result: Prediction, loaded: Checkpoint, output: Path, *, plot: bool, colour_blind_safe: bool) -> list[Path]:
    """Write the forecast and, when asked for, its pictures beside it; return what was written."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(loaded.path.read_bytes()).hexdigest()
    attributes = {
        "title": f"Rain nowcast by {result.model}",
        "institution": "made with nowcast",
        "source": f"nowcast {__version__}, {result.model}, input {result.archive}",
        "history": f"{stamp} nowcast predict",
        "references": "Shi et al. 2015, arXiv:1506.04214",
        "checkpoint": loaded.path.name,
        "checkpoint_sha256": digest,
        "training_data": ", ".join(
            f"{name} {fingerprint[:12]}" for name, fingerprint in loaded.data["archives"].items()
        ),
    }
    write_forecast(output, result.forecast, attributes)
    written = [output]
    if plot:
        forecast = result.forecast
        case = Case(
            observed=None,
            forecasts={result.model: forecast.rain_rate},
            inputs=result.inputs,
            init_time=forecast.init_time,
            timestep_minutes=forecast.step_seconds / 60,
            cell_km=cell_km(forecast.grid)[0],
            title=f"{result.archive}, forecast from {forecast.init_time} UTC",
            colours=RainColours(colour_blind_safe),
            lines=map_lines(forecast.grid, "none")[0],
        )
        written.append(plot_forecast(case, output.with_suffix(".png")))
        written.append(animate_forecast(case, output.with_suffix(".gif")))
    return written
