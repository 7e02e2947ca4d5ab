"""Settings that all stood beside each other before, and are in groups now: where each is."""

from typing import Any

RADAR, MNIST = "nowcast.data.datamodule.RadarDataModule", "nowcast.data.mnist.moving_mnist.MovingMnist"
NESTED = {  # class → setting that stood beside the others → the group that it is in now, and its name there
    RADAR: {
        **{name: f"windows.{name}" for name in ("timestep_minutes", "allow_mixed_timesteps", "cell_km", "stride")},
        "split": "split.method",
        "val_archives": "split.val_archives",
        "test_archives": "split.test_archives",
        "block_minutes": "split.block_minutes",
        "val_fraction": "split.val_fraction",
        "test_fraction": "split.test_fraction",
        "gap_minutes": "split.gap_minutes",
        "shared_blocks": "split.shared_blocks",
        "random_crops": "sampling.random_crops",
        "augment": "sampling.augment",
        "min_rain_fraction": "sampling.min_rain_fraction",
        "min_valid_fraction": "sampling.min_valid_fraction",
        "importance_floor": "sampling.importance_floor",
        "samples_per_epoch": "sampling.samples_per_epoch",
    },
    MNIST: {
        "digits": "digits.images",
        "digits_per_sequence": "digits.per_sequence",
        "test_digits": "test_digits.images",
        "test_digits_per_sequence": "test_digits.per_sequence",
        **{f"{split}_sequences": f"sequences.{split}" for split in ("train", "val", "test")},
        **{f"{split}_file": f"files.{split}" for split in ("train", "val", "test")},
    },
}
GROUPS = {  # class → its groups of settings and their classes
    RADAR: {
        "windows": "nowcast.data.windows.settings.WindowSettings",
        "split": "nowcast.data.windows.settings.SplitSettings",
        "sampling": "nowcast.data.windows.settings.SamplingSettings",
    },
    MNIST: {
        "digits": "nowcast.data.mnist.settings.DigitSettings",
        "test_digits": "nowcast.data.mnist.settings.DigitSettings",
        "sequences": "nowcast.data.mnist.settings.SequenceCounts",
        "files": "nowcast.data.mnist.settings.SequenceFiles",
    },
}


def in_groups(node: dict[Any, Any]) -> dict[Any, Any]:
    """The settings of a class in the groups that they are in now."""
    target = node.get("_target_")
    result: dict[Any, Any] = {}
    for name, value in node.items():
        if place := name_now(target, name, value):
            group, _, setting = place.partition(".")
            if isinstance(value, str) and value.startswith("${.") and (other := name_now(target, value[3:-1], None)):
                value = f"${{..{other}}}"  # a study's config is stored unresolved
            result.setdefault(group, {"_target_": GROUPS[str(target)][group]})[setting] = value
        else:
            result[name] = value
    return result


def name_now(target: Any, name: Any, value: Any = None) -> str:  # noqa: ANN401 (whatever a config holds)
    """Where a setting of a class is now, such as "windows.stride"; "" where it is not called otherwise.

    Args:
        target: The class.
        name: What the setting was called.
        value: Its value: groups of settings have names that were those of settings.
    """
    return "" if isinstance(value, dict) or not isinstance(target, str) else NESTED.get(target, {}).get(name, "")


def owner(group: Any) -> str | None:  # noqa: ANN401 (whatever a config holds)
    """The class that a group of settings belongs to, by the class of the group; None of what is no group."""
    made = group.get("_target_") if hasattr(group, "get") else None
    return next((target for target, groups in GROUPS.items() if made in groups.values()), None)
