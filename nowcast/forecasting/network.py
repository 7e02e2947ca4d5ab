"""A network with all that makes rain of its numbers: head, scaling and calibration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from nowcast.config.build import build
from nowcast.config.checks.signatures import signature
from nowcast.config.mistakes import UsageError
from nowcast.forecasting.calibration.areas import heavy_rates, levels_of_areas, shares_reached
from nowcast.forecasting.calibration.by_lead_time import Calibration
from nowcast.forecasting.calibration.probability import AREA, BIAS, CSI, LevelCalibration
from nowcast.forecasting.forecast import Exceedance, FieldForecast, of_values
from nowcast.forecasting.heads import Head
from nowcast.scaling import Scaling
from nowcast.units import Spacing


def build_network(node: Any, head: Head) -> nn.Module:  # noqa: ANN401 (a config node)
    """The network of a config node, with what it wants to know of the head: `outputs` (channels) and `thresholds`.

    Raises:
        UsageError: The head needs several channels, and the network has no parameter `outputs` for their number; or the
            network is one of thresholds, and the head has none.
    """
    known = signature(str(node["_target_"]))
    wanted = known.annotations if known is not None else {}
    if head.channels == 1 and "thresholds" not in wanted:
        return cast(nn.Module, build(node))
    if not head.thresholds:
        raise UsageError(
            f"{node['_target_']} says probabilities of thresholds: choose head=exceedance loss=exceedance with it, or "
            "another network for this head, such as model=convlstm_small loss=cross_entropy"
        )
    if "outputs" not in wanted:
        raise UsageError(
            f"this head needs {head.channels} output channels for each cell, and {node['_target_']} puts out one: "
            "choose head=grey loss=cross_entropy with it, or a network whose constructor has a parameter `outputs`, "
            "such as model=convlstm"
        )
    of_head = {"outputs": head.channels, "thresholds": list(head.thresholds)}
    return cast(nn.Module, build(node, **{name: value for name, value in of_head.items() if name in wanted}))


def outputs_of(
    net: Callable[..., Tensor],
    scaling: Scaling,
    values: Tensor,
    forecast_steps: int,
    spacing: Spacing | None,
    back: Tensor | None = None,
) -> Tensor:
    """What a network puts out for physical values; it sees "no data" as no rain, unless it sees rain rates itself.

    Args:
        net: Grey inputs (B, T_in, C, H, W) and a number of steps → (B, forecast_steps, channels, H, W). One that sees
            rain rates is told the spacing, too.
        scaling: Physical values ↔ grey.
        values: (B, T_in, C, H, W) mm h-1, or whatever the scaling speaks of; NaN = no data.
        forecast_steps: Frames to predict.
        spacing: Of the frames; None = not known.
        back: Trajectories, where they are found already (NetworkForecaster.trajectories).
    """
    if getattr(net, "sees", "grey") == "rain_rate":
        return net(values, forecast_steps, spacing, *([] if back is None else [back]))
    return net(scaling.to_grey(values.nan_to_num(0.0)), forecast_steps)


def taught_outputs(net: nn.Module, scaling: Scaling, inputs: Tensor, future: Tensor, step: int) -> Tensor:
    """What a network that has a method `taught` puts out in training, where it may see what is true.

    Args:
        net: Its `taught` maps grey inputs, the grey frames that follow, and the number of steps done to outputs (n·B,
            T, channels, H, W) of the last T of all frames, one after another where it says n things of each.
        scaling: Physical values ↔ grey.
        inputs: (B, T_in, C, H, W) mm h-1, or whatever the scaling speaks of; NaN = no data, which is seen as no rain.
        future: (B, T_out, C, H, W).
        step: Training steps done.
    """
    seen, true = (scaling.to_grey(values.nan_to_num(0.0)) for values in (inputs, future))
    outputs: Tensor = cast(Any, net).taught(seen, true, step)
    return outputs


def penalty_of(net: nn.Module) -> Tensor | int:
    """What the parts of a network that have a method `penalty` add to the loss of its last pass in training."""
    parts: list[Tensor] = [cast(Any, part).penalty() for part in net.modules() if hasattr(part, "penalty")]
    return sum(parts)


def thresholds_of(model: nn.Module) -> tuple[float, ...]:
    """K rain rates in mm h-1, rising, the first above 0, that a model says probabilities of; none: it says amounts."""
    return tuple(getattr(model, "thresholds", ()))


def last_threshold(model: nn.Module) -> float | None:
    """The rain rate in mm h-1 that a model says nothing of more than; None = it may say how heavy any rain is."""
    thresholds = thresholds_of(model)
    return None if not thresholds or getattr(model, "tells_heavy", False) else thresholds[-1]


class NetworkForecaster(nn.Module):
    """A trained network as a function of physical values: rain rate in mm h-1, or whatever its scaling speaks of.

    Args:
        net: Grey inputs and a number of steps → outputs, as many channels as the head needs.
        scaling: Physical values ↔ grey.
        head: What the outputs mean.
        calibration: Applied to what the head says; None = as the network says.
    """

    def __init__(self, net: nn.Module, scaling: Scaling, head: Head, calibration: Calibration | None) -> None:
        """Keep the parts."""
        super().__init__()
        self.net, self.scaling, self.head, self.calibration = net, scaling, head, calibration

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Those of its head."""
        return self.head.thresholds

    @property
    def tells_heavy(self) -> bool:
        """Whether its field of rain is told how heavy rain is beyond the last threshold (`heavy_rates`)."""
        return isinstance(self.calibration, LevelCalibration) and self.calibration.used == AREA

    def at(self, lead_times: Sequence[float]) -> "NetworkForecaster":
        """The same network, calibrated for forecasts with these lead times (Calibration.at)."""
        calibration = None if self.calibration is None else self.calibration.at(lead_times)
        return NetworkForecaster(self.net, self.scaling, self.head, calibration)

    def trajectories(self, values: Tensor, forecast_steps: int, spacing: Spacing | None) -> Tensor | None:
        """Where the air comes from, for all that move something; None of a network that moves nothing."""
        find = getattr(self.net, "trajectories", None)
        return None if find is None else find(values, forecast_steps, spacing)

    def logits(
        self, values: Tensor, forecast_steps: int, spacing: Spacing | None = None, back: Tensor | None = None
    ) -> Tensor:
        """What the network says, before the sigmoid; with `trajectories` that are found already, or finding them."""
        return self.head.logits(outputs_of(self.net, self.scaling, values, forecast_steps, spacing, back).float())

    def said(self, values: Tensor, forecast_steps: int, spacing: Spacing | None = None) -> Tensor:
        """What it says in [0, 1], not calibrated."""
        return torch.sigmoid(self.logits(values, forecast_steps, spacing))

    def of_logits(
        self, logits: Tensor, values: Tensor, spacing: Spacing | None = None, back: Tensor | None = None
    ) -> FieldForecast:
        """The forecast of logits, calibrated where there is a calibration.

        (B, T_in, C, H, W) values were seen, so spaced, with these `trajectories`.
        """
        said = torch.sigmoid(logits)
        if self.calibration is None:
            return self.head.forecast(said, self.scaling)
        forecast = self.calibration.forecast(said, self.head, self.scaling)
        held = forecast.exceedance
        return forecast if held is None or held.decision != AREA else self._by_area(held, values, spacing, back)

    def _by_area(self, one: Exceedance, values: Tensor, spacing: Spacing | None, back: Tensor | None) -> Exceedance:
        """As many cells are wet, and heavy rain is as heavy, as in the last frame moved along the same trajectories."""
        refuse_area_without_motion(self.net)
        extrapolated = cast(Any, self.net).extrapolated(values, one.values.shape[1], spacing, back)
        shares = shares_reached(extrapolated, values[:, -1], self.head.thresholds, one.values, one.choices[BIAS])
        seen = values[:, -1].isfinite()
        levels = levels_of_areas(one.values, seen, shares)
        heavy = heavy_rates(extrapolated, one.values, levels, seen, self.head.thresholds)
        return replace(one, levels=levels, heavy=heavy)

    def forward(self, values: Tensor, forecast_steps: int, spacing: Spacing | None = None) -> FieldForecast:
        """Forecast.

        Args:
            values: (B, T_in, C, H, W) mm h-1, NaN = no data, which the network sees as no rain.
            forecast_steps: Frames to predict.
            spacing: Of the frames; None = not known, which some networks refuse.

        Returns:
            A forecast of so many steps, without NaN.
        """
        back = self.trajectories(values, forecast_steps, spacing)
        return self.of_logits(self.logits(values, forecast_steps, spacing, back), values, spacing, back)


def refuse_area_without_motion(net: nn.Module) -> None:
    """Refuse to decide by the area of an extrapolation that there is none of.

    Raises:
        UsageError: With the decisions that go.
    """
    if not hasattr(net, "extrapolated"):
        raise UsageError(
            f"decide={AREA} takes the area of rain from the motion of model=lagrangian, and {type(net).__name__} has "
            f"none: choose {BIAS}, {CSI} or a ratio of cost to loss"
        )


def at_lead_times(models: Mapping[str, nn.Module], lead_times: Sequence[float]) -> dict[str, nn.Module]:
    """The models by name, calibrated ones for forecasts with these lead times; others take what they get."""
    return {
        name: model.at(lead_times) if isinstance(model, NetworkForecaster) else model for name, model in models.items()
    }


def forecast_with(
    model: nn.Module, values: Tensor, forecast_steps: int, spacing: Spacing | None = None
) -> FieldForecast:
    """What a model says of physical values: a network's forecast, or that of a model which returns plain values.

    Args:
        model: NetworkForecaster, or a module from (B, T_in, C, H, W) and steps to values of the same kind, with an axis
            of members after the first if it is an ensemble; or to probabilities (B, T, K, H, W), of its `thresholds`.
        values: (B, T_in, C, H, W) mm h-1; NaN = no data.
        forecast_steps: Frames to predict.
        spacing: Of the frames, for a network.
    """
    if isinstance(model, NetworkForecaster):
        return cast(FieldForecast, model(values, forecast_steps, spacing))
    said = model(values, forecast_steps)
    if isinstance(said, FieldForecast):
        return said
    thresholds = thresholds_of(model)
    return Exceedance(said, thresholds) if thresholds else of_values(said)
