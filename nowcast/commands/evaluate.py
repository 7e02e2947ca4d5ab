"""`nowcast evaluate checkpoint=<file> …`: scores of several forecasters on the same windows of radar archives."""

from pathlib import Path

from omegaconf import DictConfig, ListConfig

from nowcast.config.command_line.arguments import checkpoint_path, refuse_decision
from nowcast.config.mistakes import UsageError, as_typed, refuse_missing_checkpoint
from nowcast.config.program import program


@program("evaluate")
def main(config: DictConfig) -> list[Path]:
    """Score checkpoints, raw and calibrated, beside baselines and forecasts from files; or one baseline alone."""
    refuse(config)
    from nowcast.studies.evaluation.evaluate import evaluate

    return evaluate(config)


def refuse(config: DictConfig) -> None:
    """Refuse what cannot be scored.

    Raises:
        UsageError: Nothing or too much is to be scored, another split, or a decision that is none or has no checkpoint.
        FileExistsError: The folder holds scores.
        FileNotFoundError: There is no such checkpoint.
    """
    if config.checkpoint is not None and config.model is not None:
        raise UsageError("give either checkpoint=<file> or model=persistence|extrapolation|…, not both")
    if config.checkpoint is None and config.model is None and not config.forecasts:
        raise UsageError("nothing to score: give checkpoint=<file>, model=persistence|… or forecasts={name: files.nc}")
    if config.split not in ("test", "val"):
        why = ": windows of training move and turn at random, and some are left out" if config.split == "train" else ""
        raise UsageError(f"split must be test or val, got {config.split!r}{why}")
    if config.examples not in ("ranked", "events"):
        raise UsageError(f"examples must be ranked or events, got {config.examples!r}")
    with as_typed():
        refuse_decision(config.decide, of_checkpoint=config.checkpoint is not None)
    folder = Path(config.output).expanduser()
    if (folder / "scores.csv").exists():
        raise FileExistsError(f"{folder} holds scores already; choose another output=")
    for file in checkpoint_files(config.checkpoint):
        refuse_missing_checkpoint(file)


def checkpoint_files(given: str | ListConfig | DictConfig | None) -> list[Path]:
    """The files that checkpoint= names."""
    several = given.values() if isinstance(given, DictConfig) else given if isinstance(given, ListConfig) else [given]
    return [checkpoint_path(path) for path in several if path is not None]


if __name__ == "__main__":
    main()
