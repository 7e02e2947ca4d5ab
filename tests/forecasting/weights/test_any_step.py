"""Time steps that were not in the training, and forecasts that say nothing."""

import math

import numpy as np
import pytest
import torch

from nowcast.config.build import from_plain
from nowcast.data.archive.archive import Archive
from nowcast.forecasting import checkpoint
from nowcast.forecasting.forecaster import Forecaster, of_checkpoint
from nowcast.forecasting.heads import ExceedanceHead
from nowcast.forecasting.network import NetworkForecaster, build_network
from nowcast.forecasting.predict import Input, predict
from nowcast.models.baselines.persistence import Persistence
from nowcast.scaling import GreyScale
from tests.data.archives import frame, grid, write
from tests.programs import composed

CPU = torch.device("cpu")
SEEN = [120, 300, 360]
HEAD = ExceedanceHead([0.1, 1.0])


def lagrangian(dry=False):
    """As it is before its first step, or one that says no rain anywhere."""
    node = composed("data=radar", "data.archives=[x]", "model=lagrangian", "head=exceedance", "loss=exceedance").model
    node = from_plain({**node, "net": {**node.net, "input_steps": 3}})
    net = build_network(node, HEAD)
    if dry:
        torch.nn.init.constant_(net.offset, -1e4)
        torch.nn.init.constant_(net.inflow_offset, -1e4)
    return NetworkForecaster(net, GreyScale(118.239, 1.5241, -10.0, 60.0), HEAD, None).eval()


def forecaster(model, steps=SEEN, any_step=(120, 900)):
    return Forecaster("net", model, 3, steps, 2.0, 4, {}, any_step=any_step)


def archive(path, step=5, rate=2.0):
    rain = np.zeros((32, 32))
    rain[8:20, 8:20] = rate
    return Archive(write(path, [frame(step * k, rain, grid=grid((32, 32), 2000.0)) for k in range(4)]))


def forecast(one, path, step=5, rate=2.0):
    return predict(one, Input(archive(path, step, rate), "a.nc"), init_time=None, forecast_steps=4, device=CPU)


def test_a_network_that_is_told_the_step_takes_others_with_a_word(tmp_path):
    result = forecast(forecaster(lagrangian()), tmp_path / "a.nc", step=10)
    assert result.forecast.rain_rate.shape == (4, 32, 32)
    assert result.remarks == [
        "frames every 10 min were not in the training of net, which saw 2, 5, 6 min: it is told the step, but not "
        "scored on it",
        "lead times beyond 20 min (steps 3 to 4) were never trained nor scored: net was trained on 4 steps",
    ]
    assert forecast(forecaster(lagrangian()), tmp_path / "b.nc", step=5).remarks == []


@pytest.mark.parametrize(
    ("native", "step"), [(120, 120), (60, 120), (180, 360), (240, 240), (600, 600), (720, 720), (900, 900)]
)
def test_a_step_that_was_trained_is_preferred(native, step):
    assert forecaster(torch.nn.Identity()).step_for("here", native) == step


def test_beyond_its_range_and_without_one_a_step_is_refused():
    with pytest.raises(ValueError, match=r"here: time step 30 min; .* 2, 5, 6 min, and takes 2 to 15 min"):
        forecaster(torch.nn.Identity()).step_for("here", 1800)
    with pytest.raises(ValueError, match=r"here: time step 10 min; this checkpoint was trained on 2, 5, 6 min$"):
        forecaster(torch.nn.Identity(), any_step=None).step_for("here", 600)


@pytest.mark.parametrize(("trained", "any_step"), [([120, 300], (120, 900)), ([300], None)])
def test_who_saw_one_step_alone_never_learned_what_a_step_is(tmp_path, trained, any_step):
    path = tmp_path / "best.ckpt"
    path.touch()
    model = lagrangian()
    data = {"timesteps_seconds": trained, "cell_km": 3.0, "input_steps": 3, "forecast_steps": 4}
    config = {"model": {"_target_": "nowcast.models.lagrangian.Lagrangian"}}
    loaded = checkpoint.Checkpoint(path, model, None, config, data, "0", None)
    assert of_checkpoint(loaded, calibrated=False).any_step == any_step


def test_a_dry_forecast_from_rain_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"less than 0\.1 mm/h for every cell and lead time, .* in 14% of the last"):
        forecast(forecaster(lagrangian(dry=True)), tmp_path / "a.nc")
    assert (forecast(forecaster(lagrangian(dry=True)), tmp_path / "b.nc", rate=0.0).forecast.rain_rate < 0.1).all()


def test_a_forecast_of_nan_alone_is_an_error(tmp_path):
    model = lagrangian()
    torch.nn.init.constant_(model.net.offset, math.nan)
    torch.nn.init.constant_(model.net.inflow_offset, math.nan)
    with pytest.raises(ValueError, match="net says NaN for every cell: its weights are damaged"):
        forecast(forecaster(model), tmp_path / "a.nc", rate=0.0)


def test_what_is_no_network_may_move_all_rain_away(tmp_path):
    class Dry(Persistence):
        def forward(self, rain_rate, forecast_steps):
            return 0 * super().forward(rain_rate, forecast_steps)

    assert not forecast(forecaster(Dry()), tmp_path / "a.nc").forecast.rain_rate.any()
