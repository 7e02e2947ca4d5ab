"""The evolution network of NowcastNet: what is there moves, grows and decays, step by step.

    z'_t = z_{t-1} moved along v_t        z_t = z'_t + s_t        t = 1 … T

One U-Net with two ways up finds all motions v_t and all growth s_t from the frames; z_{t-1} passes no gradient back.

Source: Zhang et al. 2023, doi:10.1038/s41586-023-06184-4 (its deterministic part).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from nowcast.models.advection import sample
from nowcast.models.networks.frames import check_inputs

FAINTEST = 0.01  # grey that stands for none, so that there is something that can grow
HEAVIEST = 24.0  # weight of the motion's roughness where grey is 1; 1 where it is 0


class Evolution(nn.Module):
    """Moves and changes logits: under a head of one value those of the last frame, under others what is learned of it.

    Args:
        input_steps: Frames that it sees; they are channels.
        forecast_steps: Frames that it puts out.
        channels: Channels of a frame.
        widths: Features of each level, from the finest.
        roughness: Weight of the motion's roughness in the loss.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: Fewer than two levels, a width below 1, or a negative weight.

    Unlike theirs: logits of grey values evolve, in place of rain rates over 128; the roughness is weighted by grey, 1
    to 24, in place of min(24, 1 + mm/h); any number of rows and columns.
    """

    reference = "Zhang et al. 2023, doi:10.1038/s41586-023-06184-4"

    def __init__(
        self,
        input_steps: int,
        forecast_steps: int,
        channels: int,
        widths: Sequence[int],
        roughness: float,
        outputs: int = 1,
    ) -> None:
        """Build the levels; nothing grows at first."""
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"model.widths must have two levels or more of at least one feature, got {list(widths)}")
        if roughness < 0:
            raise ValueError(f"model.roughness must be 0 or more, got {roughness}")
        self.input_steps, self.forecast_steps = input_steps, forecast_steps
        self.channels, self.outputs, self.roughness = channels, outputs, roughness
        sizes = pairwise([input_steps * channels, *widths])
        self.down = nn.ModuleList(_Residual(before, after, after) for before, after in sizes)
        self.growing, self.moving = _Up(widths, forecast_steps * outputs), _Up(widths, forecast_steps * 2)
        self.gain = nn.Parameter(torch.zeros(forecast_steps, outputs, 1, 1))
        alike = outputs == channels == 1
        self.first = nn.Identity() if alike else nn.Conv2d(channels, outputs, 1)
        self._rough: Tensor | None = None

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
        moved, growth = self._evolved(frames, forecast_steps)
        return moved + growth

    def taught(self, inputs: Tensor, future: Tensor, step: int) -> Tensor:
        """Two accounts of the frames that follow, as its loss has them: only moved, and moved and grown.

        Args:
            inputs: (B, input_steps, channels, H, W) grey in [0, 1], no NaN.
            future: (B, T, channels, H, W), of which only the number of frames matters.
            step: Of no account.

        Returns:
            (2·B, T, outputs, H, W) before the sigmoid.
        """
        moved, growth = self._evolved(inputs, future.shape[1])
        return torch.cat([moved, moved + growth])

    def penalty(self) -> Tensor:
        """What the last pass of a training adds to the loss: squared differences of the motion between neighbours."""
        rough, self._rough = self._rough, None
        assert rough is not None  # there was a pass
        return self.roughness * rough

    def _evolved(self, frames: Tensor, forecast_steps: int) -> tuple[Tensor, Tensor]:
        """What is moved to each lead time, and what grows on the way there, (B, T, outputs, H, W) each."""
        check_inputs(frames, self.channels, forecast_steps)
        if frames.shape[1] != self.input_steps or forecast_steps > self.forecast_steps:
            raise ValueError(
                f"this evolution network maps {self.input_steps} frames to at most {self.forecast_steps}, got "
                f"{frames.shape[1]} to {forecast_steps}"
            )
        features, fine = frames.flatten(1, 2), []
        for level, block in enumerate(self.down):
            features = block(features if not level else F.max_pool2d(features, 2, ceil_mode=True))
            fine.append(features)
        shape = (len(frames), self.forecast_steps, -1, *frames.shape[3:])
        growth = (self.gain * self.growing(fine).view(shape))[:, :forecast_steps]
        motion = self.moving(fine).view(shape)[:, :forecast_steps]  # (x, y) in cells per step
        if self.training:
            self._rough = _rough(motion, 1 + (HEAVIEST - 1) * frames[:, -1:, :1])
        field, leads = self.first(torch.logit(frames[:, -1], eps=FAINTEST)), []
        for lead in range(forecast_steps):
            leads.append(sample(field, -motion[:, lead], beyond="border"))
            field = (leads[-1] + growth[:, lead]).detach()
        return torch.stack(leads, dim=1), growth


class _Up(nn.Module):
    """The way up from the coarsest level, with what was found at each on the way down beside."""

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.blocks, features = nn.ModuleList(), widths[-1]
        for level in range(len(widths) - 2, -1, -1):
            both, after = features + widths[level], widths[max(level - 1, 0)]
            self.blocks.append(_Residual(both, max(both // 2, 1), after))
            features = after
        self.last = nn.Conv2d(features, outputs, 1)

    def forward(self, fine: list[Tensor]) -> Tensor:
        """(B, outputs, H, W)."""
        features = fine[-1]
        for block, beside in zip(self.blocks, fine[-2::-1], strict=True):
            larger = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = block(torch.cat([beside, larger[..., : beside.shape[2], : beside.shape[3]]], dim=1))
        said: Tensor = self.last(features)
        return said


class _Residual(nn.Module):
    """Twice normalisation, ReLU and a 3×3 convolution of spectral norm 1; beside them normalisation and one of 1×1."""

    def __init__(self, inputs: int, between: int, outputs: int) -> None:
        super().__init__()
        self.long = nn.Sequential(*_part(inputs, between), *_part(between, outputs))
        self.short = nn.Sequential(nn.BatchNorm2d(inputs), spectral_norm(nn.Conv2d(inputs, outputs, 1)))

    def forward(self, features: Tensor) -> Tensor:
        """(B, outputs, H, W)."""
        added: Tensor = self.long(features) + self.short(features)
        return added


def _part(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(inputs), nn.ReLU(), spectral_norm(nn.Conv2d(inputs, outputs, 3, padding=1))]


def _rough(motion: Tensor, weight: Tensor) -> Tensor:
    """Weighted squares of Sobel's derivatives of a motion (B, T, 2, H, W): means over cells, a sum over lead times."""
    smooth, slope = motion.new_tensor([1.0, 2.0, 1.0]) / 8, motion.new_tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack([slope * smooth[:, None], slope[:, None] * smooth])[:, None]  # along x, along y
    around = F.pad(motion.flatten(0, 2)[:, None], (1, 1, 1, 1), mode="replicate")
    derivatives = F.conv2d(around, kernels).view(*motion.shape[:3], 2, *motion.shape[3:])
    squared = derivatives.square().sum(dim=(2, 3))  # (B, T, H, W)
    return (squared * weight[:, :, 0]).mean(dim=(0, 2, 3)).sum()
