"""Tiny files in the providers' documented layouts, one function per format."""

import gzip
import io

import h5py
import netCDF4
import numpy as np
from PIL import Image


def knmi(path, stored, **changes):
    """KNMI HDF5; `stored` is uint16 in hundredths of a millimetre."""
    attributes = {
        "overview/product_datetime_start": "25-AUG-2010;23:55:00.000",
        "overview/product_datetime_end": "26-AUG-2010;00:00:00.000",
        "image1/image_geo_parameter": "ACCUMULATED_PRECIPITATION_[MM]",
        "image1/calibration/calibration_formulas": "GEO=0.01*PV+0.0",
        "image1/calibration/calibration_missing_data": 65535,
        "geographic/geo_column_offset": 0.0,
        "geographic/geo_row_offset": 3650.0,
        "geographic/geo_pixel_size_x": 1.0,
        "geographic/geo_pixel_size_y": -1.0,
        "geographic/map_projection/projection_proj4_params": (
            "+proj=stere +lat_0=90 +lon_0=0.0 +lat_ts=60.0 +a=6378.137 +b=6356.752 +x_0=0 +y_0=0"
        ),
    } | changes
    with h5py.File(path, "w") as file:
        file["image1/image_data"] = np.asarray(stored, dtype=np.uint16)
        for name, value in attributes.items():
            if value is not None:
                group, attribute = name.rsplit("/", 1)
                text = np.bytes_(value) if isinstance(value, str) else np.array([value])
                file.require_group(group).attrs[attribute] = text
    return path


def odim(path, stored, quantity="RATE", gain=1.0, offset=0.0, nodata=-9999000.0, undetect=-8888000.0, **changes):
    """ODIM_H5 composite with one data set and one quality field."""
    what = {
        "quantity": quantity, "gain": gain, "offset": offset, "nodata": nodata, "undetect": undetect,
        "startdate": "20180824", "starttime": "174500", "enddate": "20180824", "endtime": "180000",
    }  # fmt: skip
    groups = {
        "/": {"Conventions": "ODIM_H5/V2_0"},
        "what": {"date": "20180824", "time": "180000", "object": "COMP", "version": "H5rad 2.0"},
        "where": {
            "projdef": "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84",
            "UL_lon": -39.5357864125034, "UL_lat": 67.02283275830867, "xscale": 2000.0, "yscale": 2000.0,
        },
        "dataset1/what": what,
        "dataset2/what": what | {"quantity": "QIND"},
    }  # fmt: skip
    for name, value in changes.items():
        group, attribute = name.replace("__", "/").rsplit("/", 1)
        groups[group][attribute] = value
    with h5py.File(path, "w") as file:
        for number, values in (("1", stored), ("2", np.ones_like(stored))):
            file[f"dataset{number}/data1/data"] = values
        for group, attributes in groups.items():
            for name, value in attributes.items():
                if value is not None:
                    text = np.bytes_(value) if isinstance(value, str) else value
                    file.require_group(group).attrs[name] = text
    return path


def fmi_pgm(path, stored, time="201609281445", packed=True):
    """FMI PGM with its header comments."""
    rows, columns = np.shape(stored)
    header = (
        f"P5\n# composite_area FIN\n# obstime {time}\n# producttype CAPPI\n# param CorrectedReflectivity\n"
        "# projection radar {\n# type stereographic\n# centrallongitude 25\n# centrallatitude 90\n"
        "# truelatitude 60\n# bottomleft 18.600000 57.930000\n# topright 34.903000 69.005000\n# }\n"
        f"{columns} {rows}\n255\n"
    )
    content = header.encode() + np.asarray(stored, dtype=np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def gif(path, index, palette=None):
    """Palette picture."""
    picture = Image.fromarray(np.asarray(index, dtype=np.uint8), mode=None).convert("L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    colours = np.zeros((256, 3), dtype=np.uint8) if palette is None else palette
    if palette is None:
        colours[:, 0] = colours[:, 1] = np.arange(256)
    picture.putpalette(colours.tobytes())
    content = io.BytesIO()
    picture.save(content, format="GIF", optimize=False)
    path.write_bytes(content.getvalue())
    return path


def cf(path, values, *, name="rain", times=(0,), time_units="minutes since 2024-05-01 00:00:00", **options):
    """CF netCDF: (time, y, x) on metres; options: attributes, dtype, y, x, coordinate units, bounds, …"""
    values = np.asarray(values)
    rows, columns = values.shape[-2:]
    y = options.get("y", np.arange(rows)[::-1] * 1000.0)
    x = options.get("x", np.arange(columns) * 1000.0)
    with netCDF4.Dataset(path, "w") as dataset:
        for axis, size in (("time", len(times)), ("y", rows), ("x", columns), ("two", 2)):
            dataset.createDimension(axis, size)
        time = dataset.createVariable("time", "f8", ("time",))
        time.setncatts({"units": time_units, "standard_name": "time"} | options.get("time_attributes", {}))
        time[:] = times
        if "bounds" in options:
            time.bounds = "time_bounds"
            dataset.createVariable("time_bounds", "f8", ("time", "two"))[:] = options["bounds"]
        for axis, centres in (("y", y), ("x", x)):
            variable = dataset.createVariable(axis, "f8", (axis,))
            variable.units = options.get("coordinate_units", "m")
            variable[:] = centres
        rain = dataset.createVariable(
            name, options.get("dtype", values.dtype), ("time", "y", "x"), fill_value=options.get("fill_value")
        )
        rain.set_auto_maskandscale(False)
        rain.setncatts({"units": "mm h-1"} | options.get("attributes", {}))
        rain[:] = values
        for extra in options.get("more", ()):
            dataset.createVariable(extra, "f4", ("time", "y", "x")).units = "mm h-1"
    return path


def radolan(path, cells, product="RY", time="210055", month="1216", precision="E-02", minutes=5, grid=(900, 900)):
    """RADOLAN composite: ASCII header up to ETX, then cells from the south-western corner."""
    dtype = "u1" if product == "RX" else "<u2"
    content = np.asarray(cells, dtype=dtype).tobytes()
    header = (
        f"{product}{time}10000{month}BY{len(content) + 90:>7}VS 3SW   2.13.1PR {precision}INT{minutes:>4}"
        f"GP{grid[0]:>4}x{grid[1]:>4}MS 58<boo,ros,emd,hnr,pro,ess,asd,neu,nhb,oft,tur,isn,fbg,mem>"
    )
    path.write_bytes(header.encode() + b"\x03" + content)
    return path
