"""The Lightning data module of Moving-MNIST: generated once and kept on disk, fresh every epoch, or read from files."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from nowcast.data.interface import Series
from nowcast.data.mnist.digits import SIDE, MovingDigits, Pictures
from nowcast.data.mnist.files import kept_sequences, read_sequences, training_images
from nowcast.data.mnist.settings import DigitSettings, SequenceCounts, SequenceFiles
from nowcast.data.windows.index import SPLITS, Split
from nowcast.data.windows.sample import Sample
from nowcast.data.windows.sampling import EpochSampler, SameGridBatches, batches_done, make_loader, rank_of_process
from nowcast.data.windows.settings import check_pair
from nowcast.files import written_whole

GENERATOR_VERSION = 1  # raise when the same settings would give other bytes: old files are then not used


class SequenceDataset(Dataset[Sample]):
    """Stored sequences as samples of brightness in [0, 1]; everything is observed.

    Args:
        sequences: (N, T, H, W) uint8 0 to 255, or float32 0 to 1.
        input_steps: Frames the model sees.
    """

    def __init__(self, sequences: NDArray[Any], input_steps: int) -> None:
        """Keep the array, which may be a memory map."""
        self.sequences, self.input_steps = sequences, input_steps

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.sequences)

    def __getitem__(self, index: int) -> Sample:
        """One sequence; of an index (sampling.EpochSampler) only the position counts."""
        return as_sample(np.asarray(self.sequences[index % len(self)]), self.input_steps)


class OnlineDataset(Dataset[Sample]):
    """Sequences drawn anew for every index, so that no epoch repeats another.

    Args:
        digits: The generator.
        images: (N, 28, 28) uint8.
        size: Sequences in an epoch.
        frames: Length of a sequence.
        input_steps: Frames the model sees.
        seed: Sequence k of epoch e depends on the seed and e·size + k alone.
    """

    def __init__(
        self, digits: MovingDigits, images: Pictures, size: int, frames: int, input_steps: int, seed: int
    ) -> None:
        """Keep the settings."""
        self.digits, self.images, self.size = digits, images, size
        self.frames, self.input_steps, self.seed = frames, input_steps, seed

    def __len__(self) -> int:
        """Sequences in an epoch."""
        return self.size

    def __getitem__(self, index: int) -> Sample:
        """Draw one sequence."""
        draw = np.random.default_rng((self.seed, len(SPLITS), index))
        return as_sample(self.digits.generate(self.images, 1, self.frames, draw)[0], self.input_steps)


def as_sample(frames: NDArray[Any], input_steps: int) -> Sample:
    """A sample from (T, H, W) frames, uint8 0 to 255 or float 0 to 1."""
    brightness = torch.from_numpy(frames.astype(np.float32)).unsqueeze(1)  # (T, 1, H, W)
    if frames.dtype == np.uint8:
        brightness = brightness / 255
    targets = brightness[input_steps:]
    return Sample(
        inputs=brightness[:input_steps],
        targets=targets,
        mask=torch.ones_like(targets, dtype=torch.bool),
        init_time=torch.tensor(0),
        archive=torch.tensor(0),
    )


def moving_digits(settings: DigitSettings, speed: Sequence[float]) -> MovingDigits:
    """The generator of digits that move at a speed, [low, high) in pixels per frame."""
    return MovingDigits((settings.images[0], settings.images[1]), settings.per_sequence, (speed[0], speed[1]))


class MovingMnist(lightning.LightningDataModule):
    """Training, validation and test sequences of moving digits.

    Args:
        mnist: Folder of MNIST's train-images-idx3-ubyte(.gz); downloaded into it when missing.
        folder: Where generated sequences are kept.
        digits: Which digits move.
        test_digits: The same for the test sequences.
        speed: See MovingDigits.
        sequences: Sequences in an epoch of each split.
        files: Sequences of a split from a file instead of generated ones.
        online: Draw training sequences anew in every epoch instead of repeating one set.
        input_steps: Frames the model sees.
        forecast_steps: Frames it predicts.
        batch_size: Sequences per batch.
        workers: Loader processes.
        seed: Seed of sequences and order.

    Raises:
        ValueError: Settings out of range or contradicting each other.
    """

    lead_unit: Literal["frames"] = "frames"
    quantity: Literal["brightness"] = "brightness"
    series: Sequence[Series] = ()
    caveat = ""

    def __init__(
        self,
        mnist: str,
        folder: str,
        digits: DigitSettings,
        test_digits: DigitSettings,
        speed: Sequence[float],
        sequences: SequenceCounts,
        files: SequenceFiles,
        online: bool,
        input_steps: int,
        forecast_steps: int,
        batch_size: int,
        workers: int,
        seed: int,
    ) -> None:
        """Keep the settings; `setup` generates or reads."""
        super().__init__()
        check_pair("data.speed", speed, "[low, high]")
        self.mnist, self.folder = Path(mnist).expanduser(), Path(folder).expanduser()
        self.digits, self.test_digits = moving_digits(digits, speed), moving_digits(test_digits, speed)
        self.sizes, self.files = vars(sequences), vars(files)
        self.online, self.input_steps, self.forecast_steps = online, input_steps, forecast_steps
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        for name in ("input_steps", "forecast_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name} must be at least 1, got {getattr(self, name)}")
        if online and files.train is not None:
            raise ValueError("data.online=true draws training sequences anew; it contradicts data.files.train")
        self.sequences: dict[str, NDArray[Any]] = {}

    @property
    def frames(self) -> int:
        """Frames of a sequence."""
        return self.input_steps + self.forecast_steps

    def lead_times(self, split: Split) -> tuple[float, ...]:
        """Lead times in frames, alike in all splits."""
        return tuple(float(k + 1) for k in range(self.forecast_steps))

    def shapes(self, split: Split) -> tuple[tuple[int, int], ...]:
        """(H, W) of the sequences, alike in all splits."""
        self.setup()
        height, width = self.sequences["test"].shape[2:]
        return ((height, width),)

    def common_shape(self, split: Split) -> tuple[int, int] | None:
        """None: the sequences show no place."""
        return None

    def examples(self, split: Split, count: int) -> list[int]:
        """The first sequences."""
        return list(range(min(count, len(self.dataset(split)))))

    def origins(self, split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Zeros: the sequences are of no archive and no time."""
        zeros = np.zeros(len(self.dataset(split)), dtype=np.int64)
        return zeros, zeros

    def prepare_data(self) -> None:
        """Generate what is missing, once per machine."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Read or generate all splits; the stage does not matter."""
        if self.sequences:
            return
        sequences: dict[str, NDArray[Any]] = {}
        for number, split in enumerate(SPLITS):
            file = self.files[split]
            if file is not None:
                sequences[split] = read_sequences(Path(file).expanduser(), self.frames)
            elif not (self.online and split == "train"):
                sequences[split] = self._generated(split, number)
        self._check_sizes(sequences)
        self.sequences = sequences

    def _check_sizes(self, sequences: dict[str, NDArray[Any]]) -> None:
        """One network sees all splits, and errors are sums over a frame: frames must be of one size."""
        sizes = {split: values.shape[2:] for split, values in sequences.items()}
        if self.online:
            sizes["train"] = (SIDE, SIDE)
        if len(set(sizes.values())) > 1:
            found = ", ".join(
                f"{height}x{width} in {split} (data.files.{split}={self.files[split] or 'null: generated'})"
                for split, (height, width) in sorted(sizes.items())
            )
            raise ValueError(f"frames of all splits must have one size, got {found}; name files of one size")

    def _generated(self, split: Split, number: int) -> Pictures:
        size, digits = self.sizes[split], self.test_digits if split == "test" else self.digits
        key = repr((GENERATOR_VERSION, digits, size, self.frames, self.seed, number))
        path = self.folder / f"{split}_{hashlib.sha256(key.encode()).hexdigest()[:12]}.npy"
        if not path.exists():
            draw = np.random.default_rng((self.seed, number))
            made = digits.generate(training_images(self.mnist), size, self.frames, draw)
            with written_whole(path) as partial, partial.open("wb") as file:
                np.save(file, made)
        return kept_sequences(path, (size, self.frames, SIDE, SIDE))

    def dataset(self, split: Split) -> SequenceDataset | OnlineDataset:
        """Samples of a split."""
        self.setup()
        if split == "train" and self.online:
            images = training_images(self.mnist)
            return OnlineDataset(self.digits, images, self.sizes["train"], self.frames, self.input_steps, self.seed)
        return SequenceDataset(self.sequences[split], self.input_steps)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Shuffled anew every epoch; the last batch may be smaller."""
        dataset = self.dataset("train")
        sampler = EpochSampler(len(dataset), None, None, self.seed, *rank_of_process(), self._done)
        return make_loader(dataset, self.workers, sampler=sampler, batch_size=self.batch_size)

    def _done(self) -> int:
        return batches_done(self.trainer) * self.batch_size

    def val_dataloader(self) -> DataLoader[Sample]:
        """Validation sequences in order."""
        return self.ordered_loader("val")

    def test_dataloader(self) -> DataLoader[Sample]:
        """Test sequences in order."""
        return self.ordered_loader("test")

    def ordered_loader(self, split: Split) -> DataLoader[Sample]:
        """All sequences of a split, once, in order."""
        dataset = self.dataset(split)
        same = np.zeros(len(dataset), dtype=np.int64)
        return make_loader(
            dataset, self.workers, batch_sampler=SameGridBatches(same, self.batch_size, *rank_of_process())
        )

    def provenance(self) -> dict[str, Any]:
        """Plain facts that travel in checkpoints."""
        self.setup()
        return {
            "sequences": {split: self._facts(split) for split in SPLITS},
            "input_steps": self.input_steps,
            "forecast_steps": self.forecast_steps,
        }

    def _facts(self, split: Split) -> dict[str, Any]:
        if split not in self.sequences:
            return {"made": "anew in every epoch", "count": self.sizes[split], "seed": self.seed}
        # The first sequences stand for all: hashing a gigabyte at every start would not be worth the seconds.
        some = np.ascontiguousarray(self.sequences[split][:64])
        return {
            "made": self.files[split] or "generated",
            "count": len(self.sequences[split]),
            "sha256_of_first_64": hashlib.sha256(some.tobytes()).hexdigest(),
        }

    def describe(self) -> list[dict[str, Any]]:
        """No archives."""
        return []

    def write_split(self, path: Path) -> None:
        """Write the facts of each split as JSON."""
        path.write_text(json.dumps(self.provenance()["sequences"], indent=1) + "\n")
