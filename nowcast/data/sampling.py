"""Orders in which a loader draws samples: reproducible for any number of workers."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """Indices epoch·size + position: a fresh order each epoch that depends on (seed, epoch) alone.

    Args:
        size: Samples in the dataset.
        samples: Draws per epoch; None = each sample once.
        weights: (size,) relative chance of each sample, drawn with replacement; None = without replacement.
        seed: Seed of the order.
    """

    def __init__(self, size: int, samples: int | None, weights: NDArray[np.float64] | None, seed: int) -> None:
        """Start at epoch 0."""
        self.size, self.samples, self.seed = size, samples or size, seed
        self.chances = None if weights is None else weights / weights.sum()
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Draws per epoch."""
        return self.samples

    def __iter__(self) -> Iterator[int]:
        """Draw the epoch."""
        draw = np.random.default_rng((self.seed, self.epoch))
        if self.chances is None and self.samples <= self.size:
            positions = draw.permutation(self.size)[: self.samples]
        else:
            positions = draw.choice(self.size, self.samples, p=self.chances)
        yield from (self.epoch * self.size + positions).tolist()


class SameGridBatches(Sampler[list[int]]):
    """Batches in order, none of which mixes archives: whole grids of two archives differ in shape."""

    def __init__(self, archives: NDArray[np.int64], batch_size: int) -> None:
        """Cut the samples, given by the archive of each, into batches."""
        borders = [0, *(np.flatnonzero(np.diff(archives)) + 1).tolist(), len(archives)]
        self.batches = [
            list(range(start, min(start + batch_size, stop)))
            for begin, stop in pairwise(borders)
            for start in range(begin, stop, batch_size)
        ]

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        """The batches."""
        yield from self.batches
