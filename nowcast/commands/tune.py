"""`nowcast tune`: search the settings of `nowcast train`, each trial a process of its own."""

from omegaconf import DictConfig

from nowcast.config.program import program


@program("tune")
def main(config: DictConfig) -> None:
    """Run the trials that a study lacks, and write what it found."""
    from nowcast.studies.search.search import search

    search(config)


if __name__ == "__main__":
    main()
