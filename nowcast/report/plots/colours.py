"""Colour tables of rain and of probabilities, and the colours of curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from numpy.typing import NDArray

from nowcast.config.command_line.arguments import refuse_unknown_unit
from nowcast.units import ZR

Unit = Literal["mm/h", "dBZ"]
MARSHALL_PALMER = ZR(200.0, 1.6)
RAIN_LEVELS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # mm h-1, lower edges of the colours
DBZ_LEVELS = (10, 15, 20, 25, 30, 35, 40, 45, 50, 55)  # dBZ; by the usual Z-R laws about the same rain as above
# Blue, green, yellow, orange, red, violet, and darker at every step, so that more rain is darker in grey too.
RAIN_COLOURS = (
    "#def0fc", "#b0dafa", "#88d596", "#dfb02a", "#e8862a", "#d9502a", "#b8202a", "#8a1560", "#5c0a5c", "#2b0530",
)  # fmt: skip
PROBABILITY_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # edges of the colours
PROBABILITY_COLOURS = "magma_r", 0.06, 0.94  # perceptually uniform, tells apart for colour-blind readers; its part
DRY, NO_DATA = "#ffffff", "#b9b9b9"
# Okabe & Ito's colours that tell apart for most colour-blind readers.
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")


class ColourScale(Protocol):
    """How a map is coloured: a table, and what stands at its bar and in the key."""

    @property
    def levels(self) -> tuple[float, ...]:
        """Edges of the colours, which stand at the bar."""
        ...

    @property
    def tick_labels(self) -> list[str]:
        """They in words."""
        ...

    @property
    def extend(self) -> Literal["both", "min"]:
        """At which ends of the bar there is more."""
        ...

    @property
    def table(self) -> tuple[Colormap, BoundaryNorm]:
        """Colours and their edges."""
        ...

    @property
    def label(self) -> str:
        """Of the colour bar."""
        ...

    @property
    def dry_label(self) -> str:
        """What white means."""
        ...

    def values(self, values: NDArray[Any]) -> NDArray[Any]:
        """What the table is of; what is not finite is masked."""
        ...

    def exact(self) -> list[list[int]]:
        """RGB of no data, white and each class, in bytes."""
        ...


def rain_colormap(
    colour_blind_safe: bool = False, levels: Sequence[float] = RAIN_LEVELS
) -> tuple[Colormap, BoundaryNorm]:
    """Colour table: white below the first level, grey for no data, a level belongs to the class above it.

    Args:
        colour_blind_safe: Viridis instead of the table of blue, green, yellow, red and violet.
        levels: Ten lower edges: RAIN_LEVELS in mm h-1 or DBZ_LEVELS in dBZ.
    """
    colours: list[Any] = list(RAIN_COLOURS)
    if colour_blind_safe:
        colours = [colormaps["viridis_r"](k / (len(levels) - 1)) for k in range(len(levels))]
    colormap = ListedColormap(colours[:-1]).with_extremes(under=DRY, bad=NO_DATA, over=colours[-1])
    return colormap, BoundaryNorm(levels, len(levels) - 1)


@dataclass(frozen=True)
class RainColours:
    """How rain rates are coloured.

    Args:
        colour_blind_safe: See rain_colormap.
        unit: mm/h, or dBZ by a Z-R law.
        zr: The law; matters for dBZ only.

    Raises:
        ValueError: An unknown unit.
    """

    colour_blind_safe: bool = False
    unit: Unit = "mm/h"
    zr: ZR = MARSHALL_PALMER

    def __post_init__(self) -> None:
        """Check the unit."""
        refuse_unknown_unit(self.unit)

    @property
    def levels(self) -> tuple[float, ...]:
        """Lower edges of the colours."""
        return RAIN_LEVELS if self.unit == "mm/h" else DBZ_LEVELS

    @property
    def tick_labels(self) -> list[str]:
        """The edges in words."""
        return [f"{level:g}" for level in self.levels]

    @property
    def extend(self) -> Literal["both", "min"]:
        """There is more rain than the last edge."""
        return "both"

    @property
    def table(self) -> tuple[Colormap, BoundaryNorm]:
        """Colours and their edges."""
        return rain_colormap(self.colour_blind_safe, self.levels)

    @property
    def label(self) -> str:
        """Of the colour bar."""
        if self.unit == "mm/h":
            return "rain rate (mm h$^{-1}$)"
        return f"reflectivity (dBZ), Z = {self.zr.a:g} R$^{{{self.zr.b:g}}}$"

    @property
    def dry_label(self) -> str:
        """What white means."""
        return f"no rain (< {self.levels[0]:g} {'mm h$^{-1}$' if self.unit == 'mm/h' else 'dBZ'})"

    def values(self, rain_rate: NDArray[Any]) -> NDArray[Any]:
        """What the table is of, from mm h-1; what is not finite is masked."""
        masked: NDArray[Any] = np.ma.masked_invalid(rain_rate)
        if self.unit == "mm/h":
            return masked
        wet = np.maximum(np.ma.filled(masked, 0), 1e-6)  # 0 mm h-1 is -inf dBZ: any value below the table will do
        return np.ma.masked_array(self.zr.reflectivity(wet), np.ma.getmaskarray(masked))

    def exact(self) -> list[list[int]]:
        """RGB of no data, dry and each class, in bytes."""
        return _exact(self.table, self.levels)


@dataclass(frozen=True)
class ProbabilityColours:
    """How probabilities in [0, 1] are coloured: white where there is hardly one, then from light to dark."""

    levels: tuple[float, ...] = PROBABILITY_LEVELS
    extend: Literal["both", "min"] = "min"
    label: str = "probability (%)"
    dry_label: str = f"probability < {100 * PROBABILITY_LEVELS[0]:g} %"

    @property
    def tick_labels(self) -> list[str]:
        """The edges in percent."""
        return [f"{100 * level:g}" for level in self.levels]

    @property
    def table(self) -> tuple[Colormap, BoundaryNorm]:
        """Colours and their edges; an edge belongs to the class above it, and 1 to the last."""
        name, first, last = PROBABILITY_COLOURS
        classes = len(self.levels) - 1
        colours: list[Any] = [colormaps[name](first + (last - first) * k / (classes - 1)) for k in range(classes)]
        colormap = ListedColormap(colours).with_extremes(under=DRY, bad=NO_DATA, over=colours[-1])
        return colormap, BoundaryNorm(self.levels, classes)

    def values(self, values: NDArray[Any]) -> NDArray[Any]:
        """Rounded, so that 0.7 of single precision is no less than 0.7; what is not finite is masked."""
        masked: NDArray[Any] = np.ma.masked_invalid(np.round(values.astype(np.float64), 6))
        return masked

    def exact(self) -> list[list[int]]:
        """RGB of no data, white and each class, in bytes."""
        return _exact(self.table, self.levels)


def _exact(table: tuple[Colormap, BoundaryNorm], levels: Sequence[float]) -> list[list[int]]:
    colormap, norm = table
    values = np.ma.masked_invalid([np.nan, levels[0] - 1, *levels])
    colours: list[list[int]] = colormap(norm(values), bytes=True)[:, :3].tolist()
    return colours
