"""SmaAt-UNet: a U-Net of depthwise-separable convolutions, with attention where features pass from down to up."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.networks.frames import check_inputs


class SmaAtUNet(nn.Module):
    """All lead times at once.

    Args:
        input_steps: Frames that it sees; they are channels.
        forecast_steps: Frames that it puts out, all at once.
        channels: Channels of a frame.
        widths: Features of each level, from the finest.
        kernels_per_channel: 3×3 kernels of each channel, before a 1×1 convolution mixes them.
        reduction: How many times fewer features the attention among channels is found from.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: Fewer than two levels, or a size below 1.

    Source: Trebing et al. 2021, doi:10.1016/j.patrec.2021.01.036; attention: Woo et al. 2018, arXiv:1807.06521.
    Unlike theirs: any number of rows and columns, several lead times.
    """

    reference = "Trebing et al. 2021, doi:10.1016/j.patrec.2021.01.036"

    def __init__(
        self,
        input_steps: int,
        forecast_steps: int,
        channels: int,
        widths: Sequence[int],
        kernels_per_channel: int,
        reduction: int,
        outputs: int = 1,
    ) -> None:
        """Build the levels."""
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"model.widths must have two levels or more of at least one feature, got {list(widths)}")
        for name, value in (("kernels_per_channel", kernels_per_channel), ("reduction", reduction)):
            if value < 1:
                raise ValueError(f"model.{name} must be at least 1, got {value}")
        self.input_steps, self.forecast_steps = input_steps, forecast_steps
        self.channels, self.outputs = channels, outputs
        sizes = pairwise([input_steps * channels, *widths])
        self.down = nn.ModuleList(_Block(i, o, o, kernels_per_channel) for i, o in sizes)
        self.attention = nn.ModuleList(Attention(width, reduction) for width in widths)
        self.up = nn.ModuleList()
        features = widths[-1]
        for level in range(len(widths) - 2, -1, -1):
            both, after = features + widths[level], widths[max(level - 1, 0)]
            self.up.append(_Block(both, max(both // 2, 1), after, kernels_per_channel))
            features = after
        self.last = nn.Conv2d(features, forecast_steps * outputs, 1)

    def forward(self, frames: Tensor, forecast_steps: int) -> Tensor:
        """Outputs of the first lead times.

        Args:
            frames: (B, input_steps, channels, H, W) grey in [0, 1], any H and W, no NaN.
            forecast_steps: Frames to predict, at most as many as it was built for.

        Returns:
            (B, forecast_steps, outputs, H, W) before the sigmoid.

        Raises:
            ValueError: Another number of frames or channels, or more lead times.
        """
        check_inputs(frames, self.channels, forecast_steps)
        if frames.shape[1] != self.input_steps or forecast_steps > self.forecast_steps:
            raise ValueError(
                f"this SmaAt-UNet maps {self.input_steps} frames to at most {self.forecast_steps}, got "
                f"{frames.shape[1]} to {forecast_steps}"
            )
        features, beside = frames.flatten(1, 2), []
        for level, (block, attention) in enumerate(zip(self.down, self.attention, strict=True)):
            features = block(features if not level else F.max_pool2d(features, 2, ceil_mode=True))
            beside.append(attention(features))
        features = beside.pop()
        for block in self.up:
            fine = beside.pop()
            larger = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = block(torch.cat([fine, larger[..., : fine.shape[2], : fine.shape[3]]], dim=1))
        said: Tensor = self.last(features)
        return said.view(len(said), self.forecast_steps, self.outputs, *said.shape[2:])[:, :forecast_steps]


class Attention(nn.Module):
    """Features, weighted by channel, then by cell.

    Args:
        channels: Of the features.
        reduction: How many times fewer the two means and maxima are mapped to between.

    Source: Woo et al. 2018, arXiv:1807.06521, eq. 2 and 3, with the batch normalisation of the authors' release.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        """Build both parts."""
        super().__init__()
        few = max(channels // reduction, 1)
        self.of_channels = nn.Sequential(nn.Linear(channels, few), nn.ReLU(), nn.Linear(few, channels))
        self.of_cells = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) of the same shape."""
        said = self.of_channels(features.mean(dim=(2, 3))) + self.of_channels(features.amax(dim=(2, 3)))
        features = features * torch.sigmoid(said)[:, :, None, None]
        seen = torch.cat([features.amax(dim=1, keepdim=True), features.mean(dim=1, keepdim=True)], dim=1)
        return features * torch.sigmoid(self.of_cells(seen))


class _Block(nn.Sequential):
    """Two depthwise-separable convolutions, each with batch normalisation and ReLU."""

    def __init__(self, inputs: int, between: int, outputs: int, kernels: int) -> None:
        super().__init__()
        for before, after in ((inputs, between), (between, outputs)):
            self.append(nn.Conv2d(before, before * kernels, 3, padding=1, groups=before))
            self.append(nn.Conv2d(before * kernels, after, 1))
            self.append(nn.BatchNorm2d(after))
            self.append(nn.ReLU())
