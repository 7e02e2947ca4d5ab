"""What training and verification ask of a data module; anything with these members can stand under `data=`."""

from pathlib import Path
from typing import Any, Literal, Protocol

from torch.utils.data import DataLoader, Dataset

from nowcast.data.dataset import Sample
from nowcast.data.windows import Split


class DataModule(Protocol):
    """A Lightning data module whose samples are `Sample`s of physical values."""

    input_steps: int
    forecast_steps: int

    @property
    def lead_unit(self) -> Literal["minutes", "frames"]:
        """Unit of the lead times."""
        ...

    @property
    def lead_times(self) -> tuple[float, ...]:
        """Lead times of the forecast frames in `lead_unit`s."""
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
