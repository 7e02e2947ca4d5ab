"""Sums of statistics of an evaluation as one netCDF file: all that reports and comparisons are made from."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.config.moved import as_now
from nowcast.data.archive.archive import EPOCH
from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.probe import open_netcdf
from nowcast.files import written_whole

FORMAT = "nowcast statistics 2"
OF_ARCHIVES = "nowcast statistics 1"  # a block was a day of an archive, "radar 2024-05-01", or a whole archive
OLD_BLOCKS = (
    "Blocks are whole archives, counted as independent even where they overlap in time, since an earlier version made "
    "the statistics: evaluate again for blocks that do not."
)
RAIN_STEP, NO_DATA = 0.02, 65535  # mm h-1 per unit of the stored example fields
SHARES, NO_SHARE = 200, 255  # steps of their probabilities


@dataclass(frozen=True, eq=False)
class ExampleFields:
    """One window as a picture: coarse fields of the observation and every model.

    Args:
        name: Why it was chosen, such as "worst".
        score: The score that it was chosen by.
        archive: Name of the archive.
        init_time: UTC datetime64[s] of the last input.
        timestep_minutes: Time between frames.
        cell_km: Side of a cell of `rain`.
        rain: "observed" and models → (T, H, W) mm h-1, NaN = no data.
        probabilities: Models that say them → (T, H, W) in [0, 1] of at least `threshold`, NaN = no data.
        threshold: mm h-1.
    """

    name: str
    score: float
    archive: str
    init_time: np.datetime64
    timestep_minutes: float
    cell_km: float
    rain: Mapping[str, NDArray[np.float32]]
    probabilities: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    threshold: float = math.nan


@dataclass(frozen=True, eq=False)
class Statistics:
    """Everything that was summed.

    Args:
        models: M names.
        lead_times: T lead times.
        lead_unit: Theirs, "minutes" or "frames".
        groups: Grouping → labels of its groups; "block" is the one that bootstraps draw from.
        sums: Grouping → "family/statistic" → (M, groups, T, …) float64; "windows" and "missing" are among them.
        axes: "family/statistic" → names of its axes after T.
        labels: "family/axis" → labels.
        families: Name → settings that the family is built from, plain types.
        facts: What made it, plain types: data, split, models, software.
        map_counts: (M, 4, H, W) hits, misses, false alarms, correct negatives of each cell over all lead times, or
            None where windows differ in shape or place.
        map_threshold: Threshold of the map in mm h-1.
        examples: Windows to look at.
    """

    models: tuple[str, ...]
    lead_times: tuple[float, ...]
    lead_unit: str
    groups: dict[str, tuple[str, ...]]
    sums: dict[str, dict[str, NDArray[np.float64]]]
    axes: dict[str, tuple[str, ...]]
    labels: dict[str, tuple[Any, ...]]
    families: dict[str, Any]
    facts: dict[str, Any]
    map_counts: NDArray[np.int64] | None = None
    map_threshold: float | None = None
    examples: list[ExampleFields] = field(default_factory=list)


def write_statistics(path: Path, statistics: Statistics) -> None:
    """Write everything, atomically."""
    with written_whole(path) as partial, netCDF4.Dataset(partial, "w", format="NETCDF4") as dataset:
        dataset.setncatts(
            {
                "Conventions": "CF-1.11",
                "title": "Sums of verification statistics; ratios of them are the scores",
                "format": FORMAT,
                "families": json.dumps(statistics.families),
                "facts": json.dumps(statistics.facts),
            }
        )
        _coordinate(dataset, "model", statistics.models)
        _coordinate(dataset, "lead_time", statistics.lead_times).units = statistics.lead_unit
        for key, labels in statistics.labels.items():
            _coordinate(dataset, key.replace("/", "_"), labels)
        for grouping, sums in statistics.sums.items():
            group = dataset.createGroup(grouping)
            _coordinate(group, grouping, statistics.groups[grouping])
            for name, values in sums.items():
                family = name.split("/")[0]
                axes = [f"{family}_{axis}" for axis in statistics.axes[name]]
                variable = group.createVariable(
                    name.replace("/", "_"), "f8", ("model", grouping, "lead_time", *axes), compression="zlib"
                )
                variable.statistic = name
                variable[...] = values
        if statistics.map_counts is not None:
            _write_map(dataset, statistics.map_counts, statistics.map_threshold)
        for number, example in enumerate(statistics.examples):
            _write_example(dataset.createGroup(f"examples/{number}"), example)


def _coordinate(dataset: netCDF4.Dataset, name: str, labels: tuple[Any, ...]) -> "netCDF4.Variable[Any]":
    dataset.createDimension(name, len(labels))
    text = any(isinstance(label, str) for label in labels)
    variable = dataset.createVariable(name, str if text else "f8", (name,))
    variable[:] = np.array(labels, dtype=object) if text else np.array(labels, dtype=np.float64)
    return variable


def _write_map(dataset: netCDF4.Dataset, counts: NDArray[np.int64], threshold: float | None) -> None:
    for name, size in zip(("outcome", "map_y", "map_x"), counts.shape[1:], strict=True):
        dataset.createDimension(name, size)
    variable = dataset.createVariable("map_counts", "i4", ("model", "outcome", "map_y", "map_x"), compression="zlib")
    variable.setncatts({"long_name": "hits, misses, false alarms, correct negatives", "threshold": threshold})
    variable[...] = counts


def _write_example(group: netCDF4.Group, example: ExampleFields) -> None:
    group.setncatts(
        {
            "name": example.name,
            "score": example.score,
            "archive": example.archive,
            "timestep_minutes": example.timestep_minutes,
            "cell_km": example.cell_km,
            "rows": json.dumps(list(example.rain)),
        }
    )
    time = group.createVariable("init_time", "i8", ())
    time.units = EPOCH
    time[...] = int(example.init_time.astype("datetime64[s]").astype(np.int64))
    every = np.stack(list(example.rain.values()))  # (rows, T, H, W)
    for name, size in zip(("row", "step", "y", "x"), every.shape, strict=True):
        group.createDimension(name, size)
    rain = group.createVariable("rain_rate", "u2", ("row", "step", "y", "x"), compression="zlib", fill_value=NO_DATA)
    rain.setncatts({"units": "mm h-1", "scale_factor": RAIN_STEP})
    rain.set_auto_maskandscale(False)
    stored = np.minimum(np.rint(np.nan_to_num(every, posinf=1e6) / RAIN_STEP), NO_DATA - 1)
    rain[...] = np.where(np.isnan(every), NO_DATA, stored).astype(np.uint16)
    if example.probabilities:
        _write_probabilities(group, example)


def _write_probabilities(group: netCDF4.Group, example: ExampleFields) -> None:
    group.createDimension("probability_row", len(example.probabilities))
    variable = group.createVariable(
        "probability", "u1", ("probability_row", "step", "y", "x"), compression="zlib", fill_value=NO_SHARE
    )
    rows = json.dumps(list(example.probabilities))
    variable.setncatts({"units": "1", "scale_factor": 1 / SHARES, "threshold": example.threshold, "rows": rows})
    variable.set_auto_maskandscale(False)
    every = np.stack(list(example.probabilities.values()))
    stored = np.rint(np.nan_to_num(every) * SHARES)
    variable[...] = np.where(np.isnan(every), NO_SHARE, stored).astype(np.uint8)


def read_statistics(path: Path) -> Statistics:
    """Read back what write_statistics wrote, in an earlier version, too.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Not a file of this kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no statistics at {path}; `nowcast train` and `nowcast evaluate` write statistics.nc")
    with damage(path, "not a file of statistics", "netCDF4", "json"), open_netcdf(path) as dataset:
        dataset.set_auto_mask(False)
        form = dataset.getncattr("format") if "format" in dataset.ncattrs() else None
        if not isinstance(form, str) or form not in (FORMAT, OF_ARCHIVES):
            raise DataFormatError(path, f"is not a file of `{FORMAT}`")
        statistics = _read(path, dataset)
        return statistics if form == FORMAT else _by_day(statistics)


def _read(path: Path, dataset: netCDF4.Dataset) -> Statistics:
    sums: dict[str, dict[str, NDArray[np.float64]]] = {}
    axes: dict[str, tuple[str, ...]] = {}
    labels: dict[str, tuple[Any, ...]] = {}
    groups = {name: group for name, group in dataset.groups.items() if name != "examples"}
    for grouping, group in groups.items():
        sums[grouping] = {}
        for variable in group.variables.values():
            if "statistic" not in variable.ncattrs():
                continue
            statistic = _text(path, variable, "statistic")
            family = statistic.split("/")[0]
            if variable.dimensions[:3] != ("model", grouping, "lead_time"):
                raise DataFormatError(path, f"{grouping}/{variable.name} is not by model, {grouping} and lead_time")
            dimensions = variable.dimensions[3:]
            sums[grouping][statistic] = _numbers(path, group, variable.name).astype(np.float64)
            axes[statistic] = tuple(name.removeprefix(f"{family}_") for name in dimensions)
            labels |= {
                f"{family}/{name.removeprefix(f'{family}_')}": tuple(dataset.variables[name][:].tolist())
                for name in dimensions
            }
    mapped = "map_counts" in dataset.variables
    examples = dataset.groups["examples"].groups if "examples" in dataset.groups else {}
    return Statistics(
        models=tuple(dataset.variables["model"][:].tolist()),
        lead_times=tuple(dataset.variables["lead_time"][:].tolist()),
        lead_unit=_text(path, dataset.variables["lead_time"], "units"),
        groups={name: tuple(group.variables[name][:].tolist()) for name, group in groups.items()},
        sums=sums,
        axes=axes,
        labels=labels,
        families=as_now(json.loads(_text(path, dataset, "families"))),
        facts=as_now(json.loads(_text(path, dataset, "facts"))),
        map_counts=_numbers(path, dataset, "map_counts").astype(np.int64) if mapped else None,
        map_threshold=_number(path, dataset.variables["map_counts"], "threshold") if mapped else None,
        examples=[_read_example(path, group) for group in examples.values()],
    )


def _text(path: Path, owner: Any, name: str) -> str:  # noqa: ANN401 (netCDF4 is untyped: a group or a variable)
    """An attribute that is to be text."""
    value = owner.getncattr(name)
    if not isinstance(value, str):
        raise DataFormatError(path, f"attribute {name} of {owner.name} is no text")
    return value


def _number(path: Path, owner: Any, name: str) -> float:  # noqa: ANN401 (as above)
    """An attribute that is to be one number."""
    value = np.asarray(owner.getncattr(name))
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise DataFormatError(path, f"attribute {name} of {owner.name} is not one number")
    return float(value.item())


def _numbers(path: Path, group: netCDF4.Dataset, name: str, axes: int | None = None) -> NDArray[Any]:
    """The values of a variable that is to hold numbers, on so many axes."""
    if name not in group.variables:
        raise DataFormatError(path, f"{group.path} holds no variable {name}")
    values = np.asarray(group.variables[name][...])
    if values.dtype.kind not in "iuf" or (axes is not None and values.ndim != axes):
        on = "" if axes is None else f" on {axes} axes"
        raise DataFormatError(path, f"{name} in {group.path} holds no numbers{on}")
    return values


def _by_day(statistics: Statistics) -> Statistics:
    """Statistics of an earlier version with the days of all archives taken together."""
    days = [re.search(r" (\d{4}-\d{2}-\d{2})$", label) for label in statistics.groups["block"]]
    dates = [day[1] for day in days if day]
    if len(dates) < len(days):
        caveat = " ".join(filter(None, [statistics.facts.get("caveat"), OLD_BLOCKS]))
        return dataclasses.replace(statistics, facts=statistics.facts | {"caveat": caveat})
    labels = sorted(set(dates))
    numbers = np.array([labels.index(date) for date in dates])
    sums = {
        name: np.stack([values[:, numbers == number].sum(axis=1) for number in range(len(labels))], axis=1)
        for name, values in statistics.sums["block"].items()
    }
    return dataclasses.replace(
        statistics,
        groups=statistics.groups | {"block": tuple(labels)},
        sums=statistics.sums | {"block": sums},
    )


def _read_example(path: Path, group: netCDF4.Group) -> ExampleFields:
    group.set_auto_maskandscale(False)
    stored = _numbers(path, group, "rain_rate", 4)
    rows = _rows(path, group, group, stored)
    rain = np.where(stored == NO_DATA, np.nan, stored * np.float32(RAIN_STEP)).astype(np.float32)
    return ExampleFields(
        name=_text(path, group, "name"),
        score=_number(path, group, "score"),
        archive=_text(path, group, "archive"),
        init_time=np.datetime64(int(_numbers(path, group, "init_time", 0)), "s"),
        timestep_minutes=_number(path, group, "timestep_minutes"),
        cell_km=_number(path, group, "cell_km"),
        rain=dict(zip(rows, rain, strict=True)),
        **_read_probabilities(path, group),
    )


def _read_probabilities(path: Path, group: netCDF4.Group) -> dict[str, Any]:
    if "probability" not in group.variables:  # no model says any, or an earlier version wrote it
        return {}
    stored, variable = _numbers(path, group, "probability", 4), group.variables["probability"]
    said = np.where(stored == NO_SHARE, np.nan, stored / np.float32(SHARES)).astype(np.float32)
    rows = _rows(path, group, variable, stored)
    return {
        "probabilities": dict(zip(rows, said, strict=True)),
        "threshold": _number(path, variable, "threshold"),
    }


def _rows(path: Path, group: netCDF4.Group, owner: Any, stored: NDArray[Any]) -> list[str]:  # noqa: ANN401 (as above)
    """The names of the rows of a variable."""
    rows = json.loads(_text(path, owner, "rows"))
    if not isinstance(rows, list) or len(rows) != len(stored):
        raise DataFormatError(path, f"{group.path} has not one name for each of its {len(stored)} rows")
    return rows
