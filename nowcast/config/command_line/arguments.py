"""What a user asks of a file, refused before anything heavy is imported."""

from collections.abc import Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from urllib.parse import urlsplit

from nowcast.config.command_line.quoting import typed

NATIVE, NETWORK = "native", "network"  # cells=
SCHEMES = ("s3", "gs", "https", "http")  # of addresses at which archives are read
REPOSITORY_MARK = "refs/branch.main/ref.json"  # which an Icechunk repository holds
STORE_MARKS = ("zarr.json", ".zmetadata", ".zgroup", REPOSITORY_MARK)  # one of which the folder of a store holds
LEDGER = ".ledger"  # of a store that is prepared: what its folder ends with beside the store's
PRETRAINED = Path(__file__).parents[2] / "weights" / "pretrained.safetensors"


def checkpoint_path(given: str | PathLike[str]) -> Path:
    """The file of a checkpoint: that of the weights that come with the project for the word "pretrained".

    Every other text is a path, and so is every Path; a file of that name is ./pretrained.
    """
    return PRETRAINED if given == "pretrained" else Path(given).expanduser()


def moment(init_time: str) -> datetime:
    """The time that is meant, in UTC and without a zone; what says no zone is UTC.

    Raises:
        ValueError: It is no time.
    """
    try:
        time = datetime.fromisoformat(init_time)
    except ValueError as error:
        raise ValueError(f"init_time={init_time!r} is not a time such as 2026-01-31T12:00") from error
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def is_address(given: str | PathLike[str]) -> bool:
    """Whether a text is an address at which archives are read, such as s3://bucket/radar.zarr."""
    scheme, mark, _ = str(given).partition("://")
    return bool(mark) and scheme in SCHEMES


def is_store(given: str | PathLike[str]) -> bool:
    """Whether it is a Zarr store: an address, or a folder that holds one."""
    return is_address(given) or any((Path(given).expanduser() / mark).is_file() for mark in STORE_MARKS)


def archive_name(place: str | PathLike[str]) -> str:
    """The name of an archive in reports and settings: the last part of its path or address, without its ending."""
    return Path(str(place).rstrip("/")).stem


def refuse_secret_address(address: str) -> None:
    """Refuse an address that holds credentials, which is not shown: addresses are written into configs and logs.

    Raises:
        ValueError: It holds a user, or a query, as signed addresses do.
    """
    parts = urlsplit(address)
    if "@" in parts.netloc or parts.query:
        raise ValueError(
            f"an address at {parts.scheme}://{parts.hostname or ''} holds a user or a query; addresses are written "
            "into run directories, logs and checkpoints. Leave it out; keys of s3 and gs come from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; GOOGLE_APPLICATION_CREDENTIALS)"
        )


def refuse_unfinished(path: Path) -> None:
    """Refuse a store that `nowcast prepare` began and has not finished.

    Raises:
        FileNotFoundError: It has a ledger, and is no store yet.
    """
    if path.is_dir() and not is_store(path) and path.with_name(f"{path.name}{LEDGER}").is_dir():
        raise FileNotFoundError(f"{path} is not finished: give the command again that began it, it goes on")


def refuse_missing_archive(path: Path) -> None:
    """Refuse an archive that is not there.

    Raises:
        FileNotFoundError: No such file.
    """
    refuse_unfinished(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no archive at {path}; make one with `nowcast prepare source=<name> input=<folder> "
            f"{typed('output', path)}`"
        )


def refuse_address_as_output(output: str) -> None:
    """Refuse to write to an address: archives are prepared in folders, and copied.

    Raises:
        ValueError: It is an address.
    """
    if is_address(output):
        name = archive_name(output.partition("?")[0])
        raise ValueError(
            f"output= is an address, and stores are prepared in a folder, where they can be gone on with: "
            f"output={name}.zarr, which is then copied whole, such as with `aws s3 sync {name}.zarr s3://…`"
        )


def one_archive(inputs: str | Sequence[str]) -> Path | str:
    """The archive that input= names, where no provider files are asked for: a file, or a Zarr store.

    Raises:
        ValueError: Several inputs, or a folder.
        FileNotFoundError: No such file.
    """
    if isinstance(inputs, str) and is_store(inputs):
        if is_address(inputs):
            refuse_secret_address(inputs)
            return inputs
        return Path(inputs).expanduser()
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


def decision_of(decide: str | float | None) -> str | None:
    """How decide= says that probabilities become one field of rain, in the words of checkpoints; None if it does not.

    Raises:
        ValueError: It is no decision.
    """
    if decide is None or decide in ("bias", "csi", "area"):
        return None if decide is None else str(decide)
    try:
        ratio = float(decide)
    except ValueError:
        ratio = 0.0
    if not 0 < ratio < 1:
        raise ValueError(
            f"decide must be bias, csi, area or a ratio of cost to loss between 0 and 1, got {decide!r}: such as "
            "decide=0.2"
        )
    return f"{ratio:g}"


def refuse_cells(cells: str | None, *, of_checkpoint: bool) -> None:
    """Refuse cells to forecast in that there are none of.

    Raises:
        ValueError: Neither those of the input nor those of a network, or the latter of a model that knows none.
    """
    if cells not in (None, NATIVE, NETWORK):
        raise ValueError(
            f"cells must be {NATIVE} (those of the input) or {NETWORK} (those that the network was trained on), got "
            f"{cells!r}"
        )
    if cells == NETWORK and not of_checkpoint:
        raise ValueError(
            f"cells={NETWORK} are those that the network of a checkpoint was trained on, and model= forecasts in those "
            "of the input: leave cells= out"
        )


def refuse_decision(decide: str | float | None, *, of_checkpoint: bool) -> None:
    """Refuse a decision that is none, or one without levels: they are those of a checkpoint's calibration.

    Raises:
        ValueError: Either.
    """
    if decision_of(decide) is not None and not of_checkpoint:
        raise ValueError(
            f"decide={decide} chooses among the levels that the calibration of a checkpoint holds: it goes with "
            "checkpoint=<file> and, in predict, calibrated=true"
        )
