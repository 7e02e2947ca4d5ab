"""Scores as a netCDF file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray
from numpy.typing import NDArray

from nowcast.files import written_whole


def write_score_file(
    path: Path,
    models: Sequence[str],
    thresholds: Sequence[float],
    lead_minutes: Sequence[float],
    by_threshold: Mapping[str, NDArray[Any]],
    by_lead_time: Mapping[str, NDArray[Any]],
) -> None:
    """Write scores by model, threshold and lead time; NaN = undefined (0/0).

    Args:
        path: File to write, atomically.
        models: M names.
        thresholds: K thresholds in mm h-1.
        lead_minutes: T lead times in minutes.
        by_threshold: Name → (M, K, T), such as counts and CSI.
        by_lead_time: Name → (M, T), such as RMSE.
    """
    axes = ("model", "threshold", "lead_time")
    dataset = xarray.Dataset(
        {name: (axes, values) for name, values in by_threshold.items()}
        | {name: (("model", "lead_time"), values) for name, values in by_lead_time.items()},
        coords={
            "model": list(models),
            "threshold": ("threshold", list(thresholds), {"units": "mm h-1"}),
            "lead_time": ("lead_time", list(lead_minutes), {"units": "minutes"}),
        },
        attrs={"Conventions": "CF-1.11", "title": "Forecast scores; counts pooled over all windows"},
    )
    with written_whole(path) as partial:
        dataset.to_netcdf(partial, engine="netcdf4")
