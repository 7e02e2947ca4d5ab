"""Measures every size, mode and precision asked for, in turns, and models, growth and loading."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from nowcast.config.build import build, plain
from nowcast.models.networks.convlstm import ConvLSTM
from nowcast.progress import track
from nowcast.studies.benchmarks.contenders import make_contenders
from nowcast.studies.benchmarks.growth import measure_growth
from nowcast.studies.benchmarks.loading import measure_loading
from nowcast.studies.benchmarks.models.measure import measure_models
from nowcast.studies.benchmarks.rounds import CLOCKS, Contender, check_equal, measure
from nowcast.studies.benchmarks.tables import (
    ceilings_of,
    growth_line,
    loading_line,
    table_of,
    table_of_models,
    table_of_stores,
)
from nowcast.studies.benchmarks.validate import validate
from nowcast.studies.benchmarks.work import necessary

LOADING_SECONDS = 3.0


def benchmark(config: DictConfig) -> list[Path]:
    """Measure what the config of `nowcast benchmark` asks for and print tables; return output=<file.json>, if written.

    Raises:
        ValueError: It cannot be measured.
        FileNotFoundError: against= names no file.
    """
    validate(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    console = Console()
    results: dict[str, Any] = {"machine": describe_machine(config), "settings": plain(config), "sizes": {}}
    for name in config.run:
        size = results["sizes"][name] = measure_size(name, config)
        for mode in config.modes:
            rows = [row for row in size["results"] if row["mode"] == mode]
            console.print(table_of(name, mode, rows))
            for line in ceilings_of(rows):
                console.print(line, highlight=False)
        save(results, config)  # a long measurement that is stopped keeps what it has
    results["models"] = measure_models(config) if config.models else []
    for mode in config.modes if config.models else ():
        console.print(table_of_models(mode, [row for row in results["models"] if row["mode"] == mode]))
    save(results, config)
    results["growth"] = grow(config)
    for row in results["growth"]:
        console.print(growth_line(row), highlight=False)
    results["loading"] = load(config)
    for row in results["loading"]:
        console.print(loading_line(row), highlight=False)
    results["stores"] = load_stores(config)
    for side in config.stores:
        console.print(table_of_stores(side, [row for row in results["stores"] if row["side"] == side]))
    return save(results, config)


def save(results: dict[str, Any], config: DictConfig) -> list[Path]:
    """Write output=<file.json>, if one is asked for; return what was written."""
    if config.output is None:
        return []
    output = Path(config.output).expanduser()
    output.write_text(json.dumps(results, indent=1) + "\n")
    return [output]


def measure_size(name: str, config: DictConfig) -> dict[str, Any]:
    """All results of one size."""
    size, device = config.sizes[name], torch.device(config.device)
    torch.manual_seed(config.seed)
    net: ConvLSTM = build(size.model).to(device)
    batch = size.batch_size
    inputs = torch.rand(batch, size.input_steps, net.channels, *size.frame_shape, device=device)
    targets = torch.rand(batch, size.forecast_steps, net.channels, *size.frame_shape, device=device)
    contenders = make_contenders(net, config)
    differences = check_equal(contenders, inputs, size.forecast_steps)
    convolutions = necessary(net, inputs, size.forecast_steps)
    results = []
    for mode in config.modes:
        title = f"{name} {mode}"
        clock = CLOCKS[config.clock]
        results += measure(contenders, convolutions, mode, (inputs, targets), config.rounds, clock, track, title)
    return {"parameters": sum(p.numel() for p in net.parameters()), "differences": differences, "results": results}


def grow(config: DictConfig) -> list[dict[str, Any]]:
    """How the time of a training step grows along each axis asked for."""
    size, device = config.sizes.decade, torch.device(config.device)
    smallest = (size.batch_size, size.input_steps, size.forecast_steps, size.frame_shape)
    rows = []
    for axis in config.growth:
        for precision in config.precisions:
            ours = Contender("nowcast", precision, False, build(size.model).to(device))
            rows.append(measure_growth(axis, ours, smallest, device, config.rounds, track, CLOCKS[config.clock]))
    return rows


def load(config: DictConfig) -> list[dict[str, Any]]:
    """Windows per second of each side asked for; the archive is generated when it is missing."""
    if not config.loading:
        return []
    return measure_loading(build(config.archives).paths(), list(config.loading), LOADING_SECONDS, config.seed)


def load_stores(config: DictConfig) -> list[dict[str, Any]]:
    """Windows per second of each side out of stores; rain and stores are made for it."""
    if not config.stores:
        return []
    from nowcast.studies.benchmarks.stores.measure import measure_stores  # needs the extra `cloud`

    source = build(config.archives).paths()[0]
    return measure_stores(source, list(config.stores), config.rounds, config.seed)


def describe_machine(config: DictConfig) -> dict[str, Any]:
    """Processor, device, versions and date."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": config.threads or torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if config.device == "cuda" else "cpu",
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
