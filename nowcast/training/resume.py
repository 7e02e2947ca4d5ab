"""Going on with an interrupted run in its own directory."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from nowcast.config.command_line.quoting import typed
from nowcast.config.differences import differences, flat
from nowcast.config.mistakes import UsageError
from nowcast.config.moved import as_now
from nowcast.files import refuse_existing_run, written_whole
from nowcast.forecasting import checkpoint
from nowcast.report.csv_files import read_complete_records, write_records
from nowcast.training.loggers.metrics import joined

# What may differ from the run that is taken up: what has no part in the weights.
MAY_DIFFER = (
    "name", "resume", "allow_data_change", "evaluate", "trainer.max_time", "trainer.enable_progress_bar",
    "callbacks.progress", "callbacks.watch", "logger", "data.workers", "data.remote_cache_gb",
)  # fmt: skip
# What may differ as well where a checkpoint is the start of another run.
NEW_RUN_MAY_DIFFER = (
    "output", "init", "callbacks", "calibration", "verification", "scores", "strata", "uncertainty", "frame_scores",
    "baselines", "picture", "colour_blind_safe", "trainer",
)  # fmt: skip
A_NEW_RUN = (*MAY_DIFFER, *NEW_RUN_MAY_DIFFER)
# What the configs said before, and say now: a run that was begun with the one goes on with it.
CHANGED_SINCE = {
    key: ("val/csi_0p5mmh", "val/csi") for key in ("callbacks.checkpoint.monitor", "callbacks.early_stopping.monitor")
}
# What a run has that does not name it, since it was begun before there was such a setting.
UNNAMED = {"data.split.shared_blocks": False, "init": None}
TIME = "callbacks.processor_time"
# What the configs count since, and a run that does not name it may count as well: it has no part in the weights.
COUNTED_SINCE = ("scores.probability", "baselines.lagrangian_probability", TIME)
HOW = "resume must be never, auto or the path of a checkpoint"


@dataclass(frozen=True)
class Start:
    """How a run begins.

    Args:
        checkpoint: What training goes on from; None = from initial weights.
        known: The run directory is that of an earlier start of the same run.
        finished: That run trained and scored to its end: nothing is left to do.
        lower_rate: Factor of the learning rate, where the run was to be tried again from this very checkpoint.
        step: Steps of the optimiser that an earlier start of the same run has done.
    """

    checkpoint: Path | None
    known: bool
    finished: bool = False
    lower_rate: float | None = None
    step: int = 0


def choose_start(folder: Path, config: dict[str, Any], data: dict[str, Any], first_process: bool) -> Start:
    """What `resume` means for a run directory.

    Args:
        folder: The run directory.
        config: The config to train with, plain values. `resume` in it is "never" (a new run), "auto" (go on with the
            run in the folder if there is one, and only if its config is the same) or the path of a checkpoint (a new
            run that begins with its weights, optimiser and epoch).
        data: Facts of the data to train on.
        first_process: Of those that train together; the others may find what it has just begun.

    Raises:
        FileNotFoundError: No such checkpoint.
        FileExistsError: The folder holds a run, and a new one was asked for.
        ValueError: What is taken up was begun with another config or other data; the message shows both values.
    """
    known = (folder / "config.yaml").exists()
    if config["resume"] == "auto":
        return _same_run(folder, config, data) if known else Start(None, known=False)
    if first_process:
        refuse_existing_run(folder)
    if config["resume"] == "never":
        return Start(None, known=False)
    chosen = Path(config["resume"]).expanduser()
    if not chosen.is_file():
        raise FileNotFoundError(f"resume={config['resume']}: no such file; {HOW}")
    content = checkpoint.read(chosen)
    if "loops" not in content:
        raise UsageError(f"{chosen} holds weights alone and no training to go on with: init={chosen} begins with them")
    identity, limit = content["nowcast"], config["callbacks"].get("processor_time") or {}
    _refuse_all_done(chosen, checkpoint.epochs_trained(content), "trainer.max_epochs", "epochs", config)
    if limit.get("limit_seconds") is not None:
        done = content["callbacks"].get("ProcessorTime", {}).get("seconds", 0.0)
        _refuse_all_done(chosen, done, f"{TIME}.limit_seconds", "processor seconds", config)
    _refuse_another(chosen, identity["config"], config, A_NEW_RUN)
    _refuse_other_data(chosen, identity["data"], data, config["allow_data_change"])
    return Start(chosen, known=False)


def _refuse_all_done(chosen: Path, done: float, key: str, what: str, config: dict[str, Any]) -> None:
    planned = flat(config)[key]
    if not 0 <= planned <= done:
        return
    more = f"{key}={2 * done:.6g}"
    way = f"give more, such as {more}"
    if config["optimizer"]["schedule"]:
        way = f"over them the learning rate's schedule spans, so that more need a start anew: resume=never {more}"
    raise UsageError(f"{chosen} has trained {done:.6g} {what}; with {key}={planned} none is left: {way}")


def stored_settings(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Settings that a run which is taken up goes on with, since the configs said so when it was begun: key → value."""
    path = folder / "config.yaml"
    if config["resume"] != "auto" or not path.exists():
        return {}
    begun, now = flat(as_now(yaml.safe_load(path.read_text()))), flat(config)
    other = {key: old for key, (old, new) in CHANGED_SINCE.items() if (begun.get(key), now.get(key)) == (old, new)}
    return other | {key: value for key, value in UNNAMED.items() if key in now and key not in begun}


def _same_run(folder: Path, config: dict[str, Any], data: dict[str, Any]) -> Start:
    last = folder / "checkpoints" / "last.ckpt"
    before = as_now(yaml.safe_load((folder / "config.yaml").read_text()))
    possible = last.is_file() and not _changed(before, config, A_NEW_RUN)
    _refuse_another(folder, before, config, MAY_DIFFER, _as_new(last, config) if possible else "")
    facts = json.loads((folder / "provenance.json").read_text())
    _refuse_other_data(folder, facts["data"], data, config["allow_data_change"])
    if not last.is_file():  # it stopped in its first epoch and has nothing to lose
        return Start(None, known=True, finished="finished" in facts)
    retry, step = facts.get("retry", {}), checkpoint.read(last)["global_step"]
    lower = retry["lr_factor"] if retry.get("step") == step else None
    return Start(last, known=True, finished="finished" in facts, lower_rate=lower, step=step)


def _as_new(last: Path, config: dict[str, Any]) -> str:
    epochs, planned = checkpoint.epochs_trained(checkpoint.read(last)), config["trainer"]["max_epochs"]
    trained = 0 <= planned <= epochs
    if trained and config["optimizer"]["schedule"]:  # which spans all epochs, so that there are no more
        return ""
    more = f" and trainer.max_epochs above {epochs}" if trained else ""
    return f", or begin a new run in another output= with its weights: {typed('resume', last)}{more}"


def _refuse_another(
    begun: Path, before: dict[str, Any], now: dict[str, Any], may_differ: tuple[str, ...], also: str = ""
) -> None:
    if changed := _changed(before, now, may_differ):
        raise UsageError(
            f"{begun} was begun with another config, and going on would mix the two: {'; '.join(changed[:8])}. "
            f"Give the settings it was begun with, or start anew with resume=never in another output={also}"
        )


def _changed(before: dict[str, Any], now: dict[str, Any], may_differ: tuple[str, ...]) -> list[str]:
    if now["optimizer"]["schedule"] and "trainer" in may_differ:  # the schedule spans all epochs, or all seconds
        others = {f"callbacks.{name}" for name in (*before["callbacks"], *now["callbacks"])} - {TIME}
        kept = (key for key in may_differ if key not in ("trainer", "callbacks"))
        may_differ = (*kept, "trainer.devices", "trainer.accelerator", *others)
    if now["allow_data_change"]:
        may_differ = (*may_differ, "data")
    before, now = (_relative(config, config["output"]) for config in (before, now))  # however output= was typed
    unnamed = [key for key, value in UNNAMED.items() if key not in flat(before) and flat(now).get(key, value) == value]
    since = tuple(key for key in COUNTED_SINCE if not any(_below(name, (key,)) for name in flat(before)))
    without = [key for key in (*flat(before), *flat(now)) if _below(key, (*may_differ, *since))]
    return differences(before, now, [*without, *unnamed])


def _relative(values: Any, output: str) -> Any:  # noqa: ANN401 (plain values)
    """The same config with paths inside of the run directory relative to it."""
    if isinstance(values, dict):
        return {key: _relative(value, output) for key, value in values.items()}
    if isinstance(values, list):
        return [_relative(value, output) for value in values]
    place = output.rstrip("/")
    inside = isinstance(values, str) and (values == output or values.startswith(f"{place}/"))
    return f"<output>/{values[len(place) :].strip('/')}" if inside else values


def for_more_epochs(folder: Path, config: dict[str, Any]) -> str:
    """What to type for more epochs than a run has trained."""
    if config["optimizer"]["schedule"]:
        return (
            "for more epochs, over all of which the learning rate's schedule is to span, start anew: resume=never, a "
            "larger trainer.max_epochs and another output="
        )
    last, larger = folder / "checkpoints" / "last.ckpt", "trainer.max_epochs"
    if config["callbacks"].get("early_stopping"):
        larger += " and callbacks.early_stopping.patience"
    return f"for more epochs: {typed('resume', last)}, a larger {larger} and another output="


def _refuse_other_data(begun: Path, before: dict[str, Any], now: dict[str, Any], allowed: bool) -> None:
    changed = differences(as_now(json.loads(json.dumps(before))), json.loads(json.dumps(now)))
    if changed and not allowed:
        raise ValueError(
            f"{begun} was begun with other data than the config finds now: {'; '.join(changed[:8])}. "
            "allow_data_change=true goes on deliberately"
        )


def _below(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def note_resumption(folder: Path, resumed: Path | None) -> None:
    """Add to provenance.json that and when the run was taken up again, and from which checkpoint (None = anew)."""
    entry = {"when": _now(), "from": None if resumed is None else resumed.name}
    _amend(folder, lambda facts: facts.setdefault("resumed", []).append(entry))


def retry_once(folder: Path, lr_factor: float) -> Start | None:
    """Another start of a run that diverged, from its last checkpoint, noted in provenance.json; None = not again."""
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file() or "retry" in json.loads((folder / "provenance.json").read_text()):
        return None
    step = checkpoint.read(last)["global_step"]
    _amend(folder, lambda facts: facts.update(retry={"when": _now(), "step": step, "lr_factor": lr_factor}))
    return Start(last, known=True, lower_rate=lr_factor)


def note_end(folder: Path) -> None:
    """Add to provenance.json that and when the run finished."""
    _amend(folder, lambda facts: facts.update(finished=_now()))


def _amend(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "provenance.json"
    facts = json.loads(path.read_text())
    change(facts)
    with written_whole(path) as partial:
        partial.write_text(json.dumps(facts, indent=1) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def keep_metrics(folder: Path, resumed: Path | None) -> None:
    """Put metrics.csv aside up to the checkpoint, as the logger would delete it; `join_metrics` brings it back."""
    path, steps = folder / "metrics.csv", 0 if resumed is None else checkpoint.read(resumed)["global_step"]
    if path.exists():
        _write(folder / f"metrics_before_{len(_pieces(folder)) + 1}.csv", read_complete_records(path), before=steps)
        path.unlink()


def join_metrics(folder: Path) -> None:
    """One metrics.csv out of the pieces of a resumed run."""
    pieces = _pieces(folder)
    if not pieces:
        return
    parts = [*pieces, folder / "metrics.csv"]
    rows = [row for path in parts if path.exists() for row in read_complete_records(path)]
    # A kill between putting a piece aside and removing its source leaves lines twice.
    once = dict.fromkeys(tuple((name, value) for name, value in row.items() if value) for row in rows)
    _write(folder / "metrics.csv", joined([dict(row) for row in once]))
    for path in pieces:
        path.unlink()


def _pieces(folder: Path) -> list[Path]:
    return sorted(folder.glob("metrics_before_*.csv"), key=lambda path: int(path.stem.rsplit("_", 1)[1]))


def _write(path: Path, rows: list[dict[str, str]], before: float = math.inf) -> None:
    names = sorted({name for row in rows for name in row})
    write_records(path, names, (row for row in rows if int(row["step"]) < before))


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing: files with temporary names that no living process owns."""
    for path in (*folder.glob("*.partial"), *(folder / "checkpoints").glob("*.partial")):
        owner = path.suffixes[-2].removeprefix(".") if len(path.suffixes) > 1 else ""
        if owner.isdigit() and not _alive(int(owner)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
