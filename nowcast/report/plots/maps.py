"""Pictures of forecasts: rows of maps, and animations."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from PIL import Image

from nowcast.files import written_whole
from nowcast.report.plots.animation import write_gif, write_mp4
from nowcast.report.plots.coastlines import MapLine
from nowcast.report.plots.colours import ColourScale, ProbabilityColours, RainColours
from nowcast.report.plots.layout import LEFT, draw_map, maps_figure, title_inches
from nowcast.report.tables import shown_lead_times

Field = NDArray[np.float32]
MAX_PANELS = 4  # maps side by side in an animation
PROBABILITIES = ProbabilityColours()


@dataclass(frozen=True, eq=False)
class Case:
    """One forecast to look at. Values that are not finite are drawn as "no data".

    Args:
        observed: (T, H, W) mm h-1, NaN = no data; None when the future is not known yet.
        forecasts: Name → (T, H, W) mm h-1, NaN = no forecast; drawn only where the radar sees.
        inputs: (T_in, H, W) mm h-1, or None.
        init_time: UTC, time of the last input.
        timestep_minutes: Time between frames, > 0.
        cell_km: Side of a cell, > 0, for the scale bar; None = no scale bar.
        title: Above the picture.
        colours: Unit and colour table.
        lines: Coastlines and degrees to draw over the maps.
        probabilities: Name → (T, H, W) in [0, 1], drawn below the forecasts; NaN = no forecast.
        leads: Label with lead times; False for observations alone, that nothing was forecast from.

    Raises:
        ValueError: Shapes do not agree, there is no frame, a forecast has a name that the picture needs
            itself, or a time or length is not positive or not a time.
    """

    observed: Field | None
    forecasts: Mapping[str, Field]
    inputs: Field | None
    init_time: np.datetime64
    timestep_minutes: float
    cell_km: float | None
    title: str
    colours: RainColours = field(default_factory=RainColours)
    lines: Sequence[MapLine] = ()
    probabilities: Mapping[str, Field] = field(default_factory=dict)
    leads: bool = True

    def __post_init__(self) -> None:
        """Check names, shapes and scales."""
        if {"observed", "input"} & set(self.forecasts):
            raise ValueError(f'a forecast must not be called "observed" or "input", got {", ".join(self.forecasts)}')
        shapes = {name: frames.shape for name, frames in self.rows().items()}
        wrong = [shape for shape in shapes.values() if len(shape) != 3 or 0 in shape]
        if not shapes or len(set(shapes.values())) > 1 or wrong:
            raise ValueError(f"need fields (T, H, W) of one shape and at least one frame, got {shapes}")
        past = None if self.inputs is None else self.inputs.shape
        if past is not None and (len(past) != 3 or past[0] == 0 or past[1:] != self.shape):
            raise ValueError(f"inputs must be (T_in, {self.shape[0]}, {self.shape[1]}) with a frame, got {past}")
        if np.isnat(self.init_time):
            raise ValueError("init_time is NaT; give the UTC time of the last input")
        if not (self.timestep_minutes > 0 and math.isfinite(self.timestep_minutes)):
            raise ValueError(f"timestep_minutes must be > 0, got {self.timestep_minutes}")
        if self.cell_km is not None and not (self.cell_km > 0 and math.isfinite(self.cell_km)):
            raise ValueError(f"cell_km must be > 0, or None when unknown, got {self.cell_km}")

    def rows(self) -> dict[str, Field]:
        """Observation, where there is one, forecasts and probabilities."""
        observed = {} if self.observed is None else {"observed": self.observed}
        return observed | dict(self.forecasts) | dict(self.probabilities)

    def scale(self, name: str) -> ColourScale:
        """Colours of a row."""
        return PROBABILITIES if name in self.probabilities else self.colours

    def drawn(self) -> dict[str, Field]:
        """The same as it is drawn: a forecast is "no data" in cells that no input saw.

        Without inputs the observation tells what the radar sees; where it has no data at all, as of a time to come,
        nothing does, and forecasts stay as they are.
        """
        frames = self.observed if self.inputs is None else self.inputs
        if frames is None:
            return self.rows()
        seen = np.isfinite(frames).any(axis=0)
        if self.inputs is None and not seen.any():
            return self.rows()
        said = {**self.forecasts, **self.probabilities}
        hidden = {name: np.where(seen, field, np.float32(np.nan)) for name, field in said.items()}
        return self.rows() | hidden

    @property
    def steps(self) -> int:
        """Number of lead times T."""
        return len(next(iter(self.rows().values())))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = next(iter(self.rows().values())).shape[1:]
        return height, width

    def time_label(self, step: int, separator: str = "\n") -> str:
        """Lead time and valid time of a step; step 0 is the last input."""
        minutes = step * self.timestep_minutes
        valid = self.init_time.astype("datetime64[s]") + np.timedelta64(round(minutes * 60), "s")
        text = np.datetime_as_string(valid, unit="m").replace("T", " ") + " UTC"
        return f"{minutes:+g} min{separator}{text}" if self.leads else text

    def short_label(self, step: int) -> str:
        """The same in a corner of a map: lead time, and hour and minute."""
        *lead, valid = self.time_label(step).split("\n")
        return "  ".join([*lead, valid.split(" ")[1]])


def plot_forecast(case: Case, path: Path, every: int | None = None) -> Path:
    """Write a PNG with rows of maps: the inputs, the observation, each forecast, probabilities; columns are lead times.

    Every map says its lead and valid time: with the date above the first rows, in a corner below.

    Args:
        case: What to draw.
        path: File to write.
        every: Draw every so many steps; None = at most six lead times, evenly spread.
    """
    shown = shown_lead_times([case.timestep_minutes * (k + 1) for k in range(case.steps)])
    if every is not None:
        shown = list(range(every - 1, case.steps, every)) or [case.steps - 1]
    past = 0 if case.inputs is None else min(len(case.inputs), len(shown))
    panels = {name: [frames[k] for k in shown] for name, frames in case.drawn().items()}
    times = {next(iter(panels)): [case.time_label(k + 1) for k in shown]}  # above the first row of forecasts
    if case.inputs is not None:
        panels = {"input": list(case.inputs[-past:])} | panels
        times["input"] = [case.time_label(k + 1 - past) for k in range(past)]
    headers = [0.38 if name in times else 0.0 for name in panels]
    scales = [case.scale(name) for name in panels]
    figure, axes = maps_figure(case.title, case.shape, headers, scales, len(shown), base=1.8)
    for row, (name, fields) in enumerate(panels.items()):
        for column, rain in enumerate(fields):
            draw_map(axes[row][column], rain, scales[row], case.lines)
            if name in times:
                axes[row][column].set_title(times[name][column], fontsize=8, pad=3)
            else:
                _corner(axes[row][column], case.short_label(shown[column] + 1))
        _row_label(axes[row][0], name)
        for empty in axes[row][len(fields) :]:
            empty.remove()
    _scale_bar(axes[0][0], case)
    with written_whole(path) as partial:
        figure.savefig(partial, format="png")
    return path


def animate_forecast(case: Case, path: Path) -> Path:
    """Write a GIF, or an MP4 if the name ends so: the inputs, then the observation and each forecast side by side."""
    pictures = _frames(case)
    if path.suffix == ".mp4":
        write_mp4(pictures, path)
    else:
        scales = dict.fromkeys(case.scale(name) for name in case.rows())
        write_gif(pictures, [colour for scale in scales for colour in scale.exact()], path)
    return path


def _frames(case: Case) -> list[Image.Image]:
    """The pictures of an animation."""
    rows, past = case.drawn(), 0 if case.inputs is None else len(case.inputs)
    lines = panel_lines(case)
    scales = [case.scale(line[0]) for line in lines]
    figure, grid = maps_figure(
        case.title, case.shape, [0.24] * len(lines), scales, max(map(len, lines)), base=2.7, clock=0.28
    )
    images = {}
    for panels, names, scale in zip(grid, lines, scales, strict=True):
        for panel, name in zip(panels, names, strict=False):
            images[name] = draw_map(panel, rows[name][0], scale, case.lines)
            panel.set_title(textwrap.shorten(name.replace("_", " "), 36, placeholder="…"), fontsize=9, pad=3)
        for empty in panels[len(names) :]:
            empty.remove()
    _scale_bar(grid[0][0], case)
    width, height = figure.get_size_inches()
    clock = figure.text(
        LEFT / width, 1 - (title_inches(figure.get_suptitle()) + 0.06) / height, "", fontsize=10, weight="bold"
    )
    clock.set_verticalalignment("top")
    moving = [*(image.axes for image in images.values()), clock]
    for artist in moving:
        artist.set_animated(True)  # left out where the figure is drawn
    canvas: Any = figure.canvas  # the FigureCanvasAgg that maps_figure attached
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    pictures = []
    for k in range(-past, case.steps):
        for name, image in images.items():
            frame = rows[name][k] if k >= 0 or case.inputs is None else case.inputs[k]
            image.set_visible(k >= 0 or name not in case.probabilities)  # nothing is probable of what was seen
            image.set_data(case.scale(name).values(frame))
        kind = "input " if k < 0 else "forecast " if case.leads else ""
        clock.set_text(kind + case.time_label(k + 1, ", "))
        pictures.append(_render(figure, still, moving))
    return pictures


def panel_lines(case: Case) -> list[list[str]]:
    """Names of the maps of an animation by lines, equally wide: rain, then, in lines of their own, probabilities."""
    groups = [[name for name in case.rows() if name not in case.probabilities], list(case.probabilities)]
    groups = [group for group in groups if group]
    wide = max(math.ceil(len(group) / math.ceil(len(group) / MAX_PANELS)) for group in groups)
    return [group[k : k + wide] for group in groups for k in range(0, len(group), wide)]


def _row_label(axes: Axes, name: str) -> None:
    """In lines beside the first map, smaller where there is no room for them."""
    lines = textwrap.wrap(name.replace("_", " "), 15)
    axes.set_ylabel("\n".join(lines), fontsize=9 if len(lines) < 4 else 7)


def _corner(axes: Axes, text: str) -> None:
    """A label in the upper left corner of a map."""
    outline = [withStroke(linewidth=2, foreground="white")]
    axes.text(0.02, 0.98, text, transform=axes.transAxes, fontsize=6.5, va="top", path_effects=outline)


def scale_bar_km(width_km: float) -> float:
    """The longest of 1, 2, 5, 10, 20, … (or 0.5, 0.2, …) km that is at most 40 % of a width in km."""
    power = 10.0 ** math.floor(math.log10(0.4 * width_km))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= 0.4 * width_km)


def _scale_bar(axes: Axes, case: Case) -> None:
    """A bar in the lower left corner, outlined in white so that it stands out from any echo."""
    if case.cell_km is None:
        return
    width_km = case.cell_km * case.shape[1]
    length = scale_bar_km(width_km)
    outline = [withStroke(linewidth=3, foreground="white")]
    ends = [0.05, 0.05 + length / width_km]
    axes.plot(ends, [0.06] * 2, color="black", linewidth=2, transform=axes.transAxes, path_effects=outline)
    axes.annotate(
        f"{length:g} km",
        (0.05, 0.06),
        xycoords="axes fraction",
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=7,
        path_effects=outline,
    )


def _render(figure: Figure, still: Any, moving: Sequence[Artist]) -> Image.Image:  # noqa: ANN401 (pixels of Agg)
    """What moves drawn over what stands still: bars, key and title cost more than the maps."""
    canvas: Any = figure.canvas
    canvas.restore_region(still)
    for artist in moving:
        figure.draw_artist(artist)
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
