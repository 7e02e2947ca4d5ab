"""What a user asks of `nowcast predict watch=<folder>`, refused before anything heavy is imported."""

from datetime import datetime, timedelta
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from nowcast.config.mistakes import UsageError

NAME = "%Y%m%dT%H%M%SZ.nc"
STEPS = (0, 1 / 24 / 60, 1 / 24, 1, 31, 365)  # days: no two such forecasts may get one name


def names_of_forecasts(output: str) -> str:
    """Names of forecasts, with strftime's marks for the time of the last input: output= as it is, or in that folder."""
    return str(Path(output).expanduser() if "%" in output else Path(output).expanduser() / NAME)


def refuse_watch(config: DictConfig) -> None:
    """Refuse a watch that has nothing to look at, or no place for its forecasts.

    Raises:
        UsageError: There is another input or no source, or forecasts would overwrite or feed each other.
        FileNotFoundError: No such folder.
    """
    folder = Path(config.watch).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"watch={config.watch}: no such folder")
    if not OmegaConf.is_missing(config, "input") or config.init_time is not None:
        raise UsageError("watch= forecasts from the newest frames of its folder: leave out input= and init_time=")
    if config.source is None:
        raise UsageError("watch= reads provider files: add source=<format>")
    if not config.poll_seconds > 0:
        raise UsageError(f"poll_seconds must be above 0, got {config.poll_seconds:g}")
    refuse_names(config.output, folder)


def refuse_names(output: str, watched: Path) -> None:
    """Refuse names of forecasts that would not do.

    Raises:
        UsageError: They do not tell two times apart, are in the watched folder, or a file is in the place of a folder.
    """
    pattern, begin = names_of_forecasts(output), datetime(2026, 1, 31, 12)
    if len({(begin + timedelta(days=step)).strftime(pattern) for step in STEPS}) < len(STEPS):
        raise UsageError(
            f"output={output} gives forecasts of different times one name: give a folder, or a pattern with year, "
            "month, day, hour and minute such as output=forecasts/%Y%m%d_%H%M.nc"
        )
    folder = Path(pattern).parent
    if Path(pattern.partition("%")[0]).is_file() or folder.is_file():
        raise UsageError(f"output={output} is a file: with watch= give a folder, or a pattern of names")
    if watched.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UsageError(f"output={output} lies in the watched folder, and would be read: choose another")
