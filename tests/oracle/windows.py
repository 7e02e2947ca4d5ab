"""Windows, splits and tiles, worked out from times and places without a line of the program."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np


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
        elif data["split"] == "archives" and (data["val_archives"] or place.name in data["train_archives"]):
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
