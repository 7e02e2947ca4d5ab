"""RainNet v1: a U-Net that sees some frames and says the next; later ones from what it said."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.networks.frames import check_inputs, he_normal, rolled, with_returned


class RainNet(nn.Module):
    """One step ahead, again and again.

    Args:
        input_steps: Frames that it sees; they are channels.
        channels: Channels of a frame.
        widths: Features of each level, from the finest.
        dropout: Share of the features of the two coarsest levels that is left out in training.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: Fewer than two levels, a width below 1, or a dropout that is no share.

    Source: Ayzel et al. 2020, doi:10.5194/gmd-13-2631-2020, and the authors' release (hydrogo/rainnet).
    Unlike theirs: any number of rows and columns (theirs mirrors 900×900 cells to 928×928); under a head that says more
    than one value, it sees learned frames in place of its forecast.
    """

    reference = "Ayzel et al. 2020, doi:10.5194/gmd-13-2631-2020"

    def __init__(
        self, input_steps: int, channels: int, widths: Sequence[int], dropout: float, outputs: int = 1
    ) -> None:
        """Build the levels."""
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"model.widths must have two levels or more of at least one feature, got {list(widths)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout must be from 0 to below 1, got {dropout}")
        self.input_steps, self.channels, self.outputs = input_steps, channels, outputs
        self.down = nn.ModuleList(_block(i, o) for i, o in pairwise([input_steps * channels, *widths]))
        self.up = nn.ModuleList(_block(coarse + fine, fine) for fine, coarse in list(pairwise(widths))[::-1])
        self.dropout = nn.Dropout(dropout)
        self.two = he_normal(nn.Conv2d(widths[0], 2, 3, padding=1))
        self.last = nn.Conv2d(2, with_returned(outputs, channels), 1)
        nn.init.xavier_uniform_(self.last.weight)  # what Keras does where nothing is said
        nn.init.constant_(self.last.bias, 0.0)  # type: ignore[arg-type]  # it has one

    def forward(self, frames: Tensor, forecast_steps: int) -> Tensor:
        """Forecast.

        Args:
            frames: (B, input_steps, channels, H, W) grey in [0, 1], any H and W, no NaN.
            forecast_steps: Frames to predict, any number.

        Returns:
            (B, forecast_steps, outputs, H, W) before the sigmoid.

        Raises:
            ValueError: Another number of frames or channels, or forecast_steps < 1.
        """
        check_inputs(frames, self.channels, forecast_steps)
        if frames.shape[1] != self.input_steps:
            raise ValueError(f"this RainNet sees {self.input_steps} frames, got {frames.shape[1]}")
        return rolled(self._next, frames, forecast_steps, self.outputs)

    def _next(self, frames: Tensor) -> Tensor:
        """(B, input_steps, channels, H, W) → (B, 1, what is said and seen, H, W)."""
        features, fine = frames.flatten(1, 2), []
        for level, block in enumerate(self.down):
            # Blocks of cells that the grid cuts short are those of the cells that are there.
            features = block(features if not level else F.max_pool2d(features, 2, ceil_mode=True))
            fine.append(features)
            if level >= len(self.down) - 2:
                features = self.dropout(features)  # what goes up beside is not dropped
        for block, beside in zip(self.up, fine[-2::-1], strict=True):
            larger = F.interpolate(features, scale_factor=2, mode="nearest")[..., : beside.shape[2], : beside.shape[3]]
            features = block(torch.cat([larger, beside], dim=1))
        said: Tensor = self.last(F.relu(self.two(features)))
        return said[:, None]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    first, second = (he_normal(nn.Conv2d(size, outputs, 3, padding=1)) for size in (inputs, outputs))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
