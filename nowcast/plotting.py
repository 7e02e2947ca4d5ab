"""Pictures of forecasts and scores."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from nowcast.tables import ModelScores

Field = NDArray[np.float32]
RAIN_LEVELS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # mm h-1, lower edges of the colours
# Blue, green, yellow, orange, red, violet, and darker at every step, so that more rain is darker in grey too.
RAIN_COLOURS = (
    "#d9ecfa", "#a6d3f2", "#7fd08a", "#e0b62a", "#e8862a", "#d9502a", "#b8202a", "#8a1560", "#5c0a5c", "#2b0530",
)  # fmt: skip
DRY, NO_DATA = "#ffffff", "#b9b9b9"
MAX_COLUMNS = 6  # lead times side by side
FRAME_MILLISECONDS = 350


def rain_colormap(colour_blind_safe: bool = False) -> tuple[Colormap, BoundaryNorm]:
    """Colour table of rain rate in mm h-1: white below 0.1, grey for no data.

    Args:
        colour_blind_safe: Viridis instead of the table of blue, green, yellow, red and violet.
    """
    colours: list[Any] = list(RAIN_COLOURS)
    if colour_blind_safe:
        colours = [colormaps["viridis_r"](k / (len(RAIN_LEVELS) - 1)) for k in range(len(RAIN_LEVELS))]
    colormap = ListedColormap(colours).with_extremes(under=DRY, bad=NO_DATA, over=colours[-1])
    return colormap, BoundaryNorm((*RAIN_LEVELS, 200), len(RAIN_LEVELS))


@dataclass(frozen=True, eq=False)
class Case:
    """One forecast to look at.

    Args:
        observed: (T, H, W) mm h-1, NaN = no data; None when the future is not known yet.
        forecasts: Name → (T, H, W) mm h-1, NaN = no forecast.
        inputs: (T_in, H, W) mm h-1, or None.
        init_time: UTC, time of the last input.
        timestep_minutes: Time between frames.
        cell_km: Side of a cell, for the scale bar; None = no scale bar.
        title: Above the picture.

    Raises:
        ValueError: Shapes do not agree, or there is no frame.
    """

    observed: Field | None
    forecasts: Mapping[str, Field]
    inputs: Field | None
    init_time: np.datetime64
    timestep_minutes: float
    cell_km: float | None
    title: str

    def __post_init__(self) -> None:
        """Check the shapes."""
        shapes = {name: frames.shape for name, frames in self.rows().items()}
        wrong = [shape for shape in shapes.values() if len(shape) != 3 or 0 in shape]
        if not shapes or len(set(shapes.values())) > 1 or wrong:
            raise ValueError(f"need fields (T, H, W) of one shape and at least one frame, got {shapes}")

    def rows(self) -> dict[str, Field]:
        """Observation, where there is one, and forecasts."""
        return ({} if self.observed is None else {"observed": self.observed}) | dict(self.forecasts)

    def time_label(self, step: int, separator: str = "\n") -> str:
        """Lead time and valid time of a step; step 0 is the last input."""
        minutes = step * self.timestep_minutes
        valid = self.init_time.astype("datetime64[s]") + np.timedelta64(round(minutes * 60), "s")
        text = np.datetime_as_string(valid, unit="m").replace("T", " ")
        return f"{minutes:+g} min{separator}{text[5:]} UTC"


def plot_forecast(case: Case, path: Path) -> Path:
    """Write a PNG with rows of maps: the inputs, the observation, each forecast; columns are lead times."""
    rows, inputs = case.rows(), case.inputs
    steps = len(next(iter(rows.values())))
    shown = sorted({round((k + 1) * steps / min(MAX_COLUMNS, steps)) - 1 for k in range(min(MAX_COLUMNS, steps))})
    titles = [case.time_label(k + 1) for k in shown]
    panels = {name: [frames[k] for k in shown] for name, frames in rows.items()}
    input_titles: list[str] = []
    if inputs is not None:
        count = min(len(inputs), len(shown))
        panels = {"input": list(inputs[-count:])} | panels
        input_titles = [case.time_label(k + 1 - count) for k in range(count)]
    figure = _figure(len(panels), len(shown), next(iter(rows.values())).shape[1:], case.title)
    for row, (name, fields) in enumerate(panels.items()):
        labels = input_titles if name == "input" else titles if row == len(panels) - len(rows) else [""] * len(shown)
        for column in range(len(shown)):
            axes = figure.add_subplot(len(panels), len(shown), row * len(shown) + column + 1)
            if column >= len(fields):
                axes.set_axis_off()
                continue
            _map(axes, fields[column], labels[column])
            if column == 0:
                axes.set_ylabel(name.replace("_", "\n"), fontsize=10)
    _finish(figure, figure.axes[0], case.cell_km)
    return _save(figure, path)


def animate_forecast(case: Case, path: Path) -> Path:
    """Write a GIF: the inputs in every panel, then the observation and each forecast side by side."""
    rows, inputs = case.rows(), case.inputs
    steps, shape = len(next(iter(rows.values()))), next(iter(rows.values())).shape[1:]
    past = 0 if inputs is None else len(inputs)
    figure = _figure(1, len(rows), shape, case.title)
    images = []
    for column, (name, frames) in enumerate(rows.items()):
        axes = figure.add_subplot(1, len(rows), column + 1)
        images.append(_map(axes, frames[0], name.replace("_", " ")))
    _finish(figure, figure.axes[0], case.cell_km)
    clock = figure.text(0.01, 0.01, "", fontsize=10, family="monospace")
    pictures = []
    for k in range(-past, steps):
        for image, frames in zip(images, rows.values(), strict=True):
            field = frames[k] if k >= 0 or inputs is None else inputs[k]
            image.set_data(np.ma.masked_invalid(field))
        clock.set_text(("input    " if k < 0 else "forecast ") + case.time_label(k + 1, " "))
        pictures.append(_render(figure))
    palette = pictures[-1].quantize(128)
    frames8 = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    partial = _partial(path)
    frames8[0].save(
        partial,
        format="GIF",
        save_all=True,
        append_images=frames8[1:],
        duration=[FRAME_MILLISECONDS] * (len(frames8) - 1) + [4 * FRAME_MILLISECONDS],
        loop=0,
    )
    partial.replace(path)
    return path


def plot_scores(models: Sequence[ModelScores], score: str, path: Path) -> Path:
    """Curves of a score by lead time: a panel per threshold, a line per model; undefined values are gaps.

    Raises:
        ValueError: No model.
    """
    if not models:
        raise ValueError("no scores to plot")
    first = models[0]
    count = len(first.thresholds)
    figure = Figure(figsize=(3.2 * count + 0.6, 3.4), layout="constrained")
    for k, threshold in enumerate(first.thresholds):
        axes = figure.add_subplot(1, count, k + 1)
        for model in models:
            axes.plot(model.lead_minutes, model.scores[score][k], marker="o", markersize=3, label=model.name)
        axes.set_title(f"rain ≥ {threshold:g} mm/h", fontsize=10)
        axes.set_xlabel("lead time (minutes)")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if k == 0:
            axes.set_ylabel(score.upper())
            axes.legend(fontsize=8)
    return _save(figure, path)


def _figure(rows: int, columns: int, shape: tuple[int, ...], title: str) -> Figure:
    width = 1.75 if rows > 1 else 2.7
    height = width * min(max(shape[0] / shape[1], 0.3), 3)
    figure = Figure(figsize=(columns * width + 1.6, rows * (height + 0.12) + 1.2), layout="constrained", dpi=100)
    figure.suptitle(title, fontsize=11)
    FigureCanvasAgg(figure)
    return figure


def _map(axes: Axes, field: Field, title: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    colormap, norm = rain_colormap()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=8)
    return axes.imshow(np.ma.masked_invalid(field), cmap=colormap, norm=norm, interpolation="nearest")


def _finish(figure: Figure, axes: Axes, cell_km: float | None) -> None:
    """Colour bar, key of "no data", scale bar."""
    colormap, norm = rain_colormap()
    bar = figure.colorbar(
        ScalarMappable(norm, colormap), ax=figure.axes, shrink=0.8, aspect=30, extend="min", ticks=RAIN_LEVELS
    )
    bar.ax.set_yticklabels([f"{level:g}" for level in RAIN_LEVELS])
    bar.set_label("rain rate (mm/h)")
    figure.legend(
        handles=[Patch(facecolor=NO_DATA, label="no data"), Patch(facecolor=DRY, edgecolor="black", label="no rain")],
        loc="lower right",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    if cell_km is None:
        return
    columns = axes.get_images()[0].get_array().shape[1]  # type: ignore[union-attr]
    length = max(k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500) if k / cell_km <= max(columns / 2.5, 1 / cell_km))
    start = columns * 0.05
    height = axes.get_images()[0].get_array().shape[0] * 0.94  # type: ignore[union-attr]
    axes.plot([start, start + length / cell_km], [height, height], color="black", linewidth=2)
    axes.text(start, height * 0.98, f"{length} km", fontsize=7, va="bottom")


def _render(figure: Figure) -> Image.Image:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)  # made by _figure
    canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())  # type: ignore[no-untyped-call]


def _partial(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def _save(figure: Figure, path: Path) -> Path:
    partial = _partial(path)
    figure.savefig(partial, format="png")
    partial.replace(path)
    return path
