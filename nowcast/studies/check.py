"""What a run would train on and what a step of it costs, looked at before it begins."""

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from nowcast.config.build import build, plain
from nowcast.config.mistakes import as_typed
from nowcast.data.balance import balance_of
from nowcast.data.interface import DataModule, as_data_module
from nowcast.data.windows.index import SPLITS, NoWindowError
from nowcast.forecasting import checkpoint
from nowcast.forecasting.network import build_network
from nowcast.report.climate.balance import balance_table, plain_balance
from nowcast.report.model_card import print_card
from nowcast.studies.archive_statistics import archive_statistics
from nowcast.studies.benchmarks.training import measure_training
from nowcast.training.trainer import make_task
from nowcast.training.trial_build import build_objective
from nowcast.training.validate import validate


def check(config: DictConfig) -> None:
    """Print size, data, memory and speed of a training run; write the same to output=<file.json> when asked to.

    With statistics=<folder> count all frames of the archives, too: a picture, a JSON file and a mask of each.
    With checkpoint=<file> print what that is instead.

    Raises:
        ValueError: Settings contradict each other, or there are no windows to train on.
    """
    if config.checkpoint is not None:
        print_card(checkpoint.load(config.checkpoint), Console())
        return
    with as_typed():
        validate(config)
        build_objective(config)
    console = Console()
    findings: dict[str, Any] = {"parameters": count_parameters(config)}
    console.print(f"model: {findings['parameters']:,} parameters", highlight=False)
    save(findings, config)  # worth having even where the data is not at hand, or takes long to prepare
    with as_typed():
        data = as_data_module(build(config.data))
    data.setup()
    if config.statistics is not None:
        with as_typed():
            findings["statistics"] = archive_statistics(data, Path(config.statistics), build(config.suspects), console)
        save(findings, config)
    findings |= describe(data, console)
    save(findings, config)
    findings |= try_training(config, data, console)
    save(findings, config)


def save(findings: dict[str, Any], config: DictConfig) -> None:
    """Write output=<file.json>, if one is asked for."""
    if config.output is not None:
        Path(config.output).write_text(json.dumps(findings, indent=1) + "\n")


def count_parameters(config: DictConfig) -> int:
    """Trained parameters of the configured network."""
    with torch.device("meta"):  # sizes without memory
        model = build_network(config.model, build(config.head))
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def describe(data: DataModule, console: Console) -> dict[str, Any]:
    """Print archives and windows of a data module; return the same as plain values.

    Raises:
        NoWindowError: A split that training needs, train or val, has no window.
    """
    archives = data.describe()
    if archives:
        console.print(archive_table(archives))
    samples = {}
    for split in SPLITS:
        try:
            samples[split] = len(data.dataset(split))  # type: ignore[arg-type]  # a map-style data set
        except NoWindowError as error:
            if split != "test":
                raise
            samples[split] = 0
            advice = "Scoring after training needs test windows; evaluate=false trains without"
            console.print(f"warning: {error}. {advice}", highlight=False, soft_wrap=True)
        console.print(f"{split}: {samples[split]} samples", highlight=False)
    if not (balance := balance_of(data)):
        return {"archives": archives, "samples": samples}
    console.print(balance_table(balance))
    return {"archives": archives, "samples": samples, "sampling": plain_balance(balance)}


def try_training(config: DictConfig, data: DataModule, console: Console) -> dict[str, Any]:
    """Do a few training steps, print what they cost and what would fit; return the same as plain values."""
    batches = (dict[str, Any](data.on_after_batch_transfer(batch, 0)) for batch in data.train_dataloader())
    task = make_task(config, data)
    found = measure_training(task, batches, plain(config.trainer))
    console.print(
        f"training step of {found['batch_size']} sequences: {found['peak_memory_mib']:,.0f} MiB, "
        f"{found['free_memory_mib']:,.0f} MiB are free",
        highlight=False,
    )
    if found["step_seconds"] is not None:
        console.print(
            f"speed: {found['sequences_per_second']:.3g} sequences/s; the {found['bottleneck']} is the bottleneck "
            f"(a step takes {found['step_seconds']:.3g} s, loading a batch {found['loader_seconds']:.3g} s)",
            highlight=False,
        )
    console.print(advice(found), highlight=False, soft_wrap=True)
    return found


def advice(found: dict[str, Any]) -> str:
    """The largest micro-batch that fits, and the settings that keep the effective batch."""
    if found["micro_batch"] is None:
        return "not even one sequence fits: take a smaller data.crop or model.hidden, or model.recompute=true"
    fits = "largest micro-batch that fits and divides the effective batch"
    settings = (
        f"data.batch_size={found['micro_batch']} trainer.accumulate_grad_batches={found['accumulate_grad_batches']}"
    )
    return f"{fits}: {settings}"


def archive_table(archives: list[dict[str, Any]]) -> Table:
    """One row per archive: times, field, windows per split."""
    table = Table(title="archives (rain: cells with at least 0.1 mm/h)", title_justify="left")
    for column in ("archive", "time (UTC)", "field", "windows"):
        table.add_column(column)
    for row in archives:
        first, last = (row[key].replace("T", " ")[:16] for key in ("first", "last"))
        table.add_row(
            row["name"],
            f"{first} to\n{last}\n{row['frames']} frames, {row['timestep_minutes']:g} min, {row['gaps']} gaps",
            f"{row['stored']}\n{row['grid'][0]} x {row['grid'][1]}, {row['cell_km']:.3g} km\n"
            f"{left_out(row['dropped'])}"
            f"rain {row['rain_fraction']:.1%}, no data {row['no_data_fraction']:.1%}",
            "\n".join(f"{row['windows'][split]} {split}" for split in SPLITS),
            end_section=True,
        )
    return table


def left_out(dropped: list[int]) -> str:
    """A line on the rows and columns at the edge that averaging has no whole cell for; "" where there are none."""
    parts = [
        f"{count} {name}{'s' * (count > 1)}" for count, name in zip(dropped, ("row", "column"), strict=True) if count
    ]
    return f"(averaging leaves out {' and '.join(parts)})\n" if parts else ""
