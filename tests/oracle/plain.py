"""Scores by a plain loop over netCDF files. It shares no line with the program: only the contract that the docs state.

Windows, splits, masks, lead times, groups and counts are worked out anew from times and places,
here and in the modules beside it.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tests.oracle.counts import Tally
from tests.oracle.forecasts import single
from tests.oracle.windows import assign_splits, tiles, windows_of


@dataclass
class Expected:
    """What the loop found: model → grouping → group → Tally, and maps of the main threshold."""

    lead_minutes: list
    groups: dict
    maps: dict | None
    blocks: int
    windows: int


SEASON = {12: "DJF", 1: "DJF", 2: "DJF", 3: "MAM", 4: "MAM", 5: "MAM"}


def intensity(mean, edges):
    """Label of a window's mean observed rain."""
    texts = [f"{edge:g}" for edge in edges]
    number = sum(mean >= edge for edge in edges)
    if number == 0:
        return f"below {texts[0]} mm/h"
    return f"from {texts[-1]} mm/h" if number == len(edges) else f"{texts[number - 1]}-{texts[number]} mm/h"


class RefusedError(Exception):
    """The contract says that the program stops; one of the texts is a part of its message."""


def expect(places, systems, data, settings):
    """The scores that the contract asks for.

    Args:
        places: Archives, in their order.
        systems: Name → forecasts.
        data: Settings of the windows.
        settings: thresholds, main_threshold, common_mask, block, edges, split.

    Raises:
        RefusedError: There is nothing to score.
    """
    windows, lead_minutes = windows_and_leads(places, data, settings["split"])
    seen = [window for window in windows if not window.empty]
    if systems and all(any(not forecast_of(window, every) for every in systems.values()) for window in seen):
        raise RefusedError("forecast")
    thresholds, main = settings["thresholds"], np.float32(settings["main_threshold"])
    models = ["persistence", *systems]
    tallies = {model: defaultdict(dict) for model in models}
    maps = None
    first = windows[0].place
    if data["eval_crop"] is None and all(window.place.lies_at(first) for window in windows):  # then there is a map
        shape = (len(first.y), len(first.x))
        maps = {model: np.zeros((4, *shape), dtype=np.int64) for model in models}
    blocks_seen = set()
    block_of = blocks_of_time(places, settings["block"])
    for window in windows:
        fields, left_out = fields_of_models(window, systems)
        for rows, columns in tiles(window.place.frames[window.last].shape, data["eval_crop"]):
            cut = {key: (value[rows, columns], gone[rows, columns]) for key, (value, gone) in fields.items()}
            observed = [window.place.frames[time][rows, columns] for time in window.targets]
            counted = cells_that_count(cut, observed, left_out, settings["common_mask"])
            labels = labels_of(window, observed, counted, settings["edges"]) | {"block": block_of(window)}
            if any(one.any() for one in counted):
                blocks_seen.add(labels["block"])
            for (model, lead), (value, gone) in cut.items():
                for grouping, label in labels.items():
                    tally = tallies[model][grouping].setdefault(label, Tally(len(lead_minutes), len(thresholds)))
                    tally.add(lead, value, gone, observed[lead], counted[lead], thresholds)
                if maps is not None:
                    f, o = (value >= main) & counted[lead], (observed[lead] >= main) & counted[lead]
                    maps[model] += np.stack([f & o, ~f & o, f & ~o, ~f & ~o & counted[lead]])
    if not blocks_seen:
        raise RefusedError("no observed value is left")
    return Expected(lead_minutes, tallies, maps, len(blocks_seen), len(windows))


def cells_that_count(fields, observed, left_out, common):
    """At each lead time: where the radar saw, in common to all models if so wanted; nowhere in a window left out."""
    counted = [~np.isnan(one) & (not left_out) for one in observed]
    for (_, lead), (_, gone) in fields.items():
        if common:
            counted[lead] = counted[lead] & ~gone
    return counted


def windows_and_leads(places, data, split):
    """All windows of a split, and their lead times in minutes."""
    assign_splits(places, data)
    windows = [one for place in places for one in windows_of(place, data, split)]
    steps = {window.targets[0] - window.last for window in windows}
    if all(window.empty for window in windows):
        raise RefusedError(f"no {split} window", "time steps")  # of windows without data, or of the archives
    if len(steps) > 1:
        raise RefusedError("time steps")
    (step,) = steps
    return windows, [(k + 1) * step / 60 for k in range(data["forecast_steps"])]


def fields_of_models(window, systems):
    """(model, number of the lead time) → (H, W) forecast and where it is missing; and whether a system has none."""
    last = window.place.frames[window.last]
    fields = {("persistence", lead): single(last[None]) for lead in range(len(window.targets))}
    found = {name: forecast_of(window, forecasts) for name, forecasts in systems.items()}
    left_out = any(forecast is None for forecast in found.values())
    nothing = np.full((1, *last.shape), np.nan)
    for name, forecast in found.items():
        for lead, time in enumerate(window.targets):
            fields[name, lead] = single(nothing if left_out else forecast.by_time[time])
    return fields, left_out


def forecast_of(window, forecasts):
    """The forecast of a system for a window: from its last input, where it lies; None where there is none."""
    fitting = [one for one in forecasts if one.init == window.last and one.place.lies_at(window.place)]
    return fitting[0] if fitting else None


def blocks_of_time(places, block):
    """Function from a window to its independent block: a UTC day, or the archives that days connect."""
    if block == "day":
        return lambda window: window.last // 86400
    days = {place.name: {time // 86400 for time in place.times} for place in places}
    names = {name: name for name in days}
    for one in days:
        for other in days:
            if days[one] & days[other]:
                joined, gone = names[one], names[other]
                names = {name: joined if root == gone else root for name, root in names.items()}
    return lambda window: names[window.place.name]


def labels_of(window, observed, counted, edges):
    """Group of a window (or of a tile of it) by event, hour, season and intensity."""
    date = np.datetime64(window.last, "s").item()
    cells = [one[mask].astype(np.float64) for one, mask in zip(observed, counted, strict=True)]
    every = np.concatenate(cells)
    return {
        "event": window.place.name,
        "hour": f"{date.hour:02d} UTC",
        "season": SEASON[date.month],
        "intensity": intensity(float(every.mean()) if len(every) else 0.0, edges),
    }
