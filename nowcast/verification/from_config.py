"""What a config says of scoring, as objects: the plan, its families and groups, and the baselines."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from nowcast.config.build import build, plain
from nowcast.data.interface import DataModule
from nowcast.data.windows.index import Split
from nowcast.verification.plan import ScoringPlan
from nowcast.verification.scores.family import Family
from nowcast.verification.strata import Groups


def make_plan(config: Mapping[str, Any], data: DataModule, split: Split) -> ScoringPlan:
    """What `verification`, `scores`, `strata` and `frame_scores` say, for the windows of a split.

    Raises:
        ValueError: Its windows differ in lead times, or a setting is refused.
    """
    verification = config["verification"]
    rain = bool(list(verification["thresholds"])) and data.quantity == "rain_rate"
    return ScoringPlan(
        main_threshold=verification["main_threshold"] if rain else None,
        variants={name: build(node) for name, node in config["frame_scores"].items() if node is not None},
        lead_times=data.lead_times(split),
        lead_unit=data.lead_unit,
        families=make_families(config["scores"]) if rain else {},
        family_settings=plain(config["scores"]) if rain else {},
        groups=make_groups(config["strata"], data) if rain else None,
        map_shape=data.common_shape(split) if rain else None,
        common_mask=verification["common_mask"],
    )


def make_families(nodes: Mapping[Any, Any]) -> dict[str, Family]:
    """The families of scores that a config names.

    Raises:
        ValueError: Events or errors, which every table shows, are not among them.
    """
    families: dict[str, Family] = {str(name): build(node) for name, node in nodes.items() if node is not None}
    if missing := {"categorical", "continuous"} - families.keys():
        raise ValueError(f"scores must hold categorical and continuous, {', '.join(sorted(missing))} is missing")
    return families


def make_groups(node: Mapping[Any, Any], data: DataModule) -> Groups:
    """How windows of rain are grouped."""
    data.setup()
    return Groups(build(node), [(series.name, series.times) for series in data.series])


def make_baselines(config: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The models to score beside the network."""
    return {str(key): build(node) for key, node in config["baselines"].items() if node is not None}
