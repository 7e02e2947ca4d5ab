"""Forecasts of other systems, read from files, scored as if they were models."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nowcast.data.datamodule import RadarDataModule
from nowcast.data.dataset import Sample
from nowcast.data.forecast_reader import ForecastFiles


class FileForecasts(nn.Module):
    """Looks the forecast of a window up instead of computing it.

    Args:
        patterns: netCDF files or globs of one system.
        data: The windows, on whole grids.

    Raises:
        ValueError: The windows are tiles.
    """

    def __init__(self, patterns: Sequence[str], data: RadarDataModule) -> None:
        """Find the forecasts."""
        super().__init__()
        if data.eval_crop is not None:
            raise ValueError(
                f"forecasts= are on whole grids, the windows are tiles of {data.eval_crop}: add data.eval_crop=null"
            )
        data.setup()
        self.files = ForecastFiles(patterns)
        self.grids = [region.grid for region in data.regions]
        self.step_seconds = list(data.steps)

    def has(self, batch: Sample) -> Tensor:
        """(B,) bool: whether there is a forecast from the time of a window's last input."""
        return torch.tensor([int(init) in self.files.files for init in batch["init_time"]])

    def for_windows(self, batch: Sample) -> Tensor:
        """(B, M, T, 1, H, W) mm h-1 of the windows of a batch; NaN where there is no value or no forecast.

        Raises:
            DataFormatError: A forecast on another grid, or without one of the lead times.
            ValueError: Forecasts of one batch have different numbers of members.
        """
        steps, shape = batch["targets"].shape[1], batch["targets"].shape[-2:]
        found: list[Tensor | None] = []
        for init, archive in zip(batch["init_time"].tolist(), batch["archive"].tolist(), strict=True):
            leads = [self.step_seconds[archive] * (k + 1) for k in range(steps)]
            known = init in self.files.files
            found.append(torch.from_numpy(self.files.read(init, leads, self.grids[archive])) if known else None)
        members = {len(forecast) for forecast in found if forecast is not None}
        if len(members) > 1:
            raise ValueError(f"forecasts of {', '.join(self.files.patterns)} have {sorted(members)} members; need one")
        nothing = torch.full((max(members, default=1), steps, *shape), np.nan)
        return torch.stack([nothing if forecast is None else forecast for forecast in found]).unsqueeze(3)
