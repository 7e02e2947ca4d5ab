"""The files of a random set: archives, what providers give, and forecasts."""

import netCDF4
import numpy as np
import pyproj

from nowcast.data.archive.frame import Frame, Grid, Packing
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.units import ZR, Quantity
from tests.oracle.files import averaged, read_archive, read_provider
from tests.oracle.forecasts import FACTORS, SECONDS
from tests.oracle.sets import RATES, START
from tests.oracle.windows import Place


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
