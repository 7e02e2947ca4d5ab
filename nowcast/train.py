"""`nowcast train`: train a network, choose its best epoch, calibrate it, and score it beside the baselines."""

from omegaconf import DictConfig

from nowcast.config import program


@program("train")
def main(config: DictConfig) -> None:
    """Run one experiment."""
    from nowcast.run import run  # torch and lightning load in seconds: --help and --cfg do without

    run(config)


if __name__ == "__main__":
    main()
