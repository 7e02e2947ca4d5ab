"""A forecast as a file, with all that is known of it."""

import json
from datetime import UTC, datetime
from pathlib import Path

from nowcast import __version__
from nowcast.data.archive.limits import Limits, as_plain
from nowcast.data.results.forecast_writer import write_forecast
from nowcast.forecasting.forecaster import Forecaster
from nowcast.forecasting.predict import Prediction


def write(result: Prediction, forecaster: Forecaster, limits: Limits, output: Path) -> None:
    """Write a forecast, and who made it of what."""
    write_forecast(output, result.forecast, _attributes(result, forecaster, limits))


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
