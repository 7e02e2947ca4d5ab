"""`nowcast train`: train a network, choose its best epoch, calibrate it, and score it beside the baselines."""

import os
from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.program import in_multirun, program
from nowcast.data.windows.loader_processes import start_worker_server
from nowcast.files import refuse_existing_run
from nowcast.training.multirun import prepare_job


@program("train")
def main(config: DictConfig) -> None:
    """Run one experiment."""
    refuse_run(config)
    if config.data.get("workers"):
        start_worker_server(str(config.data.get("_target_")).rpartition(".")[0])  # beside our own imports
    from nowcast.training.run import run

    if in_multirun():
        prepare_job(config)
    run(config)


def refuse_run(config: DictConfig) -> None:
    """Refuse a run directory that holds a run, before anything is imported; further processes find what the first made.

    Raises:
        FileExistsError: There is one, and it is not to be gone on with.
    """
    alone = not any(name in os.environ for name in ("LOCAL_RANK", "SLURM_PROCID"))
    if alone and config.resume != "auto" and config.output and not in_multirun():
        refuse_existing_run(Path(config.output))


if __name__ == "__main__":
    main()
