"""`nowcast summary runs=<folder>`: the runs of a multirun beside each other, mean and spread over seeds."""

from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.program import program


@program("summary")
def main(config: DictConfig) -> None:
    """Print the table and write it beside the runs."""
    from nowcast.studies.summary import summarise

    summarise(Path(config.runs))


if __name__ == "__main__":
    main()
