"""A U-Net: all lead times at once, from features of ever larger surroundings."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UNet(nn.Module):
    """Convolutions down to coarse cells and up again, with the fine features of the way down beside.

    Args:
        input_steps: Frames that it sees; they are channels.
        forecast_steps: Frames that it puts out, all at once.
        channels: Channels of a frame.
        widths: Features of each level, from the finest; each level has cells twice as large as the one before.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: No level, or a width below 1.

    Source: Ronneberger et al. 2015, arXiv:1505.04597; for rain by radar Ayzel et al. 2020,
    doi:10.5194/gmd-13-2631-2020.
    Unlike theirs: bilinear upsampling, any number of rows and columns, all lead times at once, no dropout.
    """

    starts_at_zero = True  # its outputs, before training
    reference = "Ronneberger et al. 2015, arXiv:1505.04597"

    def __init__(
        self, input_steps: int, forecast_steps: int, channels: int, widths: Sequence[int], outputs: int = 1
    ) -> None:
        """Build the levels; the last convolution starts at 0, as a forecast of nothing."""
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"model.widths must have at least one level of at least one feature, got {list(widths)}")
        self.input_steps, self.forecast_steps, self.outputs = input_steps, forecast_steps, outputs
        self.down = nn.ModuleList(_block(i, o) for i, o in pairwise([input_steps * channels, *widths]))
        pairs = list(pairwise(widths))[::-1]
        self.up = nn.ModuleList(_block(fine + coarse, fine) for fine, coarse in pairs)
        self.last = nn.Conv2d(widths[0], forecast_steps * outputs, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, frames: Tensor, forecast_steps: int) -> Tensor:
        """Outputs of the first lead times.

        Args:
            frames: (B, input_steps, channels, H, W).
            forecast_steps: Frames to predict, at most as many as it was built for.

        Returns:
            (B, forecast_steps, outputs, H, W).

        Raises:
            ValueError: Another number of frames, or more lead times.
        """
        if frames.shape[1] != self.input_steps or forecast_steps > self.forecast_steps:
            raise ValueError(
                f"this U-Net maps {self.input_steps} frames to at most {self.forecast_steps}, got {frames.shape[1]} "
                f"to {forecast_steps}"
            )
        features, fine = frames.flatten(1, 2), []
        for level, block in enumerate(self.down):
            features = block(features if not level else F.max_pool2d(features, 2, ceil_mode=True))
            fine.append(features)
        for block, beside in zip(self.up, fine[-2::-1], strict=True):
            larger = F.interpolate(features, size=beside.shape[2:], mode="bilinear", align_corners=False)
            features = block(torch.cat([beside, larger], dim=1))
        said: Tensor = self.last(features)
        return said.view(len(said), self.forecast_steps, self.outputs, *said.shape[2:])[:, :forecast_steps]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    first, second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
    for convolution in (first, second):
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
