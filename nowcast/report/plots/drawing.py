"""Pictures of what lies in a file: forecasts of any system, and archives."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from nowcast.config.command_line.arguments import moment, refuse_no_picture
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.archive.grid import area_average, averaging_factor, cell_km
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.data.results.places import difference_of_place
from nowcast.data.windows.region import Region
from nowcast.forecasting.external import read_forecast
from nowcast.forecasting.forecast import FieldForecast
from nowcast.report.plots.coastlines import map_lines
from nowcast.report.plots.colours import MARSHALL_PALMER, RainColours, Unit
from nowcast.report.plots.contents import Choice, contents_of, nearest
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast
from nowcast.units import ZR

FORMATS = ("png", "gif", "mp4")
ELEMENTS = 40_000_000  # cells of an archive's frames above which it is thinned by averaging


@dataclass(frozen=True)
class DrawingOptions:
    """What to draw.

    Args:
        observed: Archive to draw beside a forecast, or None.
        init_time: UTC, of the forecast, or of the archive's last frame; None = the newest.
        frames: How many frames of an archive.
        thresholds: See Choice.
        members: See Choice.
        unit: mm/h or dBZ.
        zr: Relation for dBZ; None = that of the archive, else Marshall and Palmer's.
        coastlines: See map_lines.
        formats: Of FORMATS.
        every: See plot_forecast.
        colour_blind_safe: Colours.

    Raises:
        ValueError: A number that is not positive, an unknown format, or MP4 without ffmpeg.
    """

    observed: Path | None
    init_time: str | None
    frames: int
    thresholds: Sequence[float]
    members: int
    unit: Unit
    zr: ZR | None
    coastlines: str
    formats: Sequence[str]
    every: int | None
    colour_blind_safe: bool

    @property
    def choice(self) -> Choice:
        """Of what a forecast holds."""
        return Choice(self.thresholds, self.members)

    def __post_init__(self) -> None:
        """Check."""
        Choice(self.thresholds, self.members)  # checks them
        if unknown := [name for name in self.formats if name not in FORMATS]:
            raise ValueError(f"formats={unknown[0]} is unknown; choose of {', '.join(FORMATS)}")
        if not self.formats:
            raise ValueError(f"formats is empty; choose of {', '.join(FORMATS)}")
        if "mp4" in self.formats and shutil.which("ffmpeg") is None:
            raise ValueError("formats: mp4 needs ffmpeg, which is not installed; install it, or choose png and gif")
        for name, value in (("frames", self.frames), ("every", self.every)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def draw_file(file: Path, stem: Path, options: DrawingOptions) -> tuple[list[Path], str]:
    """Write the pictures; return them, and a sentence on what is missing in them.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Neither an archive nor a forecast.
        ValueError: It does not hold what is wished for.
    """
    refuse_no_picture(file)
    archive = as_archive(file)
    if archive is not None and options.observed is not None:
        raise ValueError(
            f"observed={options.observed}: {file} is an archive of observations itself; leave observed= out"
        )
    observed = archive if options.observed is None else Archive(options.observed)
    relation = observed.to_rain_rate.zr if observed is not None else None
    colours = RainColours(options.colour_blind_safe, options.unit, options.zr or relation or MARSHALL_PALMER)
    case, remark = (
        case_of_archive(archive, options, colours) if archive else case_of_forecast(file, observed, options, colours)
    )
    written = []
    for kind in options.formats:
        path = stem.with_name(f"{stem.name}.{kind}")
        written.append(plot_forecast(case, path, options.every) if kind == "png" else animate_forecast(case, path))
    return written, remark


def as_archive(file: Path) -> Archive | None:
    """The archive that a file is, or None."""
    try:
        return Archive(file)
    except DataFormatError:
        return None


def case_of_archive(archive: Archive, options: DrawingOptions, colours: RainColours) -> tuple[Case, str]:
    """The last time steps up to a time; one without a frame is no data."""
    last = len(archive.times) - 1 if options.init_time is None else _index(archive, options.init_time)
    step = archive.timestep or 60
    wanted = archive.times[last] - np.arange(options.frames)[::-1] * np.timedelta64(step, "s")
    there = np.isin(wanted, archive.times)
    wanted, there = wanted[np.argmax(there) :], there[np.argmax(there) :]
    cells = archive.grid.shape[0] * archive.grid.shape[1] * len(wanted)
    factor = max(1, round((cells / ELEMENTS) ** 0.5))
    region = Region(archive, (factor, factor), 1)
    lines, remark = map_lines(region.grid, options.coastlines)
    return Case(
        observed=_observed(region, wanted),
        forecasts={},
        inputs=None,
        init_time=wanted[0] - np.timedelta64(step, "s"),
        timestep_minutes=step / 60,
        cell_km=cell_km(region.grid)[0],
        title=", ".join(part for part in (archive.name, archive.attributes.get("institution", "")) if part),
        colours=colours,
        lines=lines,
        leads=False,
    ), " ".join(text for text in (remark, _gaps(int(there.sum()), last, options)) if text)


def _gaps(drawn: int, last: int, options: DrawingOptions) -> str:
    """What is to be said of frames that are not drawn although the archive goes further back; "" = nothing."""
    if drawn >= min(options.frames, last + 1):
        return ""
    return (
        f"{drawn} of the last {options.frames} time steps have a frame, the others are drawn as no data; "
        "frames= draws more steps, init_time= others"
    )


def case_of_forecast(
    file: Path, observed: Archive | None, options: DrawingOptions, colours: RainColours
) -> tuple[Case, str]:
    """One forecast of a file, with the observation if there is one."""
    files = ForecastFiles([str(file)])
    init = _init_time(files, file, options.init_time)
    leads, grid = files.layout(init)
    leads = [lead for lead in leads if lead > 0]
    step = leads[0] if leads else 0
    if not leads or leads != [step * (k + 1) for k in range(len(leads))]:
        raise ValueError(
            f"{file}: lead times of {', '.join(f'{x / 60:g}' for x in leads)} min; only even steps from the first can "
            "be drawn, such as 5, 10, 15"
        )
    said = read_forecast(files, init, leads, grid)
    contents = contents_of({"": said}, options.choice)
    start = np.datetime64(init, "s")
    lines, remark = map_lines(grid, options.coastlines)
    valid = start + np.array(leads, dtype="timedelta64[s]")
    return Case(
        observed=None if observed is None else _observed(_same_grid(observed, grid), valid),
        forecasts=contents.rain,
        probabilities=contents.probabilities,
        inputs=None,
        init_time=start,
        timestep_minutes=step / 60,
        cell_km=cell_km(grid)[0],
        title=f"{file.stem}, forecast from {start} UTC",
        colours=colours,
        lines=lines,
    ), "; ".join(text for text in (remark, _others(said, options.choice)) if text)


def _others(said: FieldForecast, choice: Choice) -> str:
    """What is to be said of thresholds that a forecast of probabilities does not know; "" = it knows all."""
    held = said.exceedance
    unknown = [one for one in choice.thresholds if held and not held.knows(one)]
    if held is None or not unknown:
        return ""
    drawn = ", ".join(f"{nearest(held.thresholds, one):g} in place of {one:g} mm/h" for one in unknown)
    known = ",".join(f"{one:g}" for one in held.thresholds)
    return f"the probabilities are of other thresholds: {drawn}; there are thresholds=[{known}]"


def _init_time(files: ForecastFiles, file: Path, wanted: str | None) -> int:
    if wanted is None:
        return max(files.files)
    seconds = int(np.datetime64(moment(wanted), "s").astype(np.int64))
    if seconds not in files.files:
        known = ", ".join(str(np.datetime64(one, "s")) for one in sorted(files.files)[:5])
        raise ValueError(f"{file}: no forecast from init_time={wanted}; it holds {known}")
    return seconds


def _index(archive: Archive, wanted: str) -> int:
    found = np.flatnonzero(archive.times == np.datetime64(moment(wanted), "s"))
    if len(found) == 0:
        raise ValueError(
            f"{archive.path}: no frame at init_time={wanted}; it spans {archive.times[0]} to {archive.times[-1]}"
        )
    return int(found[0])


def _same_grid(archive: Archive, grid: Grid) -> Region:
    """The archive, averaged to the cells of a forecast.

    Raises:
        ValueError: That does not give the forecast's grid.
    """
    factor = averaging_factor(archive, cell_km(grid)[0], "give the archive that the forecast was made from")
    region = Region(archive, factor, 1)
    theirs = region.grid
    if difference_of_place(grid, theirs):
        raise ValueError(
            f"observed={archive.path} has {theirs.shape} cells of {cell_km(theirs)[0]:g} km, the forecast {grid.shape} "
            "elsewhere: give the archive that the forecast was made from"
        )
    return region


def _observed(region: Region, times: NDArray[np.datetime64]) -> NDArray[np.float32]:
    """(T, H, W) mm h-1 of the frames at some times; a frame that is missing is no data."""
    archive = region.archive
    rows, columns = (size * factor for size, factor in zip(region.shape, region.factor, strict=True))
    rain = np.full((len(times), *region.shape), np.nan, dtype=np.float32)
    for k, index in enumerate(np.searchsorted(archive.times, times).tolist()):
        if index < len(archive.times) and archive.times[index] == times[k]:
            one = archive.read(slice(index, index + 1), slice(rows), slice(columns))
            rain[k] = area_average(one, region.factor)[0]
    return rain


def say(remark: str) -> None:
    """Say on the terminal what a picture does not show."""
    Console().print(remark, style="yellow", markup=False, highlight=False, soft_wrap=True)
