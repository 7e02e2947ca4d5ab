"""What training draws against what there is: shares of windows and of rain, as they are and by the chances of draws."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nowcast.data.datamodule import RadarDataModule
from nowcast.data.interface import DataModule
from nowcast.data.shares.climate import RAIN_CLASSES, SHAPE, VALID, WET, WINDOWS, climate


@dataclass(frozen=True)
class Balance:
    """Some windows of the training split: all of them, those of an archive, of a month, or of a share of rain.

    Args:
        group: all, archive, month (of the first frame, 01 to 12) or rain (share of rainy cells).
        name: Of the archive, month or share of rain.
        windows: How many there are, before any is left out for its rain or gaps; those without data do not count.
        share: Of all windows.
        drawn: Expected share of the windows that training draws.
        rain: Share of rainy cells among those with a value; NaN where there are none.
        rain_drawn: The same of what is drawn; NaN where nothing is.
    """

    group: str
    name: str
    windows: int
    share: float
    drawn: float
    rain: float
    rain_drawn: float

    @property
    def ratio(self) -> float:
        """How many times more often they are drawn than they are there; NaN where there are none."""
        return _over(self.drawn, self.share)

    @property
    def rain_ratio(self) -> float:
        """How many times more rain is in what is drawn; NaN where there is none, or nothing is drawn."""
        return _over(self.rain_drawn, self.rain)


def balance_of(data: DataModule) -> list[Balance]:
    """What training draws from a data module against what there is; empty where it draws from no radar archives.

    Nothing is drawn: shares are those that the chances of the windows make. Tiles count where they lie before they are
    moved at random, and rain as it is before it is multiplied or zoomed.
    """
    if not isinstance(data, RadarDataModule):
        return []
    dataset = data.dataset("train")
    chances = dataset.chances(data.sampling)
    chances = np.ones(len(dataset)) if chances is None else chances
    drawn = np.zeros((len(data.regions), *SHAPE))
    months, archives = dataset.months, dataset.samples[:, 0]
    for number, region in enumerate(data.regions):
        mine = archives == number
        drawn[number] = climate(
            months[mine],
            dataset.rain_fraction[mine],
            dataset.valid_fraction[mine],
            dataset.cells(region),
            chances[mine],
        )
    names = [region.archive.name for region in data.regions]
    return list(rows(np.stack(dataset.there), drawn, names))


def rows(there: NDArray[np.float64], drawn: NDArray[np.float64], names: Sequence[str]) -> Iterator[Balance]:
    """The table.

    Args:
        there: (archives, 12, RAIN_CLASSES, 3) of `climate`, each window counted once.
        drawn: The same, windows counted by their chances.
        names: Of the archives.
    """
    months = [f"{month:02}" for month in range(1, 13)]
    groups = {"all": ((0, 1, 2), ["all"]), "archive": ((1, 2), names), "month": ((0, 2), months)}
    groups["rain"] = ((0, 1), list(RAIN_CLASSES))
    for group, (axes, members) in groups.items():
        one, other = (counts.sum(axis=axes).reshape(-1, 3) for counts in (there, drawn))
        for number, name in enumerate(members):
            yield Balance(
                group,
                name,
                round(one[number, WINDOWS]),
                _over(one[number, WINDOWS], one[:, WINDOWS].sum()),
                _over(other[number, WINDOWS], other[:, WINDOWS].sum()),
                _over(one[number, WET], one[number, VALID]),
                _over(other[number, WET], other[number, VALID]),
            )


def _over(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
