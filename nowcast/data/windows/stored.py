"""Windows as their archives store them: the device makes rain rates of them, and the loader has little to do.

A window of 16-bit numbers has less than half of the bytes of rain rates and their mask, and reading it is a copy. It
serves training, where the whole window counts and cells are those of the archive; else RadarDataset itself is read.
"""

from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from nowcast.data.archive.archive import FILL
from nowcast.data.windows.dataset import RadarDataset, fill_up
from nowcast.data.windows.sample import Sample, turn


class StoredSample(TypedDict):
    """One window (of a batch: with a leading B axis)."""

    stored: Tensor  # (T, 1, H, W) int16, the bits of the archive's unsigned numbers
    table: Tensor  # () int64, which table says what they mean
    init_time: Tensor  # as in Sample
    archive: Tensor  # as in Sample
    step_minutes: Tensor  # as in Sample
    cell_km: Tensor  # as in Sample


class StoredWindows(Dataset[StoredSample]):
    """The samples of a RadarDataset, stored values for rain rates; only where `are_possible`.

    Args:
        windows: The samples.
    """

    def __init__(self, windows: RadarDataset) -> None:
        """Collect the tables."""
        self.windows = windows
        self.tables, self._table_of_region = _tables(windows)

    @staticmethod
    def are_possible(windows: RadarDataset) -> bool:
        """Whether archives are packed and not averaged, rain stays as it is, and no tile shares cells with another."""
        stored = all(r.archive.stored_type == np.uint16 and r.factor == (1, 1) for r in windows.regions)
        whole = windows.jitter or not windows.samples[:, 4:].any()
        return stored and whole and not windows.rain_factor_sigma and windows.zoom == 1

    def __len__(self) -> int:
        """Number of samples in an epoch without weights."""
        return len(self.windows)

    def __getitem__(self, index: int) -> StoredSample:
        """Read one window.

        Raises:
            DataFormatError: The archive can no longer be read.
        """
        windows = self.windows
        cut = windows.cut(index)
        values = fill_up(cut.region.archive.read_stored(*windows.slices(cut)), windows.shape_of(cut.region), FILL)
        (values,) = turn(cut.draw, windows.augment, values)
        # A copy in any case: what is mapped must not leave this process, and can change or vanish
        return StoredSample(
            stored=torch.from_numpy(np.array(values, order="C").view(np.int16)).unsqueeze(1),
            table=self._table_of_region[cut.archive],
            init_time=windows.init_time(cut),
            archive=torch.tensor(cut.archive),
            **windows.distances(cut),
        )


def _tables(windows: RadarDataset) -> tuple[Tensor, list[Tensor]]:
    """(tables, 65536) float32 mm h-1, each different one once, and which of them is each region's."""
    archives = [region.archive for region in windows.regions]
    different = {archive.meaning: archive for archive in archives}
    numbers = {meaning: number for number, meaning in enumerate(different)}
    tables = np.stack([archive.rate_table() for archive in different.values()])
    return torch.from_numpy(tables), [torch.tensor(numbers[archive.meaning]) for archive in archives]


def to_rain_rates(batch: StoredSample, tables: Tensor, input_steps: int) -> Sample:
    """The batch that RadarDataset would have given, bit for bit.

    Args:
        batch: Stored values (B, T, 1, H, W).
        tables: Of its StoredWindows, on the device of the batch.
        input_steps: Frames that the model sees.
    """
    stored = batch["stored"]
    if stored.device.type == "cpu":
        rain_rate = _looked_up(stored, batch["table"], tables)
    else:
        position = (stored.int() & FILL) + (FILL + 1) * batch["table"].int().view(-1, 1, 1, 1, 1)
        rain_rate = tables.flatten().index_select(0, position.flatten()).view(stored.shape)
    targets = rain_rate[:, input_steps:]
    return Sample(
        inputs=rain_rate[:, :input_steps],
        targets=targets,
        mask=targets.isfinite(),
        init_time=batch["init_time"],
        archive=batch["archive"],
        step_minutes=batch["step_minutes"],
        cell_km=batch["cell_km"],
    )


def _looked_up(stored: Tensor, table: Tensor, tables: Tensor) -> Tensor:
    """The same by numpy, which is several times as fast on CPUs."""
    rain_rate = torch.empty(stored.shape, dtype=torch.float32)
    for values, number, result in zip(stored.numpy().view(np.uint16), table.tolist(), rain_rate.numpy(), strict=True):
        of_archive = tables[number].numpy()
        for frame, out in zip(values, result, strict=True):  # stays in the cache
            of_archive.take(frame, out=out, mode="clip")
    return rain_rate
