"""Persistence: nothing moves."""

from torch import Tensor, nn


class Persistence(nn.Module):
    """The last frame for every lead time."""

    input_steps = 1  # frames that it looks at
    needs_training = False

    def forward(self, rain_rate: Tensor, forecast_steps: int) -> Tensor:
        """Repeat the last input frame.

        Args:
            rain_rate: (B, T_in, C, H, W) mm h-1, NaN = no data.
            forecast_steps: Frames to predict.

        Returns:
            (B, forecast_steps, C, H, W) mm h-1; NaN where the last frame has no data.
        """
        return rain_rate[:, -1:].expand(-1, forecast_steps, -1, -1, -1)
