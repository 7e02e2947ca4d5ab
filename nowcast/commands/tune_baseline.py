"""`python -m nowcast.commands.tune_baseline experiment=paper_radar`: a baseline's best settings on validation."""

from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.program import program


@program("tune_baseline")
def main(config: DictConfig) -> list[Path]:
    """Score every combination of config.grid on the validation windows; write the best one as overrides."""
    from nowcast.studies.baseline_grid import tune_baseline

    return tune_baseline(config)


if __name__ == "__main__":
    main()
