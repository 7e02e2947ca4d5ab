"""Results of a benchmark as tables and lines."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


def table_of(name: str, mode: str, rows: list[dict[str, Any]]) -> Table:
    """One row per contender; the last columns compare with the textbook: in the same precision, in fp32, memory."""
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


def table_of_models(mode: str, rows: list[dict[str, Any]]) -> Table:
    """One row per model and precision: seconds, operations (of convolutions and products), memory, parameters."""
    table = Table(title=f"models, {mode}", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("")
    for column in ("parameters", "s", "spread", "seq/s", "GFLOP", "GFLOP/s", "MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        flop = [None if row[key] is None else row[key] / 1e9 for key in ("flop", "flop_per_second")]
        table.add_row(
            f"{row['name']} {row['precision']}",
            f"{row['parameters']:,}",
            f"{row['seconds']:.3g}",
            "-" if row["spread"] is None else f"{row['spread']:.0%}",
            f"{row['sequences_per_second']:.3g}",
            *map(_short, [*flop, row["peak_memory_mib"]]),
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


def growth_line(row: dict[str, Any]) -> str:
    """How the time of a step grew along an axis."""
    times = ", ".join(
        f"{factor}x {seconds:.3g} s" for factor, seconds in zip(row["factors"], row["seconds"], strict=True)
    )
    return f"{row['axis']}, {row['precision']}: {times}; exponent {row['exponent']:.2f}"


def loading_line(row: dict[str, Any]) -> str:
    """How many windows of a side were read."""
    return (
        f"windows of 20x{row['side']}x{row['side']}, cache={row['cache']}: {row['windows_per_second']:,.0f} windows/s"
    )


def table_of_stores(side: int, rows: list[dict[str, Any]]) -> Table:
    """One row per contender: windows a second, and bytes decoded and fetched per byte used, cold / warm."""
    title = f"windows of 20x{side}x{side} a second (of processor time), bytes decoded and fetched per byte, cold/warm"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("/s", "/cpu s", "decoded", "fetched"):
        table.add_column(column, justify="right", no_wrap=True)
    keys = ("windows_per_second", "windows_per_processor_second", "decoded", "fetched")
    for row in rows:
        pairs = [[row[f"{when}_{key}"] for when in ("cold", "warm")] for key in keys]
        texts = ["/".join(map(_short, pair)) for pair in pairs]
        table.add_row(row["label"], *texts)
    return table


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
