"""`nowcast benchmark`: our ConvLSTM beside the textbook one, in one process, in turns."""

from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.program import program


@program("benchmark")
def main(config: DictConfig) -> list[Path]:
    """Measure every size, mode and precision asked for; print tables, write output=<file.json>."""
    from nowcast.studies.benchmarks.benchmark import benchmark

    return benchmark(config)


if __name__ == "__main__":
    main()
