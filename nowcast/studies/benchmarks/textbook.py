"""The ConvLSTM as most public code has it, to measure ours against and to test ours with.

Input and state are concatenated and convolved together, a state of zeros is convolved like any other, each gate is
an operation of its own, and the forecaster is fed with frames of zeros.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.networks.convlstm import ConvLSTM, ConvLSTMCell, State


class TextbookCell(nn.Module):
    """One layer, with the weights of one of ours.

    Args:
        cell: The layer whose weights it takes.
        inputs: Channels of its input where our cell has none and the textbook feeds zeros.
    """

    def __init__(self, cell: ConvLSTMCell, inputs: int) -> None:
        """Join the two kernels of the cell to one."""
        super().__init__()
        state = cell.state_weight.detach()
        own = cell.input_weight
        given = state.new_zeros(len(state), inputs, 1, 1) if own is None else own.detach()
        side = max(given.shape[-1], state.shape[-1])
        joined = torch.cat([_widen(given, side), _widen(state, side)], dim=1)
        self.inputs, self.hidden, self.current = given.shape[1], cell.hidden, cell.output_peephole == "current"
        self.convolution = nn.Conv2d(joined.shape[1], joined.shape[0], side, padding=side // 2)
        self.convolution.weight = nn.Parameter(joined)
        self.convolution.bias = nn.Parameter(cell.bias.detach().clone())
        self.peephole = None if cell.peephole is None else nn.Parameter(cell.peephole.detach().clone())

    def forward(self, inputs: Tensor, state: State) -> State:
        """Advance by one step: (B, C_in, H, W) and (H, C)."""
        hidden, cell = state
        i, f, g, o = self.convolution(torch.cat([inputs, hidden], dim=1)).chunk(4, dim=1)
        if self.peephole is not None:
            i, f = i + self.peephole[0] * cell, f + self.peephole[1] * cell
        new_cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        if self.peephole is not None:
            o = o + self.peephole[2] * (new_cell if self.current else cell)
        return torch.sigmoid(o) * torch.tanh(new_cell), new_cell


class Textbook(nn.Module):
    """Encoder and forecaster with the weights of a ConvLSTM of ours, and the same forecasts."""

    def __init__(self, net: ConvLSTM) -> None:
        """Copy all weights."""
        super().__init__()
        self.patch = net.patch
        pixels = net.channels * net.patch**2
        self.encoder = nn.ModuleList(TextbookCell(cell, pixels) for cell in net.encoder)  # type: ignore[arg-type]
        self.forecaster = nn.ModuleList(TextbookCell(cell, pixels) for cell in net.forecaster)  # type: ignore[arg-type]
        self.head = copy.deepcopy(net.head)

    def forward(self, inputs: Tensor, forecast_steps: int) -> Tensor:
        """(B, T_in, C, H, W) → (B, forecast_steps, C, H, W) logits."""
        height, width = inputs.shape[-2:]
        padded = F.pad(inputs, (0, -width % self.patch, 0, -height % self.patch))
        patches = F.pixel_unshuffle(padded, self.patch)  # (B, T, C·p², H/p, W/p)
        states = [_zeros(cell, patches[:, 0]) for cell in self.encoder]
        for step in range(patches.shape[1]):
            states = _advance(self.encoder, patches[:, step], states)
        frames = [self.head(torch.cat([hidden for hidden, _ in states], dim=1))]
        for _ in range(forecast_steps - 1):
            states = _advance(self.forecaster, torch.zeros_like(patches[:, 0]), states)
            frames.append(self.head(torch.cat([hidden for hidden, _ in states], dim=1)))
        return F.pixel_shuffle(torch.stack(frames, dim=1), self.patch)[..., :height, :width]


def _advance(layers: nn.ModuleList, inputs: Tensor, states: list[State]) -> list[State]:
    result: list[State] = []
    for cell, state in zip(layers, states, strict=True):
        result.append(cell(inputs, state))
        inputs = result[-1][0]
    return result


def _zeros(cell: nn.Module, frame: Tensor) -> State:
    batch, _, height, width = frame.shape
    shape = (batch, int(cell.hidden), height, width)  # type: ignore[arg-type]
    return frame.new_zeros(shape), frame.new_zeros(shape)


def _widen(weight: Tensor, side: int) -> Tensor:
    """The same kernel with zeros around it."""
    margin = (side - weight.shape[-1]) // 2
    return F.pad(weight, (margin, margin, margin, margin))
