"""What `import nowcast` offers: a trained network that forecasts from xarray objects."""

import tempfile
import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nowcast.config.build import build
from nowcast.config.command_line.arguments import decision_of, refuse_decision
from nowcast.config.compose import choice
from nowcast.data.archive.limits import limits_of
from nowcast.data.results.as_xarray import as_dataset, rain_rates, write_frames
from nowcast.data.results.forecast_writer import write_forecast
from nowcast.forecasting import checkpoint
from nowcast.forecasting.device import choose_device
from nowcast.forecasting.forecaster import Forecaster, of_checkpoint
from nowcast.forecasting.predict import open_input, predict

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
        init_time: str | None = None,
        forecast_steps: int | None = None,
    ) -> "xarray.Dataset":
        """Forecast from the newest frames, or from those that end at a time.

        Args:
            frames: Rain rate, rain amount or reflectivity (time, y, x), one variable with `units` (and a
                `standard_name` or a name that says what it is), coordinates `time`, `y` and `x` (in m, km or degrees,
                with a grid mapping if there is one); NaN = no data. What `open_archive` gives will do.
            init_time: Time of the last frame to use (ISO 8601, UTC); None = the newest.
            forecast_steps: Frames to forecast; None = as many as it was trained for.

        Returns:
            What `nowcast predict` writes: `rain_rate` (time, y, x) mm h-1, NaN = no forecast, `forecast_period`,
            `forecast_reference_time`, `mask`, and `probability_of_exceedance` where the network says probabilities.

        Raises:
            DataFormatError: Unit, times or grid of the frames are not understood; the message says which.
            ValueError: Too few frames, a gap, another time step or cell size than in training, or no data at all.
        """
        steps = self.forecast_steps if forecast_steps is None else forecast_steps
        if steps is None:
            raise ValueError("forecast_steps is missing: this network does not say how many it was trained for")
        limits = limits_of(choice("limits", "physical"))
        if self._forecaster.limits:
            limits = self._forecaster.limits[0]
        reader = build(choice("source", "netcdf"))
        with tempfile.TemporaryDirectory() as folder:
            given, written = Path(folder) / "frames.nc", Path(folder) / "forecast.nc"
            write_frames(frames, given)
            with open_input(str(given), reader, limits, self._forecaster, init_time) as source:
                result = predict(
                    self._forecaster, source, init_time=init_time, forecast_steps=steps, device=self._device
                )
            for remark in result.remarks:
                warnings.warn(remark, stacklevel=2)
            write_forecast(written, result.forecast, {"title": f"Rain nowcast by {self._forecaster.name}"})
            return as_dataset(written)


def load_forecaster(
    path: str | PathLike[str],
    *,
    calibrated: bool | None = None,
    decide: str | float | None = None,
    device: str = "cpu",
) -> TrainedForecaster:
    """The network of a checkpoint, ready to forecast.

    Args:
        path: The checkpoint, such as <run>/checkpoints/best.ckpt.
        calibrated: Apply the calibration that it carries; None = where it carries one.
        decide: How probabilities become `rain_rate`, by levels of the calibration: "bias", "csi" or a ratio of cost to
            loss; None = "bias" where there are such levels.
        device: cpu or cuda.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a checkpoint of rain, one whose network is no class that is trusted, or no calibration in it.
    """
    loaded = checkpoint.load(Path(path).expanduser())
    wanted = loaded.calibration is not None if calibrated is None else calibrated
    refuse_decision(decide, of_checkpoint=wanted)
    forecaster = of_checkpoint(loaded, calibrated=wanted, decide=decision_of(decide))
    return TrainedForecaster(forecaster, choose_device(device))


def open_archive(path: str | PathLike[str], *, start: str | None = None, end: str | None = None) -> "xarray.Dataset":
    """Rain rates of an archive that `nowcast prepare` made, in memory; see `rain_rates`.

    Args:
        path: The archive.
        start: First time (ISO 8601, UTC); None = the archive's first.
        end: Last time, included; None = the archive's last.
    """
    return rain_rates(Path(path).expanduser(), start, end)
