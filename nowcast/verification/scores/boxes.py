"""Sums over square windows of events: the part of the fractions skill score that costs time.

In C on CPUs (boxes_kernel.c, compiled on first use), in PyTorch operations everywhere else.
"""

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nowcast.models.kernels.compiler import library

SOURCE = Path(__file__).with_name("boxes_kernel.c")
BYTES_AT_ONCE = 64 * 2**20  # of integral images of forecasts
EXACT = 2**24  # float32 holds all whole numbers up to this one


@dataclass(frozen=True)
class Places:
    """Where windows are counted, and of which events.

    Args:
        thresholds: K rain rates in the precision of the fields; an event is rate >= threshold, where the mask is True.
        windows: W sides in cells.
        over_border: A window at each cell, with nothing beyond the frame; else only windows wholly inside the mask.
    """

    thresholds: tuple[float, ...]
    windows: tuple[int, ...]
    over_border: bool

    @property
    def margin(self) -> int:
        """Empty cells around the frame, so that the largest window fits at each cell."""
        return max(self.windows) // 2 if self.over_border else 0

    def skip(self, window: int) -> int:
        """Cells from the edge of the margin to the first window."""
        return self.margin - window // 2 if self.over_border else 0


class Counted(Protocol):
    """Events of an observation (B, C, H, W), counted once for all its forecasts."""

    squares: Tensor  # (B, K, W) float64, sum of the squared counts of all windows

    def with_forecast(self, forecast: Tensor) -> tuple[Tensor, Tensor]:
        """The same of a forecast (B, C, H, W), and the sum of the products of both counts."""
        ...


def count_windows(observed: Tensor, mask: Tensor, places: Places) -> Counted:
    """Count the events of an observation.

    Args:
        observed: (B, C, H, W) mm h-1, 0 where the mask is False.
        mask: (B, C, H, W) bool, cells that count.
        places: What to count.
    """
    if observed.device.type == "cpu" and observed.dtype == torch.float32 and _functions() is not None:
        return NativeCounted(observed, mask, places)
    return EagerCounted(observed, mask, places)


@functools.cache
def _functions() -> ctypes.CDLL | None:
    compiled = library(SOURCE, torch.float32)
    if compiled is not None:
        pointer, number = ctypes.c_void_p, ctypes.c_long
        compiled.integrate.argtypes = [pointer, pointer, *[number] * 4, pointer, number, pointer, pointer]
        compiled.multiply.argtypes = [*[pointer] * 5, *[number] * 4, pointer, pointer, number, pointer]
        compiled.integrate.restype = compiled.multiply.restype = None
    return compiled


class NativeCounted:
    """See Counted."""

    def __init__(self, observed: Tensor, mask: Tensor, places: Places) -> None:
        """Make integral images of the observation, and of the mask where windows must lie inside it."""
        self.mask, self.places = mask.contiguous(), places
        self.windows = torch.tensor(places.windows)
        self.skips = torch.tensor([places.skip(window) for window in places.windows])
        self.thresholds = torch.tensor(places.thresholds, dtype=torch.float32)
        self.valid = None
        if not places.over_border and not bool(mask.all()):
            self.valid, _ = self._integrate(self.mask, self.mask, torch.ones(1, dtype=torch.float32))
        self.images = self._integrate(observed, self.mask, self.thresholds)
        self.squares, _ = self._multiply(self.images, slice(None))

    def with_forecast(self, forecast: Tensor) -> tuple[Tensor, Tensor]:
        """See Counted."""
        _check_shape(forecast, self.mask)
        squares, products = torch.zeros_like(self.squares), torch.zeros_like(self.squares)
        of_sample = 4 * self.images[0][:1].numel()
        at_once = max(1, BYTES_AT_ONCE // max(1, of_sample))
        for first in range(0, len(forecast), at_once):
            part = slice(first, first + at_once)
            images = self._integrate(forecast[part], self.mask[part], self.thresholds)
            squares[part], products[part] = self._multiply(images, part)
        return squares, products

    def _integrate(self, rate: Tensor, mask: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
        """Integral images (B, C, K, rows, columns), and which of them hold any event (B, C, K)."""
        rate = rate.float().contiguous()
        margin, (height, width) = self.places.margin, rate.shape[2:]
        sizes = (*rate.shape[:2], len(limits), height + 2 * margin + 1, width + 2 * margin + 1)
        integrals = torch.empty(sizes, dtype=torch.int32)
        some = torch.empty(sizes[:3], dtype=torch.uint8)
        functions = _functions()
        assert functions is not None  # count_windows looked
        functions.integrate(
            *(rate.data_ptr(), mask.data_ptr(), sizes[0] * sizes[1], height, width, margin),
            *(limits.data_ptr(), len(limits), integrals.data_ptr(), some.data_ptr()),
        )
        return integrals, some

    def _multiply(self, images: tuple[Tensor, Tensor], part: slice) -> tuple[Tensor, Tensor]:
        """Squares of images of a part of the samples, and products with those of the observation, (B, K, W) each."""
        (ours, our_any), (theirs, their_any) = images, (image[part] for image in self.images)
        valid = None if self.valid is None else self.valid[part]
        batch, channels, thresholds, rows, columns = ours.shape
        sums = torch.empty(batch, channels, thresholds, len(self.windows), 2, dtype=torch.float64)
        functions = _functions()
        assert functions is not None
        functions.multiply(
            *(ours.data_ptr(), theirs.data_ptr(), our_any.data_ptr(), their_any.data_ptr()),
            *(None if valid is None else valid.data_ptr(), batch * channels, thresholds, rows, columns),
            *(self.windows.data_ptr(), self.skips.data_ptr(), len(self.windows), sums.data_ptr()),
        )
        squares, products = sums.sum(1).unbind(-1)
        return squares, products


class EagerCounted:
    """See Counted."""

    def __init__(self, observed: Tensor, mask: Tensor, places: Places) -> None:
        """Count the observation's events, and find the windows inside the mask."""
        self.mask, self.places = mask, places
        self.whole: list[Tensor | None] = [None] * len(places.windows)
        if not places.over_border and not bool(mask.all()):
            valid = _integral(mask, 0)
            self.whole = [(_boxes(valid, window, 0) == window**2).float() for window in places.windows]
        self.counts = [self._counts(observed, threshold) for threshold in places.thresholds]
        self.squares = torch.stack([self._products(counts, counts) for counts in self.counts], dim=1)

    def with_forecast(self, forecast: Tensor) -> tuple[Tensor, Tensor]:
        """See Counted."""
        _check_shape(forecast, self.mask)
        squares, products = torch.zeros_like(self.squares), torch.zeros_like(self.squares)
        for k, threshold in enumerate(self.places.thresholds):  # one after the other: counts are large
            ours, theirs = self._counts(forecast, threshold), self.counts[k]
            squares[:, k] = self._products(ours, ours)
            products[:, k] = self._products(ours, theirs)
        return squares, products

    def _counts(self, rate: Tensor, threshold: float) -> list[Tensor] | None:
        """By window, (B, C, h, w) float32, empty where no window fits; None where the threshold is not reached."""
        if rate.numel() == 0 or float(rate.max()) < threshold:  # most weather is dry: nothing to count
            return None
        integral, counts = _integral((rate >= threshold) & self.mask, self.places.margin), []
        for window, inside in zip(self.places.windows, self.whole, strict=True):
            found = _boxes(integral, window, self.places.skip(window)).float()
            counts.append(found if inside is None else found * inside)
        return counts

    def _products(self, ours: list[Tensor] | None, theirs: list[Tensor] | None) -> Tensor:
        """(B, W) float64. A row of whole numbers adds up in float32 exactly, or to 1e-7; rows in float64."""
        sums = self.mask.new_zeros(len(self.mask), len(self.places.windows), dtype=torch.float64)
        if ours is not None and theirs is not None:
            for n, (p, q) in enumerate(zip(ours, theirs, strict=True)):
                sums[:, n] = torch.linalg.vecdot(p, q).flatten(1).sum(1, dtype=torch.float64)
        return sums


def _check_shape(forecast: Tensor, mask: Tensor) -> None:
    if forecast.shape != mask.shape:
        raise ValueError(f"the forecast is {tuple(forecast.shape)}, the observation {tuple(mask.shape)}")


def _integral(events: Tensor, margin: int) -> Tensor:
    """Integral image (…, H + 2·margin + 1, W + 2·margin + 1) of a frame with an empty margin: exact whole numbers."""
    padded = F.pad(events, (margin + 1, margin, margin + 1, margin))
    rows = padded.cumsum(-1, dtype=torch.int16 if padded.shape[-1] < 2**15 else torch.int32)
    # float32 spares casts of all boxes
    return rows.cumsum(-2, dtype=torch.float32 if padded.shape[-1] * padded.shape[-2] < EXACT else torch.int32)


def _boxes(integral: Tensor, window: int, skip: int) -> Tensor:
    """Sums over all square windows; the first begins `skip` cells from the edge, and the last ends as far from it."""
    if min(integral.shape[-2:]) - 2 * skip <= window:  # none fits
        return integral.new_zeros(*integral.shape[:-2], 0, 0)
    end = (integral.shape[-2] - skip, integral.shape[-1] - skip)
    rows = integral[..., skip + window : end[0], :] - integral[..., skip : end[0] - window, :]
    return rows[..., skip + window : end[1]] - rows[..., skip : end[1] - window]
