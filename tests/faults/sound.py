"""A sound little file, or several, of everything that is read."""

import bz2
import gzip
import io
import zlib

import numpy as np
from PIL import Image

from tests.data.archives import frame, write
from tests.data.formats import fakes

FIELD = np.arange(20).reshape(4, 5)


def named(folder, name, contents):
    """Files of one name in folders of their own."""
    paths = []
    for number, content in enumerate(contents):
        (folder / str(number)).mkdir()
        paths.append(folder / str(number) / name)
        paths[-1].write_bytes(content)
    return paths


def pgm(folder):
    content = fakes.fmi_pgm(folder / "a", FIELD, packed=False).read_bytes()
    return named(folder, "a.pgm", [content, gzip.compress(content)])


def radolan(folder):
    cells = np.zeros((900, 900))
    byte = fakes.radolan(folder / "a", cells, product="RX").read_bytes()
    two = fakes.radolan(folder / "a", cells).read_bytes()
    return named(folder, "a-bin", [byte, gzip.compress(two), bz2.compress(byte)])


def geotiff(folder):
    import rasterio

    xml = "<GDALMetadata>" + "".join(
        f'<Item name="{name}"{extra}>{value}</Item>'
        for name, extra, value in (
            ("Observation time", ' format="YYYYMMDDhhmm"', "201609281445"), ("Quantity", ' unit="dBZ"', "reflectivity"),
            ("Gain", "", "0.5"), ("Offset", "", "-32"), ("Nodata", "", "255"), ("Undetect", "", "0"),
        )
    ) + "</GDALMetadata>"  # fmt: skip
    paths = []
    for number, compress in enumerate(("none", "deflate", "lzw")):
        path = folder / f"{number}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=4, width=5, count=1, dtype="uint8", crs="EPSG:3067", compress=compress,
            transform=rasterio.Affine(1000, 0, 0, 0, -1000, 4000),
        ) as file:  # fmt: skip
            file.write(FIELD.astype(np.uint8), 1)
            file.update_tags(GDAL_METADATA=xml)
        paths.append(path)
    return paths


def grib(folder):
    import rasterio
    import rasterio.shutil

    with rasterio.open(
        folder / "a.tif", "w", driver="GTiff", height=4, width=5, count=1, dtype="float32", crs="EPSG:4326",
        transform=rasterio.Affine(0.01, 0, -130, 0, -0.01, 55),
    ) as file:  # fmt: skip
        file.write(FIELD.astype(np.float32), 1)
    rasterio.shutil.copy(str(folder / "a.tif"), str(folder / "a.grib2"), driver="GRIB")
    content = (folder / "a.grib2").read_bytes()
    return named(folder, "b.grib2", [content, gzip.compress(content)])


def eccc(folder):
    picture = np.tile(np.arange(580) % 256, (480, 1))
    return [fakes.gif(folder / "20240710T2106Z_MSC_Radar-DPQPE_CASCM_Rain.gif", picture)]


def netcdf(folder):
    values = FIELD[None].astype(np.float32)
    contents = [
        fakes.cf(folder / "a", values).read_bytes(),
        fakes.cf(folder / "a", values.astype(np.int16), fill_value=-1, attributes={"scale_factor": 0.1}).read_bytes(),
    ]
    return named(folder, "a.nc", contents)


def bom(folder):
    import netCDF4

    values = FIELD[None].astype(np.float32)
    path = fakes.cf(folder / "a.nc", values, name="precipitation", times=(5,), attributes={"units": "kg m-2"})
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.renameVariable("time", "valid_time")
        start = dataset.createVariable("start_time", "f8", ("time",))
        start.units = dataset["valid_time"].units
        start[:] = 0
    return [path]


def ukmo(folder):
    values = FIELD[None].astype(np.float32) * 1e-6
    return [fakes.cf(folder / "a.nc", values, name="lwe_precipitation_rate", attributes={"units": "m s-1"})]


def forecast(folder):
    import netCDF4

    from tests.data.archives import grid

    where = grid()
    with netCDF4.Dataset(folder / "a.nc", "w") as dataset:
        sizes = {"lead_time": 2, "y": len(where.y), "x": len(where.x)}
        for name, size in sizes.items():
            dataset.createDimension(name, size)
        init = dataset.createVariable("init_time", "i8", ())
        init.setncatts({"standard_name": "forecast_reference_time", "units": "seconds since 1970-01-01"})
        init[...] = 0
        lead = dataset.createVariable("lead_time", "f8", ("lead_time",))
        lead.setncatts({"standard_name": "forecast_period", "units": "s"})
        lead[:] = [300, 600]
        for name, values in (("y", where.y), ("x", where.x)):
            dataset.createVariable(name, "f8", (name,))[:] = values
        rain = dataset.createVariable("rain_rate", "f4", tuple(sizes))
        rain.setncatts({"standard_name": "rainfall_rate", "units": "mm h-1"})
        rain[:] = 1.0
    return [folder / "a.nc"]


def archive(folder):
    return [write(folder / "a.nc", [frame(0), frame(5)])]


def idx(folder):
    content = b"\x00\x00\x08\x03" + np.array([2, 28, 28], dtype=">u4").tobytes() + bytes(2 * 784)
    return named(folder, "images.gz", [gzip.compress(content)])


def npy(folder):
    np.save(folder / "a.npy", np.zeros((4, 3, 8, 8), dtype=np.uint8))
    return [folder / "a.npy"]


def npz(folder):
    clips = np.array([[[0, 2], [4, 2]], [[2, 2], [6, 2]]])
    frames = np.zeros((8, 1, 8, 8), dtype=np.float32)
    np.savez(folder / "a.npz", input_raw_data=frames, clips=clips)
    plain = (folder / "a.npz").read_bytes()
    np.savez_compressed(folder / "a.npz", input_raw_data=frames, clips=clips)
    return named(folder, "a.npz", [plain, (folder / "a.npz").read_bytes()])


def png(folder):
    content = io.BytesIO()
    Image.fromarray(FIELD.astype(np.uint8)).save(content, format="PNG")
    return named(folder, "RAD110503000000.png", [content.getvalue()])


def statistics_file(folder):
    from nowcast.data.results.statistics_file import write_statistics
    from tests.statistics import statistics

    write_statistics(folder / "a.nc", statistics({"a": 0.3}, blocks=2)[0])
    return [folder / "a.nc"]


FILES = {
    "statistics": statistics_file,
    "knmi": lambda folder: [fakes.knmi(folder / "a.h5", FIELD)],
    "odim": lambda folder: [fakes.odim(folder / "a.hdf", FIELD.astype(np.float64))],
    "fmi_pgm": pgm,
    "fmi_geotiff": geotiff,
    "mch_gif": lambda folder: [fakes.gif(folder / "AQC151351545F_00005.801.gif", FIELD)],
    "eccc_gif": eccc,
    "radolan": radolan,
    "mrms": grib,
    "netcdf": netcdf,
    "bom": bom,
    "ukmo_netcdf": ukmo,
    "archive": archive,
    "forecasts": forecast,
    "idx": idx,
    "npy": npy,
    "npz": npz,
    "hko_png": png,
    "hko_mask": lambda folder: named(folder, "a.mask", [zlib.compress(bytes(72))]),
}
