"""`nowcast compare <run> <run> …`: the report of finished runs side by side, from their saved statistics."""

from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.build import plain
from nowcast.config.mistakes import as_typed
from nowcast.config.program import program


@program("compare")
def main(config: DictConfig) -> list[Path]:
    """Merge the statistics of several runs and write the report."""
    folder = Path(config.output).expanduser()
    if (folder / "statistics.nc").exists():
        raise FileExistsError(f"{folder} holds a comparison already; choose another output=")
    with as_typed():
        runs = find_runs(plain(config.runs) if config.runs else [])
    from nowcast.studies.comparison import compare

    return compare(runs, folder, config, quiet=False)


def find_runs(given: list[str] | dict[str, str]) -> dict[str, Path]:
    """Name → statistics.nc of each run.

    Raises:
        ValueError: Fewer than two runs, or two of the same name.
        FileNotFoundError: A folder holds no statistics.
    """
    folders = given if isinstance(given, dict) else {_name(Path(text).expanduser()): text for text in given}
    if len(folders) < max(2, len(given)):
        raise ValueError(
            f"give two runs or more, of different names: nowcast compare <run> <run> …, or runs={{name: <run>, …}}; "
            f"got {', '.join(map(str, given)) or 'none'}"
        )
    return {str(name): _statistics_of(Path(text).expanduser()) for name, text in folders.items()}


def _name(folder: Path) -> str:
    parts = [part for part in folder.parts if part not in ("evaluation", "statistics.nc", ".", "/")]
    return "/".join(parts[-2:])


def _statistics_of(folder: Path) -> Path:
    candidates = [folder, folder / "statistics.nc", folder / "evaluation" / "statistics.nc"]
    found = [path for path in candidates if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"no statistics.nc in {folder} or {folder}/evaluation; `nowcast train` and `nowcast evaluate` write it"
        )
    return found[0]


if __name__ == "__main__":
    main()
