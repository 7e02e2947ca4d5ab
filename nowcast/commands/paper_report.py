"""`python -m nowcast.commands.paper_report printed=… runs=…`: printed tables (mnist, openstl, radar) beside ours."""

from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.build import plain
from nowcast.config.compose import compose_train
from nowcast.config.program import program


@program("paper_report")
def main(config: DictConfig) -> list[Path]:
    """Collect the runs, draw, and write report.md and report.html."""
    from nowcast.report.paper.report import write_paper_report

    printed = plain(config.printed)
    folders = dict.fromkeys(row["folder"] for row in printed["rows"])
    experiments = {name: plain(compose_train([f"experiment={name}", "output=none"])) for name in folders}
    return write_paper_report(
        Path(config.runs).expanduser(),
        Path(config.output).expanduser(),
        printed,
        experiments,
        colour_blind_safe=config.colour_blind_safe,
        quick=config.quick,
    )


if __name__ == "__main__":
    main()
