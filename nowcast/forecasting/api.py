"""What `import nowcast` offers: a trained network that forecasts from xarray objects."""

import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from nowcast.config.build import build
from nowcast.config.command_line.arguments import decision_of, refuse_cells, refuse_decision
from nowcast.config.compose import choice
from nowcast.data.archive.frame import DataFormatError, Reader
from nowcast.data.archive.limits import limits_of
from nowcast.data.results.as_xarray import as_dataset, rain_rates, recent, write_frames
from nowcast.data.results.forecast_writer import write_forecast
from nowcast.forecasting import checkpoint
from nowcast.forecasting.device import choose_device
from nowcast.forecasting.forecaster import Forecaster, of_checkpoint
from nowcast.forecasting.predict import open_files, predict, wanted
from nowcast.progress import silent

if TYPE_CHECKING:
    import xarray


class TrainedForecaster:
    """A network of a checkpoint with all that it needs to forecast.

    Args:
        forecaster: The network, and what it takes.
        device: Where it runs.
    """

    def __init__(self, forecaster: Forecaster, device: torch.device) -> None:
        """Keep both; use `load_forecaster`."""
        self._forecaster, self._device = forecaster, device

    @property
    def input_steps(self) -> int:
        """Frames that it takes."""
        return self._forecaster.input_steps

    @property
    def forecast_steps(self) -> int | None:
        """Frames that it was trained to forecast; None if that is not known."""
        return self._forecaster.forecast_steps

    def forecast(
        self,
        frames: "xarray.DataArray | xarray.Dataset",
        *,
        init_time: "str | datetime | np.datetime64 | xarray.DataArray | None" = None,
        forecast_steps: int | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> "xarray.Dataset":
        """Forecast from the newest frames, or from those that end at a time.

        Args:
            frames: Rain rate, rain amount or reflectivity (time, y, x), one variable with `units` (and a
                `standard_name` or a name that says what it is), coordinates `time`, `y` and `x` (in m, km or degrees,
                with a grid mapping if there is one); NaN = no data. What `open_archive` gives will do.
            init_time: Time of the last frame to use, UTC: text (ISO 8601), a datetime (without zone it is UTC) or
                datetime64; None = the newest.
            forecast_steps: Frames to forecast; None = as many as it was trained for.
            source: What the frames do not say of themselves, such as {"period_seconds": 300} of an amount or
                {"units": "mm h-1"}: settings of configs/source/netcdf.yaml.

        Returns:
            What `nowcast predict` writes: `rain_rate` (time, y, x) mm h-1, NaN = no forecast, `forecast_period`,
            `forecast_reference_time`, `mask`, and `probability_of_exceedance` where the network says probabilities.

        Raises:
            DataFormatError: Unit, times or grid of the frames are not understood; the message says which.
            ValueError: Too few frames, a gap, another time step or cell size than in training, no data at all, or
                `source` names no setting.
            TypeError: `frames` or `init_time` are something else.
        """
        steps = self.forecast_steps if forecast_steps is None else forecast_steps
        if steps is None:
            raise ValueError("forecast_steps is missing: this network does not say how many it was trained for")
        limits = limits_of(choice("limits", "physical"))
        if self._forecaster.limits:
            limits = self._forecaster.limits[0]
        reader, end = reader_with(source or {}), time_as_text(init_time)
        with tempfile.TemporaryDirectory() as folder:
            given, written = Path(folder) / "frames.nc", Path(folder) / "forecast.nc"
            write_frames(recent(frames, *wanted(self._forecaster), end), given)
            with said_of_frames(given), open_files([given], reader, limits, "frames", silent) as opened:
                result = predict(self._forecaster, opened, init_time=end, forecast_steps=steps, device=self._device)
            for remark in result.remarks:
                warnings.warn(remark, stacklevel=2)
            write_forecast(written, result.forecast, {"title": f"Rain nowcast by {self._forecaster.name}"})
            return as_dataset(written)


def reader_with(settings: Mapping[str, Any]) -> Reader:
    """What reads the frames, with what is said of them.

    Raises:
        ValueError: A setting is unknown, or its value cannot be meant.
    """
    node = choice("source", "netcdf")
    known = {str(name) for name in node} - {"_target_"}
    if unknown := sorted(settings.keys() - known):
        raise ValueError(f"source: {', '.join(unknown)} is unknown; it has {', '.join(sorted(known))}")
    return cast(Reader, build(node, **settings))


def time_as_text(time: "str | datetime | np.datetime64 | xarray.DataArray | None") -> str | None:
    """A time as ISO 8601 in UTC; text and None stay.

    Raises:
        TypeError: It is none.
    """
    if time is None or isinstance(time, str):
        return time
    if isinstance(time, datetime):
        return (time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time).isoformat(timespec="seconds")
    found = np.asarray(time)
    if found.ndim or found.dtype.kind != "M":
        raise TypeError(f"init_time must be text, a datetime or a datetime64, got {type(time).__name__}")
    return str(found.astype("datetime64[s]"))


@contextmanager
def said_of_frames(path: Path) -> Iterator[None]:
    """Say of the frames that were given what is wrong with the file that they were written to, as it is said in Python.

    Raises:
        DataFormatError, ValueError: The same in these words.
    """
    try:
        yield
    except ValueError as error:
        text = str(error).replace(str(path), "frames")
        if names := dict.fromkeys(re.findall(r"source\.(\w+)", text)):
            text += f" (in Python: source={{{', '.join(f'{name!r}: …' for name in names)}}})"
        if isinstance(error, DataFormatError):
            raise DataFormatError("frames", text.removeprefix("frames: ")) from error
        raise ValueError(text) from error


def load_forecaster(
    path: str | PathLike[str],
    *,
    calibrated: bool | None = None,
    decide: str | float | None = None,
    cells: str | None = None,
    device: str = "cpu",
) -> TrainedForecaster:
    """The network of a checkpoint, ready to forecast.

    Args:
        path: The checkpoint, such as <run>/checkpoints/best.ckpt, or "pretrained": the weights that come with nowcast.
        calibrated: Apply the calibration that it carries; None = where it carries one.
        decide: How probabilities become `rain_rate`, by levels: "bias", "csi", "area" or a ratio of cost to loss;
            None = as it was trained.
        cells: Which it forecasts in: "native", those of the frames, or "network", those that it was trained on, which
            finer ones are averaged to; None = native where the network can.
        device: cpu or cuda.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a checkpoint of rain, one whose network is no class that is trusted, no calibration in it, or it
            cannot forecast in these cells.
    """
    loaded = checkpoint.load(path)
    wanted = loaded.calibration is not None if calibrated is None else calibrated
    refuse_decision(decide, of_checkpoint=wanted)
    refuse_cells(cells, of_checkpoint=True)
    forecaster = of_checkpoint(loaded, calibrated=wanted, decide=decision_of(decide), cells=cells)
    return TrainedForecaster(forecaster, choose_device(device))


def open_archive(path: str | PathLike[str], *, start: str | None = None, end: str | None = None) -> "xarray.Dataset":
    """Rain rates of an archive that `nowcast prepare` made, in memory; see `rain_rates`.

    Args:
        path: The archive.
        start: First time (ISO 8601, UTC); None = the archive's first.
        end: Last time, included; None = the archive's last.
    """
    return rain_rates(Path(path).expanduser(), start, end)
