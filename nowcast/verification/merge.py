"""Puts the statistics of finished evaluations side by side, when they are of the same observations."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.results.statistics_file import ExampleFields, Statistics

SAME_SUM = 1e-6  # relative: sums of float32 rain in another order of batches
OBSERVED = {"n": "valid cells", "o": "sum of observed rain", "oo": "sum of squared observed rain"}  # moments
Chosen = Mapping[str, tuple[str, int]]  # name in the comparison → (run, number of the model in it)


def merge(runs: Mapping[str, Statistics]) -> Statistics:
    """The models of all runs on the blocks that all of them scored.

    A model that several runs scored alike, such as persistence, appears once; one of the same name with other sums
    gets the run's name behind its own. Families of scores that some run lacks, or counted otherwise, are left out.

    Args:
        runs: Name of the run → its statistics.

    Raises:
        ValueError: Other lead times or thresholds, no block in common, or other observations in one.
    """
    first = next(iter(runs.values()))
    _check_settings(runs)
    _check_masks(runs)
    blocks = _common_blocks(runs)
    _check_observations(runs, blocks)
    same_blocks = all(set(_used(run)) == set(blocks) for run in runs.values())
    families = _common_families(runs)
    keys = [key for key in first.axes if key in ("windows", "missing") or key.split("/")[0] in families]
    groupings = _common_groupings(runs) if same_blocks else ["block"]
    chosen = _chosen_models(runs, blocks, keys)
    maps, no_maps = _maps(runs, chosen) if same_blocks else (None, "they are of all blocks of a run")
    return Statistics(
        models=tuple(chosen),
        lead_times=first.lead_times,
        lead_unit=first.lead_unit,
        groups={key: first.groups[key] for key in groupings} | {"block": tuple(blocks)},
        sums={grouping: _sums(runs, chosen, grouping, keys, blocks) for grouping in groupings},
        axes={key: first.axes[key] for key in keys},
        labels={key: labels for key, labels in first.labels.items() if key.split("/")[0] in families},
        families={family: first.families[family] for family in families},
        facts={
            "caveat": _caveat(runs, same_blocks, no_maps),
            "runs": {name: run.facts for name, run in runs.items()},
        },
        map_counts=maps,
        map_threshold=None if maps is None else first.map_threshold,
        examples=_examples(runs, chosen) if same_blocks else [],
    )


def _common_families(runs: Mapping[str, Statistics]) -> list[str]:
    """Those that every run counted with the same settings."""
    first, *others = runs.values()
    return [name for name, known in first.families.items() if all(run.families.get(name) == known for run in others)]


def _common_groupings(runs: Mapping[str, Statistics]) -> list[str]:
    """Blocks, and the ways of grouping in which every run has the same groups."""
    first, *others = runs.values()
    alike = [name for name, groups in first.groups.items() if all(run.groups.get(name) == groups for run in others)]
    return ["block", *(name for name in alike if name != "block")]


def _sums(
    runs: Mapping[str, Statistics], chosen: Chosen, grouping: str, keys: Sequence[str], blocks: list[str]
) -> dict[str, NDArray[np.float64]]:
    """Statistic → (M, groups, T, …) of the chosen models; of blocks those in common."""
    return {
        key: np.stack(
            [
                (_of_blocks(runs[run], key, blocks) if grouping == "block" else runs[run].sums[grouping][key])[number]
                for run, number in chosen.values()
            ]
        )
        for key in keys
    }


def _check_settings(runs: Mapping[str, Statistics]) -> None:
    (first_name, first), *others = runs.items()
    for name, run in others:
        for what, ours, theirs in (
            ("lead times", (first.lead_times, first.lead_unit), (run.lead_times, run.lead_unit)),
            ("thresholds", first.labels["categorical/threshold"], run.labels["categorical/threshold"]),
        ):
            if ours != theirs:
                raise ValueError(
                    f"{name} has other {what} than {first_name}: {theirs} against {ours}; evaluate them alike"
                )


def _check_masks(runs: Mapping[str, Statistics]) -> None:
    """Refuse runs that left out other cells of an archive; of those from before there were masks, none were."""
    (first_name, first), *others = runs.items()
    for name, run in others:
        ours, theirs = ((one.facts.get("data") or {}) for one in (first, run))
        for archive in ours.get("archives", {}).keys() & theirs.get("archives", {}).keys():
            one, other = ((data.get("masks") or {}).get(archive) for data in (ours, theirs))
            if one != other:
                said = [mask[:8] if mask else "none" for mask in (one, other)]
                raise ValueError(
                    f"{first_name} and {name} were scored with other masks of {archive}: {said[0]} against {said[1]}. "
                    "Evaluate both with one data.mask=<file>, or with data.mask=null"
                )


def _used(run: Statistics) -> list[str]:
    """Blocks with windows."""
    windows = run.sums["block"]["windows"].sum(axis=(0, 2))
    return [label for label, count in zip(run.groups["block"], windows.tolist(), strict=True) if count]


def _common_blocks(runs: Mapping[str, Statistics]) -> list[str]:
    every = [_used(run) for run in runs.values()]
    common = [block for block in every[0] if all(block in other for other in every)]
    if not common:
        shown = "; ".join(f"{name}: {', '.join(used[:3])} …" for name, used in zip(runs, every, strict=True))
        raise ValueError(f"the runs have no block of windows in common: {shown}")
    return common


def _of_blocks(run: Statistics, key: str, blocks: list[str]) -> NDArray[np.float64]:
    """(M, blocks, T, …)."""
    where = {label: number for number, label in enumerate(run.groups["block"])}
    return run.sums["block"][key][:, [where[block] for block in blocks]]


def _check_observations(runs: Mapping[str, Statistics], blocks: list[str]) -> None:
    """Refuse runs that did not see the same rain: their scores cannot be compared in pairs."""
    first_name, first = next(iter(runs.items()))
    for name, run in runs.items():
        for what, meaning in OBSERVED.items():
            ours, theirs = (_observed(one, what, blocks) for one in (first, run))
            differs = ~np.isclose(ours, theirs, rtol=SAME_SUM, atol=0)
            if differs.any():
                block, lead = np.argwhere(differs)[0]
                raise ValueError(
                    f"{name} and {first_name} did not score the same observations in block {blocks[block]} at lead "
                    f"time {first.lead_times[lead]:g}: {meaning} {theirs[block, lead]:.10g} against "
                    f"{ours[block, lead]:.10g}. {_other_archives(first_name, first, name, run)}"
                    "Evaluate both on the same windows, crops and mask (verification.common_mask)"
                )


def _observed(run: Statistics, moment: str, blocks: list[str]) -> NDArray[np.float64]:
    """(blocks, T) of a moment that says nothing of a forecast."""
    number = list(run.labels["continuous/moment"]).index(moment)
    values: NDArray[np.float64] = _of_blocks(run, "continuous/moments", blocks)[0, ..., number]
    return values


def _other_archives(first_name: str, first: Statistics, name: str, run: Statistics) -> str:
    """A sentence on the archives that one of two runs has and the other has not; "" where both have the same."""
    ours, theirs = ((one.facts.get("data") or {}).get("archives", {}) for one in (first, run))
    sides = ((name, theirs, ours), (first_name, ours, theirs))
    more = {who: [key for key in mine if mine[key] != others.get(key)] for who, mine, others in sides}
    parts = [
        f"{', '.join(keys[:3])}{', …' if len(keys) > 3 else ''} only in {who}" for who, keys in more.items() if keys
    ]
    return f"Their archives differ: {'; '.join(parts)}. " if parts else ""


def _chosen_models(runs: Mapping[str, Statistics], blocks: list[str], keys: list[str]) -> Chosen:
    chosen: dict[str, tuple[str, int]] = {}
    for run_name, run in runs.items():
        for number, model in enumerate(run.models):
            if model not in chosen:
                chosen[model] = (run_name, number)
                continue
            other, index = chosen[model]
            pairs = ((_of_blocks(runs[other], k, blocks)[index], _of_blocks(run, k, blocks)[number]) for k in keys)
            if not all(np.allclose(ours, theirs, rtol=SAME_SUM, equal_nan=True) for ours, theirs in pairs):
                chosen[f"{model} ({run_name})"] = (run_name, number)
    return chosen


def _maps(runs: Mapping[str, Statistics], chosen: Chosen) -> tuple[NDArray[np.int64] | None, str]:
    """Maps of all models, or None and why they cannot stand side by side."""
    maps = [runs[run].map_counts for run, _ in chosen.values()]
    known = [counts[number] for counts, (_, number) in zip(maps, chosen.values(), strict=True) if counts is not None]
    if len(known) < len(maps):
        return None, "a run has none, since its windows show different places"
    if len({run.map_threshold for run in runs.values()}) > 1:
        return None, f"their thresholds differ: {', '.join(f'{run.map_threshold:g}' for run in runs.values())} mm/h"
    seen = [
        (hits + misses, hits + misses + false_alarms + negatives) for hits, misses, false_alarms, negatives in known
    ]
    if not all(np.array_equal(one, other) for counted in seen for one, other in zip(counted, seen[0], strict=True)):
        return None, "the runs did not observe the same in every cell"
    return np.stack(known), ""


def _examples(runs: Mapping[str, Statistics], chosen: Chosen) -> list[ExampleFields]:
    """The first run's windows, with the forecasts of other runs where those kept the same window."""
    examples = []
    for example in next(iter(runs.values())).examples:
        rain: dict[str, Any] = {"observed": example.rain["observed"]}
        probabilities: dict[str, Any] = {}
        for name, (run, number) in chosen.items():
            for other in runs[run].examples:
                same = (other.archive, other.init_time) == (example.archive, example.init_time)
                if same and np.array_equal(other.rain["observed"], example.rain["observed"], equal_nan=True):
                    model = runs[run].models[number]
                    rain.setdefault(name, other.rain[model])
                    if model in other.probabilities and other.threshold == example.threshold:
                        probabilities.setdefault(name, other.probabilities[model])
        examples.append(dataclasses.replace(example, rain=rain, probabilities=probabilities))
    return examples


def _caveat(runs: Mapping[str, Statistics], same_blocks: bool, no_maps: str) -> str:
    parts = [str(run.facts["caveat"]) for run in runs.values() if run.facts.get("caveat")]
    if not same_blocks:
        parts.append("The runs did not score the same blocks; only those that all of them scored are compared.")
    if no_maps and any(run.map_counts is not None for run in runs.values()):
        parts.append(f"There are no score maps and no scores by region: {no_maps}.")
    return " ".join(dict.fromkeys(parts))
