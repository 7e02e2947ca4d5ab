"""Loaders, and the orders in which they draw samples: reproducible for any number of workers."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.windows.loader_processes import start_worker_server
from nowcast.data.windows.sample import Sample

EPOCHS = 1 << 20  # more than any training has


class EpochSampler(Sampler[int]):
    """Indices (repeat·EPOCHS + epoch)·size + position: a fresh order each epoch that depends on (seed, epoch) alone.

    `repeat` counts the earlier draws of the same position in the epoch, 0 without weights. So no two draws of a
    training have the same index, from which datasets draw tiles and turns.

    Args:
        size: Samples in the dataset.
        samples: Draws per epoch; None = each sample once.
        weights: (size,) relative chance of each sample, drawn with replacement; None = without replacement.
        seed: Seed of the order.
        rank: Number of this process among those that share an epoch.
        ranks: How many they are. All get equally many draws; what does not divide is left out.
        done: Says, when an epoch begins, how many draws this process has had of it already: more than 0 where training
            goes on in the middle of an epoch.
    """

    def __init__(
        self,
        size: int,
        samples: int | None,
        weights: NDArray[np.float64] | None,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        done: Callable[[], int] = int,
    ) -> None:
        """Start at epoch 0."""
        self.rank, self.ranks = rank, ranks
        self.size, self.samples, self.seed = size, samples or size, seed
        self.chances = None if weights is None else weights / weights.sum()
        self.epoch, self.done = 0, done

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Draws per epoch."""
        return self.samples // self.ranks

    def __iter__(self) -> Iterator[int]:
        """Draw the epoch."""
        draw = np.random.default_rng((self.seed, self.epoch))
        if self.chances is None and self.samples <= self.size:
            positions = draw.permutation(self.size)[: self.samples]
        else:
            positions = draw.choice(self.size, self.samples, p=self.chances)
        indices = (repeats(positions) * EPOCHS + self.epoch) * self.size + positions
        mine = indices[: len(self) * self.ranks][self.rank :: self.ranks]
        yield from mine[self.done() :].tolist()


def repeats(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how often each position occurs before in (N,) positions: 5, 3, 5, 5 → 0, 0, 1, 2."""
    order = np.argsort(positions, kind="stable")
    values = positions[order]
    places = np.arange(len(positions))
    first = np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.empty(0, dtype=bool)
    result = np.empty_like(places)
    result[order] = places - np.maximum.accumulate(np.where(first, places, 0))
    return result


class SameGridBatches(Sampler[list[int]]):
    """Batches in order, none of which mixes archives: whole grids of two archives differ in shape.

    Args:
        archives: (size,) archive of each sample, in order.
        batch_size: Samples per batch.
        rank: Number of this process among those that share the samples; each batch goes to one of them.
        ranks: How many they are.
    """

    def __init__(self, archives: NDArray[np.int64], batch_size: int, rank: int = 0, ranks: int = 1) -> None:
        """Cut the samples, given by the archive of each, into batches, and take every ranks-th of them."""
        borders = [0, *(np.flatnonzero(np.diff(archives)) + 1).tolist(), len(archives)]
        batches = [
            list(range(start, min(start + batch_size, stop)))
            for begin, stop in pairwise(borders)
            for start in range(begin, stop, batch_size)
        ]
        self.batches = batches[rank::ranks]

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        """The batches."""
        yield from self.batches


class Reported(Dataset[Any]):
    """A dataset in a worker, whose errors of the data come as values: raised there, they would lose file and type.

    Args:
        dataset: The samples.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        """Keep it."""
        self.dataset = dataset

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.dataset)  # type: ignore[arg-type]  # torch leaves __len__ to its kinds of datasets

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401
        """A sample, or what is wrong with its file."""
        try:
            return self.dataset[index]
        except DataFormatError as error:
            return DataFormatError(error.path, error.problem)  # without what cannot be sent to another process


def collate(samples: list[Any]) -> Any:  # noqa: ANN401 (a batch, or an error)
    """A batch, or the first error among its samples."""
    return next((sample for sample in samples if isinstance(sample, DataFormatError)), None) or default_collate(samples)


class ResumableLoader(DataLoader[Sample]):
    """A loader that the trainer may resume in the middle of an epoch.

    Its state is empty: the sampler draws by (seed, epoch) and knows how much is done. Workers begin with the first
    batch that is asked for, since the trainer makes the iterator before it knows the epoch that it goes on with.
    """

    def __iter__(self) -> Iterator[Sample]:  # type: ignore[override]
        """The batches.

        Raises:
            DataFormatError: A file can no longer be read.
        """
        for batch in self.batches():
            if isinstance(batch, DataFormatError):
                raise batch
            yield batch

    def batches(self) -> Iterator[Any]:
        """The batches, or errors in their stead."""
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""


def batches_done(trainer: lightning.Trainer | None) -> int:
    """Batches of the epoch at hand that were trained on before it was interrupted."""
    return 0 if trainer is None else trainer.fit_loop.epoch_loop.batch_progress.current.ready


def make_loader(dataset: Dataset[Any], workers: int, **order: Any) -> ResumableLoader:  # noqa: ANN401
    """A loader; workers are started afresh rather than forked, which netCDF handles and threads do not survive."""
    return ResumableLoader(Reported(dataset), collate_fn=collate, **loader_settings(dataset, workers), **order)


def loader_settings(dataset: Dataset[Any], workers: int) -> dict[str, Any]:
    """What all loaders have in common; the server of their workers is started."""
    if workers:
        start_worker_server(type(dataset).__module__)
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "multiprocessing_context": "forkserver" if workers else None,
        "pin_memory": torch.cuda.is_available(),
    }


def rank_of_process() -> tuple[int, int]:
    """Number of this process in distributed training, and how many there are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
