"""Finished runs side by side, from the sums that they saved."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from nowcast.config.build import build
from nowcast.config.trusted import trusted
from nowcast.data.results.statistics_file import read_statistics, write_statistics
from nowcast.report.results import Output, write_estimates
from nowcast.report.scores import report_pooled
from nowcast.studies.pooling import pool
from nowcast.verification.from_config import make_families
from nowcast.verification.merge import merge
from nowcast.verification.plan import pooled_scores


def compare(runs: Mapping[str, Path], folder: Path, config: DictConfig, quiet: bool) -> list[Path]:
    """Merge or pool the statistics of several runs, print and write the report; return what was written.

    Args:
        runs: Name of each run → its statistics.nc.
        folder: Where the report goes.
        config: Of `nowcast compare`: pool, uncertainty, main_threshold, html, colour_blind_safe.
        quiet: Without tables.

    Raises:
        ValueError: The runs cannot be compared.
    """
    together = pool if config.pool else merge
    statistics = together({name: read_statistics(path) for name, path in runs.items()})
    families = make_families(trusted(statistics.families, "scores of the runs"))
    output = Output(folder, Console(quiet=quiet), build(config.uncertainty), config.html, config.colour_blind_safe)
    written = report_pooled(pooled_scores(statistics), folder, output.console)
    write_statistics(folder / "statistics.nc", statistics)
    written += [folder / "statistics.nc"]
    written += write_estimates(statistics, families, config.main_threshold, output)
    if statistics.facts["caveat"]:
        output.console.print(statistics.facts["caveat"], style="yellow", highlight=False)
    return written
