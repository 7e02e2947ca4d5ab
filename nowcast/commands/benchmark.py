"""`nowcast benchmark`: our ConvLSTM beside the textbook one, in one process, in turns."""

from typing import Any

from omegaconf import DictConfig

from nowcast.config.build import build, plain
from nowcast.config.program import program

LOADING_SECONDS = 3.0


@program("benchmark")
def main(config: DictConfig) -> None:
    """Measure every size, mode and precision asked for; print tables, write output=<file.json>."""
    import torch
    from rich.console import Console

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
    results["growth"] = grow(config)
    for row in results["growth"]:
        times = ", ".join(
            f"{factor}x {seconds:.3g} s" for factor, seconds in zip(row["factors"], row["seconds"], strict=True)
        )
        console.print(f"{row['axis']}, {row['precision']}: {times}; exponent {row['exponent']:.2f}", highlight=False)
    results["loading"] = load(config)
    for row in results["loading"]:
        speed = f"{row['windows_per_second']:,.0f} windows/s"
        console.print(f"windows of 20x{row['side']}x{row['side']}, cache={row['cache']}: {speed}", highlight=False)
    save(results, config)
    if config.output is not None:
        console.print(f"wrote {config.output}", highlight=False, soft_wrap=True)


def save(results: dict[str, Any], config: DictConfig) -> None:
    """Write output=<file.json>, if one is asked for."""
    import json
    from pathlib import Path

    if config.output is not None:
        Path(config.output).expanduser().write_text(json.dumps(results, indent=1) + "\n")


def validate(config: DictConfig) -> None:
    """Refuse what cannot be measured, before anything is.

    Raises:
        ValueError: Naming key, value and what is allowed.
        FileNotFoundError: against= names no file.
    """
    from pathlib import Path

    import torch

    from nowcast.studies.benchmarks.growth import AXES
    from nowcast.studies.benchmarks.rounds import CLOCKS, PRECISIONS

    choices = {
        "run": config.sizes,
        "precisions": PRECISIONS,
        "modes": ("train", "inference"),
        "growth": AXES,
    }
    may_be_empty = ("growth", "run") if config.growth or config.loading else ("growth",)
    for key, allowed in choices.items():
        unknown = [value for value in config[key] if value not in allowed]
        if unknown or not (config[key] or key in may_be_empty):
            raise ValueError(f"{key}={list(config[key])}: choose from {', '.join(allowed)}")
    largest = min(config.archives.rain.shape)
    if not all(0 < side <= largest for side in config.loading):
        raise ValueError(f"loading={list(config.loading)}: sides must be 1 to {largest} cells (archives.rain.shape)")
    if config.rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {config.rounds}")
    if not config.compiled or not all(isinstance(value, bool) for value in config.compiled):
        raise ValueError(f"compiled must be [false], [true] or [false,true], got {config.compiled}")
    if config.clock not in CLOCKS or (config.clock == "cpu" and config.device != "cpu"):
        raise ValueError(f"clock must be wall, or on device=cpu also cpu; got clock={config.clock}")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda, but torch sees no CUDA device; use device=cpu")
    if config.against is not None and not Path(config.against).expanduser().is_file():
        raise FileNotFoundError(f"against={config.against}: no such file; it must define build(net) -> torch.nn.Module")
    if any(config.compiled):
        require_compiler(config.device)


def require_compiler(device: str) -> None:
    """torch.compile needs a C++ compiler for CPUs.

    Raises:
        ValueError: There is none.
    """
    import os
    import shutil

    candidates = [os.environ.get("CXX"), "g++", "clang++"]
    if device == "cpu" and not any(shutil.which(name) for name in candidates if name):
        raise ValueError("compiled=[true] needs a C++ compiler: install g++, set CXX, or leave compiled=[false]")


def measure_size(name: str, config: DictConfig) -> dict[str, Any]:
    """All results of one size."""
    import torch

    from nowcast.progress import track
    from nowcast.studies.benchmarks.rounds import CLOCKS, check_equal, measure
    from nowcast.studies.benchmarks.work import necessary

    size, device = config.sizes[name], torch.device(config.device)
    torch.manual_seed(config.seed)
    net = build(size.model).to(device)
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
        able = [one for one in contenders if mode == "train" or one.graphed is None]  # forecasts are not recorded
        results += measure(able, convolutions, mode, (inputs, targets), config.rounds, clock, track, title)
    return {"parameters": sum(p.numel() for p in net.parameters()), "differences": differences, "results": results}


def grow(config: DictConfig) -> list[dict[str, Any]]:
    """How the time of a training step grows along each axis asked for."""
    import torch

    from nowcast.progress import track
    from nowcast.studies.benchmarks.growth import measure_growth
    from nowcast.studies.benchmarks.rounds import CLOCKS, Contender

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
    from nowcast.studies.benchmarks.loading import measure_loading

    return measure_loading(build(config.archives).paths(), list(config.loading), LOADING_SECONDS, config.seed)


def make_contenders(net: Any, config: DictConfig) -> list[Any]:  # noqa: ANN401 (torch is imported late)
    """Ours in all its forms, the textbook and the peer of against=, in all precisions, compiled or not."""
    import copy

    from nowcast.models.kernels.cuda_graphs import GraphedNetwork
    from nowcast.models.kernels.layer import Execution
    from nowcast.studies.benchmarks.rounds import Contender
    from nowcast.studies.benchmarks.textbook import Textbook

    ways = {"nowcast": net.execution, "recompute": net.execution._replace(recompute=True)}
    if config.device == "cpu" and net.execution.winograd:
        ways["direct"] = Execution(recompute=False, winograd=False)
    nets: dict[str, Any] = dict.fromkeys(ways, net)
    nets["textbook"] = Textbook(net).to(config.device)
    if config.against is not None:
        nets["against"] = load_peer(config.against, net)
    result = []
    for compiled in config.compiled:
        for name, module in nets.items():
            if compiled and name in ("recompute", "direct"):
                continue  # a compiler decides itself
            ready = copy.deepcopy(module)
            if name in ways:
                ready.execution = ways[name]
            if compiled:
                ready.compile()
            result += [Contender(name, precision, compiled, ready) for precision in config.precisions]
    if config.device == "cuda":  # a record is of one precision
        copies = [(precision, copy.deepcopy(net)) for precision in config.precisions]
        result += [Contender("graphs", precision, False, own, GraphedNetwork(own, 0)) for precision, own in copies]
    return result


def load_peer(path: str, net: Any) -> Any:  # noqa: ANN401
    """What build(net) of a Python file returns: a module (inputs, forecast_steps) → logits with the weights of net.

    Raises:
        ValueError: The file defines no build.
    """
    import runpy
    from pathlib import Path

    build_peer = runpy.run_path(str(Path(path).expanduser())).get("build")
    if not callable(build_peer):
        raise ValueError(f"{path} defines no build(net) -> torch.nn.Module")
    return build_peer(net)


def describe_machine(config: DictConfig) -> dict[str, Any]:
    """Processor, device, versions and date."""
    import os
    import platform
    from datetime import UTC, datetime
    from pathlib import Path

    import torch

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


def table_of(name: str, mode: str, rows: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    """One row per contender; the last columns compare with the textbook: in the same precision, in fp32, memory."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=f"{name}, {mode}", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("")
    for column in ("s", "spread", "seq/s", "GFLOP/s", "ceiling", "MiB", "speed", "/fp32", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        keys = ("speed_against_textbook", "speed_against_textbook_fp32", "memory_against_textbook")
        table.add_row(
            f"{row['name']} {row['precision']}{' compiled' if row['compiled'] else ''}",
            f"{row['seconds']:.3g}",
            "-" if row["spread"] is None else f"{row['spread']:.0%}",
            f"{row['sequences_per_second']:.3g}",
            f"{row['flop_per_second'] / 1e9:.0f}",
            f"{row['fraction_of_ceiling']:.0%}",
            f"{row['peak_memory_mib']:.0f}",
            *("" if key not in row else f"{row[key]:.2f}x" for key in keys),
        )
    return table


def ceilings_of(rows: list[dict[str, Any]]) -> list[str]:
    """A line per precision: how fast the convolutions alone are."""
    ceilings = {row["precision"]: row["ceiling_flop_per_second"] for row in rows}
    return [
        f"ceiling {precision}, GFLOP/s: "
        + ", ".join(f"{kind.replace('_', ' ')} {speed / 1e9:.0f}" for kind, speed in kinds.items() if speed)
        for precision, kinds in ceilings.items()
    ]


if __name__ == "__main__":
    main()
