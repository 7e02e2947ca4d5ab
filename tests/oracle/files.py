"""Archives and CF files of providers, read without a line of the program."""

import netCDF4
import numpy as np

NO_DATA = 65535


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
