"""Forecasts by pysteps' STEPS, S-PROG or LINDA for the windows of archives, to be scored beside ours.

In the checkout: pip install -e '.[pysteps]'; then for example:
  python scripts/pysteps_forecasts.py data/mine.nc --method steps --output outputs/steps --every 3
  nowcast evaluate checkpoint=best.ckpt data.windows.stride=3 data.eval_crop=null scores=ensemble \
      "forecasts={steps: 'outputs/steps/*.nc'}"
STEPS is an ensemble, S-PROG and LINDA (without perturbations) are fields; LINDA finds its features by scikit-image.
Files that are there already are left alone: started again, it goes on.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pysteps
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.grid import area_average, averaging_factor, cell_km
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from nowcast.data.windows.index import window_starts
from nowcast.data.windows.region import Region

NAMES = {"steps": "STEPS", "sprog": "S-PROG", "linda": "LINDA"}
MOTION_FRAMES = 3  # Lucas-Kanade motion and the autoregressive models look at three frames
WET, DRY_DB = 0.1, -15.0  # mm h-1 below which it is dry, and the decibels that stand for dry


def main() -> None:
    """Forecast from the last input of every window."""
    settings = arguments()
    settings.output.mkdir(parents=True, exist_ok=True)
    for path in settings.archives:
        archive = Archive(path)
        step = archive.timestep
        if step is None:
            sys.exit(f"{path}: one frame only; a forecast needs {settings.inputs}")
        region = Region(archive, averaging_factor(archive, settings.cell_km), 1)
        length = settings.inputs + settings.steps
        for start in window_starts(archive.times, length, step, 1, settings.every).tolist():
            last = start + settings.inputs - 1
            stamp = np.datetime_as_string(archive.times[last], unit="m").replace(":", "")
            output = settings.output / f"{archive.name}_{stamp}.nc"
            if not output.exists():
                began = time.monotonic()
                forecast_one(region, last, step, settings, output)
                sys.stdout.write(f"wrote {output} in {time.monotonic() - began:.0f} s\n")
                sys.stdout.flush()


def forecast_one(region: Region, last: int, step: int, settings: argparse.Namespace, output: Path) -> None:
    """Write one forecast; cells without data in the last input get none."""
    archive = region.archive
    rows, columns = (size * factor for size, factor in zip(region.shape, region.factor, strict=True))
    frames = slice(last - MOTION_FRAMES + 1, last + 1)
    observed = area_average(archive.read(frames, slice(rows), slice(columns)), region.factor)  # (3, H, W)
    coverage = np.isfinite(observed[-1])
    rain = forecast(np.nan_to_num(observed), settings, step / 60, cell_km(region.grid)[0])
    rain[..., ~coverage] = np.nan
    ensemble = f", {settings.members} members, seed {settings.seed}" if settings.method == "steps" else ""
    write_forecast(
        output,
        Forecast(archive.times[last], step, rain, coverage, region.grid),
        {
            "title": f"{NAMES[settings.method]} of {archive.name}",
            "source": f"pysteps {version('pysteps')}{ensemble}",
        },
    )


def forecast(rain: NDArray[np.float32], settings: argparse.Namespace, minutes: float, km: float) -> NDArray[np.float32]:
    """(T, H, W), of STEPS (M, T, H, W), mm h-1 from (3, H, W) mm h-1; NaN is what has come in over the edge."""
    if (rain[-1] >= WET).mean() < 0.001:  # too little to find motion and spectrum in
        members = [settings.members] if settings.method == "steps" else []
        return np.broadcast_to(rain[-1], (*members, settings.steps, *rain.shape[1:])).copy()
    decibels = np.where(rain >= WET, 10 * np.log10(np.maximum(rain, WET)), DRY_DB)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a page for each forecast
        motion = pysteps.motion.get_method("LK")(decibels)
        method = pysteps.nowcasts.get_method(settings.method)
        if settings.method == "linda":  # takes mm h-1 as they are
            return of_linda(method, rain, motion, settings.steps)
        ensemble = of_ensemble(settings, minutes, km) if settings.method == "steps" else {}
        result = method(decibels, motion, settings.steps, precip_thr=10 * np.log10(WET), n_cascade_levels=6, **ensemble)
    return np.where(result < 10 * np.log10(WET), result * 0, 10 ** (result / 10)).astype(np.float32)


def of_linda(
    method: Callable[..., NDArray[Any]], rain: NDArray[np.float32], motion: NDArray[Any], steps: int
) -> NDArray[np.float32]:
    """(T, H, W) mm h-1 by LINDA, around features, or of the whole field as one where it finds none and gives up."""
    try:
        return method(rain, motion, steps, add_perturbations=False).astype(np.float32)
    except ValueError as error:
        if "no features found" not in str(error):
            raise
        return method(rain, motion, steps, add_perturbations=False, feature_method="domain").astype(np.float32)


def of_ensemble(settings: argparse.Namespace, minutes: float, km: float) -> dict[str, Any]:
    """What STEPS takes beyond S-PROG."""
    return {
        "n_ens_members": settings.members,
        "kmperpixel": km,
        "timestep": minutes,
        "noise_method": "nonparametric",
        "vel_pert_method": "bps",
        "mask_method": "incremental",
        "seed": settings.seed,
    }


def arguments() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description="Forecasts of pysteps, for `nowcast evaluate forecasts=`")
    parser.add_argument("archives", type=Path, nargs="+", help="files made by `nowcast prepare`")
    parser.add_argument("--method", choices=list(NAMES), default="steps")
    parser.add_argument("--output", type=Path, required=True, help="folder for a netCDF file per forecast")
    parser.add_argument("--cell-km", type=float, help="data.windows.cell_km of the evaluation; left out = native cells")
    parser.add_argument("--inputs", type=int, default=5, help="data.input_steps of the evaluation, at least 3")
    parser.add_argument("--steps", type=int, default=12, help="data.forecast_steps")
    parser.add_argument("--every", type=int, default=1, help="data.windows.stride")
    parser.add_argument("--members", type=int, default=20, help="of STEPS")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    if settings.inputs < MOTION_FRAMES:
        parser.error(f"--inputs must be at least {MOTION_FRAMES}, got {settings.inputs}")
    return settings


if __name__ == "__main__":
    main()
