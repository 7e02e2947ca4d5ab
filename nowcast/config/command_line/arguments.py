"""What a user asks of a file, refused before anything heavy is imported."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nowcast.config.command_line.quoting import typed


def moment(init_time: str) -> np.datetime64:
    """The time that is meant, to the second, UTC.

    Raises:
        ValueError: It is no time.
    """
    try:
        return np.datetime64(init_time.removesuffix("Z"), "s")
    except ValueError as error:
        raise ValueError(f"init_time={init_time!r} is not a time such as 2026-01-31T12:00") from error


def refuse_missing_archive(path: Path) -> None:
    """Refuse an archive that is not there.

    Raises:
        FileNotFoundError: No such file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no archive at {path}; make one with `nowcast prepare source=<name> input=<folder> "
            f"{typed('output', path)}`"
        )


def one_archive(inputs: str | Sequence[str]) -> Path:
    """The archive that input= names, where no provider files are asked for.

    Raises:
        ValueError: Several inputs, or a folder.
        FileNotFoundError: No such file.
    """
    if not isinstance(inputs, str) or Path(inputs).expanduser().is_dir():
        raise ValueError(f"input={inputs} is not one archive; for provider files add source=<format>")
    path = Path(inputs).expanduser()
    refuse_missing_archive(path)
    return path


def refuse_no_steps(forecast_steps: int) -> None:
    """Refuse a forecast of no length.

    Raises:
        ValueError: Fewer than one step.
    """
    if forecast_steps < 1:
        raise ValueError(f"forecast_steps must be at least 1, got {forecast_steps}")


def refuse_no_picture(file: Path) -> None:
    """Refuse a file to draw that is not there.

    Raises:
        FileNotFoundError: No such file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no file at {file}; give a forecast or an archive: nowcast plot <file.nc>")


def refuse_unknown_unit(unit: str) -> None:
    """Refuse a unit that pictures have not.

    Raises:
        ValueError: Neither rain rates nor reflectivity.
    """
    if unit not in ("mm/h", "dBZ"):
        raise ValueError(f"unit must be mm/h or dBZ, got {unit!r}")
