"""The pictures beside a forecast file; apart from it, since what draws takes longer to import than a forecast takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nowcast.data.archive.grid import cell_km
from nowcast.forecasting.predict import Prediction
from nowcast.report.plots.coastlines import map_lines
from nowcast.report.plots.colours import RainColours
from nowcast.report.plots.contents import Choice, choice_of, contents_of
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast


@dataclass(frozen=True)
class Pictures:
    """PNG and GIF beside a forecast file.

    Args:
        choice: What they show of a forecast.
        colours: Of rain.
    """

    choice: Choice
    colours: RainColours

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """As the config of `nowcast predict` says."""
        return cls(choice_of(config["pictures"]), RainColours(config["colour_blind_safe"]))

    def draw(self, result: Prediction, name: str, output: Path) -> list[Path]:
        """Draw the forecast of the model of this name, and return what was written beside `output`."""
        forecast = result.forecast
        contents = contents_of({name: result.said}, self.choice)
        case = Case(
            observed=None,
            forecasts=contents.rain,
            probabilities=contents.probabilities,
            inputs=result.inputs,
            init_time=forecast.init_time,
            timestep_minutes=forecast.step_seconds / 60,
            cell_km=cell_km(forecast.grid)[0],
            title=f"{result.source.archive.name}, forecast from {forecast.init_time} UTC",
            colours=self.colours,
            lines=map_lines(forecast.grid, "none")[0],
        )
        return [plot_forecast(case, output.with_suffix(".png")), animate_forecast(case, output.with_suffix(".gif"))]
