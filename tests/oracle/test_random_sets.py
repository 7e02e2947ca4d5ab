"""`nowcast evaluate` on random small sets of archives, against a plain loop over the files (plain.py)."""

import math
import shutil
from collections import Counter

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as profile

from nowcast.config.grouped import NESTED, RADAR
from tests.oracle.counts import COUNTS, Tally, errors_of, scores_of
from tests.oracle.forecasts import read_forecasts
from tests.oracle.plain import RefusedError, expect
from tests.oracle.sets import KINDS, sets
from tests.oracle.windows import assign_splits, windows_of
from tests.oracle.writing import read_place, write_archive, write_forecasts, write_provider
from tests.programs import rows, run

FEW, EACH = 2, 5  # sets of each kind, in the fast test and in the thorough one; 48 times as many in the slow one


@pytest.mark.parametrize("kind", ["two places", "other systems", "tiles", "blocks of each day"])
def test_scores_of_few_random_sets_are_those_of_a_plain_loop(kind, tmp_path):
    compare_many(kind, FEW, tmp_path, [Phase.generate])


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_random_sets_are_those_of_a_plain_loop(kind, tmp_path):
    compare_many(kind, EACH, tmp_path, [Phase.generate])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_many_more_random_sets_are_those_of_a_plain_loop(kind, tmp_path):
    compare_many(kind, 48 * EACH, tmp_path, [Phase.generate, Phase.shrink])


def compare_many(kind, examples, folder, phases):
    """Compare that many sets, the same ones each time."""
    outcomes = Counter()

    @seed(examples)
    @profile(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=phases,
    )
    @given(sets(KINDS[kind]))
    def one_by_one(case):
        outcomes[compare(case, folder / "set")] += 1

    one_by_one()
    assert outcomes["scored"] >= examples // 2, outcomes  # the others were refused, as they are to be


def compare(case, folder):
    """Write a set, run the command, and compare; "scored", or "refused" where the contract says so."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    factor = 1 if case.data["cell_km"] is None else 2
    places = []
    for archive in case.archives:
        path = folder / f"{archive.name}.nc"
        if archive.prepared:
            write_provider(path.with_suffix(""), archive)
            source = ["source=netcdf", "source.no_echo=-32", f"input={path.with_suffix('')}", "workers=0"]
            assert run("prepare", *source, f"output={path}") == (0, "")
        else:
            write_archive(path, archive)
        places.append(read_place(path, archive, factor))
    assign_splits(places, case.data)
    windows = [one for place in places for one in windows_of(place, case.data, case.settings["split"])]
    steps = {window.targets[0] - window.last for window in windows}
    systems = {}
    if len(steps) == 1:
        leads = [(k + 1) * next(iter(steps)) for k in range(case.data["forecast_steps"])]
        for number, system in enumerate(case.systems):
            name = f"system{number}"
            write_forecasts(folder / name, system, windows, leads)
            systems[name] = [one for path in sorted((folder / name).glob("*.nc")) for one in read_forecasts(path)]
    code, message = run("evaluate", *command(case, places, systems, folder))
    try:
        expected = expect(places, systems, case.data, case.settings)
    except RefusedError as refusal:
        expected = refusal.args
    if isinstance(expected, tuple):
        assert code == 1
        assert any(text in message for text in expected), (expected, message)
        return "refused"
    assert (code, message) == (0, ""), message
    compare_tables(folder / "out", expected, case.settings)
    compare_statistics(folder / "out", expected, case.settings)
    compare_estimates(folder / "out", expected, case.settings)
    return "scored"


def command(case, places, systems, folder):
    """The overrides of `nowcast evaluate`."""
    data = case.data | {"crop": case.data["eval_crop"], "archives": [f"{folder / one.name}.nc" for one in places]}
    steps = {place.own_step for place in places}
    data |= {"allow_mixed_timesteps": len(steps) > 1 and data["timestep_minutes"] is None, "workers": 0}
    places = NESTED[RADAR] | {"train_archives": "split.train_archives"}
    arguments = [f"data.{places.get(key, key)}={typed(value)}" for key, value in data.items()]
    if systems:
        files = ", ".join(f"{name}: '{folder / name}/*.nc'" for name in systems)
        arguments.append(f"forecasts={{{files}}}")
    chosen = case.settings
    return [
        "model=persistence",
        "data=radar",
        *arguments,
        f"verification.thresholds={typed(chosen['thresholds'])}",
        f"verification.main_threshold={chosen['main_threshold']:.7g}",
        f"verification.common_mask={typed(chosen['common_mask'])}",
        f"strata.block={chosen['block']}",
        f"strata.intensity_edges={typed(chosen['edges'])}",
        f"uncertainty.min_blocks={chosen['min_blocks']}",
        f"split={chosen['split']}",
        "scores=basic",
        "uncertainty.resamples=20",
        "html=false",
        f"output={folder / 'out'}",
    ]


def typed(value):
    """A value as one types it."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(str, value))}]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), value)


def total(groups):
    """Sum of the tallies of all groups."""
    tallies = list(groups.values())
    whole = Tally(len(tallies[0].missing), tallies[0].counts.shape[1])
    for tally in tallies:
        whole.counts += tally.counts
        whole.missing += tally.missing
        whole.windows += tally.windows
        for mine, theirs in zip(whole.pairs, tally.pairs, strict=True):
            mine.extend(theirs)
    return whole


def close(text, value, scale=0.0):
    """Whether a number of a table is what it should be; both undefined is right."""
    number = float(text)
    if math.isnan(value) or math.isnan(number):
        return math.isnan(value) and math.isnan(number)
    return math.isclose(number, value, rel_tol=2e-6, abs_tol=1e-9 + scale)


def compare_tables(folder, expected, chosen):
    """scores.csv and errors.csv: every count, every score."""
    events, errors = iter(rows(folder / "scores.csv")), iter(rows(folder / "errors.csv"))
    for model, groups in expected.groups.items():
        whole = total(groups["event"])
        for k, threshold in enumerate(chosen["thresholds"]):
            for lead, minutes in enumerate(expected.lead_minutes):
                row = next(events)
                at = (row["model"], float(row["threshold"]), float(row["lead_time_minutes"]))
                assert at == (model, threshold, minutes), at
                counts = [int(row[name]) for name in COUNTS]
                assert counts == whole.counts[lead, k].tolist(), at
                for name, value in scores_of(*counts).items():
                    assert close(row[name], value), (at, name, row[name], value)
        for lead, minutes in enumerate(expected.lead_minutes):
            row = next(errors)
            assert (row["model"], float(row["lead_time_minutes"])) == (model, minutes)
            assert int(row["missing_forecasts"]) == whole.missing[lead], (model, minutes)
            for name, value in errors_of(whole.pairs[lead]).items():
                assert close(row[name], value, 1e-6 if name in ("rmse", "correlation") else 0), (
                    model,
                    minutes,
                    name,
                    row[name],
                    value,
                )
    assert next(events, None) is None
    assert next(errors, None) is None


def compare_statistics(folder, expected, chosen):
    """statistics.nc: counts, windows and missing values of every group, and the map."""
    with netCDF4.Dataset(folder / "statistics.nc") as file:
        file.set_auto_mask(False)
        models = file["model"][:].tolist()
        assert models == list(expected.groups)
        assert file["lead_time"][:].tolist() == expected.lead_minutes
        for number, model in enumerate(models):
            for grouping, tallies in expected.groups[model].items():
                group = file[grouping]
                labels = group[grouping][:].tolist()
                counts = group["categorical_counts"][number]  # (groups, T, K, 4)
                missing, windows = group["missing"][number], group["windows"][number]
                seen = {
                    label: (counts[k].tolist(), missing[k].tolist(), windows[k].tolist())
                    for k, label in enumerate(labels)
                    if windows[k].any()
                }
                wanted = {
                    label: (tally.counts.tolist(), tally.missing.tolist(), tally.windows.tolist())
                    for label, tally in tallies.items()
                    if tally.windows.any()
                }
                if grouping == "block":  # how blocks are called is not part of the contract
                    assert sorted(seen.values()) == sorted(wanted.values()), (model, seen, wanted)
                else:
                    assert seen == wanted, (model, grouping, seen, wanted)
        assert ("map_counts" in file.variables) == (expected.maps is not None)
        if expected.maps is not None:
            assert file["map_counts"].threshold == chosen["main_threshold"]
            for number, model in enumerate(models):
                np.testing.assert_array_equal(file["map_counts"][number], expected.maps[model])


def compare_estimates(folder, expected, chosen):
    """intervals.csv, differences.csv and strata.csv: values, means, numbers of lead times, blocks and windows."""
    values, gaps = {}, {}
    for row in rows(folder / "intervals.csv"):
        assert int(row["blocks"]) == expected.blocks
        assert row["low"] == "nan" or expected.blocks >= chosen["min_blocks"]
        values[row["model"], row["score"], row["threshold_mmh"], row["lead_time"]] = row
    for row in rows(folder / "differences.csv"):
        assert int(row["blocks"]) == expected.blocks
        gaps[row["model"], row["other"], row["score"], row["threshold_mmh"], row["lead_time"]] = row["difference"]
    series = {}
    for model, groups in expected.groups.items():
        for key, numbers in series_of(total(groups["event"]), expected, chosen).items():
            series[model, *key] = numbers
            for minutes, value in zip(expected.lead_minutes, numbers, strict=True):
                assert close(values.pop((model, *key, f"{minutes:.7g}"))["value"], value, 1e-6), (model, key, minutes)
            row, defined = values.pop((model, *key, "mean")), [value for value in numbers if not math.isnan(value)]
            assert close(row["value"], mean(defined), 1e-6), (model, key)
            assert int(row["lead_times"]) == len(defined)
    assert not values
    for (one, *key), mine in series.items():
        for other in list(expected.groups)[list(expected.groups).index(one) + 1 :]:
            pairs = zip(mine, series[other, *key], strict=True)
            apart = [a - b if not math.isnan(a + b) else math.nan for a, b in pairs]
            for minutes, value in zip(expected.lead_minutes, apart, strict=True):
                assert close(gaps.pop((one, other, *key, f"{minutes:.7g}")), value, 2e-6)
            both = [value for value in apart if not math.isnan(value)]
            assert close(gaps.pop((one, other, *key, "mean")), mean(both), 2e-6), (one, other, key)
    assert not gaps
    compare_strata(rows(folder / "strata.csv"), expected, chosen)


def series_of(whole, expected, chosen):
    """(score, threshold as it is written) → value at each lead time."""
    events = [[scores_of(*table) for table in tables] for tables in whole.counts]
    errors = [errors_of(pairs) for pairs in whole.pairs]
    series = {(name, ""): [of_lead[name] for of_lead in errors] for name in errors[0] if name != "n"}
    for k, threshold in enumerate(chosen["thresholds"]):
        for name in events[0][k]:
            series[name, f"{threshold:.7g}"] = [of_lead[k][name] for of_lead in events]
    return series


def mean(values):
    """NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def compare_strata(table, expected, chosen):
    """Every defined score of every group, and nothing else."""
    found = {}
    for row in table:
        if row["stratum"] != "block":
            key = (row["stratum"], row["group"], row["model"], row["score"], row["threshold_mmh"], row["lead_time"])
            assert key not in found
            found[key] = (row["windows"], row["value"])
    for model, groups in expected.groups.items():
        for grouping, tallies in groups.items():
            for label, tally in tallies.items() if grouping != "block" else ():
                for score, threshold, minutes, value in scores_of_tally(tally, expected, chosen):
                    windows, text = found.pop((grouping, label, model, score, threshold, f"{minutes:.7g}"))
                    assert int(windows) == tally.windows.max()
                    assert close(text, value, 1e-6), (grouping, label, model, score, threshold, minutes)
    if expected.maps is not None and min(next(iter(expected.maps.values())).shape[-2:]) >= 3:
        for model, counts in expected.maps.items():
            compare_regions(found, model, counts, chosen)
    assert not found


def scores_of_tally(tally, expected, chosen):
    """Score, threshold as it is written, minutes and value of all that is defined of a group with windows."""
    for lead, minutes in enumerate(expected.lead_minutes if tally.windows.any() else ()):
        errors = errors_of(tally.pairs[lead])
        every = [(name, "", value) for name, value in errors.items() if name != "n"]
        for k, threshold in enumerate(chosen["thresholds"]):
            events = scores_of(*tally.counts[lead, k])
            every += [(name, f"{threshold:.7g}", value) for name, value in events.items()]
        yield from ((name, text, minutes, value) for name, text, value in every if not math.isnan(value))


def compare_regions(found, model, counts, chosen):
    """Ninths of the grid: earlier ones are the larger where sides do not divide by three."""
    names = (("NW", "N", "NE"), ("W", "centre", "E"), ("SW", "S", "SE"))

    def thirds(size):
        sizes = [size // 3 + (k < size % 3) for k in range(3)]
        return [slice(sum(sizes[:k]), sum(sizes[: k + 1])) for k in range(3)]

    for labels, band in zip(names, thirds(counts.shape[1]), strict=True):
        for label, part in zip(labels, thirds(counts.shape[2]), strict=True):
            for name, value in scores_of(*counts[:, band, part].sum(axis=(1, 2))).items():
                if not math.isnan(value):
                    key = ("region", label, model, name, f"{chosen['main_threshold']:.7g}", "all")
                    assert close(found.pop(key)[1], value), key
