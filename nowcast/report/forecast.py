"""A forecast as a file, with its pictures beside it."""

import json
from datetime import UTC, datetime
from pathlib import Path

from nowcast import __version__
from nowcast.data.archive.grid import cell_km
from nowcast.data.archive.limits import Limits, as_plain
from nowcast.data.results.forecast_writer import write_forecast
from nowcast.forecasting.forecaster import Forecaster
from nowcast.forecasting.predict import Prediction
from nowcast.report.plots.coastlines import map_lines
from nowcast.report.plots.colours import RainColours
from nowcast.report.plots.contents import Choice, contents_of
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast


def write(
    result: Prediction,
    forecaster: Forecaster,
    limits: Limits,
    output: Path,
    *,
    plot: bool,
    choice: Choice,
    colour_blind_safe: bool,
) -> list[Path]:
    """Write the forecast and, when asked for, its pictures beside it; return what was written."""
    write_forecast(output, result.forecast, _attributes(result, forecaster, limits))
    written = [output]
    if plot:
        forecast = result.forecast
        contents = contents_of({forecaster.name: result.said}, choice)
        case = Case(
            observed=None,
            forecasts=contents.rain,
            probabilities=contents.probabilities,
            inputs=result.inputs,
            init_time=forecast.init_time,
            timestep_minutes=forecast.step_seconds / 60,
            cell_km=cell_km(forecast.grid)[0],
            title=f"{result.source.archive.name}, forecast from {forecast.init_time} UTC",
            colours=RainColours(colour_blind_safe),
            lines=map_lines(forecast.grid, "none")[0],
        )
        written.append(plot_forecast(case, output.with_suffix(".png")))
        written.append(animate_forecast(case, output.with_suffix(".gif")))
    return written


def _attributes(result: Prediction, forecaster: Forecaster, limits: Limits) -> dict[str, str]:
    """Who made the forecast of what, and what is known of its worth."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    source, name = result.source, forecaster.name
    remarks = [*forecaster.worth]
    if forecaster.beaten_by:
        remarks.append(f"on them {' and '.join(forecaster.beaten_by)} did better than {name}")
    remarks += result.remarks
    attributes = {
        "title": f"Rain nowcast by {name}",
        "institution": "made with nowcast",
        "source": f"nowcast {__version__}, {name}, input {source.archive.name}",
        "history": f"{stamp} nowcast predict",
        "input_fingerprint": source.archive.fingerprint,
        "comment": "; ".join(remarks),
        **forecaster.identity,
    }
    if source.files:
        attributes |= {"input_files": ", ".join(source.files), "input_limits": json.dumps(as_plain(limits))}
    return {key: value for key, value in attributes.items() if value}
