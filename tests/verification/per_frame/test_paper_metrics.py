"""The paper's scores against hand-worked frames."""

import math

import numpy as np
import pytest
import torch

from nowcast.config.program import CONFIGS
from nowcast.verification.per_frame.metrics import Contingency
from nowcast.verification.per_frame.paper_metrics import PaperScores

A, B = 118.239, 1.5241


def make(lead_times=1):
    return PaperScores(lead_times, 0.5, 1e-9, A, B, -10.0, 60.0)


def rate(grey):
    """R = 10^((70 P - 10 - 10 log10 a) / (10 b)), the protocol's formula."""
    return 10 ** ((70 * np.asarray(grey, dtype=np.float64) - 10 - 10 * math.log10(A)) / (10 * B))


def frames(*rows):
    """Grey values of frames of one row of cells each → rain rates (B=1, T, 1, 1, W)."""
    return torch.from_numpy(rate(np.array(rows)))[None, :, None, None, :]


def scores(forecast, observed, mask=None):
    metric = make(forecast.shape[1])
    metric.update(forecast, observed, torch.ones_like(observed, dtype=torch.bool) if mask is None else mask, None)
    return {name: value.reshape(-1).tolist() for name, value in metric.compute().items()}  # torchmetrics squeezes


def test_a_frame_worked_by_hand():
    # Four cells: a hit, a miss, a false alarm, a correct negative.
    got = scores(frames([0.5, 0.2, 0.6, 0.1]), frames([0.4, 0.5, 0.3, 0.0]))
    assert got["csi"] == [pytest.approx(1 / 3, abs=1e-9)]
    assert got["pod"] == [pytest.approx(1 / 2, abs=1e-9)]
    assert got["far"] == [pytest.approx(1 / 2, abs=1e-9)]
    # Σ P·T = 0.2 + 0.1 + 0.18 + 0 = 0.48; Σ P² = 0.66; Σ T² = 0.5
    assert got["correlation"] == [pytest.approx(0.48 / math.sqrt(0.66 * 0.5), abs=1e-8)]
    squares = [(rate(p) - rate(t)) ** 2 for p, t in ((0.5, 0.4), (0.2, 0.5), (0.6, 0.3), (0.1, 0.0))]
    assert got["rainfall_mse"] == [pytest.approx(sum(squares) / 4, rel=1e-9)]


def test_a_frame_without_rain_scores_one():
    got = scores(frames([0.1, 0.2]), frames([0.0, 0.3]))
    assert (got["csi"], got["pod"], got["far"]) == ([1], [1], [0])


def test_epsilons_where_only_one_side_rains():
    eps = 1e-9
    false_alarm = scores(frames([0.5, 0.5]), frames([0.1, 0.1]))
    assert false_alarm["csi"] == [pytest.approx(eps / (2 + eps))]
    assert false_alarm["pod"] == [1]  # (0 + ε) / (0 + 0 + ε): the paper's code says so
    assert false_alarm["far"] == [pytest.approx(1, abs=1e-8)]
    miss = scores(frames([0.1, 0.1]), frames([0.5, 0.5]))
    assert miss["csi"] == [pytest.approx(eps / (2 + eps))]
    assert miss["pod"] == [pytest.approx(eps / (2 + eps))]
    assert miss["far"] == [0]


def test_black_frames_have_correlation_zero():
    black = torch.zeros(1, 1, 1, 1, 3)
    assert scores(black, black)["correlation"] == [0]
    assert scores(black, black)["rainfall_mse"] == [0]


def test_rain_is_strictly_more_than_half_a_millimetre():
    # 0.5 mm/h ⇔ P = 0.37342 ⇔ 16.14 dBZ ⇔ 95.22/255
    grey = (10 * math.log10(A) + 10 * B * math.log10(0.5) + 10) / 70
    assert grey == pytest.approx(0.37342, abs=5e-6)
    assert 70 * grey - 10 == pytest.approx(16.14, abs=0.005)
    assert grey * 255 == pytest.approx(95.22, abs=0.005)
    got = scores(frames([0.3734, 0.37344]), frames([0.5, 0.5]))
    assert got["pod"] == [pytest.approx(0.5, abs=1e-9)]


def test_a_rate_of_exactly_the_threshold_is_no_rain():
    whitest = float(rate(1.0))
    dry, white = torch.zeros(1, 1, 1, 1, 2), torch.full((1, 1, 1, 1, 2), 2 * whitest)  # grey 0 and grey 1
    for threshold, seen in ((whitest, False), (whitest * (1 - 1e-12), True)):
        metric = PaperScores(1, threshold, 1e-9, A, B, -10.0, 60.0)
        metric.update(dry, white, torch.ones_like(dry, dtype=torch.bool), None)
        assert metric.overall()["csi"] == pytest.approx(0 if seen else 1, abs=1e-9)


def test_grey_zero_is_minus_ten_dbz_and_one_is_sixty():
    got = scores(torch.zeros(1, 1, 1, 1, 1), frames([1.0]))
    assert rate(0.0) == pytest.approx(0.0096, abs=5e-5)
    assert rate(1.0) == pytest.approx(377.4, abs=0.05)
    assert got["rainfall_mse"] == [pytest.approx((rate(1.0) - rate(0.0)) ** 2, rel=1e-9)]


def test_frames_count_alike_however_much_rain_they_hold():
    """Macro average: a dry frame counts as much as a wet one. Pooled counts say otherwise."""
    forecast = torch.cat([frames([0.5, 0.1, 0.1, 0.1]), frames([0.1, 0.1, 0.1, 0.1])])  # B = 2
    observed = torch.cat([frames([0.5, 0.5, 0.5, 0.5]), frames([0.1, 0.1, 0.1, 0.1])])
    mask = torch.ones_like(observed, dtype=torch.bool)
    paper = make()
    paper.update(forecast, observed, mask, None)
    pooled = Contingency([0.5], 1)
    pooled.update(forecast.float(), observed.float(), mask)
    assert paper.overall()["csi"] == pytest.approx((0.25 + 1) / 2, abs=1e-9)
    assert pooled.compute()["csi"].item() == pytest.approx(0.25)


def test_the_overall_score_is_the_mean_over_lead_times():
    metric = make(2)
    forecast, observed = frames([0.5, 0.5], [0.5, 0.1]), frames([0.5, 0.5], [0.5, 0.5])
    metric.update(forecast, observed, torch.ones_like(observed, dtype=torch.bool), None)
    assert metric.compute()["csi"].tolist() == [pytest.approx(1), pytest.approx(0.5, abs=1e-9)]
    assert metric.overall()["csi"] == pytest.approx(0.75, abs=1e-9)


def test_masked_and_missing_cells():
    forecast, observed = frames([0.5, math.nan, 0.5]), frames([0.5, 0.5, math.nan])
    got = scores(forecast, observed, torch.tensor([True, True, False]).view(1, 1, 1, 1, 3))
    assert got["csi"] == [pytest.approx(0.5, abs=1e-9)]  # the missing forecast is a miss, the masked cell is nothing
    assert got["rainfall_mse"] == [pytest.approx((rate(0.5) - rate(0.0)) ** 2 / 2, rel=1e-9)]
    nothing = make()
    nothing.update(forecast, observed, torch.zeros_like(observed, dtype=torch.bool), None)
    assert all(value.isnan().all() for value in nothing.compute().values())


def test_the_config_holds_the_constants_of_the_paper():
    text = (CONFIGS / "frame_scores" / "paper.yaml").read_text()
    for line in (
        "threshold: 0.5",
        "epsilon: 1.0e-9",
        "zr_a: 118.239",
        "zr_b: 1.5241",
        "min_dbz: -10.0",
        "max_dbz: 60.0",
    ):
        assert line in text
