"""Several crops of each window that is read: its frames are fetched and decoded once (docs/decisions/0045).

A visit is one reading of a window, of which `crops` samples are cut. Crops of one visit share no batch: of as many
visits as a batch has samples, `crops` batches are made, the first of the first crop of each, and so on. They are read
together by one process, and follow each other in training. Only where each sample is to come once do the last batches
of an epoch hold what is left over, as it comes.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from nowcast.data.windows.dataset import RadarDataset
from nowcast.data.windows.sample import Sample
from nowcast.data.windows.sampling import (
    EPOCHS,
    EpochSampler,
    Reported,
    ResumableLoader,
    collate,
    loader_settings,
    make_loader,
    rank_of_process,
    repeats,
)

Batches = list[list[int]]  # indices of batches that are read together


class VisitSampler(Sampler[Batches]):
    """Groups of batches of indices as EpochSampler has them; which they are depends on (seed, epoch) alone.

    Each crop by itself is drawn as without visits: with its weight, or each sample once an epoch.

    Args:
        windows: (size,) number of the window of each sample, rising from 0.
        samples: Draws per epoch; None = each sample once.
        weights: (size,) relative chance of each sample, drawn with replacement; None = without replacement.
        seed: Seed of the order.
        crops: Samples of a visit.
        batch_size: Samples of a batch of each process.
        rank: Number of this process among those that share an epoch; each visit is one process's.
        ranks: How many they are. All get equally many draws; what does not divide is left out.
        done: Says, when an epoch begins, how many draws this process has had of it already.
    """

    def __init__(
        self,
        windows: NDArray[np.int64],
        samples: int | None,
        weights: NDArray[np.float64] | None,
        seed: int,
        crops: int,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        done: Callable[[], int] = int,
    ) -> None:
        """Start at epoch 0."""
        self.windows, self.samples, self.seed = windows, samples or len(windows), seed
        self.crops, self.batch_size, self.rank, self.ranks = crops, batch_size, rank, ranks
        self.chances = None if weights is None else weights / weights.sum()
        self.epoch, self.done = 0, done

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return -(-(self.samples // self.ranks) // self.batch_size)

    def __len__(self) -> int:
        """Groups of an epoch."""
        return -(-self.batches // self.crops)

    def __iter__(self) -> Iterator[Batches]:
        """Draw the epoch."""
        draw, size = np.random.default_rng((self.seed, self.epoch)), len(self.windows)
        if self.chances is None and self.samples <= size:
            positions = _each_once(self.windows, self.samples, self.crops, self.batch_size * self.ranks, draw)
        else:
            chances = np.full(size, 1 / size) if self.chances is None else self.chances
            together = self.batch_size * self.ranks
            groups = -(-self.samples // (self.crops * together))
            visits = _with_chances(self.windows, chances, groups * together, self.crops, draw)
            positions = _in_turns(visits, together)[: self.samples]
        indices = (repeats(positions) * EPOCHS + self.epoch) * size + positions
        mine = indices[: self.samples // self.ranks * self.ranks][self.rank :: self.ranks]
        batches = [mine[start : start + self.batch_size].tolist() for start in range(0, len(mine), self.batch_size)]
        done = self.done() // self.batch_size
        for start in range(0, len(batches), self.crops):
            left = batches[max(start, done) : start + self.crops]
            if left:
                yield left


def _with_chances(
    windows: NDArray[np.int64], chances: NDArray[np.float64], count: int, crops: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """(count, crops) positions: windows by the sum of their samples' chances, then samples of each by their chances.

    So each position by itself is drawn with its chance. Those of a visit are taken at equal steps of its samples'
    summed chances, from a random start on (systematic sampling) and then shuffled: a sample comes twice in a visit only
    if its chance in it is above 1 / crops.
    """
    firsts = np.flatnonzero(np.diff(windows, prepend=-1))
    summed = np.concatenate([[0.0], np.cumsum(chances)])
    low, high = summed[firsts], summed[np.append(firsts[1:], len(windows))]
    chosen = draw.choice(len(firsts), count, p=(high - low) / (high - low).sum())
    steps = draw.permuted(np.tile(np.arange(crops), (count, 1)), axis=1)
    share = (draw.random((count, 1)) + steps) / crops
    low, high = low[chosen, None], high[chosen, None]
    found = np.minimum(low + share * (high - low), np.nextafter(high, low))  # rounding must not leave the window
    return np.asarray(np.searchsorted(summed, found, side="right") - 1, dtype=np.int64)


def _each_once(
    windows: NDArray[np.int64], samples: int, crops: int, together: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """(samples,) positions, none of them twice: visits of one window as far as it has samples, then the rest mixed."""
    shuffled = draw.permutation(len(windows))
    order = shuffled[np.argsort(windows[shuffled], kind="stable")]  # window by window, samples at random
    window = windows[order]
    counts = np.bincount(window)
    place = np.arange(len(order)) - (np.cumsum(counts) - counts)[window]
    whole = place < counts[window] // crops * crops
    rest = order[~whole]
    rest = rest[np.argsort(draw.permutation(len(counts))[windows[rest]], kind="stable")]  # windows at random
    mixed = len(rest) // crops * crops
    visits = np.concatenate([order[whole], rest[:mixed]]).reshape(-1, crops)
    visits = draw.permutation(visits, axis=0)[: -(-samples // crops)]
    return np.concatenate([_in_turns(visits, together), rest[mixed:]])[:samples]


def _in_turns(visits: NDArray[np.int64], together: int) -> NDArray[np.int64]:
    """Positions of (count, crops) visits in the order of their batches: of so many visits the first, the second, …."""
    groups = [visits[start : start + together].T.ravel() for start in range(0, len(visits), together)]
    return np.concatenate([np.empty(0, dtype=np.int64), *groups])


class Visits(Dataset[Any]):
    """Batches that are read together, window by window.

    Args:
        dataset: The samples.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        """Keep it."""
        self.dataset = Reported(dataset)

    def __getitem__(self, batches: Batches) -> list[Any]:
        """The batches, or of each what is wrong with a file of it."""
        order = sorted((column, row) for row, batch in enumerate(batches) for column in range(len(batch)))
        read = {(row, column): self.dataset[batches[row][column]] for column, row in order}
        return [collate([read[row, column] for column in range(len(batch))]) for row, batch in enumerate(batches)]


class VisitLoader(ResumableLoader):
    """A loader of the batches of a VisitSampler, which workers read in groups."""

    def __len__(self) -> int:
        """Batches of an epoch."""
        sampler = self.sampler
        assert isinstance(sampler, VisitSampler)
        return sampler.batches

    def batches(self) -> Iterator[Any]:
        """The batches, or errors, one by one."""
        for group in super().batches():
            yield from group


def training_loader(
    listed: RadarDataset,
    dataset: Dataset[Any],
    crops: int,
    batch_size: int,
    workers: int,
    **order: Any,  # noqa: ANN401
) -> ResumableLoader:
    """A loader of training batches, of this process its share.

    Args:
        listed: The samples.
        dataset: The same, as batches are to hold them.
        crops: Samples cut from a window each time it is read.
        batch_size: Samples of a batch.
        workers: Loader processes.
        order: Samples, weights, seed and done, as of EpochSampler.
    """
    order["rank"], order["ranks"] = rank_of_process()
    if crops == 1:
        sampler = EpochSampler(len(listed), **order)
        return make_loader(dataset, workers, sampler=sampler, batch_size=batch_size)
    visits = VisitSampler(listed.windows, crops=crops, batch_size=batch_size, **order)
    return _visit_loader(dataset, workers, visits)


def _visit_loader(dataset: Dataset[Any], workers: int, sampler: VisitSampler) -> VisitLoader:
    """A process has one group of batches ahead, which is large."""
    return VisitLoader(
        Visits(dataset),
        collate_fn=_as_it_is,
        batch_size=None,
        sampler=sampler,
        prefetch_factor=1 if workers else None,
        **loader_settings(dataset, workers),
    )


def _as_it_is(batches: list[Sample]) -> list[Sample]:
    return batches
