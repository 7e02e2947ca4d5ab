"""The convolutions that a ConvLSTM cannot do without, and how fast the machine does them and nothing else.

They are those of the ceiling beside the textbook's network. The operations of any model are counted: models/flop.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.networks.convlstm import ConvLSTM

KINDS = ("forward", "data_gradient", "weight_gradient")


@dataclass(frozen=True)
class Convolution:
    """Convolutions of one shape, stride 1, on one time step of a batch.

    Attributes:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel.
        shape: (B, H, W).
        times: How often a training step needs it: forward, data gradient, weight gradient.
    """

    inputs: int
    outputs: int
    kernel: int
    shape: tuple[int, int, int]
    times: tuple[int, int, int]

    def flop(self, train: bool) -> dict[str, int]:
        """Floating-point operations by kind; a multiplication and an addition are two, zeros at the rim count."""
        batch, height, width = self.shape
        once = 2 * batch * height * width * self.inputs * self.outputs * self.kernel**2
        return {kind: once * times for kind, times in zip(KINDS, self.times, strict=True) if train or kind == "forward"}


def necessary(net: ConvLSTM, inputs: Tensor, forecast_steps: int) -> list[Convolution]:
    """Every convolution of a training step: none of absent inputs, of zero states, and no gradient of the frames."""
    batch, steps, _, height, width = inputs.shape
    shape = (batch, -(-height // net.patch), -(-width // net.patch))
    later = forecast_steps - 1
    head = Convolution(net.head.in_channels, net.head.out_channels, 1, shape, (forecast_steps,) * 3)
    return [*_of_stack(net.encoder, shape, steps, steps - 1), *_of_stack(net.forecaster, shape, later, later), head]


def _of_stack(cells: nn.ModuleList, shape: tuple[int, int, int], steps: int, with_state: int) -> Iterator[Convolution]:
    for layer, cell in enumerate(cells):
        for weight, times, needs_gradient in (
            (cell.input_weight, steps, layer > 0),
            (cell.state_weight, with_state, True),
        ):
            if isinstance(weight, Tensor) and times:
                outputs, inputs, kernel, _ = weight.shape
                yield Convolution(inputs, outputs, kernel, shape, (times, times * needs_gradient, times))


class Ceiling:
    """Does the necessary convolutions, channels-last, and nothing else.

    Args:
        convolutions: Which.
        dtype: Precision.
        device: Where.
        clock: Seconds.
    """

    def __init__(
        self, convolutions: list[Convolution], dtype: torch.dtype, device: torch.device, clock: Callable[[], float]
    ) -> None:
        """Make operands of each shape."""
        self.convolutions, self.device, self.clock = convolutions, device, clock
        self.operands = [self._operands(convolution, dtype) for convolution in convolutions]

    def _operands(self, of: Convolution, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        batch, height, width = of.shape
        shapes = (
            (batch, of.inputs, height, width),
            (of.outputs, of.inputs, of.kernel, of.kernel),
            (batch, of.outputs, height, width),
        )
        inputs, weight, d_outputs = (
            torch.randn(shape, device=self.device).to(dtype).contiguous(memory_format=torch.channels_last)
            for shape in shapes
        )
        return inputs, weight, d_outputs

    def seconds(self, train: bool) -> dict[str, float]:
        """Time of one step's convolutions by kind."""
        kinds = KINDS if train else KINDS[:1]
        return {kind: self._seconds_of(index) for index, kind in enumerate(kinds)}

    def _seconds_of(self, kind: int) -> float:
        synchronise(self.device)
        start = self.clock()
        with torch.no_grad():
            for convolution, operands in zip(self.convolutions, self.operands, strict=True):
                for _ in range(convolution.times[kind]):
                    _convolve(kind, *operands)
        synchronise(self.device)
        return self.clock() - start


def _convolve(kind: int, inputs: Tensor, weight: Tensor, d_outputs: Tensor) -> None:
    padding = [weight.shape[-1] // 2] * 2
    if kind == 0:
        F.conv2d(inputs, weight, padding=padding)
    else:
        wanted = [kind == 1, kind == 2, False]
        torch.ops.aten.convolution_backward(
            d_outputs, inputs, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, wanted
        )


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
