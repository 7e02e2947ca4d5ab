"""How models run on windows: each network once, and ensembles as what they are."""

import numpy as np
import pytest
import torch
from torch import nn

import nowcast.training.run
from nowcast.data.archive.archive import Archive
from nowcast.forecasting.calibration.frequency import FrequencyCalibration
from nowcast.forecasting.forecaster import Forecaster
from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.forecasting.network import NetworkForecaster
from nowcast.forecasting.predict import Input, predict
from nowcast.models.networks.convlstm import ConvLSTM
from nowcast.report.plots import cases as drawn_cases
from nowcast.report.plots.contents import Choice
from nowcast.scaling import GreyScale
from nowcast.verification import score_models as verification
from nowcast.verification.score_models import run_models
from tests.data.archives import moving_rain
from tests.data.modules import module
from tests.programs import TINY, run

CPU = torch.device("cpu")


class Counted(nn.Module):
    """A network that counts how often it runs."""

    passes = 0

    def forward(self, grey, forecast_steps):
        self.passes += 1
        return grey.mean(dim=1, keepdim=True).expand(-1, forecast_steps, -1, -1, -1) * 4 - 2


def pair(net):
    scaling, calibration = GreyScale(118.239, 1.5241, -10.0, 60.0), FrequencyCalibration(2, 8)
    calibration.table.copy_(torch.linspace(0, 1, 9).square().repeat(2, 1))
    parts = (net, scaling, GreyHead())
    return {"raw": NetworkForecaster(*parts, None), "calibrated": NetworkForecaster(*parts, calibration)}


def batch(windows=3):
    draws = torch.Generator().manual_seed(0)
    inputs, targets = (20 * torch.rand((windows, 2, 1, 5, 6), generator=draws) for _ in range(2))
    return {"inputs": inputs, "targets": targets, "mask": torch.ones_like(targets, dtype=torch.bool)}


def test_a_network_runs_once_for_raw_and_calibrated_and_says_the_same_to_the_last_bit():
    net, other = Counted(), Counted()
    models = pair(net) | {f"other_{name}": model for name, model in pair(other).items()}
    together = run_models(models, batch(), CPU)
    assert (net.passes, other.passes) == (1, 1)
    assert not torch.equal(together["raw"][0].single(), together["calibrated"][0].single())
    for name, model in models.items():
        alone = run_models({name: model}, batch(), CPU)[name]
        assert torch.equal(alone[0].single(), together[name][0].single())
        assert torch.equal(alone[0].single(), model(batch()["inputs"], 2).single())
        assert (together[name][1] is None) == name.endswith("calibrated")  # its logits are not its forecast


def test_a_training_scores_its_test_windows_with_one_pass_a_batch(tmp_path, monkeypatch):
    passes, batches = [], []
    forward, score = ConvLSTM.forward, nowcast.training.run.score_models

    def counted(self, *arguments):
        passes.append(1)
        return forward(self, *arguments)

    def scored(models, loader, *arguments):
        assert {"convlstm", "convlstm_calibrated"} < set(models)
        batches.append(len(loader))
        passes.clear()
        result = score(models, loader, *arguments)
        batches.append(len(passes))
        return result

    monkeypatch.setattr(ConvLSTM, "forward", counted)
    monkeypatch.setattr(nowcast.training.run, "score_models", scored)
    settings = [*TINY, f"output={tmp_path / 'run'}", f"data.archives.folder={tmp_path / 'data'}"]
    assert run("train", *settings, "trainer.max_epochs=1", "data.batch_size=1") == (0, "")
    assert batches[0] == batches[1] > 1


class Members(nn.Module):
    """An ensemble of three: member m forecasts m mm/h more at each step; the last one is missing in the first row."""

    def forward(self, inputs, forecast_steps):
        last = inputs[:, -1:].nan_to_num(0.0)
        members = torch.stack([last + m * (1 + torch.arange(forecast_steps)).view(1, -1, 1, 1, 1) for m in range(3)], 1)
        members[:, 2, :, :, 0] = torch.nan
        return members  # (B, M, T, C, H, W)


def test_an_ensemble_is_drawn_by_its_mean_at_each_lead_time(tmp_path, monkeypatch):
    data = module(moving_rain(tmp_path / "a.nc", shape=(16, 16), frames=12), forecast_steps=4, eval_crop=None)
    cases = []
    monkeypatch.setattr(drawn_cases, "plot_forecast", lambda case, path: cases.append(case) or path)
    monkeypatch.setattr(drawn_cases, "animate_forecast", lambda case, path: path)
    drawn_cases.draw({"members": Members(), "one": Counted()}, data, tmp_path, CPU, Choice(), colour_blind_safe=False)
    rows = cases[0].forecasts
    assert list(rows) == ["members, mean of 3", "one"]
    last = cases[0].inputs[-1]
    for lead, field in enumerate(rows["members, mean of 3"], start=1):
        np.testing.assert_allclose(field[1:], last[1:] + lead, rtol=1e-6)
        np.testing.assert_allclose(field[0], (2 * last[0] + lead) / 3, rtol=1e-5)  # the missing one counts as no rain
    assert rows["members, mean of 3"].shape == (4, 16, 16)


def test_an_ensemble_is_issued_with_all_its_members(tmp_path):
    archive = Archive(moving_rain(tmp_path / "a.nc", shape=(16, 16), frames=12))
    forecaster = Forecaster("members", Members(), 3, (), None, None, {})
    result = predict(forecaster, Input(archive, "a.nc"), init_time=None, forecast_steps=4, device=CPU)
    assert result.forecast.rain_rate.shape == (3, 4, 16, 16)
    for number, member in enumerate(result.forecast.rain_rate):
        for lead, field in enumerate(member, start=1):
            np.testing.assert_allclose(field[1:], result.inputs[-1][1:] + number * lead, rtol=1e-6)
    assert np.isnan(result.forecast.rain_rate[2, :, 0]).all()


@pytest.mark.parametrize("common", [False, True])
def test_a_missing_member_is_missing_for_the_common_mask(common):
    one = batch()
    models = {"members": Members()}
    mask = verification._common_mask(one["mask"], models, one, run_models(models, one, CPU) if common else {})
    assert mask[:, :, :, 1:].all()
    assert mask[:, :, :, 0].any() != common


def test_logits_are_given_where_their_sigmoid_is_the_field():
    """Else scores of pictures, which take them so, would score probabilities as grey values."""

    class Three(Counted):
        def forward(self, grey, forecast_steps):
            return super().forward(grey, forecast_steps).expand(-1, -1, 3, -1, -1)

    scaling, head = GreyScale(118.239, 1.5241, -10.0, 60.0), ExceedanceHead([0.5, 2.0, 5.0])
    said = run_models({"exceedance": NetworkForecaster(Three(), scaling, head, None)}, batch(), CPU)
    assert said["exceedance"][1] is None
    assert (
        run_models({"grey": NetworkForecaster(Counted(), scaling, GreyHead(), None)}, batch(), CPU)["grey"][1]
        is not None
    )
