"""`nowcast check data=… model=…`: what a run would train on, before it does."""

import json
from typing import Any

from omegaconf import DictConfig

from nowcast.config import build, program


@program("check")
def main(config: DictConfig) -> None:
    """Print model size, archives and windows per split; write them to output=<file.json> when asked to."""
    from pathlib import Path

    from rich.console import Console

    from nowcast.run import validate

    validate(config)
    console = Console()
    findings: dict[str, Any] = {"parameters": count_parameters(config)}
    console.print(f"model: {findings['parameters']:,} parameters", highlight=False)
    try:
        data = build(config.data)
        data.setup()
        findings |= describe(data, console)
    finally:
        # The size of the model is worth having even where the data is not at hand.
        if config.output is not None:
            Path(config.output).write_text(json.dumps(findings, indent=1) + "\n")


def count_parameters(config: DictConfig) -> int:
    """Trained parameters of the configured network."""
    return sum(parameter.numel() for parameter in build(config.model).parameters() if parameter.requires_grad)


def describe(data: Any, console: Any) -> dict[str, Any]:  # noqa: ANN401 (imported late)
    """Print archives and windows of a data module; return the same as plain values.

    Raises:
        ValueError: A split that training needs has no window.
    """
    from rich.table import Table

    from nowcast.data.windows import SPLITS

    archives = data.describe()
    table = Table(title="archives", title_justify="left")
    columns = [
        "archive",
        "first (UTC)",
        "last (UTC)",
        "frames",
        "step",
        "gaps",
        "grid",
        "cell",
        "stored",
        "rain",
        "no data",
    ]
    for column in (*columns, *SPLITS):
        table.add_column(column, justify="left" if column in ("archive", "stored") else "right")
    for row in archives:
        cells = [
            row["name"],
            row["first"].replace("T", " ")[:16],
            row["last"].replace("T", " ")[:16],
            str(row["frames"]),
            f"{row['timestep_minutes']:g} min",
            str(row["gaps"]),
            f"{row['grid'][0]}x{row['grid'][1]}",
            f"{row['cell_km']:.3g} km",
            row["stored"],
            f"{row['rain_fraction']:.1%}",
            f"{row['no_data_fraction']:.1%}",
            *(str(row["windows"][split]) for split in SPLITS),
        ]
        table.add_row(*cells)
    console.print(table)
    samples = {}
    for split in SPLITS:
        if data.split == "all" and split != "test":
            continue
        samples[split] = len(data.dataset(split))
        console.print(f"{split}: {samples[split]} windows x tiles", highlight=False)
    return {"archives": archives, "samples": samples}


if __name__ == "__main__":
    main()
