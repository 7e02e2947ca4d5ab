"""The physical range of radar values, and what happens to those outside it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from nowcast.data.archive.frame import Frame
from nowcast.units import Quantity


@dataclass(frozen=True)
class Limits:
    """Physical range of values, and what to do with those outside.

    Args:
        rain_rate: (lowest, highest) mm h-1; applied to amounts through their period and to reflectivity through its
            Z-R relation.
        reflectivity: (lowest, highest) dBZ.
        below: "clip" to the limit or "mask" to no data, for values below the range.
        above: The same for values above it.

    Raises:
        ValueError: A range is empty or an action unknown.
    """

    rain_rate: tuple[float, float]
    reflectivity: tuple[float, float]
    below: Literal["clip", "mask"]
    above: Literal["clip", "mask"]

    def __post_init__(self) -> None:
        """Check ranges and actions."""
        for name in ("rain_rate", "reflectivity"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"limits.{name} must be [lowest, highest], got [{low}, {high}]")
        for name in ("below", "above"):
            if getattr(self, name) not in ("clip", "mask"):
                raise ValueError(f"limits.{name} must be clip or mask, got {getattr(self, name)!r}")

    def apply(self, frame: Frame) -> tuple[Frame, int, int]:
        """The frame within the range, and how many values lay below and above it."""
        low, high, slack = self._range(frame)
        below, above = frame.values < low - slack, frame.values > high + slack  # False where NaN
        if frame.no_echo is not None:
            below &= frame.values != np.float32(frame.no_echo)  # what the radar did not detect has no value
        if not (below.any() or above.any()):
            return frame, 0, 0
        values = frame.values.copy()
        values[below] = low if self.below == "clip" else np.nan
        values[above] = high if self.above == "clip" else np.nan
        return replace(frame, values=values), int(below.sum()), int(above.sum())

    def _range(self, frame: Frame) -> tuple[float, float, float]:
        """Lowest and highest value of a frame in its unit, and how far beyond them rounding may put them."""
        low, high = self.rain_rate
        if frame.quantity is Quantity.REFLECTIVITY:
            slack = frame.packing.scale / 4 if frame.packing is not None else 0.0
            low, high = _storable_dbz(frame, low, np.ceil, np.inf), _storable_dbz(frame, high, np.floor, -np.inf)
            return max(self.reflectivity[0], low), min(self.reflectivity[1], high), slack
        if frame.period is not None:
            return low * frame.period / 3600, high * frame.period / 3600, 0.0
        return low, high, 0.0


def _storable_dbz(frame: Frame, rain_rate: float, rounded: Callable[[float], float], inside: float) -> float:
    """The dBZ of a rain rate, moved by less than a step of the storage so that what is stored lies within the limit."""
    if rain_rate <= 0:
        return -np.inf
    assert frame.zr is not None  # every reader of reflectivity says it
    dbz = float(frame.zr.reflectivity(rain_rate))
    if frame.packing is None:
        return float(np.nextafter(np.float32(dbz), np.float32(inside)))
    return float(
        frame.packing.offset + rounded((dbz - frame.packing.offset) / frame.packing.scale) * frame.packing.scale
    )


def limits_of(plain: Mapping[str, Any]) -> Limits:
    """Limits from plain values, as configs, archives and checkpoints have them."""
    return Limits(tuple(plain["rain_rate"]), tuple(plain["reflectivity"]), below=plain["below"], above=plain["above"])


def as_plain(limits: Limits) -> dict[str, Any]:
    """Limits as plain values."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(limits).items()}
