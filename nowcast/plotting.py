"""Pictures of forecasts and scores.

The maps are laid out in inches by hand, not by a layout engine: every panel keeps its size whatever the labels,
and a frame of an animation is drawn in tens of milliseconds.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from PIL import Image

from nowcast.atomic import written_whole
from nowcast.tables import ModelScores, check_comparable, shown_lead_times

Field = NDArray[np.float32]
RAIN_LEVELS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # mm h-1, lower edges of the colours
# Blue, green, yellow, orange, red, violet, and darker at every step, so that more rain is darker in grey too.
RAIN_COLOURS = (
    "#def0fc", "#b0dafa", "#88d596", "#dfb02a", "#e8862a", "#d9502a", "#b8202a", "#8a1560", "#5c0a5c", "#2b0530",
)  # fmt: skip
DRY, NO_DATA = "#ffffff", "#b9b9b9"
# Okabe & Ito's colours that tell apart for most colour-blind readers; with the markers also in print.
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")
LINE_MARKERS = "osD^vPX"
MAX_PANELS = 4  # maps side by side in an animation, curves side by side
FRAME_MILLISECONDS = 350
DPI = 100
# Inches around the maps: row labels, colour bar, key below, between maps.
LEFT, RIGHT, BOTTOM, GAP = 0.55, 1.05, 0.42, 0.1


def rain_colormap(colour_blind_safe: bool = False) -> tuple[Colormap, BoundaryNorm]:
    """Colour table of rain rate in mm h-1: white below 0.1, grey for no data, a level belongs to the class above it.

    Args:
        colour_blind_safe: Viridis instead of the table of blue, green, yellow, red and violet.
    """
    colours: list[Any] = list(RAIN_COLOURS)
    if colour_blind_safe:
        colours = [colormaps["viridis_r"](k / (len(RAIN_LEVELS) - 1)) for k in range(len(RAIN_LEVELS))]
    colormap = ListedColormap(colours[:-1]).with_extremes(under=DRY, bad=NO_DATA, over=colours[-1])
    return colormap, BoundaryNorm(RAIN_LEVELS, len(RAIN_LEVELS) - 1)


@dataclass(frozen=True, eq=False)
class Case:
    """One forecast to look at. Values that are not finite are drawn as "no data".

    Args:
        observed: (T, H, W) mm h-1, NaN = no data; None when the future is not known yet.
        forecasts: Name → (T, H, W) mm h-1, NaN = no forecast.
        inputs: (T_in, H, W) mm h-1, or None.
        init_time: UTC, time of the last input.
        timestep_minutes: Time between frames, > 0.
        cell_km: Side of a cell, > 0, for the scale bar; None = no scale bar.
        title: Above the picture.
        colour_blind_safe: Draw with the colour table of rain_colormap(True).

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
    colour_blind_safe: bool = False

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
        """Observation, where there is one, and forecasts."""
        return ({} if self.observed is None else {"observed": self.observed}) | dict(self.forecasts)

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
        text = np.datetime_as_string(valid, unit="m").replace("T", " ")
        return f"{minutes:+g} min{separator}{text} UTC"


def plot_forecast(case: Case, path: Path, every: int | None = None) -> Path:
    """Write a PNG with rows of maps: the inputs, the observation, each forecast; columns are lead times.

    Args:
        case: What to draw.
        path: File to write.
        every: Draw every so many steps; None = at most six lead times, evenly spread.
    """
    shown = shown_lead_times([case.timestep_minutes * (k + 1) for k in range(case.steps)])
    if every is not None:
        shown = list(range(every - 1, case.steps, every)) or [case.steps - 1]
    past = 0 if case.inputs is None else min(len(case.inputs), len(shown))
    panels = {name: [frames[k] for k in shown] for name, frames in case.rows().items()}
    times = {next(iter(panels)): [case.time_label(k + 1) for k in shown]}  # above the first row of forecasts
    if case.inputs is not None:
        panels = {"input": list(case.inputs[-past:])} | panels
        times["input"] = [case.time_label(k + 1 - past) for k in range(past)]
    headers = [0.38 if name in times else 0.0 for name in panels]
    figure, axes = _maps(case, headers, len(shown), base=1.8)
    for row, (name, fields) in enumerate(panels.items()):
        for column, field in enumerate(fields):
            _draw(case, axes[row][column], field)
            axes[row][column].set_title(times[name][column] if name in times else "", fontsize=8, pad=3)
        axes[row][0].set_ylabel("\n".join(textwrap.wrap(name.replace("_", " "), 15)), fontsize=9)
        for empty in axes[row][len(fields) :]:
            empty.remove()
    _scale_bar(axes[0][0], case)
    with written_whole(path) as partial:
        figure.savefig(partial, format="png")
    return path


def animate_forecast(case: Case, path: Path) -> Path:
    """Write a GIF: the inputs in every panel, then the observation and each forecast side by side."""
    rows, past = case.rows(), 0 if case.inputs is None else len(case.inputs)
    lines = math.ceil(len(rows) / MAX_PANELS)
    columns = math.ceil(len(rows) / lines)
    figure, grid = _maps(case, [0.24] * lines, columns, base=2.7, clock=0.28)
    axes = [panel for line in grid for panel in line]
    images = [_draw(case, panel, frames[0]) for panel, frames in zip(axes, rows.values(), strict=False)]
    for panel, name in zip(axes, rows, strict=False):
        panel.set_title(textwrap.shorten(name.replace("_", " "), 36, placeholder="…"), fontsize=9, pad=3)
    for empty in axes[len(rows) :]:
        empty.remove()
    _scale_bar(axes[0], case)
    width, height = figure.get_size_inches()
    clock = figure.text(
        LEFT / width, 1 - (_title_inches(figure.get_suptitle()) + 0.06) / height, "", fontsize=10, weight="bold"
    )
    clock.set_verticalalignment("top")
    pictures = []
    for k in range(-past, case.steps):
        for image, frames in zip(images, rows.values(), strict=True):
            image.set_data(np.ma.masked_invalid(frames[k] if k >= 0 or case.inputs is None else case.inputs[k]))
        clock.set_text(("input " if k < 0 else "forecast ") + case.time_label(k + 1, ", "))
        pictures.append(_render(figure))
    _write_gif(pictures, _palette(case), path)
    return path


def _title_inches(title: str) -> float:
    return 0.1 + 0.19 * (title.count("\n") + 1) if title else 0.08


def _maps(
    case: Case, headers: Sequence[float], columns: int, base: float, clock: float = 0.0
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with title, colour bar, key and a grid of empty maps.

    Args:
        case: What will be drawn.
        headers: Inches left free above each row of maps, for labels.
        columns: Maps in a row.
        base: Least width of a map in inches; few maps, or maps of many cells, become wider.
        clock: Inches left free below the title.
    """
    ratio = case.shape[0] / case.shape[1]
    panel = max(base, 4.2 / max(columns, len(headers)), min(2.6, case.shape[1] / DPI))
    tall = min(max(panel * ratio, 0.95), 1.5 * panel)
    wide = max(min(panel, tall / ratio), 1.45)  # a time label needs 1.45
    width = max(LEFT + columns * (wide + GAP) + RIGHT, 5.2)
    title = textwrap.fill(case.title, int(width / 0.095))
    top = _title_inches(title) + clock
    height = top + sum(headers) + len(headers) * (tall + GAP) + BOTTOM
    figure = Figure((width, height), dpi=DPI)
    figure.suptitle(title, fontsize=11, x=0.5, y=1 - 0.06 / height, va="top")
    FigureCanvasAgg(figure)
    axes = []
    for row in range(len(headers)):
        bottom = height - top - sum(headers[: row + 1]) - row * (tall + GAP) - tall
        lefts = [LEFT + column * (wide + GAP) for column in range(columns)]
        axes.append([figure.add_axes((x / width, bottom / height, wide / width, tall / height)) for x in lefts])
    bar = min(height - top - BOTTOM - headers[0] - GAP, 4.5)
    middle = BOTTOM + GAP + (height - top - BOTTOM - headers[0] - GAP) / 2
    left = LEFT + columns * (wide + GAP) + 0.08
    _key(case, figure, (left / width, (middle - bar / 2) / height, 0.14 / width, bar / height))
    return figure, axes


def _key(case: Case, figure: Figure, place: tuple[float, float, float, float]) -> None:
    """Colour bar, and the meaning of grey and white."""
    colormap, norm = rain_colormap(case.colour_blind_safe)
    axes = figure.add_axes(place)
    bar = figure.colorbar(ScalarMappable(norm, colormap), cax=axes, extend="both", extendfrac=0.06, ticks=RAIN_LEVELS)
    bar.ax.set_yticklabels([f"{level:g}" for level in RAIN_LEVELS], fontsize=7)
    bar.set_label("rain rate (mm h$^{-1}$)", fontsize=9)
    patches = [
        Patch(facecolor=NO_DATA, edgecolor="black", linewidth=0.5, label="no data"),
        Patch(facecolor=DRY, edgecolor="black", linewidth=0.5, label=f"no rain (< {RAIN_LEVELS[0]:g} mm h$^{{-1}}$)"),
    ]
    corner = (LEFT / figure.get_size_inches()[0], 0.0)
    figure.legend(handles=patches, loc="lower left", bbox_to_anchor=corner, ncols=2, fontsize=8, frameon=False)


def _draw(case: Case, axes: Axes, field: Field) -> AxesImage:
    colormap, norm = rain_colormap(case.colour_blind_safe)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(np.ma.masked_invalid(field), cmap=colormap, norm=norm, interpolation="nearest")


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


def _render(figure: Figure) -> Image.Image:
    canvas: Any = figure.canvas  # the FigureCanvasAgg that _maps attached
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _palette(case: Case) -> Image.Image:
    """One palette for all frames with the exact colours of the table, so that white stays white."""
    colormap, norm = rain_colormap(case.colour_blind_safe)
    rates = np.ma.masked_invalid([np.nan, 0.0, *RAIN_LEVELS])
    exact = colormap(norm(rates), bytes=True)[:, :3].tolist()
    text = [[grey] * 3 for grey in range(0, 250, 12) if abs(grey - exact[0][0]) > 6]  # anti-aliased letters
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in (*exact, *text) for part in colour])
    return palette


def _write_gif(pictures: Sequence[Image.Image], palette: Image.Image, path: Path) -> None:
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with written_whole(path) as partial:
        frames[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[FRAME_MILLISECONDS] * (len(frames) - 1) + [4 * FRAME_MILLISECONDS],
            loop=0,
        )


def plot_scores(models: Sequence[ModelScores], score: str, path: Path) -> Path:
    """Write a PNG of a score by lead time: a panel per threshold, a line per model; undefined values are gaps.

    Raises:
        ValueError: Not comparable, or an unknown score (see check_comparable).
    """
    check_comparable(models, score)
    thresholds = models[0].thresholds
    lines = math.ceil(len(thresholds) / MAX_PANELS)
    columns = math.ceil(len(thresholds) / lines)
    figure = Figure(figsize=(max(3.0 * columns, 5) + 0.6, 2.8 * lines + 0.6), layout="constrained", dpi=DPI)
    # The bias of rare heavy rain is so large that a common axis would flatten all other panels.
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=score != "bias")
    for k, axes in enumerate(grid.flat):
        if k >= len(thresholds):
            axes.remove()
            continue
        _curves(axes, models, score, k)
        if k + columns >= len(thresholds):
            axes.set_xlabel("lead time (minutes)")
            axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency bias (1 = unbiased)" if score == "bias" else score.upper())
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(models), 4), fontsize=9, frameon=False)
    with written_whole(path) as partial:
        figure.savefig(partial, format="png")
    return path


def _curves(axes: Axes, models: Sequence[ModelScores], score: str, k: int) -> None:
    """One panel: the curves at threshold k, from zero upwards unless a score is negative."""
    every = np.array([model.scores[score] if score != "bias" else model.scores[score][k] for model in models])
    finite = every[np.isfinite(every)]
    low, high = (
        (min(0.0, finite.min()), max(finite.max(), 1.1 if score == "bias" else 0.05)) if finite.size else (0.0, 1.0)
    )
    for model, colour, marker in zip(models, cycle(LINE_COLOURS), cycle(LINE_MARKERS), strict=False):
        values = model.scores[score][k]
        axes.plot(model.lead_minutes, values, color=colour, marker=marker, ms=4, lw=1.5, label=model.name)
    if all(np.isnan(model.scores[score][k]).all() for model in models):
        axes.text(0.5, 0.5, "undefined (no such rain)", transform=axes.transAxes, ha="center", color="#555555")
    axes.set_ylim(low - 0.03 * (high - low), high + 0.05 * (high - low))
    axes.set_xlim(0, 1.04 * max(models[0].lead_minutes))
    if score == "bias" or low < 0:
        axes.axhline(1.0 if score == "bias" else 0.0, color="#555555", lw=1, ls="--", zorder=1)
    axes.set_title(f"rain rate ≥ {models[0].thresholds[k]:g} mm h$^{{-1}}$", fontsize=10)
    axes.grid(alpha=0.3)
