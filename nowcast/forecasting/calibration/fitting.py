"""Fits a network's calibration on validation windows."""

from typing import Any, cast

import torch

from nowcast.data.interface import DataModule, ValidationLeads
from nowcast.data.windows.sample import spacing_of
from nowcast.forecasting.calibration.by_lead_time import Calibration
from nowcast.forecasting.calibration.method import Method
from nowcast.forecasting.network import NetworkForecaster
from nowcast.progress import Track


@torch.inference_mode()
def fit_calibration(
    forecaster: NetworkForecaster, data: DataModule, method: Method, device: torch.device, track: Track
) -> Calibration:
    """Fit the calibration of a network on validation windows, which may differ in lead times."""
    leads, head, scaling = ValidationLeads.of(data), forecaster.head, forecaster.scaling
    fit = method.fitting(head, leads.lead_times)
    cast(Any, fit).to(device)
    forecaster.to(device).eval()
    loader = data.val_dataloader()
    for batch in track(loader, "calibrating", len(loader)):
        inputs, targets, mask = (batch[key].to(device) for key in ("inputs", "targets", "mask"))
        said, observed = forecaster.said(inputs, data.forecast_steps, spacing_of(batch)), head.target(targets, scaling)
        for rows, chosen in leads.parts(batch["archive"]):
            fit.update(said[chosen], observed[chosen], mask[chosen], rows)
    return fit.fit().cpu()
