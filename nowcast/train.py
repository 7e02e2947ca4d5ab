"""`nowcast train`: train a network, choose its best epoch, calibrate it, and score it beside the baselines."""

from omegaconf import DictConfig

from nowcast.config import in_multirun, program
from nowcast.data.worker_server import start_worker_server


@program("train")
def main(config: DictConfig) -> None:
    """Run one experiment."""
    if config.data.get("workers"):
        start_worker_server(str(config.data.get("_target_")).rpartition(".")[0])  # beside our own imports
    from nowcast.run import run  # torch and lightning load in seconds: --help and --cfg do without

    if in_multirun():
        from nowcast.multirun import prepare_job

        prepare_job(config)
    run(config)


if __name__ == "__main__":
    main()
