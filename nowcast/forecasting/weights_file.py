"""A checkpoint as it is handed on: weights in safetensors and what they mean in JSON; neither runs anything."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from nowcast.files import written_whole

SUFFIX = ".safetensors"
CALIBRATION = "calibration."  # begins the names of its tensors
# Of the config of a training what says what was trained on what and how; the rest is of the machine and of its folders.
SAYS = (
    "name", "seed", "data", "model", "head", "scaling", "loss", "optimizer", "calibration", "verification",
    "frame_scores", "baselines",
)  # fmt: skip


def write_weights(content: dict[str, Any], path: Path) -> list[Path]:
    """Write of a checkpoint what forecasting, scoring and a further training need.

    Args:
        content: Of a checkpoint (checkpoint.read).
        path: <name>.safetensors; <name>.json comes to lie beside it.

    Returns:
        Both files. The weights are written first: with them alone nothing can be read.
    """
    calibration = content.get("calibration")
    tensors = dict(content["state_dict"])
    tensors |= {f"{CALIBRATION}{name}": value for name, value in (calibration or {"state": {}})["state"].items()}
    with written_whole(path) as partial:
        partial.write_bytes(save({name: value.contiguous() for name, value in tensors.items()}))
    identity = content["nowcast"]
    facts = {
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "version": identity["version"],
        "config": {key: identity["config"][key] for key in SAYS if key in identity["config"]},
        "data": identity["data"],
        "calibration": None if calibration is None else calibration["applied"],
        "validation": content.get("validation"),
    }
    beside = path.with_suffix(".json")
    with written_whole(beside) as partial:
        partial.write_text(json.dumps(_undefined_as(None, facts), indent=1, allow_nan=False) + "\n")
    return [path, beside]


def read_weights(path: Path) -> dict[str, Any]:
    """What `write_weights` wrote, as the content of a checkpoint.

    Raises:
        ValueError: One of the files is missing or damaged, or they are not of one checkpoint.
    """
    beside = path.with_suffix(".json")
    try:
        facts, written = json.loads(beside.read_text(encoding="utf-8")), path.read_bytes()
        tensors = load(written)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{path}: not readable weights with their {beside.name} ({error})") from error
    if not isinstance(facts, dict) or facts.get("weights_sha256") != hashlib.sha256(written).hexdigest():
        raise ValueError(
            f"{path}: {beside.name} beside it is of other weights (weights_sha256); take both of one place"
        )
    content = {
        "nowcast": {key: facts[key] for key in ("version", "config", "data")},
        "state_dict": {name: value for name, value in tensors.items() if not name.startswith(CALIBRATION)},
        "validation": _undefined_as(math.nan, facts["validation"]),
    }
    if facts["calibration"] is not None:
        content["calibration"] = {"applied": facts["calibration"], "state": _of_calibration(tensors)}
    return content


def _of_calibration(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(CALIBRATION): one for name, one in tensors.items() if name.startswith(CALIBRATION)}


def _undefined_as(value: float | None, given: Any) -> Any:  # noqa: ANN401 (plain values)
    """The same with `value` where a number of a list is undefined, which is null in JSON and NaN here."""
    if isinstance(given, dict):
        return {name: _undefined_as(value, one) for name, one in given.items()}
    if isinstance(given, list | tuple):
        return [value if _undefined(one) else _undefined_as(value, one) for one in given]
    return given


def _undefined(one: object) -> bool:
    return one is None or (isinstance(one, float) and math.isnan(one))
