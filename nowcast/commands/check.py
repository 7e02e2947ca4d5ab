"""`nowcast check data=… model=…`: what a run would train on, before it does; `checkpoint=…`: what that is."""

from omegaconf import DictConfig

from nowcast.config.command_line.arguments import checkpoint_path
from nowcast.config.mistakes import refuse_missing_checkpoint
from nowcast.config.program import program
from nowcast.data.windows.loader_processes import start_worker_server


@program("check")
def main(config: DictConfig) -> None:
    """Print size, data, memory and speed of a training run; write the same to output=<file.json> when asked to."""
    if config.checkpoint is not None:
        refuse_missing_checkpoint(checkpoint_path(config.checkpoint))
    elif config.data.get("workers"):
        start_worker_server(str(config.data.get("_target_")).rpartition(".")[0])  # beside our own imports
    from nowcast.studies.check import check

    check(config)


if __name__ == "__main__":
    main()
