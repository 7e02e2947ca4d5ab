"""What training and verification ask of a data module; anything with these members can stand under `data=`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getattr_static
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nowcast.data.archive.frame import Grid
from nowcast.data.windows.index import Split
from nowcast.data.windows.sample import Sample


@dataclass(frozen=True, eq=False)
class Series:
    """What windows of rain are cut from: fields of one place, in their time steps and cells.

    Args:
        name: To be shown.
        times: (N,) UTC times of its fields, rising.
        step_seconds: Time between two frames of a window.
        grid: The whole field, in the cells that windows have.
        cell_km: Side of such a cell, in y.
    """

    name: str
    times: NDArray[np.datetime64]
    step_seconds: int
    grid: Grid
    cell_km: float


class DataModule(Protocol):
    """A Lightning data module whose samples are `Sample`s of physical values.

    Where the values are rain rates, they are scored as rain and drawn as maps; `provenance` then holds
    `timesteps_seconds`, `cell_km` (rounded to 4 digits), `archives` (name → fingerprint), `input_steps` and
    `forecast_steps`, since `nowcast predict` asks for them.
    """

    input_steps: int
    forecast_steps: int

    @property
    def quantity(self) -> Literal["rain_rate", "brightness"]:
        """What the values are: rain in mm h-1, or pictures in [0, 1]."""
        ...

    @property
    def series(self) -> Sequence[Series]:
        """What the windows are cut from: a sample's `archive` is a position in it. Empty for what is no rain."""
        ...

    @property
    def lead_unit(self) -> Literal["minutes", "frames"]:
        """Unit of the lead times."""
        ...

    def lead_times(self, split: Split) -> tuple[float, ...]:
        """Lead times of the forecast frames of a split in `lead_unit`s; ValueError where its windows differ in them."""
        ...

    def shapes(self, split: Split) -> tuple[tuple[int, int], ...]:
        """The different (H, W) of a split's samples."""
        ...

    def common_shape(self, split: Split) -> tuple[int, int] | None:
        """(H, W) of a split's samples when all show the same cells, so that scores can be mapped; else None."""
        ...

    def examples(self, split: Split, count: int) -> list[int]:
        """Positions in the split's dataset of samples that are worth drawing, the best first; of rain, the rainiest."""
        ...

    def origins(self, split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) `archive` and (N,) `init_time` of a split's samples, in the order of its dataset."""
        ...

    @property
    def caveat(self) -> str:
        """What a reader of the scores must know of the split; empty = nothing."""
        ...

    def setup(self, stage: str | None = None) -> None:
        """Open or make the data; may be called more than once."""
        ...

    def dataset(self, split: Split) -> Dataset[Sample]:
        """Samples of a split; ValueError if it has none."""
        ...

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches in random order, which `on_after_batch_transfer` makes `Sample`s of."""
        ...

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Sample:  # noqa: ANN401
        """A batch of samples, on the device; Lightning calls it, too."""
        ...

    def val_dataloader(self) -> DataLoader[Sample]:
        """Validation samples, once, in order."""
        ...

    def test_dataloader(self) -> DataLoader[Sample]:
        """Test samples, once, in order."""
        ...

    def ordered_loader(self, split: Split) -> DataLoader[Sample]:
        """All samples of a split, once, in order."""
        ...

    def provenance(self) -> dict[str, Any]:
        """Plain facts that travel in checkpoints."""
        ...

    def describe(self) -> list[dict[str, Any]]:
        """Plain facts of each archive, empty where there are none."""
        ...

    def write_split(self, path: Path) -> None:
        """Write which sample belongs to which split as JSON."""
        ...


def as_data_module(found: Any) -> DataModule:  # noqa: ANN401 (whatever stands under `data`)
    """The same object, if it offers what a data module must.

    Raises:
        ValueError: It lacks members of the interface.
    """
    asked = [name for name in (*DataModule.__annotations__, *vars(DataModule)) if not name.startswith("_")]
    missing = [name for name in asked if getattr_static(found, name, None) is None]
    if missing:
        raise ValueError(
            f"data._target_ makes a {type(found).__module__}.{type(found).__qualname__}, which lacks "
            f"{', '.join(missing)}; what a data module must offer is nowcast.data.interface.DataModule"
        )
    return cast(DataModule, found)


@dataclass(frozen=True)
class ValidationLeads:
    """Lead times of all validation windows, which may differ in time step.

    Args:
        lead_times: All that occur, rising.
        rows: Archive → position among them of each lead time of its windows.
    """

    lead_times: tuple[float, ...]
    rows: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(cls, data: DataModule) -> "ValidationLeads":
        """Those of a data module."""
        archives = np.unique(data.origins("val")[0]).tolist()
        leads = {archive: lead_times_of(data, archive) for archive in archives}
        known = tuple(sorted({lead for times in leads.values() for lead in times}))
        return cls(known, {archive: tuple(map(known.index, times)) for archive, times in leads.items()})

    def parts(self, archives: Tensor) -> Iterator[tuple[tuple[int, ...], Tensor | slice]]:
        """Windows of a batch with the same lead times: (positions of those, which windows); (B,) archives are given."""
        different = sorted(set(archives.tolist()))
        if len({self.rows[archive] for archive in different}) == 1:
            yield self.rows[different[0]], slice(None)
            return
        for archive in different:
            yield self.rows[archive], archives == archive


def lead_times_of(data: DataModule, archive: int) -> tuple[float, ...]:
    """Lead times of the windows of one archive (the number that samples carry), in the data module's lead unit."""
    seconds = data.series[archive].step_seconds if data.series else 60  # so that frames count
    return tuple(seconds * (k + 1) / 60 for k in range(data.forecast_steps))
