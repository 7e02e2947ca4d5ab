"""Events against the library `scores` and against tables worked by hand."""

import numpy as np
import pytest
import scores
import torch
import xarray

from nowcast.verification.scores import classes
from nowcast.verification.scores.categorical import Categorical, MaxPooled, categorical_scores, f1, pofd, sedi
from tests.verification.scores.fields import KINDS, fields, scored, seen

THRESHOLDS = [0.5, 2.0, 10.0]


def computed(family, forecast, observed, mask):
    scores_ = scored({"x": family}, forecast, observed, mask)
    return {name.removeprefix("x/"): value.numpy() for name, value in scores_.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_categorical_scores_equal_those_of_the_library(kind):
    data = fields(kind)
    ours = computed(Categorical(THRESHOLDS), *data)
    for lead in range(2):
        f, o = (xarray.DataArray(x.ravel(), dims="cell") for x in seen(*data, lead))
        for k, threshold in enumerate(THRESHOLDS):
            table = scores.categorical.BinaryContingencyManager(
                (f >= threshold).where(f.notnull()), (o >= threshold).where(o.notnull())
            ).transform()
            with np.errstate(all="ignore"):
                expected = {
                    "csi": table.critical_success_index(),
                    "pod": table.probability_of_detection(),
                    "far": table.false_alarm_ratio(),
                    "bias": table.frequency_bias(),
                    "hss": table.heidke_skill_score(),
                    "ets": table.equitable_threat_score(),
                    "pofd": table.probability_of_false_detection(),
                    "f1": table.f1_score(),
                    "sedi": table.symmetric_extremal_dependence_index(),
                }
            for name, value in expected.items():
                theirs = float(value) if np.isfinite(float(value)) else np.nan  # bias without observed events
                assert ours[name][lead, k] == pytest.approx(theirs, nan_ok=True, abs=1e-12), name


def test_a_table_worked_by_hand():
    a, c, b, d = (torch.tensor(float(x), dtype=torch.float64) for x in (82, 23, 38, 222))
    assert pofd(b, d).item() == pytest.approx(38 / 260)
    assert f1(a, c, b).item() == pytest.approx(164 / 225)
    h, f = 82 / 105, 38 / 260
    less, more = np.log(f / h * (1 - h) / (1 - f)), np.log(f * h * (1 - h) * (1 - f))
    assert sedi(a, c, b, d).item() == pytest.approx(less / more)


@pytest.mark.parametrize("counts", [[5, 0, 0, 5], [0, 5, 5, 5], [5, 5, 0, 5], [5, 5, 5, 0], [0, 0, 0, 0]])
def test_sedi_is_undefined_at_the_ends(counts):
    assert categorical_scores(torch.tensor(counts))["sedi"].isnan()


@pytest.mark.parametrize("kind", KINDS)
def test_pooled_counts_equal_a_loop_over_blocks(kind):
    data = fields(kind, shape=(2, 2, 1, 11, 9))
    ours = computed(MaxPooled(THRESHOLDS, [1, 4]), *data)
    for lead in range(2):
        f, o = (np.atleast_3d(x[:, 0]) for x in seen(*data, lead))
        for p, pool in enumerate((1, 4)):
            blocks = [
                (f[b, y : y + pool, x : x + pool], o[b, y : y + pool, x : x + pool])
                for b in range(f.shape[0])
                for y in range(0, f.shape[1] - pool + 1, pool) or [0]
                for x in range(0, f.shape[2] - pool + 1, pool) or [0]
            ]
            pairs = [(np.nanmax(one), np.nanmax(other)) for one, other in blocks if np.isfinite(other).any()]
            for k, threshold in enumerate(THRESHOLDS):
                hits = sum(one >= threshold and other >= threshold for one, other in pairs)
                events = [sum(pair[side] >= threshold for pair in pairs) for side in (0, 1)]
                csi = hits / (sum(events) - hits) if sum(events) else np.nan
                bias = events[0] / events[1] if events[1] else np.nan
                assert ours["pooled_csi"][lead, p, k] == pytest.approx(csi, nan_ok=True)
                assert ours["pooled_bias"][lead, p, k] == pytest.approx(bias, nan_ok=True)


def test_blocks_of_one_cell_are_the_cells():
    data = fields("masked")
    pooled = computed(MaxPooled(THRESHOLDS, [1]), *data)["pooled_csi"][:, 0]
    np.testing.assert_array_equal(pooled, computed(Categorical(THRESHOLDS), *data)["csi"])


def test_a_shift_within_a_block_is_forgiven():
    observed, forecast = torch.zeros(1, 1, 1, 8, 8), torch.zeros(1, 1, 1, 8, 8)
    observed[..., 1, 1] = forecast[..., 2, 3] = 5.0
    mask = torch.ones_like(observed, dtype=torch.bool)
    assert computed(Categorical([1.0]), forecast, observed, mask)["csi"] == 0
    assert computed(MaxPooled([1.0], [4]), forecast, observed, mask)["pooled_csi"] == 1


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match=r"thresholds must rise strictly, got \[2.0, 1.0\]"):
        Categorical([2.0, 1.0])
    with pytest.raises(ValueError, match="pools must be at least 1"):
        MaxPooled([1.0], [0, 4])


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (1, 1, 1, 1), (3, 2, 37, 41), (2, 1, 64, 32)])
@pytest.mark.parametrize("number", [1, 5, 253])
def test_kernel_and_operations_count_the_same_classes(shape, number, monkeypatch):
    draw = torch.Generator().manual_seed(0)
    observed, forecast = (torch.rand(shape, generator=draw) * 12 for _ in range(2))
    thresholds = torch.linspace(0.5, 11, number).tolist()
    forecast.flatten()[::7] = thresholds[0]  # events are >=
    seen_ = classes.classify(observed, thresholds).masked_fill(observed > 10, number + 1)
    assert classes._functions() is not None
    native = classes.joint_counts(forecast, seen_, thresholds)
    monkeypatch.setattr(classes, "_functions", lambda: None)
    assert torch.equal(native, classes.joint_counts(forecast, seen_, thresholds))
    assert native.sum() == (observed <= 10).sum()


def test_fields_of_another_shape_and_too_many_thresholds_are_refused():
    with pytest.raises(ValueError, match=r"the forecast is \(1, 2, 2\), the observation \(1, 3, 3\)"):
        classes.joint_counts(torch.zeros(1, 2, 2), torch.zeros(1, 3, 3, dtype=torch.uint8), [1.0])
    with pytest.raises(ValueError, match="at most 253 thresholds, got 254"):
        Categorical([float(k) for k in range(254)])
