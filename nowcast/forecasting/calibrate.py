"""Fits a network's calibration on validation windows."""

import torch

from nowcast.data.interface import DataModule, ValidationLeads
from nowcast.forecasting.calibration import CalibrationFit, FrequencyCalibration
from nowcast.forecasting.checkpoint import NetworkForecaster
from nowcast.progress import Track


@torch.inference_mode()
def fit_calibration(
    forecaster: NetworkForecaster, data: DataModule, levels: int, device: torch.device, track: Track
) -> FrequencyCalibration:
    """Fit the frequency calibration of a network on validation windows, which may differ in lead times."""
    leads = ValidationLeads.of(data)
    fit = CalibrationFit(leads.lead_times, levels).to(device)
    forecaster.to(device).eval()
    loader = data.val_dataloader()
    for batch in track(loader, "calibrating", len(loader)):
        inputs, targets, mask = (batch[key].to(device) for key in ("inputs", "targets", "mask"))
        grey, observed = forecaster.grey(inputs, data.forecast_steps), forecaster.scaling.to_grey(targets)
        for rows, chosen in leads.parts(batch["archive"]):
            fit.update(grey[chosen], observed[chosen], mask[chosen], rows)
    return fit.fit().cpu()
