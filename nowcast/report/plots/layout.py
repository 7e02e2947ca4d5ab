"""Where maps, their titles, colour bars and keys stand in a picture.

The maps are laid out in inches by hand, not by a layout engine: every panel keeps its size whatever the labels,
and a frame of an animation is drawn in tens of milliseconds.
"""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from nowcast.report.plots.coastlines import MapLine
from nowcast.report.plots.colours import DRY, NO_DATA, ColourScale

DPI = 100
# Inches around the maps: row labels, colour bar, key below, between maps; and a bar at most.
LEFT, RIGHT, BOTTOM, GAP, LONGEST_BAR = 0.55, 1.05, 0.42, 0.1, 4.5


def title_inches(title: str) -> float:
    """Height of the title above the maps."""
    return 0.1 + 0.19 * (title.count("\n") + 1) if title else 0.08


def maps_figure(
    title: str,
    shape: tuple[int, int],
    headers: Sequence[float],
    scales: Sequence[ColourScale],
    columns: int,
    base: float,
    clock: float = 0.0,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with title, colour bars, key and a grid of empty maps.

    Args:
        title: Above all.
        shape: (H, W) of the maps in cells.
        headers: Inches left free above each row of maps, for labels.
        scales: Colours of each row; rows with the same ones, one below the other, share a bar.
        columns: Maps in a row.
        base: Least width of a map in inches; few maps, or maps of many cells, become wider.
        clock: Inches left free below the title.
    """
    ratio = shape[0] / shape[1]
    panel = max(base, 4.2 / max(columns, len(headers)), min(2.6, shape[1] / DPI))
    tall = min(max(panel * ratio, 0.95), 1.5 * panel)
    wide = max(min(panel, tall / ratio), 1.45)  # a time label needs 1.45
    width = max(LEFT + columns * (wide + GAP) + RIGHT, 5.2)
    title = textwrap.fill(title, int(width / 0.095))
    top = title_inches(title) + clock
    height = top + sum(headers) + len(headers) * (tall + GAP) + BOTTOM
    figure = Figure((width, height), dpi=DPI)
    figure.suptitle(title, fontsize=11, x=0.5, y=1 - 0.06 / height, va="top")
    FigureCanvasAgg(figure)
    bottoms = [height - top - sum(headers[: row + 1]) - row * (tall + GAP) - tall for row in range(len(headers))]
    lefts = [LEFT + column * (wide + GAP) for column in range(columns)]
    axes = [
        [figure.add_axes((x / width, bottom / height, wide / width, tall / height)) for x in lefts]
        for bottom in bottoms
    ]
    left = LEFT + columns * (wide + GAP) + 0.08
    for scale, rows in groupby(range(len(scales)), key=lambda row: scales[row]):
        first, *_, last = [*rows] * 2
        middle, span = (bottoms[first] + tall + bottoms[last]) / 2, bottoms[first] + tall - bottoms[last]
        bar = min(span, LONGEST_BAR)
        _bar(scale, figure, (left / width, (middle - bar / 2) / height, 0.14 / width, bar / height))
    _key(scales, figure)
    return figure, axes


def _bar(scale: ColourScale, figure: Figure, place: tuple[float, float, float, float]) -> None:
    """Colour bar of the maps beside it."""
    colormap, norm = scale.table
    axes = figure.add_axes(place)
    mappable = ScalarMappable(norm, colormap)
    bar = figure.colorbar(mappable, cax=axes, extend=scale.extend, extendfrac=0.06, ticks=scale.levels)
    bar.ax.set_yticklabels(scale.tick_labels, fontsize=7)
    bar.set_label(scale.label, fontsize=9)


def _key(scales: Sequence[ColourScale], figure: Figure) -> None:
    """The meaning of grey and white."""
    dry = ", ".join(dict.fromkeys(scale.dry_label for scale in scales))
    patches = [
        Patch(facecolor=NO_DATA, edgecolor="black", linewidth=0.5, label="no data"),
        Patch(facecolor=DRY, edgecolor="black", linewidth=0.5, label=dry),
    ]
    corner = (LEFT / figure.get_size_inches()[0], 0.0)
    figure.legend(handles=patches, loc="lower left", bbox_to_anchor=corner, ncols=2, fontsize=8, frameon=False)


def draw_map(axes: Axes, values: NDArray[Any], scale: ColourScale, lines: Sequence[MapLine]) -> AxesImage:
    """A field (H, W) in its colours, with coastlines and degrees over it."""
    colormap, norm = scale.table
    image = axes.imshow(scale.values(values), cmap=colormap, norm=norm, interpolation="nearest")
    axes.set(xticks=[], yticks=[], autoscale_on=False)
    for line in lines:
        axes.plot(line.columns, line.rows, color=line.colour, linewidth=line.width, zorder=1.5)
        if line.label:
            _degrees(axes, line)
    return image


def _degrees(axes: Axes, line: MapLine) -> None:
    """The label of a meridian or parallel, where it leaves the map in the south or west."""
    at = line.leaves_at
    axes.annotate(
        line.label,
        at,
        xytext=(1, 1),
        textcoords="offset points",
        fontsize=5,
        color=line.colour,
        clip_on=True,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )
