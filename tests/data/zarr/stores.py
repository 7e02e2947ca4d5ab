"""Zarr stores in the layout of the mlcast source-data specification, of the frames of an archive."""

import warnings

import icechunk
import numpy as np
import pyproj
import zarr

WKT = pyproj.CRS("EPSG:3035").to_wkt()
EPOCH = "seconds since 1970-01-01"
KINDS = {
    "v2": {"version": 2},
    "v2, not consolidated": {"version": 2, "consolidated": False},
    "v3": {"version": 3},
    "v3, not consolidated": {"version": 3, "consolidated": False},
    "v3, sharded": {"version": 3, "shards": (20, 32, 40), "chunks": (5, 16, 20)},
    "v3, packed": {"version": 3, "packed": True},
    "v3, ascending, in km": {"version": 3, "ascending": True, "km": True},
    "v2, packed, from the south east": {"version": 2, "packed": True, "ascending": True, "eastward": False},
    "icechunk": {"icechunk": True},
    "icechunk, sharded and packed": {"icechunk": True, "shards": (20, 32, 40), "chunks": (5, 16, 20), "packed": True},
    "v3, kg m-2 s-1": {"version": 3, "unit": "kg m-2 s-1", "per_unit": 1 / 3600, "dtype": "f8"},
}


def commit(path, write):
    """Have something written into an Icechunk repository, which is made if it is not there; returns the snapshot."""
    storage = icechunk.local_filesystem_storage(str(path))
    repository = icechunk.Repository.open_or_create(storage)
    session = repository.writable_session("main")
    write(session.store)
    return session.commit("by a test")


def mirror(archive, path, *, icechunk=False, **how):
    """Write one, as a folder or as an Icechunk repository; see `fill`."""
    if not icechunk:
        return fill(archive, path, **how)
    commit(path, lambda store: fill(archive, store, **(how | {"consolidated": False})))
    return path


def fill(archive, path, *, version=3, consolidated=True, chunks=None, shards=None, packed=False, ascending=False,
           eastward=True, km=False, unit="mm h-1", per_unit=1.0, dtype="f4", fill="default", name="rr",
           standard_name="rainfall_flux", attributes=None, group=None, without=(), drop=(), missing=None):  # fmt: skip
    """Write a store.

    Args:
        archive: Whose frames.
        path: Where: a folder, or a store of Zarr.
        version: Of Zarr.
        consolidated: Whether its metadata are.
        chunks: Of the field; None = 1×H×W.
        shards: Of the field; None = none.
        packed: Whether values are 16-bit integers, those of the archive.
        ascending: Whether row 0 is south.
        eastward: Whether column 0 is west.
        km: Whether axes are in km.
        unit: Of the field.
        per_unit: What 1 mm/h is in it.
        dtype: Of the field, where it is not packed.
        fill: The fill value of the array; "default" = NaN or 65535.
        name: Of the field.
        standard_name: Of the field.
        attributes: More of the field; None leaves one out.
        group: Attributes of the group.
        without: Names of variables that are left out.
        drop: Frames that are not written: chunks that are not there.
        missing: Times of missing_times.
    """
    everything = slice(None)
    rate = archive.read(everything, everything, everything)
    values = (
        archive.read_stored(everything, everything, everything)
        if packed
        else (rate.astype("f8") * per_unit).astype(dtype)
    )
    values = values[:, :: -1 if ascending else 1, :: 1 if eastward else -1]
    said = {"standard_name": standard_name, "units": unit, "long_name": "rain", "grid_mapping": "crs"}
    if packed:
        said |= {"scale_factor": 0.1, "add_offset": 0.0, "_FillValue": 65535}
    said = {key: value for key, value in (said | (attributes or {})).items() if value is not None}
    default = 65535 if packed else np.nan
    root = zarr.open_group(path, mode="w", zarr_format=version, attributes={"license": "CC-BY-4.0"} | (group or {}))

    def add(name, values, dims, attributes, **how):
        if name in without:
            return None
        values = np.asarray(values)
        named = {"dimension_names": dims} if version == 3 else {}
        array = root.create_array(name, shape=values.shape, dtype=values.dtype, **named, **how)
        array.attrs.update(attributes | ({"_ARRAY_DIMENSIONS": dims} if version == 2 else {}))
        return array, values

    step = 1000.0 if km else 1.0
    axes = {"y": archive.grid.y[:: -1 if ascending else 1], "x": archive.grid.x[:: 1 if eastward else -1]}
    for axis, centres in axes.items():
        standard = {
            "standard_name": f"projection_{axis}_coordinate",
            "units": "km" if km else "m",
            "axis": axis.upper(),
        }
        _fill(add(axis, centres / step, [axis], standard))
    seconds = archive.times.astype(np.int64)
    _fill(add("time", seconds, ["time"], {"standard_name": "time", "units": EPOCH, "axis": "T"}))
    _fill(add("crs", np.zeros((), "i4"), [], {"spatial_ref": WKT, "crs_wkt": WKT}))
    if missing is not None:
        _fill(
            add(
                "missing_times",
                np.asarray(missing).astype("M8[s]").astype(np.int64),
                ["missing_times"],
                {"units": EPOCH},
            )
        )
    array, values = add(
        name, values, ["time", "y", "x"], said, chunks=chunks or (1, *values.shape[1:]), shards=shards,
        fill_value=default if fill == "default" else fill,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    for k in range(len(values)) if drop else ():
        if k not in drop:
            array[k] = values[k]
    if not drop:
        array[:] = values
    if consolidated:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            zarr.consolidate_metadata(root.store)
    return path


def _fill(made):
    if made is not None:
        array, values = made
        array[...] = values
