"""Scores as tables and CSV files."""

from pathlib import Path

from rich.console import Console

from nowcast.report.plots.curves import plot_csi
from nowcast.report.score_files import write_continuous_csv, write_scores_csv, write_scores_netcdf, write_variant_csv
from nowcast.report.tables import score_table, variant_table
from nowcast.verification.plan import Scores
from nowcast.verification.results import ModelScores


def report(scores: Scores, folder: Path, console: Console) -> list[Path]:
    """Print the tables and write them.

    Pooled scores go to scores.csv, errors.csv, scores.nc and csi.svg, each variant to <variant>.csv.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = report_pooled(scores.pooled, folder, console) if scores.pooled else []
    for variant in dict.fromkeys(score.variant for score in scores.variants):
        models = [score for score in scores.variants if score.variant == variant]
        console.print(variant_table(models))
        written.append(folder / f"{variant}.csv")
        write_variant_csv(written[-1], models)
    return written


def report_pooled(models: list[ModelScores], folder: Path, console: Console) -> list[Path]:
    """Print CSI and bias; write scores.csv, errors.csv, scores.nc and csi.svg."""
    console.print(score_table(models, "csi"))
    console.print(score_table(models, "bias"))
    written = [folder / "scores.csv", folder / "errors.csv", folder / "scores.nc"]
    write_scores_csv(written[0], models)
    write_continuous_csv(written[1], models)
    write_scores_netcdf(written[2], models)
    return [*written, plot_csi(models, folder / "csi.svg")]
