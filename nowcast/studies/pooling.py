"""The statistics of evaluations of other data put together, as if one evaluation had scored it all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.results.statistics_file import Statistics

Array = NDArray[np.float64]


def pool(runs: Mapping[str, Statistics]) -> Statistics:
    """The models that all runs scored, over the windows of all of them.

    Blocks of one name, such as the same day at two radars, become one. Lead times are those in common. Families of
    scores that some run lacks or counted otherwise, and models that some run lacks, are left out; the caveat says so.

    Args:
        runs: Name of the run → its statistics.

    Raises:
        ValueError: No model or lead time in common, an archive that two runs scored, or two archives of one name.
    """
    _refuse_twice(runs)
    first, *others = runs.values()
    models = [model for model in first.models if all(model in run.models for run in others)]
    leads = [lead for lead in first.lead_times if all(lead in run.lead_times for run in others)]
    if not models or not leads or any(run.lead_unit != first.lead_unit for run in others):
        what = "models" if not models else "lead times"
        raise ValueError(f"the runs have no {what} in common: {_listed(runs, what)}; evaluate them alike")
    keys = [key for key in first.axes if all(_alike(first, run, key) for run in others)]
    families = {name for name in first.families if any(key.split("/")[0] == name for key in keys)}
    groups = {
        grouping: tuple(dict.fromkeys(label for run in runs.values() for label in run.groups[grouping]))
        for grouping in first.groups
        if all(grouping in run.groups for run in others)
    }
    return Statistics(
        models=tuple(models),
        lead_times=tuple(leads),
        lead_unit=first.lead_unit,
        groups=groups,
        sums={
            grouping: {key: _sum(list(runs.values()), models, leads, grouping, labels, key) for key in keys}
            for grouping, labels in groups.items()
        },
        axes={key: first.axes[key] for key in keys},
        labels={key: labels for key, labels in first.labels.items() if key.split("/")[0] in families},
        families={name: settings for name, settings in first.families.items() if name in families},
        facts={"caveat": _caveat(runs, models, families), "runs": {name: run.facts for name, run in runs.items()}},
        examples=[replace(one, name=f"{name}_{one.name}") for name, run in runs.items() for one in run.examples],
    )


def _refuse_twice(runs: Mapping[str, Statistics]) -> None:
    """Refuse what would count twice, and events that would become one because of their name."""
    scored = [(run, *one) for run, statistics in runs.items() for one in _archives(statistics.facts)]
    for (before, called, known), (name, archive, fingerprint) in combinations(scored, 2):
        if name == before:
            continue
        also = "" if called == archive else f" (there {called})"
        if fingerprint == known:
            raise ValueError(
                f"{name} and {before} both scored {archive}{also}: it would count twice; leave one of the runs out, or "
                "evaluate one of them without it (data.archives=[…])"
            )
        if archive == called:
            raise ValueError(
                f"{name} and {before} scored other data under one name, {archive}, which would become one event: give "
                "one of the archives another name and evaluate it again"
            )


def _archives(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and fingerprint of each archive that was scored, also by what was put together before."""
    yield from ((facts.get("data") or {}).get("archives") or {}).items()
    for before in facts.get("runs", {}).values():
        yield from _archives(before)


def _listed(runs: Mapping[str, Statistics], what: str) -> str:
    held = {
        name: run.models if what == "models" else [f"{lead:g} {run.lead_unit}" for lead in run.lead_times]
        for name, run in runs.items()
    }
    return "; ".join(f"{name}: {', '.join(values)}" for name, values in held.items())


def _alike(first: Statistics, other: Statistics, key: str) -> bool:
    """Whether two runs counted a statistic in the same way, so that its sums add up."""
    family = key.split("/")[0]
    if other.axes.get(key) != first.axes[key] or first.families.get(family) != other.families.get(family):
        return False
    return all(first.labels[f"{family}/{axis}"] == other.labels[f"{family}/{axis}"] for axis in first.axes[key])


def _sum(
    runs: Sequence[Statistics], models: list[str], leads: list[float], grouping: str, labels: Sequence[str], key: str
) -> Array:
    """(M, groups, T, …)."""
    total: Array | None = None
    for run in runs:
        rows, steps = [run.models.index(model) for model in models], [run.lead_times.index(lead) for lead in leads]
        mine = run.sums[grouping][key][rows][:, :, steps]
        if total is None:
            total = np.zeros((mine.shape[0], len(labels), *mine.shape[2:]))
        where = [labels.index(label) for label in run.groups[grouping]]
        total[:, where] += mine
    assert total is not None  # there is a run
    return total


def _caveat(runs: Mapping[str, Statistics], models: Sequence[str], families: set[str]) -> str:
    parts = [str(run.facts["caveat"]) for run in runs.values() if run.facts.get("caveat")]
    parts.append(f"{', '.join(runs)} are put together; there are no score maps.")
    every = dict.fromkeys(model for run in runs.values() for model in run.models)
    if left_out := [model for model in every if model not in models]:
        parts.append(f"Not scored in all of them, and left out: {', '.join(left_out)}.")
    counted = dict.fromkeys(name for run in runs.values() for name in run.families)
    if left_out := [name for name in counted if name not in families]:
        parts.append(f"Not counted alike in all of them, and left out: {', '.join(left_out)}.")
    return " ".join(dict.fromkeys(parts))
