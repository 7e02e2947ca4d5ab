"""Going on with an interrupted run in its own directory."""

import csv
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from nowcast import checkpoint
from nowcast.atomic import written_whole

# What may differ from the run's first config: what has no part in the weights.
MAY_DIFFER = ("resume", "output", "trainer.max_time", "trainer.enable_progress_bar", "callbacks.progress")


def checkpoint_to_resume(folder: Path, config: dict[str, Any], data: dict[str, Any]) -> Path:
    """The checkpoint to go on from.

    Args:
        folder: The run directory.
        config: The config to go on with, plain values. More or fewer epochs are allowed where no learning-rate
            schedule depends on their number.
        data: Facts of the data to go on with.

    Raises:
        FileNotFoundError: No run there, or none that finished an epoch.
        ValueError: The run was begun with another config or other data; the message says what differs.
    """
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        raise FileNotFoundError(
            f"resume=true, but there is no {last}: no run was begun there, or it stopped in its first epoch. "
            "Start it anew in another output="
        )
    before, now = _flat(yaml.safe_load((folder / "config.yaml").read_text())), _flat(config)
    may_differ = MAY_DIFFER if config["optimizer"]["schedule"] else (*MAY_DIFFER, "trainer.max_epochs")
    changed = [
        f"{key}: {before.get(key, 'absent')!r} → {now.get(key, 'absent')!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(may_differ)
    ]
    if changed:
        raise ValueError(
            f"{folder} was begun with another config, and going on would mix the two: {'; '.join(changed[:8])}. "
            "Give the settings it was begun with (config.yaml there), or start anew in another output="
        )
    if checkpoint.read(last)["nowcast"]["data"] != data:
        raise ValueError(f"{folder} was begun with other data than the config finds now (provenance.json there)")
    return last


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(values, dict):
        return {prefix.rstrip("."): values}
    return {key: leaf for name, value in values.items() for key, leaf in _flat(value, f"{prefix}{name}.").items()}


def note_resumption(folder: Path, resumed: Path) -> None:
    """Add to provenance.json that and when the run was taken up again."""
    path = folder / "provenance.json"
    facts = json.loads(path.read_text())
    facts.setdefault("resumed", []).append(
        {"when": datetime.now(UTC).isoformat(timespec="seconds"), "from": resumed.name}
    )
    with written_whole(path) as partial:
        partial.write_text(json.dumps(facts, indent=1) + "\n")


def keep_metrics(folder: Path, resumed: Path) -> None:
    """Put metrics.csv aside up to the checkpoint, as the logger would delete it; `join_metrics` brings it back."""
    path, steps = folder / "metrics.csv", checkpoint.read(resumed)["global_step"]
    if path.exists():
        _write(folder / f"metrics_before_{len(_pieces(folder)) + 1}.csv", _rows(path), before=steps)
        path.unlink()


def join_metrics(folder: Path) -> None:
    """One metrics.csv out of the pieces of a resumed run."""
    pieces = _pieces(folder)
    if not pieces:
        return
    parts = [*pieces, folder / "metrics.csv"]
    _write(folder / "metrics.csv", [row for path in parts if path.exists() for row in _rows(path)])
    for path in pieces:
        path.unlink()


def _pieces(folder: Path) -> list[Path]:
    return sorted(folder.glob("metrics_before_*.csv"), key=lambda path: int(path.stem.rsplit("_", 1)[1]))


def _write(path: Path, rows: list[dict[str, str]], before: float = math.inf) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with written_whole(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if int(row["step"]) < before)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
