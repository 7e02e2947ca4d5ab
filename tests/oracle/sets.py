"""Random small sets: archives, forecasts of other systems and settings, described by hypothesis and written here."""

from dataclasses import dataclass

import netCDF4
import numpy as np
import pyproj
from hypothesis import strategies as st

from nowcast.data.archive.frame import Frame, Grid, Packing
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.units import ZR, Quantity
from tests.oracle.plain import FACTORS, SECONDS, Place, averaged, read_archive, read_provider

START = 1709240400  # 2024-02-29T21:00 UTC: a day, a month and a season end three hours later
RATES = np.array([0, 0, 0, 0.25, 0.5, 0.5, 1.0, 1.75, 2.0, 2.25, 5.0, 7.5, 10.0, 12.25], dtype=np.float32)
THRESHOLDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
STORED = ("tenths", "quarters", "floats", "amounts", "reflectivity")


@dataclass(frozen=True)
class Radar:
    """Where an archive lies."""

    crs: str
    left: float  # m, of the first column
    shape: tuple


@dataclass(frozen=True)
class ArchiveCase:
    """One archive."""

    name: str
    radar: Radar
    start: int  # minutes after START
    step: int  # minutes
    frames: int
    lost: frozenset  # numbers of frames that are missing
    empty: frozenset  # numbers of frames that hold no data at all
    stored: str
    holes: float  # share of cells without data
    seed: int
    prepared: bool  # by `nowcast prepare` from CF files, else by the archive writer

    @property
    def minutes(self):
        return [self.start + k * self.step for k in range(self.frames) if k not in self.lost]


@dataclass(frozen=True)
class SystemCase:
    """How another system writes its forecasts, and which it lacks."""

    members: int
    together: bool  # all forecasts of a place in one file
    lead_axis: bool  # forecast_period, else valid times (one forecast a file)
    time_unit: str
    unit: str
    south_first: bool
    packed: bool
    holes: float  # share of missing values, of single members too
    lacking: float  # share of windows without a forecast
    extra: int  # lead times beyond those wanted
    seed: int


@dataclass(frozen=True)
class SetCase:
    """All of a test."""

    archives: tuple
    systems: tuple
    data: dict
    settings: dict


# -- description ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What the sets of one test have in common."""

    splits: tuple = ("all",)
    archives: tuple = (1, 2, 3)
    systems: tuple = (0,)
    members: tuple = (0, 1, 2, 3)
    holes: tuple = (0.0, 0.0, 0.1)
    steps: tuple = ((5,), (6,), (10,))
    windows_minutes: tuple = (None,)
    averaging: int = 1
    tiles: bool = False
    two_places: bool = False


KINDS = {
    "one split of everything": Kind(),
    "other systems": Kind(systems=(1, 2), archives=(1, 2)),
    "two places": Kind(systems=(1, 2), archives=(2, 3), two_places=True),
    "ensembles with holes": Kind(systems=(1, 2), archives=(1, 2), members=(2, 3), holes=(0.1, 0.5)),
    "averaged cells": Kind(systems=(0, 1), averaging=2),
    "tiles": Kind(splits=("all", "blocks"), tiles=True),
    "splits by name": Kind(splits=("archives",), archives=(2, 3), systems=(0, 1)),
    "blocks": Kind(splits=("blocks",), systems=(0, 0, 1)),
    "blocks of each day": Kind(splits=("paper", "by_day"), systems=(0, 0, 1)),
    "mixed time steps": Kind(splits=("all", "archives", "blocks"), steps=((5, 6, 10),), windows_minutes=(None, 30)),
}


@st.composite
def sets(draw, kind):
    """A set whose archives are long enough for a window in most cases."""
    low, high = (3, 8) if kind.averaging == 1 else (6, 11)
    small = st.tuples(st.integers(low, high), st.integers(low, high))
    shape = draw(st.one_of(small, small, st.just((35, 4))) if kind.averaging == 1 else small)
    radar = Radar("EPSG:3035", 4.0e6, shape)
    others = [
        Radar("EPSG:3035", 4.2e6, shape),
        Radar("EPSG:3067", 4.0e6, shape),
        Radar("EPSG:3035", 4.0e6, (shape[0], shape[1] + 2)),
    ]
    other = draw(st.sampled_from(others if kind.two_places else [radar, *others]))
    data = {
        "input_steps": draw(st.integers(1, 3)),
        "forecast_steps": draw(st.integers(1, 3)),
        "stride": draw(st.integers(1, 3)),
        "timestep_minutes": draw(st.sampled_from(kind.windows_minutes)),
        "split": draw(st.sampled_from(kind.splits)),
        "val_fraction": 0.3,
        "test_fraction": 0.4,
        "seed": draw(st.integers(0, 3)),
        "batch_size": draw(st.integers(1, 4)),
        "cell_km": None if kind.averaging == 1 else 1.0 * kind.averaging,
    }
    data["gap_minutes"] = 0.0 if data["split"] in ("paper", "by_day") else draw(st.sampled_from([0.0, 10.0]))
    steps = draw(st.sampled_from(kind.steps))
    span = (data["input_steps"] + data["forecast_steps"]) * (data["timestep_minutes"] or max(steps))
    data["block_minutes"] = float(span * draw(st.sampled_from([1, 1.5, 2])))
    stored = STORED if kind.averaging == 1 else ("quarters", "floats", "reflectivity")
    count = draw(st.sampled_from(kind.archives)) if data["split"] != "by_day" else 3
    places = [radar, other] if kind.two_places else [draw(st.sampled_from([radar, other])) for _ in range(count)]
    archives = tuple(
        draw(archive_cases(f"radar_{number}", places[number % len(places)], steps, stored, data))
        for number in range(count)
    )
    names = [archive.name for archive in archives]
    data["test_archives"] = names[:1] if data["split"] == "archives" else []
    data["val_archives"] = names[1:2] if data["split"] == "archives" and draw(st.booleans()) else []
    largest = min(shape) // kind.averaging
    data["eval_crop"] = draw(st.tuples(st.integers(2, largest), st.integers(2, largest))) if kind.tiles else None
    systems = tuple(draw(system_cases(kind)) for _ in range(draw(st.sampled_from(kind.systems))))
    return SetCase(archives, systems, data, draw(settings_of(data["split"])))


@st.composite
def settings_of(draw, split):
    """How a set is scored."""
    thresholds = sorted(draw(st.sets(st.sampled_from(THRESHOLDS), min_size=1, max_size=4)))
    return {
        "thresholds": thresholds,
        "main_threshold": draw(st.sampled_from(thresholds)),
        "common_mask": draw(st.booleans()),
        "block": draw(st.sampled_from(["day", "archive"])),
        "edges": [0.3003, 1.5007],
        "split": "test" if split == "all" else draw(st.sampled_from(["test", "test", "val"])),
        "min_blocks": draw(st.sampled_from([2, 10])),
    }


@st.composite
def archive_cases(draw, name, radar, steps, stored, data):
    """An archive with a few windows more than one, or blocks of each split."""
    step = draw(st.sampled_from(steps))
    window = (data["input_steps"] + data["forecast_steps"]) * (data["timestep_minutes"] or step) // step
    blocks = 3 if data["split"] in ("blocks", "paper", "archives") else 1
    frames = max(window, int(data["block_minutes"]) // step * blocks) + draw(st.integers(1, 5))
    return ArchiveCase(
        name=name,
        radar=radar,
        start=draw(st.sampled_from([0, 0, 0, 2, 10, 120, 165, 1440])),
        step=step,
        frames=frames,
        lost=draw(st.frozensets(st.integers(1, frames - 2), max_size=draw(st.sampled_from([0, 1, 2])))),
        empty=draw(st.frozensets(st.integers(0, frames - 1), max_size=2)),
        stored=draw(st.sampled_from(stored)),
        holes=draw(st.sampled_from([0.0, 0.0, 0.2, 0.6])),
        seed=draw(st.integers(0, 2**16)),
        prepared=draw(st.integers(0, 4)) == 4,
    )


@st.composite
def system_cases(draw, kind):
    """A system."""
    lead_axis = draw(st.booleans())
    return SystemCase(
        members=draw(st.sampled_from(kind.members)),
        together=lead_axis and draw(st.booleans()),
        lead_axis=lead_axis,
        time_unit=draw(st.sampled_from(list(SECONDS))),
        unit=draw(st.sampled_from(list(FACTORS))),
        south_first=draw(st.booleans()),
        packed=draw(st.booleans()),
        holes=draw(st.sampled_from(kind.holes)),
        lacking=draw(st.sampled_from([0.0, 0.0, 0.3])),
        extra=draw(st.integers(0, 2)),
        seed=draw(st.integers(0, 2**16)),
    )


# -- archives ------------------------------------------------------------------------------------------------------


def grid_of(radar):
    """Centres of the cells, and the projection."""
    rows, columns = radar.shape
    return 3.0e6 - np.arange(rows) * 1000.0, radar.left + np.arange(columns) * 1000.0


def fields_of(case):
    """Rain rates in mm/h (N, H, W), NaN = no data, in steps that the way of storing holds exactly."""
    draw = np.random.default_rng(case.seed)
    kept = [k for k in range(case.frames) if k not in case.lost]
    values = draw.choice(RATES, size=(case.frames, *case.radar.shape))
    values[draw.random(values.shape) < case.holes] = np.nan
    for number in case.empty:
        values[number] = np.nan
    return values[kept]


def stored_as(case, rates):
    """Quantity, values in its unit, packing and what else a Frame takes."""
    seconds = case.step * 60.0
    if case.stored == "tenths":
        return Quantity.RAIN_RATE, np.round(rates, 1), Packing(0.1, 0.0), {}
    if case.stored == "quarters":
        return Quantity.RAIN_RATE, rates, Packing(0.25, 0.0), {}
    if case.stored == "floats":
        return Quantity.RAIN_RATE, rates, None, {}
    if case.stored == "amounts":
        return Quantity.RAIN_AMOUNT, np.round(rates * seconds / 3600, 2), Packing(0.01, 0.0), {"period": seconds}
    dbz = np.where(rates > 0, np.round(2 * (23 + 16 * np.log10(np.where(rates > 0, rates, 1)))) / 2, -32.0)
    dbz = np.where(np.isnan(rates), np.nan, dbz)
    return Quantity.REFLECTIVITY, dbz, Packing(0.5, -32.0), {"no_echo": -32.0, "zr": ZR(200.0, 1.6)}


def write_archive(path, case):
    """By the program's archive writer."""
    quantity, values, packing, more = stored_as(case, fields_of(case))
    y, x = grid_of(case.radar)
    frames = [
        Frame(np.datetime64(START + 60 * minute, "s"), quantity, one.astype(np.float32),
              Grid(x=x, y=y, crs=case.radar.crs), packing, **more)
        for minute, one in zip(case.minutes, values, strict=True)
    ]  # fmt: skip
    with ArchiveWriter(path, frames[0], {"title": "test", "institution": "test", "license": "none"}) as writer:
        for frame in frames:
            writer.append(frame)
        writer.finish("made by a test")


def write_provider(folder, case):
    """CF files of a provider, three times in each: for `nowcast prepare`."""
    folder.mkdir()
    quantity, values, packing, more = stored_as(case, fields_of(case))
    units = {"rain_rate": "mm h-1", "rain_amount": "mm", "reflectivity": "dBZ"}[quantity.value]
    y, x = grid_of(case.radar)
    for first in range(0, len(values), 3):
        part, minutes = values[first : first + 3], case.minutes[first : first + 3]
        with netCDF4.Dataset(folder / f"{case.name}_{first:03d}.nc", "w") as file:
            place(file, case.radar.crs, y, x)
            file.createDimension("time", len(part))
            file.createDimension("two", 2)
            time = file.createVariable("time", "f8", ("time",))
            time.setncatts({"units": "minutes since 2024-02-29 21:00:00", "standard_name": "time"})
            time[:] = minutes
            if "period" in more:
                time.bounds = "time_bounds"
                begin = np.array(minutes) - case.step
                file.createVariable("time_bounds", "f8", ("time", "two"))[:] = np.stack([begin, minutes], axis=1)
            kind = "f4" if packing is None else "i2"
            rain = file.createVariable("rain", kind, ("time", "y", "x"), fill_value=-1 if kind == "i2" else -999)
            rain.setncatts({"units": units, "grid_mapping": "crs"})
            if packing is not None:
                rain.setncatts({"scale_factor": packing.scale, "add_offset": packing.offset})
            rain[:] = masked(part)


def masked(values):
    """NaN as netCDF4 takes it: masked, with nothing beneath that cannot be packed."""
    return np.ma.array(np.nan_to_num(values), mask=np.isnan(values))


def place(file, crs, y, x):
    """Dimensions, coordinates and the grid mapping."""
    file.createVariable("crs", "i4", ()).setncatts(
        {key: value for key, value in pyproj.CRS.from_user_input(crs).to_cf().items() if value is not None}
    )
    for name, values in (("y", y), ("x", x)):
        file.createDimension(name, len(values))
        variable = file.createVariable(name, "f8", (name,))
        variable.setncatts({"standard_name": f"projection_{name}_coordinate", "units": "m"})
        variable[:] = values


def read_place(path, case, factor):
    """What the loop sees: frames as the windows have them, of the archive, or of the provider's files behind it."""
    if case.prepared:
        frames, y, x = read_provider(sorted(path.with_suffix("").glob("*.nc")), -32.0, (200.0, 1.6))
    else:
        frames, y, x = read_archive(path)
    rows, columns = len(y) // factor, len(x) // factor
    if factor > 1:
        frames = {time: averaged(one, factor) for time, one in frames.items()}
        y = np.array([y[k * factor : (k + 1) * factor].mean() for k in range(rows)])
        x = np.array([x[k * factor : (k + 1) * factor].mean() for k in range(columns)])
    return Place(case.name, frames, case.radar.crs, np.asarray(y), np.asarray(x))


# -- forecasts -----------------------------------------------------------------------------------------------------


def write_forecasts(folder, case, windows, leads):
    """Forecast files for the windows of all places, by init time and place."""
    folder.mkdir()
    draw = np.random.default_rng(case.seed)
    by_place = {}
    for window in windows:
        key = (window.place.crs, tuple(window.place.y), tuple(window.place.x))
        by_place.setdefault(key, {})[window.last] = window
    for number, ((crs, y, x), inits) in enumerate(by_place.items()):
        kept = [init for init in sorted(inits) if draw.random() >= case.lacking]
        shape = (max(case.members, 1), len(leads) + case.extra, len(y), len(x))
        step = leads[0]
        every = [*leads, *(leads[-1] + step * (k + 1) for k in range(case.extra))]
        fields = {}
        for init in kept:
            # A sixteenth beside quarters: no mean of one to three members is ever a threshold itself
            values = draw.integers(0, 48, size=shape) * 0.25 * (draw.random(shape) < 0.7) + 0.0625
            values[draw.random(shape) < case.holes] = np.nan
            fields[init] = values
        groups = [kept] if case.together and kept else [[init] for init in kept]
        for part, group in enumerate(groups):
            write_forecast_file(folder / f"{number}_{part:03d}.nc", case, group, every, fields, (crs, y, x))


def write_forecast_file(path, case, inits, leads, fields, where):
    """One file in the layout of the case."""
    crs, y, x = where
    seconds = SECONDS[case.time_unit]
    with netCDF4.Dataset(path, "w") as file:
        file.oracle_crs = crs
        place(file, crs, y[::-1] if case.south_first else y, x)
        epoch = f"{case.time_unit} since 2024-02-29 00:00:00"
        zero = START - 21 * 3600
        if case.together:
            file.createDimension("reference", len(inits))
        reference = file.createVariable("reference", "f8", ("reference",) if case.together else ())
        reference.setncatts({"standard_name": "forecast_reference_time", "units": epoch})
        reference[...] = [(init - zero) / seconds for init in inits] if case.together else (inits[0] - zero) / seconds
        name = "lead" if case.lead_axis else "time"
        file.createDimension(name, len(leads))
        time = file.createVariable(name, "f8", (name,))
        if case.lead_axis:
            time.setncatts({"standard_name": "forecast_period", "units": case.time_unit})
            time[:] = [lead / seconds for lead in leads]
        else:
            time.setncatts({"standard_name": "time", "units": epoch})
            time[:] = [(inits[0] + lead - zero) / seconds for lead in leads]
        if case.members:
            file.createDimension("member", case.members)
            member = file.createVariable("member", "i4", ("member",))
            member.standard_name = "realization"
            member[:] = np.arange(case.members)
        axes = [*(["reference"] if case.together else []), *(["member"] if case.members else []), name, "y", "x"]
        values = np.stack([fields[init] for init in inits])  # (inits, M, T, H, W)
        values = values if case.together else values[0]
        values = values if case.members else values[..., 0, :, :, :]
        values = values[..., ::-1, :] if case.south_first else values
        kind, factor = ("i2" if case.packed else "f4"), FACTORS[case.unit]
        rain = file.createVariable("rain", kind, axes, fill_value=-999)
        rain.setncatts({"units": case.unit, "standard_name": "lwe_precipitation_rate", "grid_mapping": "crs"})
        if case.packed:
            rain.setncatts({"scale_factor": 0.0625 / factor, "add_offset": 1.0 / factor})
        rain[:] = masked(values / factor)
