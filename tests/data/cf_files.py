"""CF files as they are met: one that is plain, and what differs."""

import netCDF4
import numpy as np

FRAMES, ROWS, COLUMNS = 10, 12, 16
STEP = 300
EPOCH = "seconds since 2020-06-01 00:00:00"
START = np.datetime64("2020-06-01T00:00:00")
SECONDS = np.arange(FRAMES) * float(STEP)
LON, LAT = 5 + np.arange(COLUMNS) * 0.02, 50 - np.arange(ROWS) * 0.02
DEGREES = {"x": ("longitude", "degrees_east", LON), "y": ("latitude", "degrees_north", LAT)}


def shower(frames=FRAMES, rows=ROWS, columns=COLUMNS):
    """(T, H, W) mm/h: a shower of 20 mm/h that goes east one cell a frame, on drizzle that grows to the south."""
    y, x = np.mgrid[0:rows, 0:columns]
    distance = np.stack([(x - 3 - t) ** 2 + (y - 4) ** 2 for t in range(frames)])
    return (20 * np.exp(-distance / 6.0) * (distance < 20) + np.where(y > 8, 0.01 * y, 0)).astype("f4")


RAIN = shower()


def cf(path, values=RAIN, *, dims=("time", "y", "x"), dtype=None, fill=None, attributes=None, time=None, axes=None,
       group=None, name="rain", mapping=None, extra=(), start=None, title=None):  # fmt: skip
    """Write one.

    Args:
        path: Where.
        values: As they are to be stored.
        dims: Their dimensions.
        dtype: Their type; None = that of `values`.
        fill: `_FillValue`.
        attributes: Of the field, over unit mm h-1.
        time: Values, units, type, attributes, bounds of the time.
        axes: Name of a dimension → (standard name, unit, values); None leaves an attribute out.
        group: Group that holds everything.
        name: Of the field.
        mapping: Attributes of a grid mapping.
        extra: Names of more variables like the field.
        start: Value of forecast_reference_time, in the unit of the time, which makes it a forecast.
        title: Of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values)
    with netCDF4.Dataset(path, "w") as file:
        inside = file.createGroup(group) if group else file
        for dimension, size in zip(dims, values.shape, strict=True):
            inside.createDimension(dimension, size)
        _time(inside, {"values": SECONDS, "units": EPOCH, "type": "f8"} | (time or {}))
        metres = {
            "x": ("projection_x_coordinate", "m", np.arange(COLUMNS) * 1000.0),
            "y": ("projection_y_coordinate", "m", np.arange(ROWS) * -1000.0),
        }
        for axis, (standard, unit, centres) in (metres if axes is None else axes).items():
            variable = inside.createVariable(axis, "f8", (axis,))
            said = {"standard_name": standard, "units": unit}
            variable.setncatts({key: text for key, text in said.items() if text is not None})
            variable[:] = centres
        for one in (name, *extra):
            field = inside.createVariable(one, dtype or values.dtype, dims, fill_value=fill)
            field.set_auto_maskandscale(False)
            field.setncatts({"units": "mm h-1"} | (attributes or {}))
            field[...] = values
        if start is not None:
            reference = inside.createVariable("forecast_reference_time", "f8", ())
            reference.setncatts({"standard_name": "forecast_reference_time", "units": (time or {}).get("units", EPOCH)})
            reference[...] = start
        if title is not None:
            file.title = title
        if mapping is not None:
            inside.createVariable("projection", "i4", ()).setncatts(mapping)
            inside[name].grid_mapping = "projection"
    return path


def _time(file, time):
    along = ("time",) if "time" in file.dimensions else ()
    if isinstance(time["values"][0], str):
        variable = file.createVariable("time", str, along)
        for k, text in enumerate(time["values"]):
            variable[k] = text
    else:
        variable = file.createVariable("time", time["type"], along)
        variable[...] = time["values"]
        variable.units = time["units"]
    variable.standard_name = "time"
    variable.setncatts(time.get("attributes", {}))
    if "bounds" in time:
        variable.bounds = "time_bounds"
        file.createDimension("two", 2)
        file.createVariable("time_bounds", "f8", (*along, "two"))[:] = time["bounds"]
