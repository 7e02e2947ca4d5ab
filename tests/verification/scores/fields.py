"""Forecasts and observations of every awkward kind."""

import torch

from nowcast.forecasting.forecast import FieldForecast, of_values
from nowcast.verification.scores.sums import GroupSums, by_lead_time, scores_of

KINDS = ["random", "dry", "all wet", "constant", "single pixel", "masked", "missing forecast", "nothing valid"]


def fields(kind, shape=(4, 2, 1, 19, 18), seed=0, members=None):
    """Forecast (B, T, C, H, W), or (B, M, T, C, H, W) with members; observation; mask."""
    draw = torch.Generator().manual_seed(seed)
    forecast = 12 * torch.rand((shape[0], members or 1, *shape[1:]), generator=draw) ** 3
    observed = 12 * torch.rand(shape, generator=draw) ** 3
    observed = torch.where(observed < 0.3, 0.0, observed)
    forecast = torch.where(forecast < 0.3, 0.0, forecast)
    mask = torch.ones(shape, dtype=torch.bool)
    if kind == "dry":
        forecast, observed = torch.zeros_like(forecast), torch.zeros(shape)
    elif kind == "all wet":
        forecast, observed = forecast + 20, observed + 20
    elif kind == "constant":
        forecast, observed = torch.full_like(forecast, 3.0), torch.full(shape, 1.0)
    elif kind == "single pixel":
        forecast, observed, mask = (x[..., :1, :1] for x in (forecast, observed, mask))
    elif kind == "masked":
        mask = torch.rand(shape, generator=draw) > 0.2
        mask[:, :, :, :4] = False
        observed = torch.where(mask, observed, torch.nan)
    elif kind == "missing forecast":
        forecast = torch.where(torch.rand(forecast.shape, generator=draw) > 0.8, torch.nan, forecast)
    elif kind == "nothing valid":
        mask, observed = torch.zeros_like(mask), torch.full_like(observed, torch.nan)
    return (forecast[:, 0] if members is None else forecast), observed, mask


def seen(forecast, observed, mask, lead):
    """What our rules leave of a lead time, as NumPy: missing forecasts are no rain, masked cells are NaN in both."""
    f, o, m = (x[..., lead, :, :, :].double() for x in (forecast, observed, mask))
    f = f.nan_to_num(0.0)
    return torch.where(m > 0, f, torch.nan).numpy(), torch.where(m > 0, o, torch.nan).numpy()


def summed(families, forecast, observed, mask, groups=None):
    """Sums of a batch, by groups of 4 in each grouping; without groupings all of it is group 0 of "all"."""
    groups = groups or {"all": torch.zeros(len(observed), dtype=torch.int64)}
    whole = forecast if isinstance(forecast, FieldForecast) else of_values(forecast)
    sums = GroupSums(families, observed.shape[1], {name: 4 for name in groups}, torch.device("cpu"))
    for number, lead in enumerate(by_lead_time(whole, observed, mask, observed.shape[1])):
        sums.add_lead_time(number, lead, groups, sums.of_observed(lead))
    return sums


def scored(families, forecast, observed, mask):
    """Every score of a batch."""
    sums = summed(families, forecast, observed, mask).sums("all")
    return scores_of({name: value.sum(0) for name, value in sums.items()}, families)
