"""Mlcast's source-data specification of radar stores: attributes that it asks for, and what a store lacks of it.

Source: version 0.3.0, as mlcast-dataset-validator 0.4.0 states and tests it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyproj

from nowcast import __version__
from nowcast.config.command_line.arguments import moment
from nowcast.data.archive.frame import Frame, Grid, Reader
from nowcast.data.prepare.report import absent_times

VALIDATOR = "0.4.0"
START = "consistent_timestep_start"
LARGEST_CELL, SMALLEST_SIDE, YEARS = 1010.0, 256, 3  # m, cells, years
ASKED = {  # attributes that only who publishes a store can give: what they look like
    "mlcast_created_by": (r"[^<>]+ <\S+@\S+>", "Name <address>"),
    "mlcast_created_with": (
        r"https://github\.com/mlcast-community/mlcast-dataset-[^/\s]+-[^/\s]+@\S+",
        "https://github.com/mlcast-community/mlcast-dataset-<who>-<what>@<tag>",
    ),
    "mlcast_dataset_version": (r"v?\d+(\.\d+)*\S*", "0.1.0"),
    "mlcast_dataset_identifier": (
        r"[A-Z]{2}-\w+-\w+.*",
        "<country>-<entity>-<variable>, such as NL-KNMI-precipitation",
    ),
}
SPDX = re.compile(
    r"(CC-BY(-SA|-NC|-ND|-NC-SA|-NC-ND)?-[1-4]\.\d|CC0-1\.0|OGL-UK-[1-3]\.0|OGL-Canada-2\.0|DL-DE-(BY|ZERO)-2\.0|"
    r"etalab-2\.0|GPL-\S+|MIT|BSD-\S+)"
)
CREATIVE_COMMONS = re.compile(r"CC[ -]BY(?P<more>(?:[ -](?:SA|NC|ND))*)[ -](?P<version>[1-4]\.\d)")


def spdx_of(licence: str) -> str:
    """The SPDX identifier of the Creative Commons licence that a text names; "" where it names none."""
    found = CREATIVE_COMMONS.search(licence)
    return f"CC-BY{found['more'].replace(' ', '-')}-{found['version']}" if found else ""


def attributes_of_store(reader: Reader, given: Mapping[str, str], created: str, **more: str) -> dict[str, str]:
    """Global attributes of a store.

    Args:
        reader: The format, for provider and licence.
        given: Those of archives, and of the user, which come first.
        created: When the store was begun.
        more: Further ones.
    """
    licence = given.get("license", reader.licence)
    attributes = {
        "Conventions": "CF-1.11",
        "license": licence,
        "attribution": f"Data: {reader.provider}. Licence: {licence}. Changed: put into one store by nowcast.",
        "mlcast_created_on": created,
        "nowcast_version": __version__,
        **given,
        **more,
    }
    if identifier := spdx_of(licence):
        attributes |= {"license": identifier, "license_text": licence} if identifier != licence else {}
    return attributes


def lacking(
    first: Frame, times: Sequence[np.datetime64], attributes: Mapping[str, Any], chunk: Sequence[int]
) -> list[str]:
    """What a store lacks of the specification, one line each; its layout and names follow it by construction.

    Args:
        first: Any frame: its grid counts.
        times: Of all frames, rising.
        attributes: Global ones.
        chunk: Frames, rows and columns that are compressed together.
    """
    found = [*_of_grid(first.grid), *_of_times(times, str(attributes.get(START, "")))]
    if tuple(chunk) != (1, *first.grid.shape):
        found.append(f"chunks of {' x '.join(map(str, chunk))}, it wants one for each frame: store.chunk=[1,null,null]")
    licence = str(attributes.get("license", ""))
    if not SPDX.fullmatch(licence):
        found.append(
            f"license {licence!r} is no SPDX identifier that is known here: attributes.license=CC-BY-4.0 sets one"
        )
    for name, (pattern, example) in ASKED.items():
        value = str(attributes.get(name, ""))
        if not re.fullmatch(pattern, value):
            found.append(f"{name} is {value!r}: attributes.{name}={example!r} sets it")
    return found


def _of_grid(grid: Grid) -> list[str]:
    if not grid.crs:
        return ["the projection of the grid is not known, so that there are no latitudes and longitudes"]
    if not pyproj.CRS.from_user_input(grid.crs).is_projected:
        return ["the grid is in degrees, it wants one in metres"]
    cell = max(abs(float(axis[1] - axis[0])) for axis in (grid.x, grid.y))
    large = [f"cells of {cell:g} m, it wants 1 km or less"] if cell > LARGEST_CELL else []
    small = min(grid.shape) < SMALLEST_SIDE
    return large + [f"{grid.shape[0]} x {grid.shape[1]} cells, it wants at least 256 x 256"] * small


def regular_from(times: Sequence[np.datetime64], attributes: Mapping[str, str]) -> dict[str, str]:
    """The attribute that says from when on steps are equal: where frames are absent, its validator asks for it."""
    if START in attributes or not len(absent_times(times)) or _varies(times):
        return {}
    return {START: str(times[0].astype("datetime64[s]"))}


def _of_times(times: Sequence[np.datetime64], start: str) -> list[str]:
    found = []
    days = int((times[-1] - times[0]) / np.timedelta64(1, "D"))
    if days / 365.25 < YEARS:
        found.append(f"{days / 365.25:.2g} years, it wants {YEARS}")
    since = np.datetime64(moment(start), "s") if start else times[0]
    if _varies([time for time in times if time >= since]):
        found.append(
            f"time steps that vary, and are no multiples of one: attributes.{START}=<time> names the time from which "
            "on they do not (frames before it are then left out in training)"
        )
    return found


def _varies(times: Sequence[np.datetime64]) -> bool:
    """Whether steps are no multiples of one."""
    seconds = np.asarray(times, dtype="datetime64[s]").astype(np.int64)
    both = np.sort(np.concatenate([seconds, absent_times(times).astype(np.int64)]))
    return len(np.unique(np.diff(both))) > 1
