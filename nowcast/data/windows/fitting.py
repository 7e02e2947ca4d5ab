"""Settings with which archives have windows of every split, where those that were given leave one empty."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from nowcast.data.windows.index import SPLITS, NoWindowError, Split
from nowcast.data.windows.region import Region
from nowcast.data.windows.splits import Splitting

if TYPE_CHECKING:
    from nowcast.data.datamodule import RadarDataModule

MOST_ARCHIVES = 50  # with more, an empty split is no matter of length
Lengths = tuple[int, int, float, float]  # input_steps, forecast_steps, block_minutes, gap_minutes


def settings_that_fit(
    regions: Sequence[Region],
    steps: Sequence[int],
    splitting: Splitting,
    input_steps: int,
    forecast_steps: int,
    stride: int,
) -> dict[str, float] | None:
    """The longest windows, no longer than asked for, that leave no split empty, as settings of `data`.

    Splits stay apart by a time step at least where that is possible, and training by rain or data is not looked at.

    Args:
        regions: One per archive.
        steps: Seconds between the frames of their windows.
        splitting: How the archives are split.
        input_steps: Frames the model was to see.
        forecast_steps: Frames it was to predict.
        stride: Archive frames between the starts of two windows.

    Returns:
        Setting → value, of those that change; None where none was found.
    """
    if len(regions) > MOST_ARCHIVES:
        return None
    given = (input_steps, forecast_steps, splitting.settings.block_minutes, splitting.settings.gap_minutes)
    needed = ("test",) if splitting.how == "all" else SPLITS
    for lengths in _candidates(regions, min(steps), given):
        inputs, forecasts, block, gap = lengths
        tried = _with_blocks(splitting, block, gap)
        parts = list(zip(regions, steps, tried.assign([region.archive for region in regions]), strict=True))
        if all(any(len(tried.starts(split, *part, inputs + forecasts, stride)) for part in parts) for split in needed):
            names = ("input_steps", "forecast_steps", "split.block_minutes", "split.gap_minutes")
            return {name: new for name, new, old in zip(names, lengths, given, strict=True) if new != old}
    return None


def _candidates(regions: Sequence[Region], step: int, given: Lengths) -> Iterator[Lengths]:
    """What to try: gaps before none, longer windows before shorter ones, the given lengths before others."""
    inputs, forecasts, block, gap = given
    seconds = max(int((region.archive.times[-1] - region.archive.times[0]).astype(int)) for region in regions) + step
    blocks = [block, *(float(np.ceil(seconds / count / step) * step / 60) for count in (3, 4, 5, 6))]
    shortest = min(step / 60, gap)
    gaps = sorted({value for value in (gap, gap / 2, shortest) if value >= shortest}, reverse=True)
    fewest = min(2, inputs)  # extrapolation needs two frames
    for some in (gaps, [0.0]):
        for count, wide, length in product(range(forecasts, 0, -1), some, blocks):
            yield max(fewest, round(inputs * count / forecasts)), count, length, wide


def _with_blocks(splitting: Splitting, block_minutes: float, gap_minutes: float) -> Splitting:
    return replace(
        splitting, settings=replace(splitting.settings, block_minutes=block_minutes, gap_minutes=gap_minutes)
    )


def way_out(data: "RadarDataModule", split: Split, windows: int) -> str:
    """Overrides that leave no split of a data module empty, the filters of training included; "" where none are known.

    Args:
        data: The module, set up.
        split: Which split is empty.
        windows: How many it has before the filters.
    """
    if windows:
        return "data.sampling.min_rain_fraction=0 data.sampling.min_valid_fraction=0" if split == "train" else ""
    lengths = settings_that_fit(
        data.regions, data.steps, data.splitting, data.input_steps, data.forecast_steps, data.windows.stride
    )
    if lengths is None:
        return ""
    overrides = " ".join(f"data.{name}={value:g}" for name, value in lengths.items())
    if data.splitting.how == "all":
        return overrides
    try:
        _with(data, lengths).dataset("train")
    except NoWindowError as error:
        overrides += f" {error.way_out}"
    return overrides


def _with(data: "RadarDataModule", lengths: dict[str, float]) -> "RadarDataModule":
    """The same open archives with other lengths."""
    changed = copy(data)
    changed.input_steps = int(lengths.get("input_steps", data.input_steps))
    changed.forecast_steps = int(lengths.get("forecast_steps", data.forecast_steps))
    given = data.splitting.settings
    changed.splitting = _with_blocks(
        data.splitting,
        lengths.get("split.block_minutes", given.block_minutes),
        lengths.get("split.gap_minutes", given.gap_minutes),
    )
    changed.split_of_frame = changed.splitting.assign([region.archive for region in data.regions])
    return changed
