"""Convolutions that keep the grid, each with its gradients; on CPUs in the faster of two ways."""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nowcast.models.kernels.winograd import WinogradConvolution, is_faster

Memory = Callable[[], Tensor]


class Convolution(Protocol):
    """Of channels-last images (N, C, H, W) with one weight, zeros around them; odd kernels, stride 1."""

    def forward(self, inputs: Tensor, bias: Tensor | None, memory: Memory | None = None) -> Tensor:
        """(N, C_out, H, W); in `memory`, channels-last and of that shape, if it is given and of use."""

    def input_gradient(self, d_outputs: Tensor, inputs: Tensor) -> Tensor:
        """(N, C_in, H, W) of the gradient of the outputs; of `inputs` only shape and layout matter."""

    def weight_gradient(self, inputs: Tensor, d_outputs: Tensor) -> Tensor:
        """(C_out, C_in, K, K), summed over images."""


def convolution_for(weight: Tensor, images: Tensor, winograd: bool) -> Convolution:
    """The fastest convolution with a weight (C_out, C_in, K, K) for images like these.

    Args:
        weight: In the precision of the images, channels-last.
        images: (N, C_in, H, W) or (N, C_out, H, W).
        winograd: Winograd's method may be used.
    """
    if winograd and is_faster(weight, images):
        return WinogradConvolution(weight)
    return MatrixProduct(weight) if images.shape[2:] == weight.shape[2:] == (1, 1) else DirectConvolution(weight)


class DirectConvolution:
    """See Convolution; PyTorch's, on any device and in any precision."""

    def __init__(self, weight: Tensor) -> None:
        """Keep the weight."""
        self.weight = weight

    def forward(self, inputs: Tensor, bias: Tensor | None, memory: Memory | None = None) -> Tensor:
        """See Convolution."""
        return F.conv2d(inputs, self.weight, bias, padding="same")

    def input_gradient(self, d_outputs: Tensor, inputs: Tensor) -> Tensor:
        """See Convolution."""
        return self._backward(d_outputs, inputs, [True, False, False])[0]

    def weight_gradient(self, inputs: Tensor, d_outputs: Tensor) -> Tensor:
        """See Convolution."""
        return self._backward(d_outputs, inputs, [False, True, False])[1]

    def _backward(self, d_outputs: Tensor, inputs: Tensor, wanted: list[bool]) -> tuple[Tensor, ...]:
        padding = [side // 2 for side in self.weight.shape[2:]]
        results: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            d_outputs, inputs, self.weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, wanted
        )
        return results


class MatrixProduct:
    """See Convolution; of a single cell with a kernel of one, where a product is faster."""

    def __init__(self, weight: Tensor) -> None:
        """Keep the weight."""
        self.weight = weight.flatten(1)

    def forward(self, inputs: Tensor, bias: Tensor | None, memory: Memory | None = None) -> Tensor:
        """See Convolution."""
        return F.linear(inputs.flatten(1), self.weight, bias)[:, :, None, None]

    def input_gradient(self, d_outputs: Tensor, inputs: Tensor) -> Tensor:
        """See Convolution."""
        return (d_outputs.flatten(1) @ self.weight)[:, :, None, None]

    def weight_gradient(self, inputs: Tensor, d_outputs: Tensor) -> Tensor:
        """See Convolution."""
        return (d_outputs.flatten(1).T @ inputs.flatten(1))[:, :, None, None]
