"""Scores by a plain loop over netCDF files. It shares no line with the program: only the contract that the docs state.

Windows, splits, masks, lead times, groups and counts are worked out here anew from times and places.
"""

import hashlib
import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import netCDF4
import numpy as np

NO_DATA = 65535
COUNTS = ("hits", "misses", "false_alarms", "correct_negatives")


# -- files ---------------------------------------------------------------------------------------------------------


def read_archive(path):
    """Seconds since 1970 → (H, W) rain rate in mm/h as float32, NaN = no data; and centres y, x."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        (name,) = {"rain_rate", "rain_amount", "reflectivity"} & set(file.variables)
        variable = file[name]
        raw = variable[:]
        physical = raw.astype(np.float64)
        if raw.dtype == np.uint16:
            physical = raw * float(variable.scale_factor) + float(variable.add_offset)
            physical[raw == NO_DATA] = np.nan
        if name == "rain_amount":
            physical = physical * (3600.0 / variable.accumulation_period)
        if name == "reflectivity":
            rain = (10 ** (physical / 10) / variable.zr_a) ** (1 / variable.zr_b)
            physical = np.where(physical <= variable.no_echo, 0.0, rain)
        times = [int(value) for value in file["time"][:]]
        return (
            dict(zip(times, physical.astype(np.float32), strict=True)),
            np.ma.getdata(file["y"][:]),
            np.ma.getdata(file["x"][:]),
        )


def read_provider(paths, no_echo, zr):
    """The same of CF files of a provider: one field `rain` each, masked and packed as CF says."""
    frames = {}
    for path in paths:
        with netCDF4.Dataset(path) as file:
            rain, time = file["rain"], file["time"]
            values = np.ma.filled(rain[:].astype(np.float64), np.nan)
            epoch = np.datetime64(time.units.removeprefix("minutes since ").replace(" ", "T"), "s").astype(np.int64)
            if rain.units == "mm":
                bounds = file["time_bounds"][:]
                values = values * (60.0 / (bounds[:, 1] - bounds[:, 0])[:, None, None])
            if rain.units == "dBZ":
                values = np.where(values <= no_echo, 0.0, (10 ** (values / 10) / zr[0]) ** (1 / zr[1]))
            for minute, one in zip(time[:], values.astype(np.float32), strict=True):
                frames[int(epoch) + round(float(minute) * 60)] = one
            y, x = np.ma.getdata(file["y"][:]), np.ma.getdata(file["x"][:])
    return frames, y, x


def averaged(field, factor):
    """Mean over blocks of cells, no data where fewer than half of them hold a value."""
    rows, columns = field.shape[0] // factor, field.shape[1] // factor
    result = np.full((rows, columns), np.nan, dtype=np.float32)
    for i in range(rows):
        for j in range(columns):
            block = field[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor].astype(np.float64)
            known = block[~np.isnan(block)]
            if len(known) >= factor * factor / 2:
                result[i, j] = np.float32(known.sum() / len(known))
    return result


# -- windows -------------------------------------------------------------------------------------------------------


@dataclass
class Place:
    """One archive: its frames by time, and where it lies."""

    name: str
    frames: dict
    crs: str
    y: np.ndarray
    x: np.ndarray
    split: dict = field(default_factory=dict)  # time → train, val, test or None
    block: dict = field(default_factory=dict)  # time → number of its block of the split

    @property
    def times(self):
        return sorted(self.frames)

    @property
    def own_step(self):
        """Seconds: the commonest difference, the shortest of several."""
        count = defaultdict(int)
        times = self.times
        for before, after in pairwise(times):
            count[after - before] += 1
        return min(step for step in count if count[step] == max(count.values()))

    def lies_at(self, other):
        return (
            self.crs == other.crs
            and len(self.y) == len(other.y)
            and len(self.x) == len(other.x)
            and abs(self.y - other.y).max() < 1
            and abs(self.x - other.x).max() < 1
        )


@dataclass
class Window:
    """A place, the times of its last input and of its targets, and whether no frame of it holds a value."""

    place: Place
    last: int
    targets: list
    empty: bool


def drawn(count, data):
    """Which of `count` things are for validation and for the test."""
    order = np.random.default_rng(data["seed"]).permutation(count).tolist()
    sizes = []
    for share in (data["val_fraction"], data["test_fraction"]):
        size = round(count * share)
        sizes.append(max(size, 1) if share > 0 and count >= 3 else size)
    parts = ["train"] * count
    for number in order[: sizes[0]]:
        parts[number] = "val"
    for number in order[sizes[0] : sizes[0] + sizes[1]]:
        parts[number] = "test"
    return parts


def assign_splits(places, data):
    """Give every frame of every place its split."""
    days = {}
    if data["split"] == "by_day":
        leaders = {place.name: min(other.name for other in connected(place, places, 1)) for place in places}
        names = sorted(set(leaders.values()))
        part = dict(zip(names, drawn(len(names), data), strict=True))
        days = {name: part[leader] for name, leader in leaders.items()}
    for place in places:
        length = round(data["block_minutes"] * 60)
        times = place.times
        place.block = {time: (time - times[0]) // length for time in times}
        if data["split"] == "all":
            place.split = dict.fromkeys(times, "test")
        elif data["split"] == "by_day":
            place.split = dict.fromkeys(times, days[place.name])
        elif data["split"] == "archives" and place.name in data["test_archives"]:
            place.split = dict.fromkeys(times, "test")
        elif data["split"] == "archives" and place.name in data["val_archives"]:
            place.split = dict.fromkeys(times, "val")
        elif data["split"] == "archives" and data["val_archives"]:
            place.split = dict.fromkeys(times, "train")
        else:
            place.split = by_blocks(place, places, data)


def connected(place, places, reach):
    """The places whose times meet those of one, or come nearer than so many seconds, directly or through others."""
    found = [place]
    for one in found:  # grows
        for other in places:
            apart = max(one.times[0], other.times[0]) - min(one.times[-1], other.times[-1])
            if all(other is not known for known in found) and apart < reach:
                found.append(other)
    return found


def by_blocks(place, places, data):
    """Blocks of time drawn at random, with gaps between different splits; places of one time have the same."""
    settings = dict(data)
    if data["split"] == "archives":
        settings["test_fraction"] = 0.0
    if data["split"] == "paper":
        digest = hashlib.sha256(f"{data['seed']} {place.name}".encode()).digest()
        settings["seed"] = int.from_bytes(digest[:6], "big")
    times, length = place.times, round(data["block_minutes"] * 60)
    if data["split"] != "paper":
        cut = [other for other in places if data["split"] == "blocks" or other.name not in data["test_archives"]]
        times = sorted({t for one in connected(place, cut, max(data["gap_minutes"] * 60, 1)) for t in one.times})
    block = {time: (time - times[0]) // length for time in times}
    numbers = sorted(set(block.values()))
    part = dict(zip(numbers, drawn(len(numbers), settings), strict=True))
    split = {time: part[block[time]] for time in times}
    gap, result = data["gap_minutes"] * 60, dict(split)
    for before, after in pairwise(times):
        if split[before] != split[after]:
            for time in times:
                if before - gap < time < after + gap:
                    result[time] = None
    return result


def windows_of(place, data, wanted):
    """The windows of a split: complete, without a gap even between the frames that they skip."""
    times, length = place.times, data["input_steps"] + data["forecast_steps"]
    step = place.own_step if data["timestep_minutes"] is None else round(data["timestep_minutes"] * 60)
    every = step // place.own_step
    number = {time: index for index, time in enumerate(times)}
    complete = []
    for first in times:
        frames = [first + k * step for k in range(length)]
        if all(number.get(time) == number[first] + k * every for k, time in enumerate(frames)):
            complete.append(frames)
    found = []
    for frames in complete:
        if (number[frames[0]] - number[complete[0][0]]) % data["stride"]:
            continue
        spanned = [time for time in times if frames[0] <= time <= frames[-1]]
        if any(place.split[time] != wanted for time in spanned):
            continue
        if data["split"] in ("paper", "by_day") and place.block[frames[0]] != place.block[frames[-1]]:
            continue
        inputs, targets = frames[: data["input_steps"]], frames[data["input_steps"] :]
        empty = all(np.isnan(place.frames[time]).all() for time in spanned)
        found.append(Window(place, inputs[-1], targets, empty))
    return found


def tiles(shape, side):
    """Slices (rows, columns) that share the cells of a grid out, each cell to the first tile that shows it."""
    if side is None:
        return [(slice(0, shape[0]), slice(0, shape[1]))]
    height, width = side

    def parts(size, tile):
        if size <= tile:
            return [slice(0, size)]
        borders = [*range(0, size - tile, tile), size - tile]
        ends = [corner + tile for corner in borders]
        return [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]

    return [(rows, columns) for rows in parts(shape[0], height) for columns in parts(shape[1], width)]


# -- counts --------------------------------------------------------------------------------------------------------


class Tally:
    """Counts and sums of one model in one group, by lead time and threshold."""

    def __init__(self, leads, thresholds):
        self.counts = np.zeros((leads, thresholds, 4), dtype=np.int64)
        self.pairs = [[] for _ in range(leads)]  # (forecast, observed) arrays
        self.missing = np.zeros(leads, dtype=np.int64)
        self.windows = np.zeros(leads, dtype=np.int64)

    def add(self, lead, forecast, missing, observed, counted, thresholds):
        """One field; where the forecast is missing it is no rain."""
        self.missing[lead] += int((missing & counted).sum())
        self.windows[lead] += int(counted.any())
        said, seen = forecast[counted], observed[counted]
        for k, threshold in enumerate(np.asarray(thresholds, dtype=np.float32)):
            f, o = said >= threshold, seen >= threshold
            self.counts[lead, k] += [int((f & o).sum()), int((~f & o).sum()), int((f & ~o).sum()), int((~f & ~o).sum())]
        self.pairs[lead].append((said.astype(np.float64), seen.astype(np.float64)))


def errors_of(pairs):
    """n, mae, rmse, me, rainfall_mse and correlation of all cells of (forecast, observed) pairs."""
    f = np.concatenate([one for one, _ in pairs]) if pairs else np.empty(0)
    o = np.concatenate([other for _, other in pairs]) if pairs else np.empty(0)
    if len(f) == 0:
        return dict.fromkeys(("mae", "rmse", "me", "rainfall_mse", "correlation"), math.nan) | {"n": 0}
    mse = float(((f - o) ** 2).mean())
    varies = np.ptp(f) > 0 and np.ptp(o) > 0
    return {
        "n": len(f),
        "mae": float(abs(f - o).mean()),
        "rmse": math.sqrt(mse),
        "me": float((f - o).mean()),
        "rainfall_mse": mse,
        "correlation": float(np.corrcoef(f, o)[0, 1]) if varies else math.nan,
    }


def scores_of(hits, misses, false_alarms, correct_negatives):
    """The scores of one contingency table; NaN where undefined."""
    a, c, b, d = (float(value) for value in (hits, misses, false_alarms, correct_negatives))
    n = a + b + c + d

    def ratio(numerator, denominator):
        return numerator / denominator if denominator else math.nan

    chance = ratio((a + b) * (a + c), n)
    pod, pofd = ratio(a, a + c), ratio(b, b + d)
    sedi = math.nan
    if 0 < pod < 1 and 0 < pofd < 1:
        lf, lh, lnf, lnh = (math.log(value) for value in (pofd, pod, 1 - pofd, 1 - pod))
        sedi = (lf - lh - lnf + lnh) / (lf + lh + lnf + lnh)
    return {
        "csi": ratio(a, a + b + c),
        "pod": pod,
        "far": ratio(b, a + b),
        "bias": ratio(a + b, a + c),
        "hss": ratio(2 * (a * d - b * c), (a + c) * (c + d) + (a + b) * (b + d)),
        "ets": ratio(a - chance, a + b + c - chance) if n else math.nan,
        "pofd": pofd,
        "f1": ratio(2 * a, 2 * a + b + c),
        "sedi": sedi,
    }


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


# -- forecasts of other systems ------------------------------------------------------------------------------------

FACTORS = {"mm h-1": 1.0, "mm/h": 1.0, "kg m-2 s-1": 3600.0, "m s-1": 3.6e6}
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}


@dataclass
class Forecast:
    """One forecast of a system: members × lead times, row 0 north."""

    place: Place
    init: int
    by_time: dict  # valid time → (M, H, W) float32


def read_forecasts(path):
    """All forecasts of a file that write_forecasts of sets.py wrote."""
    with netCDF4.Dataset(path) as file:
        rain = file["rain"]
        values = np.ma.filled(rain[:].astype(np.float64), np.nan) * FACTORS[rain.units]
        axes = ["init" if name == "reference" else name for name in rain.dimensions]
        for name in ("member", "init"):
            if name not in axes:
                values, axes = values[None], [name, *axes]
        time_axis = "lead" if "lead" in axes else "time"
        values = values.transpose([axes.index(name) for name in ("init", "member", time_axis, "y", "x")])
        y = np.ma.getdata(file["y"][:])
        if y[0] < y[-1]:
            y, values = y[::-1], values[..., ::-1, :]
        place = Place("", {}, file.oracle_crs, y, np.ma.getdata(file["x"][:]))
        unit, _, epoch = file["reference"].units.partition(" since ")
        start = int(np.datetime64(epoch.replace(" ", "T"), "s").astype(np.int64))
        inits = [start + round(float(value) * SECONDS[unit]) for value in np.atleast_1d(file["reference"][:])]
        unit = file[time_axis].units.partition(" since ")[0]
        leads = [round(float(value) * SECONDS[unit]) for value in file[time_axis][:]]
        if time_axis == "time":
            leads = [start + lead - inits[0] for lead in leads]
        return [
            Forecast(place, init, {init + lead: one[:, k].astype(np.float32) for k, lead in enumerate(leads)})
            for init, one in zip(inits, values, strict=True)
        ]


def single(members):
    """(H, W) mean of (M, H, W) members, of which a missing one is no rain; and where one is missing."""
    missing = np.isnan(members)
    return np.where(missing, 0.0, members.astype(np.float64)).mean(axis=0).astype(np.float32), missing.any(axis=0)


# -- all of it -----------------------------------------------------------------------------------------------------


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
