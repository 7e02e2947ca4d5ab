"""The encoder-forecaster of the HKO-7 benchmark, with convolutional gated recurrent units.

    r = σ(W_xr * X + W_hr * H)      z = σ(W_xz * X + W_hz * H)      (each * with a bias of its own)
    H' = z ∘ H + (1 - z) ∘ f(W_xh * X + r ∘ (W_hh * H))             f: leaky ReLU

Source: Shi et al. 2017, arXiv:1706.03458, eq. 2 and appendix A; layers as in the authors' release (sxjscience/HKO-7).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.networks.frames import check_inputs

LEAK = 0.2  # slope of ReLU below 0, everywhere
INPUT_KERNEL = 3
Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d)


class ConvGRUCell(nn.Module):
    """One layer.

    Args:
        inputs: Channels of what comes in; 0 = nothing does, and there are no weights for it.
        hidden: Channels of H.
        state_inputs: Channels of what is made of H before its kernel, H itself in a ConvGRU.
        state_kernel: Odd side of the kernel on it.
    """

    def __init__(self, inputs: int, hidden: int, state_inputs: int, state_kernel: int) -> None:
        """Draw the weights."""
        super().__init__()
        self.of_input = leaky_normal(nn.Conv2d(inputs, 3 * hidden, INPUT_KERNEL, padding=1)) if inputs else None
        self.of_state = leaky_normal(nn.Conv2d(state_inputs, 3 * hidden, state_kernel, padding=state_kernel // 2))

    def prepared(self, inputs: Tensor) -> Tensor:
        """What each step takes of its input, for all of them at once; (N, C_in, H, W) → (N, any, H, W)."""
        assert self.of_input is not None  # only called of layers with input
        gates: Tensor = self.of_input(inputs)
        return gates

    def forward(self, prepared: Tensor | None, state: Tensor) -> Tensor:
        """The state (B, C_h, H, W) after a step."""
        return gated(prepared, self.of_state(state), state)

    def run(self, inputs: Tensor | None, state: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """States (T·B, C_h, H, W) of a whole sequence, and the last one; inputs (T·B, C_in, H, W) in time order."""
        prepared: Sequence[Tensor | None] = [None] * steps if inputs is None else self.prepared(inputs).chunk(steps)
        states = []
        for step in range(steps):
            state = self(prepared[step], state)
            states.append(state)
        return torch.cat(states), state


@dataclass(frozen=True)
class Sizes:
    """Of the layers of an encoder-forecaster; see ConvGRU."""

    channels: int
    outputs: int
    first: int
    hidden: Sequence[int]
    strides: Sequence[int]
    down_kernels: Sequence[int]
    up_kernels: Sequence[int]


class EncoderForecaster(nn.Module):
    """Layers of ever coarser cells read the frames; the same, from the coarsest, say what comes.

    Each layer of the forecaster starts from the last state of the encoder's, the coarsest without input. Between layers
    lie strided convolutions down and transposed ones up.

    Args:
        sizes: Of the layers.
        cell: Makes the cell of a layer from the channels of its input and the number of the layer.

    Raises:
        ValueError: Lists of different lengths, or sides that do not fit the strides.
    """

    needs_training = True
    reference = "Shi et al. 2017, arXiv:1706.03458"

    def __init__(self, sizes: Sizes, cell: Callable[[int, int], ConvGRUCell]) -> None:
        """Create all layers."""
        super().__init__()
        _check(sizes)
        hidden, strides, layers = sizes.hidden, sizes.strides, range(len(sizes.hidden))
        self.channels, self.block, self.hidden = sizes.channels, prod(strides), list(hidden)
        below = [sizes.channels, *hidden]
        after = [sizes.first, *hidden[1:]]
        self.down = nn.ModuleList(
            _down(below[layer], after[layer], sizes.down_kernels[layer], stride) for layer, stride in enumerate(strides)
        )
        self.encoder = nn.ModuleList(cell(after[layer], layer) for layer in layers)
        above = [*hidden[1:], 0]
        self.forecaster = nn.ModuleList(cell(above[layer], layer) for layer in layers)
        self.up = nn.ModuleList(
            _up(hidden[layer], hidden[layer] if layer else sizes.first, sizes.up_kernels[layer], stride)
            for layer, stride in enumerate(strides)
        )
        self.smooth = leaky_normal(nn.Conv2d(sizes.first, sizes.first, 3, padding=1))
        self.last = leaky_normal(nn.Conv2d(sizes.first, sizes.outputs, 1))

    def forward(self, inputs: Tensor, forecast_steps: int) -> Tensor:
        """Forecast.

        Args:
            inputs: (B, T_in, channels, H, W) grey in [0, 1], any H and W, no NaN.
            forecast_steps: Frames to predict, at least 1; need not be that of training.

        Returns:
            (B, forecast_steps, outputs, H, W) before the sigmoid.

        Raises:
            ValueError: Wrong number of axes or channels, no input frame, or forecast_steps < 1.
        """
        check_inputs(inputs, self.channels, forecast_steps)
        batch, steps, _, height, width = inputs.shape
        features = F.pad(inputs, (0, -width % self.block, 0, -height % self.block)).transpose(0, 1).flatten(0, 1)
        states = []
        for down, cell, hidden in zip(self.down, self.encoder, self.hidden, strict=True):
            features = F.leaky_relu(down(features), LEAK)
            state = features.new_zeros(batch, hidden, *features.shape[2:])
            assert isinstance(cell, ConvGRUCell)
            features, state = cell.run(features, state, steps)
            states.append(state)
        said: Tensor | None = None
        for up, cell, state in zip(self.up[::-1], self.forecaster[::-1], states[::-1], strict=True):
            assert isinstance(cell, ConvGRUCell)
            said, _ = cell.run(said, state, forecast_steps)
            said = F.leaky_relu(up(said), LEAK)
        assert said is not None  # there is a layer
        frames: Tensor = self.last(F.leaky_relu(self.smooth(said), LEAK))[..., :height, :width]
        return frames.reshape(forecast_steps, batch, *frames.shape[1:]).transpose(0, 1)


class ConvGRU(EncoderForecaster):
    """The benchmark's ConvGRU.

    Args:
        channels: Channels of a frame.
        first: Features of a frame, before the first layer and after the last one.
        hidden: Features of each layer, from the finest.
        strides: How many times coarser each layer's cells are than those before it.
        down_kernels: Sides of the kernels that lead to each layer.
        up_kernels: Sides of those that lead from it: the stride, or an even number more.
        state_kernels: Odd sides of the kernels on each layer's state.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: Lists of different lengths, or sides that do not fit.

    Unlike theirs: a grid that is no multiple of all strides is filled up with zeros.
    """

    def __init__(
        self,
        channels: int,
        first: int,
        hidden: Sequence[int],
        strides: Sequence[int],
        down_kernels: Sequence[int],
        up_kernels: Sequence[int],
        state_kernels: Sequence[int],
        outputs: int = 1,
    ) -> None:
        """Create all layers."""
        if len(state_kernels) != len(hidden) or any(side < 1 or side % 2 == 0 for side in state_kernels):
            raise ValueError(
                f"model.state_kernels must be one odd side for each of model.hidden={list(hidden)}, got "
                f"{list(state_kernels)}"
            )
        super().__init__(
            Sizes(channels, outputs, first, hidden, strides, down_kernels, up_kernels),
            lambda inputs, layer: ConvGRUCell(inputs, hidden[layer], hidden[layer], state_kernels[layer]),
        )


def gated(from_input: Tensor | None, from_state: Tensor, state: Tensor) -> Tensor:
    """The state after a step, of what input and state add to the gates and the candidate, (B, 3·C_h, H, W) each."""
    reset, update, candidate = from_state.chunk(3, dim=1)
    if from_input is None:
        candidate = torch.sigmoid(reset) * candidate
    else:
        reset_in, update_in, candidate_in = from_input.chunk(3, dim=1)
        candidate, update = candidate_in + torch.sigmoid(reset + reset_in) * candidate, update + update_in
    keep = torch.sigmoid(update)
    return keep * state + (1 - keep) * F.leaky_relu(candidate, LEAK)


def leaky_normal(layer: Layer) -> Layer:
    """A layer whose weights are drawn as He et al. 2015 do for this slope; biases are 0 at first."""
    nn.init.kaiming_normal_(layer.weight, a=LEAK)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has one
    return layer


def _down(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    return leaky_normal(nn.Conv2d(inputs, outputs, kernel, stride, padding=-(-(kernel - stride) // 2)))


def _up(inputs: int, outputs: int, kernel: int, stride: int) -> nn.ConvTranspose2d:
    return leaky_normal(nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=(kernel - stride) // 2))


def _check(sizes: Sizes) -> None:
    names = ("hidden", "strides", "down_kernels", "up_kernels")
    lists = {f"model.{name}": list(getattr(sizes, name)) for name in names}
    if len({len(one) for one in lists.values()}) != 1 or not sizes.hidden:
        raise ValueError(f"{', '.join(lists)} need one entry per layer, got {', '.join(map(str, lists.values()))}")
    if min(sizes.channels, sizes.first, *sizes.hidden, *sizes.strides) < 1:
        raise ValueError(
            f"model.channels, first, hidden and strides must be >= 1, got {sizes.channels}, {sizes.first}, "
            f"{list(sizes.hidden)}, {list(sizes.strides)}"
        )
    for stride, down, up in zip(sizes.strides, sizes.down_kernels, sizes.up_kernels, strict=True):
        if down < stride:
            raise ValueError(f"model.down_kernels must be at least the strides, got {down} with stride {stride}")
        if up < stride or (up - stride) % 2:
            raise ValueError(
                f"model.up_kernels must be the strides or an even number more, got {up} with stride {stride}"
            )
