"""Small line charts as SVG: a chart is 1 to 5 kB, its numbers show when pointed at, and print stays sharp."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nowcast.files import written_whole
from nowcast.report.plots.colours import LINE_COLOURS

Values = NDArray[np.float64]
WIDTH, HEIGHT = 330, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 26, 42
DASHES = ("", "6 3", "2 3", "8 3 2 3", "", "6 3", "2 3")
STYLE = """
.chart { width: 100%; height: auto; } .chart .t { font: 600 12px system-ui, sans-serif; }
.chart .l { font: 10.5px system-ui, sans-serif; fill: #333; } .chart .s { font: 9px system-ui, sans-serif; fill: #777; }
.chart .g { stroke: #ececec; } .chart .a { fill: none; stroke: #555; }
.chart .r { fill: none; stroke: #999; stroke-width: .9; }
"""  # of charts, in a page as in a file of their own
KEY_HEIGHT, LETTER = 20, 7  # of a line of the key, and of a letter at most
BAR_END = 2  # half the length of the line across the end of a bar
ENLARGED = 1.2  # a file's charts, against those in a page


@dataclass(frozen=True, eq=False)
class Line:
    """One curve; undefined values are gaps.

    Args:
        name: Of the model.
        x: (N,) positions.
        y: (N,) values, NaN = undefined.
        number: Of its colour and dashes.
        low: (N,) lower end of the interval, or None.
        high: (N,) upper end.
        bars: The interval is drawn as a bar at every point, not as a band.
    """

    name: str
    x: Values
    y: Values
    number: int
    low: Values | None = None
    high: Values | None = None
    bars: bool = False


@dataclass(frozen=True, eq=False)
class Chart:
    """A panel.

    Args:
        title: Above it.
        x_label: With its unit.
        y_label: With its unit.
        lines: The curves.
        guides: Thin reference curves without a name: (x, y, label at the end).
        x_log: Logarithmic x axis.
        x_whole: Only whole numbers stand at the x axis.
        y_log: Logarithmic y axis.
        y_zero: 0 is on the y axis, unless it is logarithmic.
        y_range: Ends of the y axis; None = what the values need.
        x_range: Ends of the x axis; None = what the values need.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    guides: Sequence[tuple[Values, Values, str]] = field(default_factory=tuple)
    x_log: bool = False
    x_whole: bool = False
    y_log: bool = False
    y_zero: bool = True
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None


def write_charts(path: Path, charts: Sequence[Chart], names: Sequence[str], most_columns: int) -> Path:
    """Write charts side by side, with the key of all below them, as one SVG file.

    Args:
        path: Where to.
        charts: At least one.
        names: Of the lines, in the order of their numbers.
        most_columns: Charts side by side.
    """
    rows = math.ceil(len(charts) / most_columns)
    columns = math.ceil(len(charts) / rows)
    width, places = columns * WIDTH, [divmod(k, columns) for k in range(len(charts))]
    key, key_lines = _key(names, width)
    height = rows * HEIGHT + key_lines * KEY_HEIGHT
    with written_whole(path) as partial:
        partial.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{ENLARGED * width:g}" height="{ENLARGED * height:g}"><style>{STYLE}</style>'
            '<rect width="100%" height="100%" fill="#fff"/>'
            + "".join(
                f'<svg x="{column * WIDTH}" y="{row * HEIGHT}" width="{WIDTH}" height="{HEIGHT}">{draw(chart)}</svg>'
                for chart, (row, column) in zip(charts, places, strict=True)
            )
            + f'<g class="chart" transform="translate(0 {rows * HEIGHT})">{key}</g></svg>\n',
            encoding="utf-8",
        )
    return path


def _key(names: Sequence[str], width: float) -> tuple[str, int]:
    """The key, and in how many lines it fits the width."""
    parts, x, line = [], LEFT, 0
    for number, name in enumerate(names):
        needed = 45 + LETTER * len(name)
        if x > LEFT and x + needed > width:
            x, line = LEFT, line + 1
        parts.append(
            f'<g transform="translate({x} {line * KEY_HEIGHT})">{sample(number)}'
            f'<text class="l" x="40" y="9">{escape(name)}</text></g>'
        )
        x += needed
    return "".join(parts), line + 1


def sample(number: int) -> str:
    """A bit of a line, 34 by 10, for a key."""
    colour, dash = _look(number)
    return (
        f'<path d="M0 5H34" stroke="{colour}" stroke-width="2.4"{dash}/>'
        f'<circle cx="17" cy="5" r="3.2" fill="{colour}"/>'
    )


def _look(number: int) -> tuple[str, str]:
    """Colour, and the attribute of its dashes."""
    dash = DASHES[number % len(DASHES)]
    return LINE_COLOURS[number % len(LINE_COLOURS)], f' stroke-dasharray="{dash}"' if dash else ""


def draw(chart: Chart) -> str:
    """The chart as an SVG element."""
    x_axis = _axis([line.x for line in chart.lines], chart.x_range, chart.x_log, zero=False)
    shown = [part for line in chart.lines for part in (line.y, line.low, line.high) if part is not None]
    y_axis = _axis(shown, chart.y_range, chart.y_log, zero=chart.y_zero and not chart.y_log)
    place = _Place(x_axis, y_axis, chart.x_log, chart.y_log)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        f'<text class="t" x="{LEFT}" y="15">{escape(chart.title)}</text>',
        *_grid(place, chart),
        *(part for guide in chart.guides for part in _guide(place, guide)),
        *(part for line in chart.lines for part in _band(place, line)),
        *(part for line in chart.lines for part in _curve(place, line)),
    ]
    if not any(np.isfinite(line.y).any() for line in chart.lines):
        parts.append(f'<text class="l" x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">undefined here</text>')
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _Place:
    """From values to pixels."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_log: bool
    y_log: bool

    def x(self, value: float) -> float:
        return round(LEFT + _share(value, self.x_range, self.x_log) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - _share(value, self.y_range, self.y_log) * (HEIGHT - TOP - BOTTOM), 1)


def _share(value: float, ends: tuple[float, float], log: bool) -> float:
    low, high = (math.log(end) for end in ends) if log else ends
    at = math.log(max(value, ends[0] * 1e-3)) if log else value
    return min(max((at - low) / (high - low), -0.05), 1.05)


def _axis(values: Sequence[Values], ends: tuple[float, float] | None, log: bool, *, zero: bool) -> tuple[float, float]:
    if ends is not None:
        return ends
    every = np.concatenate([np.ravel(part) for part in values]) if values else np.array([0.0, 1.0])
    finite = every[np.isfinite(every) & ((every > 0) | (not log))]
    if not finite.size:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if log:
        return low / 1.1, high * 1.1 if high > low else low * 2
    low = min(low, 0.0) if zero else low
    if high <= low:
        high = low + max(abs(low), 1e-6)
    return low, high + (0.05 * (high - low) if zero else 0.0)


def _ticks(ends: tuple[float, float], log: bool, whole: bool = False) -> list[float]:
    if not log:
        ticks = MaxNLocator(5, integer=whole).tick_values(*ends)
        return [tick for tick in ticks if ends[0] - 1e-9 <= tick <= ends[1] * (1 + 1e-9)]
    powers = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    factors = (1, 2, 5) if math.log10(ends[1] / ends[0]) < 3 else (1,)
    return [f * 10.0**p for p in powers for f in factors if ends[0] <= f * 10.0**p <= ends[1]]


def _grid(place: _Place, chart: Chart) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in _ticks(place.y_range, place.y_log):
        y = place.y(tick)
        yield f'<path class="g" d="M{LEFT} {y}H{right}"/>'
        yield f'<text class="l" x="{LEFT - 4}" y="{y + 3}" text-anchor="end">{tick:.4g}</text>'
    for tick in _ticks(place.x_range, place.x_log, chart.x_whole):
        x = place.x(tick)
        yield f'<path class="g" d="M{x} {TOP}V{bottom}"/>'
        yield f'<text class="l" x="{x}" y="{bottom + 13}" text-anchor="middle">{tick:.4g}</text>'
    yield f'<path class="a" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    middle = (LEFT + right) / 2
    yield f'<text class="l" x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(chart.x_label)}</text>'
    height = (TOP + bottom) / 2
    yield (
        f'<text class="l" transform="translate(12 {height})rotate(-90)" text-anchor="middle">'
        f"{escape(chart.y_label)}</text>"
    )


def _guide(place: _Place, guide: tuple[Values, Values, str]) -> Iterator[str]:
    xs, ys, label = guide
    inside = [
        (x, y)
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
        if place.x_range[0] <= x <= place.x_range[1] and place.y_range[0] <= y <= place.y_range[1]
    ]
    if len(inside) > 1:
        yield f'<path class="r" d="{_path(place, inside)}"/>'
        if label:
            x, y = inside[-1]
            yield f'<text class="s" x="{place.x(x) - 2}" y="{place.y(y) + 9}" text-anchor="end">{escape(label)}</text>'


def _path(place: _Place, points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{place.x(x)} {place.y(y)}" for x, y in points)


def _band(place: _Place, line: Line) -> Iterator[str]:
    if line.low is None or line.high is None:
        return
    if line.bars:
        yield from _bars(place, line.x, line.low, line.high, _look(line.number)[0])
        return
    for run in _runs(np.isfinite(line.low) & np.isfinite(line.high)):
        upper = [(line.x[k], line.high[k]) for k in run]
        lower = [(line.x[k], line.low[k]) for k in reversed(run)]
        yield f'<path d="{_path(place, upper + lower)}Z" fill="{_look(line.number)[0]}" fill-opacity=".13"/>'


def _bars(place: _Place, xs: Values, low: Values, high: Values, colour: str) -> Iterator[str]:
    for x, bottom, top in zip(xs.tolist(), low.tolist(), high.tolist(), strict=True):
        if math.isfinite(x + bottom + top):
            across = place.x(x)
            ends = "".join(f"M{across - BAR_END} {y}H{across + BAR_END}" for y in (place.y(bottom), place.y(top)))
            yield (
                f'<path d="M{across} {place.y(bottom)}V{place.y(top)}{ends}" fill="none" stroke="{colour}" '
                'stroke-opacity=".6"/>'
            )


def _curve(place: _Place, line: Line) -> Iterator[str]:
    colour, dash = _look(line.number)
    for run in _runs(np.isfinite(line.x) & np.isfinite(line.y)):
        points = [(float(line.x[k]), float(line.y[k])) for k in run]
        yield (f'<path d="{_path(place, points)}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>')
        for k, (x, y) in zip(run, points, strict=True):
            between = ""
            if line.low is not None and line.high is not None and np.isfinite([line.low[k], line.high[k]]).all():
                between = f" ({line.low[k]:.4g} to {line.high[k]:.4g})"
            yield (
                f'<circle cx="{place.x(x)}" cy="{place.y(y)}" r="2.6" fill="{colour}">'
                f"<title>{escape(line.name)}, {x:.4g}: {y:.4g}{between}</title></circle>"
            )


def _runs(defined: NDArray[np.bool_]) -> Iterator[list[int]]:
    """Indices without a gap between them."""
    indices = np.flatnonzero(defined)
    for run in np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1):
        if len(run):
            yield run.tolist()
