"""Fields as small palette PNGs inside the page: score maps and animated examples."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from nowcast.data.results.statistics_file import ExampleFields, Statistics
from nowcast.report.plots.colours import (
    DRY,
    NO_DATA,
    PROBABILITY_LEVELS,
    RAIN_COLOURS,
    RAIN_LEVELS,
    ProbabilityColours,
)
from nowcast.report.plots.contents import probability_label
from nowcast.report.plots.maps import scale_bar_km

DIFFERENCE_LEVELS = (-10.0, -5.0, -2.0, -0.5, 0.5, 2.0, 5.0, 10.0)  # mm h-1
# Brown: too little, blue-green: too much, as blue is for wet; both darker with size.
DIFFERENCE_COLOURS = (
    "#543005", "#8c510a", "#c8963e", "#e9d3a1", "#ffffff", "#b2ddd6", "#5fb3a8", "#1f7a72", "#003c30",
)  # fmt: skip
MAP_SIDE = 360  # cells of a score map; larger ones are averaged


@dataclass(frozen=True)
class Panel:
    """An animated field: all frames below each other in one picture.

    Args:
        title: Above it.
        source: data: URI of the picture.
    """

    title: str
    source: str


@dataclass(frozen=True)
class Example:
    """A window to look at.

    Args:
        name: Why it was chosen.
        text: Where and when.
        labels: Lead time and valid time of each frame.
        panels: Observation, and forecast, difference and, where it says one, probability of every model.
        ratio: Width over height of a frame.
        steps: Frames.
        bar_share: Length of the scale bar as a share of the width, in %.
        bar_text: Its length in words.
    """

    name: str
    text: str
    labels: list[str]
    panels: list[Panel]
    ratio: float
    steps: int
    bar_share: float
    bar_text: str


def rain_palette(colour_blind_safe: bool) -> list[str]:
    """No data, dry, and a colour for each of RAIN_LEVELS."""
    colours: Sequence[str] = RAIN_COLOURS
    if colour_blind_safe:
        table = colormaps["viridis_r"](np.linspace(0, 1, len(RAIN_LEVELS)), bytes=True)
        colours = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in table.tolist()]
    return [NO_DATA, DRY, *colours]


def rain_classes(rain: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0 no data, 1 dry, 2 … by RAIN_LEVELS; a level belongs to the class above it."""
    classes = 1 + np.digitize(np.nan_to_num(rain), RAIN_LEVELS)
    return np.where(np.isfinite(rain), classes, 0).astype(np.uint8)


def difference_classes(forecast: NDArray[np.float32], observed: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0 no data, 1 … by DIFFERENCE_LEVELS."""
    difference = forecast - observed
    classes = 1 + np.digitize(np.nan_to_num(difference), DIFFERENCE_LEVELS)
    return np.where(np.isfinite(difference), classes, 0).astype(np.uint8)


def probability_palette() -> list[str]:
    """No data, hardly any, and a colour for each class of PROBABILITY_LEVELS."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in ProbabilityColours().exact()[: len(PROBABILITY_LEVELS) + 1]]


def probability_classes(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0 no data, 1 hardly any, 2 … by PROBABILITY_LEVELS; a level belongs to the class above it, and 1 to the last."""
    rounded = np.round(np.nan_to_num(probability).astype(np.float64), 6)
    classes = 1 + np.digitize(rounded, PROBABILITY_LEVELS[:-1])
    return np.where(np.isfinite(probability), classes, 0).astype(np.uint8)


def palette_png(classes: NDArray[np.uint8], colours: Sequence[str]) -> str:
    """A data: URI of an indexed PNG of (H, W) classes."""
    image = Image.fromarray(classes, mode=None).convert("P")
    image.putdata(classes.ravel().tolist())
    image.putpalette([round(255 * part) for colour in colours for part in to_rgb(colour)])
    file = BytesIO()
    image.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def example(fields: ExampleFields, colour_blind_safe: bool) -> Example:
    """Frames of a window."""
    observed = fields.rain["observed"]
    steps, height, width = observed.shape
    rain, change = rain_palette(colour_blind_safe), [NO_DATA, *DIFFERENCE_COLOURS]
    panels = [Panel("observed", palette_png(_stacked(rain_classes(observed)), rain))]
    for name, forecast in fields.rain.items():
        if name != "observed":
            panels.append(Panel(name, palette_png(_stacked(rain_classes(forecast)), rain)))
            missed = palette_png(_stacked(difference_classes(forecast, observed)), change)
            panels.append(Panel(f"{name} minus observed", missed))
        if name in fields.probabilities:
            said = palette_png(_stacked(probability_classes(fields.probabilities[name])), probability_palette())
            panels.append(Panel(f"{name} {probability_label(fields.threshold)}", said))
    length = scale_bar_km(fields.cell_km * width)
    labels = []
    for step in range(1, steps + 1):
        minutes = step * fields.timestep_minutes
        valid = fields.init_time.astype("datetime64[s]") + np.timedelta64(round(minutes * 60), "s")
        text = np.datetime_as_string(valid, unit="m").replace("T", " ")
        labels.append(f"+{minutes:g} min, valid {text} UTC")
    start = np.datetime_as_string(fields.init_time.astype("datetime64[s]"), unit="m").replace("T", " ")
    return Example(
        fields.name,
        f"{fields.archive}, forecast from {start} UTC; CSI of the first model {_score(fields.score)}",
        labels,
        panels,
        width / height,
        steps,
        100 * length / (fields.cell_km * width),
        f"{length:g} km",
    )


def _score(value: float) -> str:
    return "undefined, hardly any rain" if np.isnan(value) else f"{value:.2f}"


def _stacked(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(classes.reshape(-1, classes.shape[-1]))


def score_maps(statistics: Statistics) -> list[Panel]:
    """CSI of each cell over all lead times, a map per model."""
    if statistics.map_counts is None:
        return []
    colours = [NO_DATA, *(f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in _viridis())]
    panels = []
    for name, counts in zip(statistics.models, statistics.map_counts, strict=True):
        hits, misses, false_alarms, _ = (_averaged(part) for part in counts)
        either = hits + misses + false_alarms
        csi = np.divide(hits, either, where=either > 0, out=np.full(hits.shape, np.nan))
        classes = np.where(either > 0, 1 + np.minimum(np.nan_to_num(csi) * 10, 9.999), 0).astype(np.uint8)
        panels.append(Panel(name, palette_png(classes, colours)))
    return panels


def map_colours() -> list[tuple[str, str]]:
    """Colour and label of each class of a score map."""
    return [(f"#{r:02x}{g:02x}{b:02x}", f"{k / 10:.1f}") for k, (r, g, b, _) in enumerate(_viridis())]


def _viridis() -> list[Any]:
    table: list[Any] = colormaps["viridis"](np.linspace(0, 1, 10), bytes=True).tolist()
    return table


def _averaged(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums over blocks, so that a map has at most MAP_SIDE cells on a side; those at the far edges may be smaller."""
    block = -(-max(counts.shape) // MAP_SIDE)
    whole = np.pad(counts, [(0, -size % block) for size in counts.shape])
    rows, columns = (size // block for size in whole.shape)
    parts = whole.reshape(rows, block, columns, block)
    total: NDArray[np.float64] = parts.sum(axis=(1, 3)).astype(np.float64)
    return total
