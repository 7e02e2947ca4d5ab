"""What networks share: what they refuse of frames, and how a forecast becomes input."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def check_inputs(inputs: Tensor, channels: int, forecast_steps: int) -> None:
    """Refuse inputs that are not (B, T, channels, H, W) with T >= 1, and forecast_steps < 1.

    Raises:
        ValueError: Naming the shape or the number.
    """
    if inputs.ndim != 5 or inputs.shape[2] != channels or inputs.shape[1] < 1:
        raise ValueError(f"inputs must be (B, T, {channels}, H, W), got {tuple(inputs.shape)}")
    if forecast_steps < 1:
        raise ValueError(f"forecast_steps must be at least 1, got {forecast_steps}")


def with_returned(outputs: int, channels: int) -> int:
    """How many channels a network puts out that sees its own forecast: what is said, and what it is to see of that.

    Where it says one value and sees one, its sigmoid is what it sees next, as in the papers. Of anything else, such as
    probabilities of thresholds, no frame can be made: then as many more channels are learned as it sees.
    """
    return outputs if outputs == channels == 1 else outputs + channels


def rolled(step: Callable[[Tensor], Tensor], frames: Tensor, forecast_steps: int, outputs: int) -> Tensor:
    """A forecast of any length by a network that sees its own.

    Args:
        step: Frames (B, T_in, C, H, W) → (B, n, `with_returned` channels, H, W), the next n of them.
        frames: (B, T_in, C, H, W) in [0, 1].
        forecast_steps: Frames to predict.
        outputs: Channels that are said.

    Returns:
        (B, forecast_steps, outputs, H, W).
    """
    said, count = [], 0
    while count < forecast_steps:
        put_out = step(frames)
        said.append(put_out[:, :, :outputs])
        count += put_out.shape[1]
        if count < forecast_steps:
            seen = torch.sigmoid(put_out[:, :, -frames.shape[2] :])
            frames = torch.cat([frames, seen], dim=1)[:, -frames.shape[1] :]
    return torch.cat(said, dim=1)[:, :forecast_steps]


def he_normal(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution whose weights are drawn as He et al. 2015 (arXiv:1502.01852) do for ReLU, without bias at first."""
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution
