"""SimVP with gated spatio-temporal attention: convolutions of each frame, attention over all of them, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.networks.frames import check_inputs, rolled, with_returned

GROUPS = 2  # of the normalisation in space
NEAR, FAR, DILATION = 5, 7, 3  # sides of the two kernels that make one of 21×21, the second with gaps
FIRST_SCALE = 0.01  # of what a block adds, before training


class SimVPgSTA(nn.Module):
    """As many frames as it sees, at once; later ones from what it said.

    Args:
        input_steps: Frames that it sees.
        channels: Channels of a frame.
        space: Features of each frame.
        time: Features of all frames together.
        space_layers: Convolutions of each frame, every second of which halves its sides; even.
        time_layers: Blocks over all frames, two or more.
        space_kernel: Odd side of the convolutions of a frame.
        wider: How many times more features a block has in between.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: A number that does not fit.

    Source: Tan et al. 2022, arXiv:2211.12509 (SimVP v2); sizes and initialisation as in OpenSTL (Tan et al. 2023,
    arXiv:2306.11249). Unlike there: any number of rows and columns (filled up with zeros) and of lead times.
    """

    reference = "Tan et al. 2022, arXiv:2211.12509"

    def __init__(
        self,
        input_steps: int,
        channels: int,
        space: int,
        time: int,
        space_layers: int,
        time_layers: int,
        space_kernel: int,
        wider: int,
        outputs: int = 1,
    ) -> None:
        """Build the three parts."""
        super().__init__()
        _check(space, time, space_layers, time_layers, space_kernel, wider)
        self.input_steps, self.channels, self.outputs = input_steps, channels, outputs
        self.block = 2 ** (space_layers // 2)
        halves = [False, True] * (space_layers // 2)
        before = [channels, *[space] * (space_layers - 1)]
        self.encoder = nn.ModuleList(
            _Spatial(inputs, space, space_kernel, 2 if half else 1) for inputs, half in zip(before, halves, strict=True)
        )
        widths = [input_steps * space, *[time] * (time_layers - 1), input_steps * space]
        self.translator = nn.Sequential(
            *(_Translating(widths[layer], widths[layer + 1], wider) for layer in range(time_layers))
        )
        self.decoder = nn.ModuleList(_Spatial(space, space, space_kernel, 0.5 if half else 1) for half in halves[::-1])
        self.last = nn.Conv2d(space, with_returned(outputs, channels), 1)

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
            raise ValueError(f"this SimVP sees {self.input_steps} frames, got {frames.shape[1]}")
        height, width = frames.shape[3:]
        padded = F.pad(frames, (0, -width % self.block, 0, -height % self.block))
        return rolled(self._next, padded, forecast_steps, self.outputs)[..., :height, :width]

    def _next(self, frames: Tensor) -> Tensor:
        """(B, T, channels, H, W) → (B, T, what is said and seen, H, W), the T frames after them."""
        features = frames.flatten(0, 1)
        fine = features
        for layer, convolve in enumerate(self.encoder):
            features = convolve(features)
            fine = features if not layer else fine
        shape = features.shape
        features = self.translator(features.view(len(frames), -1, *shape[2:])).view(shape)
        for convolve in self.decoder[:-1]:
            features = convolve(features)
        said: Tensor = self.last(self.decoder[-1](features + fine))
        return said.view(*frames.shape[:2], *said.shape[1:])


class _Spatial(nn.Sequential):
    """A convolution of frames with normalisation and SiLU; stride 2 halves the sides, stride 0.5 doubles them."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: float) -> None:
        times = 4 if stride < 1 else 1
        convolution = nn.Conv2d(inputs, outputs * times, kernel, max(int(stride), 1), padding=kernel // 2)
        nn.init.trunc_normal_(convolution.weight, std=0.02)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
        shuffle = [nn.PixelShuffle(2)] if stride < 1 else []
        super().__init__(convolution, *shuffle, nn.GroupNorm(GROUPS, outputs), nn.SiLU())


class _Translating(nn.Module):
    """Attention by a large kernel, then a wider layer, each added to what comes in; then a change of width."""

    def __init__(self, inputs: int, outputs: int, wider: int) -> None:
        super().__init__()
        self.before_attention, self.before_mixing = nn.BatchNorm2d(inputs), nn.BatchNorm2d(inputs)
        self.enter, self.leave = (_drawn(nn.Conv2d(inputs, inputs, 1)) for _ in range(2))
        self.near = _drawn(nn.Conv2d(inputs, inputs, NEAR, padding=NEAR // 2, groups=inputs))
        far = nn.Conv2d(inputs, inputs, FAR, padding=DILATION * (FAR // 2), dilation=DILATION, groups=inputs)
        self.far = _drawn(far)
        self.gate = _drawn(nn.Conv2d(inputs, 2 * inputs, 1))
        between = inputs * wider
        self.mixing = nn.Sequential(
            _drawn(nn.Conv2d(inputs, between, 1)),
            _drawn(nn.Conv2d(between, between, 3, padding=1, groups=between)),
            nn.GELU(),
            _drawn(nn.Conv2d(between, inputs, 1)),
        )
        scales = (nn.Parameter(torch.full((inputs, 1, 1), FIRST_SCALE)) for _ in range(2))
        self.attention_scale, self.mixing_scale = scales
        self.change = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H, W)."""
        normal = self.before_attention(features)
        said, gate = self.gate(self.far(self.near(F.gelu(self.enter(normal))))).chunk(2, dim=1)
        features = features + self.attention_scale * (self.leave(torch.sigmoid(gate) * said) + normal)
        features = features + self.mixing_scale * self.mixing(self.before_mixing(features))
        changed: Tensor = self.change(features)
        return changed


def _drawn(layer: nn.Conv2d) -> nn.Conv2d:
    """Weights by the number of features that each one reaches, without bias."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.groups > 1:  # which PyTorch counts all of
        with torch.no_grad():
            layer.weight.mul_(layer.groups**0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has one
    return layer


def _check(space: int, time: int, space_layers: int, time_layers: int, space_kernel: int, wider: int) -> None:
    if space < GROUPS or space % GROUPS or time < 1 or wider < 1:
        raise ValueError(
            f"model.space must be a multiple of {GROUPS}, model.time and model.wider at least 1, got {space}, {time}, "
            f"{wider}"
        )
    if space_layers < 2 or space_layers % 2 or time_layers < 2:
        raise ValueError(
            f"model.space_layers must be even, and model.time_layers at least 2, got {space_layers}, {time_layers}"
        )
    if space_kernel < 1 or space_kernel % 2 == 0:
        raise ValueError(f"model.space_kernel must be odd, got {space_kernel}")
