"""pysteps' way into forecast files: what its entry point `pysteps.plugins.importers` names in pyproject.toml.

pysteps imports this module whenever it is imported itself, so that nothing may load here that takes long, and nothing
may fail.
"""

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.cf.file import CFFile, attribute
from nowcast.data.results.forecast_fields import FoundForecast, rain_forecasts_of, rain_of
from nowcast.data.results.forecast_reader import open_forecast

log = logging.getLogger(__name__)
THRESHOLD = 0.1  # mm h-1: what pysteps' own examples call rain; the least of an interpolated field would be any number


def import_nowcast_netcdf(
    filename: str | os.PathLike[str], lead_time: float | None = None, dtype: str = "double", fillna: float = np.nan
) -> tuple[NDArray[np.float32], None, dict[str, Any]]:
    """Rain rates of a forecast file: of `nowcast predict`, or any that `nowcast evaluate forecasts=` reads.

    Args:
        filename: The file, which holds one forecast.
        lead_time: Minutes of the only one that is wanted; None = all.
        dtype: Of the values that pysteps gives on: "single" or "double". It sees to that itself.
        fillna: What pysteps puts where there is no forecast, if not NaN. It sees to that itself.

    Returns:
        The rain rates, None for their quality, and pysteps' metadata. Rain rates are (T, H, W) float32 in mm h-1, or
        (M, T, H, W) of an ensemble, with a lead time (H, W) or (M, H, W); row 0 is the northern edge. NaN is no
        forecast: outside the radars' coverage, and where rain would have come from there.

        Metadata beside what pysteps' importers give: `leadtimes` (T,) in minutes, `timestamps` (T,) valid times and
        `issuetime` as datetime in UTC. `threshold` is 0.1 mm h-1, below which values are left as they are; `accutime`
        is `timestep`, in minutes, None of a single lead time alone in its file. `projection` and `cartesian_unit` are
        None where the file names no projection.

    Raises:
        DataFormatError: No forecast file, one with several forecasts, or without that lead time.
    """
    del dtype, fillna
    path = Path(filename)
    with open_forecast(path) as file:
        init, found = _only(file, rain_forecasts_of(file))
        steps = _steps(found, lead_time)
        rain = rain_of(file, found.number, steps)  # (M, T, H, W)
        institution = attribute(file.dataset, "institution") or attribute(file.dataset, "title")
    for text in file.assumptions:
        log.warning("%s: assumed: %s", path, text)
    rain = rain[0] if found.members == 1 else rain
    metadata = _geography(found.grid) | _times(init, found.leads, steps)
    metadata |= {
        "institution": institution,
        "unit": "mm/h",
        "transform": None,
        "threshold": THRESHOLD,
        "zerovalue": 0.0,
    }
    return (rain if lead_time is None else rain[..., 0, :, :]), None, metadata


def _only(file: CFFile, forecasts: list[tuple[int, FoundForecast]]) -> tuple[int, FoundForecast]:
    if len(forecasts) != 1:
        raise file.refuse(f"holds {len(forecasts)} forecasts, and one is read: take the others out first")
    return forecasts[0]


def _steps(found: FoundForecast, lead_time: float | None) -> list[int]:
    """Places of the lead times along the file's axis, rising, or of the one that is wanted."""
    if lead_time is None:
        return [int(k) for k in np.argsort(found.leads)]
    if lead_time * 60 not in found.leads:
        known = ", ".join(f"{lead / 60:g}" for lead in found.leads)
        raise DataFormatError(found.path, f"has no lead_time={lead_time:g} (minutes); it has {known}")
    return [found.leads.index(round(lead_time * 60))]


def _times(init: int, leads: tuple[int, ...], steps: list[int]) -> dict[str, Any]:
    seconds = np.array([leads[step] for step in steps])
    between = float(np.diff(sorted(leads)).min()) / 60 if len(leads) > 1 else None
    valid = (init + seconds).astype("datetime64[s]").astype(object)
    return {
        "issuetime": np.datetime64(init, "s").item(), "timestamps": valid, "leadtimes": seconds / 60,
        "timestep": between, "accutime": between,
    }  # fmt: skip


def _geography(grid: Grid) -> dict[str, Any]:
    """Edges of the outer cells, of which a grid has the centres."""
    width, height = (float(abs(axis[1] - axis[0])) for axis in (grid.x, grid.y))
    return _projection(grid.crs) | {
        "x1": float(grid.x[0]) - width / 2, "x2": float(grid.x[-1]) + width / 2,
        "y1": float(grid.y[-1]) - height / 2, "y2": float(grid.y[0]) + height / 2,
        "xpixelsize": width, "ypixelsize": height, "yorigin": "upper",
    }  # fmt: skip


def _projection(crs: str) -> dict[str, str | None]:
    if not crs:
        return {"projection": None, "cartesian_unit": None}
    known = pyproj.CRS.from_user_input(crs)
    with warnings.catch_warnings():
        # pysteps takes PROJ's old strings, which have no names and fewer datums than WKT; the grid is the same.
        warnings.filterwarnings("ignore", message="You will likely lose important projection information")
        text = str(known.to_proj4())
    return {"projection": text, "cartesian_unit": "degrees" if known.is_geographic else "m"}
