"""3×3 and 5×5 convolutions on CPUs with a quarter (3×3) or 36 % (5×5) of the multiplications: Winograd's method.

An image is cut into tiles of 6×6 cells that overlap by kernel - 1. Tile and kernel are taken as polynomials and
evaluated at the six points 0, ±2/3, ±3/2 and infinity along each axis; there a convolution is a product, point by
point, summed over channels: 36 matrix products instead of 16·9 multiplications for each pair of channels (4·25 for
5×5). Gradients are of the same form. Rounding errors of outputs are two to three times those of a direct sum,
those of weight gradients of random fields three to eight times.

Sources: Winograd 1980, Arithmetic Complexity of Computations; Lavin and Gray 2016, arXiv:1509.09308 (in neural
networks); Barabasz et al. 2020, arXiv:1803.10986 (points other than 0, ±1, ±2 are more exact).
"""

import ctypes
import functools
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nowcast.models.kernels.compiler import library

SOURCE = Path(__file__).with_name("winograd_kernel.c")
NUMBERS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)  # and infinity
POINTS = len(NUMBERS) + 1
TILE_OF_KERNEL = {3: POINTS - 2, 5: POINTS - 4}  # side of the outputs of a tile
LANES = 16  # channels that the C code does at once
FEWEST_TILES = 16  # with fewer the matrix products are too small to gain
FEWEST_CHANNELS = {torch.float32: 32, torch.bfloat16: 16}  # the same; direct convolutions are slower in bfloat16
SCRATCH_BYTES = 8 * 2**20  # for points: tiles are done in groups that stay in the caches
_scratch = threading.local()


def is_faster(weight: Tensor, images: Tensor) -> bool:
    """Whether a convolution can be done here, and is faster than a direct one.

    Args:
        weight: (C_out, C_in, K, K).
        images: (N, C_in, H, W).
    """
    outputs, inputs, *kernel = weight.shape
    fits = kernel[0] == kernel[1] and kernel[0] in TILE_OF_KERNEL and inputs % LANES == outputs % LANES == 0
    if not fits or images.device.type != "cpu" or images.dtype not in (torch.float32, torch.bfloat16):
        return False
    if min(inputs, outputs) < FEWEST_CHANNELS[images.dtype] or _tiles(images, TILE_OF_KERNEL[kernel[0]]) < FEWEST_TILES:
        return False
    if images.dtype == torch.bfloat16 and _has_bfloat16_tiles():
        return False
    fast_products = bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
    return fast_products and _functions(images.dtype) is not None


def _tiles(images: Tensor, side: int) -> int:
    """How many tiles of outputs cover the images."""
    batch, _, height, width = images.shape
    return batch * math.ceil(height / side) * math.ceil(width / side)


def _has_bfloat16_tiles() -> bool:
    """AMX: units for bfloat16 products, which direct convolutions use."""
    return bool(torch.cpu._is_amx_tile_supported())


def _float32_products() -> torch.autocast:
    """Autocast would round points to bfloat16, which the method does not bear."""
    return torch.autocast("cpu", enabled=False)


@functools.cache
def _functions(dtype: torch.dtype) -> ctypes.CDLL | None:
    compiled = library(SOURCE, dtype)
    if compiled is not None:
        pointer, number, integer = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
        compiled.gather.argtypes = [integer, pointer, *[number] * 7, integer, pointer]
        compiled.scatter.argtypes = [integer, pointer, pointer, *[number] * 5, integer, pointer]
        compiled.gather.restype = compiled.scatter.restype = None
    return compiled


class WinogradConvolution:
    """See Convolution in convolution.py; only where `is_faster`. Arithmetic is in float32.

    Args:
        weight: (C_out, C_in, K, K).
    """

    def __init__(self, weight: Tensor) -> None:
        """Keep the weight; its points are made when they are first needed."""
        compiled = _functions(weight.dtype)
        assert compiled is not None  # is_faster looked
        self._library, self.weight = compiled, weight
        self.kernel = weight.shape[-1]
        self.tile = TILE_OF_KERNEL[self.kernel]
        self._points: dict[bool, Tensor] = {}

    def forward(self, inputs: Tensor, bias: Tensor | None, memory: Callable[[], Tensor] | None = None) -> Tensor:
        """See Convolution."""
        with _float32_products():
            return self._convolve(inputs, self._weight_points(backward=False), bias, memory)

    def input_gradient(self, d_outputs: Tensor, inputs: Tensor) -> Tensor:
        """See Convolution."""
        with _float32_products():
            return self._convolve(d_outputs, self._weight_points(backward=True), None)

    def weight_gradient(self, inputs: Tensor, d_outputs: Tensor) -> Tensor:
        """See Convolution."""
        with _float32_products():
            return self._weight_gradient(inputs, d_outputs)

    def _weight_gradient(self, inputs: Tensor, d_outputs: Tensor) -> Tensor:
        shape = (POINTS**2, inputs.shape[1], d_outputs.shape[1])
        total = torch.zeros(shape, dtype=torch.float32)
        for first, count in self._groups(inputs, sum(shape[1:])):
            of_inputs, of_gradients = self._buffers(count, *shape[1:])
            self._gather(POINTS, inputs, first, of_inputs)
            self._gather(self.tile, d_outputs, first, of_gradients)
            torch.baddbmm(total, of_inputs.transpose(1, 2), of_gradients, out=total)
        of_kernel = kernel_points(self.kernel)
        total = total.view(POINTS, POINTS * shape[1] * shape[2])
        rows = (of_kernel.T @ total).view(self.kernel, POINTS, -1)
        return (of_kernel.T @ rows).view(self.kernel, self.kernel, *shape[1:]).permute(3, 2, 0, 1)

    def _weight_points(self, backward: bool) -> Tensor:
        """(36, C_in, C_out); backward: of the kernel that turns gradients of outputs into those of inputs."""
        if backward not in self._points:
            weight = self.weight.float()
            if backward:
                weight = weight.flip(2, 3).transpose(0, 1)
            of_kernel = kernel_points(self.kernel)
            outputs, inputs, kernel, _ = weight.shape
            rows = of_kernel @ weight.permute(2, 3, 1, 0).reshape(kernel, -1)  # two large products, not many small
            both = of_kernel @ rows.view(POINTS, kernel, inputs * outputs)
            self._points[backward] = both.view(POINTS**2, inputs, outputs)
        return self._points[backward]

    def _convolve(
        self, images: Tensor, weight_points: Tensor, bias: Tensor | None, memory: Callable[[], Tensor] | None = None
    ) -> Tensor:
        batch, _, height, width = images.shape
        _, channels, outputs = weight_points.shape
        shape = (batch, outputs, height, width)
        if memory is None:
            result = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last)
        else:
            result = memory()
        assert result.shape == shape
        assert result.dtype == images.dtype
        assert result.is_contiguous(memory_format=torch.channels_last)
        bias = None if bias is None else bias.float().contiguous()
        for first, count in self._groups(images, channels + outputs):
            of_images, of_results = self._buffers(count, channels, outputs)
            self._gather(POINTS, images, first, of_images)
            torch.bmm(of_images, weight_points, out=of_results)
            self._library.scatter(
                self.tile,
                of_results.data_ptr(),
                None if bias is None else bias.data_ptr(),
                *(outputs, height, width, first, count),
                torch.get_num_threads(),
                result.data_ptr(),
            )
        return result

    def _gather(self, side: int, images: Tensor, first: int, points: Tensor) -> None:
        assert images.dtype == self.weight.dtype
        assert images.is_contiguous(memory_format=torch.channels_last)
        margin = self.kernel // 2 if side == POINTS else 0
        _, channels, height, width = images.shape
        sizes = (channels, height, width, self.tile, margin, first, points.shape[1])
        self._library.gather(side, images.data_ptr(), *sizes, torch.get_num_threads(), points.data_ptr())

    def _groups(self, images: Tensor, channels: int) -> list[tuple[int, int]]:
        """First tile and number of tiles of each group."""
        tiles = _tiles(images, self.tile)
        group = max(1, SCRATCH_BYTES // (4 * POINTS**2 * channels))
        return [(first, min(group, tiles - first)) for first in range(0, tiles, group)]

    def _buffers(self, count: int, *channels: int) -> list[Tensor]:
        """Memory for points, the same at each call: new memory has to be mapped first."""
        sizes = [POINTS**2 * count * each for each in channels]
        if not hasattr(_scratch, "memory") or _scratch.memory.numel() < sum(sizes):
            with torch.inference_mode(False):  # or it could be used in inference only
                _scratch.memory = torch.empty(sum(sizes), dtype=torch.float32)
        memory: Any = _scratch.memory[: sum(sizes)].split(sizes)
        return [part.view(POINTS**2, count, each) for part, each in zip(memory, channels, strict=True)]


def kernel_points(kernel: int) -> Tensor:
    """Values at the points of the polynomials that have a kernel's rows as coefficients, over Lagrange's denominators.

    Returns:
        (6, kernel) float32, a matrix that is multiplied with each row or column.
    """
    rows = [
        [point**power / math.prod(point - other for other in NUMBERS if other != point) for power in range(kernel)]
        for point in NUMBERS
    ]
    return torch.tensor([*rows, [0.0] * (kernel - 1) + [1.0]], dtype=torch.float32)
