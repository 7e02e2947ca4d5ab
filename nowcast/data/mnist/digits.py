"""Moving digits on a black canvas, as the authors of the ConvLSTM paper make them.

Each digit starts at a random place and moves at constant speed in a random direction. It is reflected at the wall
exactly, as a mirror does; it is pasted at whole pixels (truncated, never interpolated), and where digits overlap
the brighter pixel shows.

Source: the authors' release of Shi et al. 2015 (docs/protocol.md lists each constant).
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SIDE = 64  # pixels of a frame
SPRITE = 28  # pixels of a digit
CHUNK = 500  # sequences drawn at once: bounds the memory of the index arrays

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class MovingDigits:
    """The generator.

    Args:
        digits: [first, end) of the MNIST training images that are drawn from, uniformly with replacement.
        digits_per_sequence: How many move in one sequence.
        speed: [low, high) in pixels per frame, uniform.

    Raises:
        ValueError: An empty range of speeds, or one below 0.
    """

    digits: tuple[int, int]
    digits_per_sequence: int
    speed: tuple[float, float]

    def __post_init__(self) -> None:
        """Check the speed; settings.DigitSettings checks the digits."""
        if not 0 <= self.speed[0] < self.speed[1]:
            raise ValueError(f"data.speed must be [low, high) with 0 <= low < high, got {list(self.speed)}")

    def generate(self, images: Pictures, sequences: int, frames: int, draw: np.random.Generator) -> Pictures:
        """Draw sequences.

        Args:
            images: (N, 28, 28) uint8, all MNIST training images.
            sequences: How many.
            frames: Length of each.
            draw: Source of randomness; the same state gives the same bytes.

        Returns:
            (sequences, frames, 64, 64) uint8, 0 = black, 255 = white.

        Raises:
            ValueError: Fewer images than data.digits.images asks for.
        """
        if len(images) < self.digits[1]:
            raise ValueError(f"data.digits.images={list(self.digits)}, but MNIST holds {len(images)} images here")
        result = np.zeros((sequences, frames, SIDE, SIDE), dtype=np.uint8)
        for start in range(0, sequences, CHUNK):
            self._fill(result[start : start + CHUNK], images, draw)
        return result

    def _fill(self, canvas: Pictures, images: Pictures, draw: np.random.Generator) -> None:
        shape = (len(canvas), self.digits_per_sequence)
        chosen = draw.integers(*self.digits, shape)
        angle = draw.random(shape) * 2 * np.pi
        speed = draw.random(shape) * (self.speed[1] - self.speed[0]) + self.speed[0]
        velocity = speed * np.stack([np.sin(angle), np.cos(angle)])  # (2, S, D): y, x
        start = SPRITE / 2 + draw.random((2, *shape)) * (SIDE - SPRITE)
        time = np.arange(canvas.shape[1])
        corner = corners(start[..., None], velocity[..., None], time)  # (2, S, D, T)
        windows = sliding_window_view(canvas, (SPRITE, SPRITE), axis=(2, 3), writeable=True)
        place = np.indices(canvas.shape[:2])
        for digit in range(self.digits_per_sequence):
            where = (*place, corner[0, :, digit], corner[1, :, digit])
            windows[where] = np.maximum(windows[where], images[chosen[:, digit], None])


def corners(start: NDArray[np.float64], velocity: NDArray[np.float64], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Upper left pixel of a sprite along one axis.

    Args:
        start: Centre at time 0, in [14, 50].
        velocity: Pixels per frame.
        time: Frames.

    Returns:
        int(centre - 14), the centre reflected at 14 and 50 as often as it takes.
    """
    width = SIDE - SPRITE
    # Mirror reflection between two walls is a triangle wave of the free path.
    free = np.mod(start - SPRITE / 2 + velocity * time, 2 * width)
    corner: NDArray[np.int64] = (width - np.abs(free - width)).astype(np.int64)
    return corner
