"""What an ensemble is where one forecast is asked for: the same rule in scores, maps and pictures."""

from torch import Tensor

ENSEMBLE = 6  # axes (B, M, T, C, H, W); a single forecast has no M


def members_of(forecast: Tensor) -> Tensor:
    """(B, M, T, C, H, W) of a forecast that may be single; M = 1 then."""
    return forecast if forecast.ndim == ENSEMBLE else forecast.unsqueeze(1)


def single(forecast: Tensor) -> Tensor:
    """(B, T, C, H, W) of a forecast that may be an ensemble: its mean."""
    return ensemble_mean(forecast) if forecast.ndim == ENSEMBLE else forecast


def ensemble_mean(members: Tensor) -> Tensor:
    """Mean over the second axis, (B, M, …) → (B, …); a member that is NaN counts as no rain, NaN where all are."""
    if members.shape[1] == 1:
        return members[:, 0]
    return members.nan_to_num(0.0).mean(dim=1).masked_fill(members.isnan().all(dim=1), float("nan"))


def any_missing(forecast: Tensor) -> Tensor:
    """(B, T, C, H, W) bool: whether a forecast, or a member of it, has no value (NaN)."""
    return members_of(forecast).isnan().any(dim=1)
