"""`nowcast predict checkpoint=<file>|model=<name> input=<archive or files>|watch=<folder> output=<file|folder>`."""

from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.command_line import arguments
from nowcast.config.command_line.watched import refuse_watch
from nowcast.config.mistakes import UsageError, as_typed, refuse_missing_checkpoint
from nowcast.config.program import chosen, given_on_command_line, program


@program("predict")
def main(config: DictConfig) -> list[Path]:
    """Forecast from the newest complete frames, from those that end at init_time, or from each that arrives."""
    refuse(config)
    from nowcast.report import prediction, watching

    draw = None
    if config.plot:  # what draws takes longer to import than a forecast takes
        from nowcast.report.forecast_pictures import Pictures

        draw = Pictures.of(config).draw
    typed = bool(given_on_command_line("limits"))
    work = prediction.predict_to_file if config.watch is None else watching.forecast_arrivals
    return work(config, model=chosen("model"), limits_typed=typed, draw=draw)


def refuse(config: DictConfig) -> None:
    """Refuse what needs no file to be read.

    Raises:
        UsageError: Neither a checkpoint nor a model or both, decide, cells, init_time or forecast_steps are none, or
            there are several files or a folder without source=; or see `refuse_watch`.
        FileExistsError: The output is there.
        FileNotFoundError: There is no such checkpoint, archive or folder.
    """
    output = Path(config.output).expanduser()
    if config.watch is None and output.exists():
        raise FileExistsError(f"{output} exists; remove it or choose another output=")
    if (config.checkpoint is None) == (config.model is None):
        found = "neither" if config.model is None else "both"
        raise UsageError(f"give either checkpoint=<file> or model=persistence|extrapolation|…, got {found}")
    if config.checkpoint is not None:
        refuse_missing_checkpoint(arguments.checkpoint_path(config.checkpoint))
    with as_typed():
        arguments.refuse_decision(config.decide, of_checkpoint=config.checkpoint is not None and config.calibrated)
        arguments.refuse_cells(config.cells, of_checkpoint=config.checkpoint is not None)
        if config.init_time is not None:
            arguments.moment(config.init_time)
        if config.forecast_steps is not None:
            arguments.refuse_no_steps(config.forecast_steps)
        if config.watch is not None:
            refuse_watch(config)
        elif config.source is None:
            arguments.one_archive(config.input)


if __name__ == "__main__":
    main()
