"""Statistics of models that forecast with a known error, without any file of radar."""

import numpy as np
import torch

from nowcast.data.results.statistics_file import ExampleFields, Statistics
from nowcast.forecasting.forecast import Ensemble, Exceedance, Field, of_values
from nowcast.verification.scores.categorical import Categorical
from nowcast.verification.scores.continuous import Continuous
from nowcast.verification.scores.ensemble import EnsembleErrors, RankHistogram
from nowcast.verification.scores.family import summed_axes
from nowcast.verification.scores.probability import Probabilities
from nowcast.verification.scores.spatial import Fractions, Spectrum
from nowcast.verification.scores.sums import GroupSums, by_lead_time

THRESHOLDS = [0.5, 2.0]
SETTINGS = {
    "categorical": {"_target_": "nowcast.verification.scores.categorical.Categorical", "thresholds": THRESHOLDS},
    "continuous": {"_target_": "nowcast.verification.scores.continuous.Continuous"},
    "fss": {
        "_target_": "nowcast.verification.scores.spatial.Fractions", "thresholds": THRESHOLDS, "windows": [3, 9],
        "border": "inside",
    },
    "spectrum": {"_target_": "nowcast.verification.scores.spatial.Spectrum", "wavelengths": [2, 4, 8, 16]},
}  # fmt: skip
FAMILIES = {
    "categorical": Categorical(THRESHOLDS),
    "continuous": Continuous(),
    "fss": Fractions(THRESHOLDS, [3, 9], "inside"),
    "spectrum": Spectrum([2, 4, 8, 16]),
}
ENSEMBLE_SETTINGS = {
    "ensemble": {"_target_": "nowcast.verification.scores.ensemble.EnsembleErrors"},
    "probability": {
        "_target_": "nowcast.verification.scores.probability.Probabilities",
        "thresholds": THRESHOLDS,
        "levels": 4,
        "cost_loss_ratios": [0.1, 0.5],
        "reference": "bad",
    },
    "rank": {"_target_": "nowcast.verification.scores.ensemble.RankHistogram", "bins": 5},
}
ENSEMBLE_FAMILIES = {
    "ensemble": EnsembleErrors(),
    "probability": Probabilities(THRESHOLDS, 4, [0.1, 0.5], "bad"),
    "rank": RankHistogram(5),
}


def observations(blocks, steps=3, size=18, seed=0):
    """(blocks, T, 1, H, W) of smooth rain."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.rand((blocks, steps, size + 4, size + 4), generator=draw) ** 6 * 30
    return torch.nn.functional.avg_pool2d(noise, 5, stride=1).unsqueeze(2)


def statistics(models, blocks=12, seed=0, ensemble=False, first_block=0, examples=True, calm=()):
    """Statistics of `blocks` days with a window each.

    Args:
        models: Name → size of the error; "shift" moves the rain instead.
        blocks: Days.
        seed: Of the observations.
        ensemble: Four members each, and the scores of ensembles.
        first_block: Number of the first day.
        examples: With windows to look at.
        calm: Numbers of blocks with nothing valid.
    """
    observed = observations(first_block + blocks, seed=seed)[first_block:]
    forecasts = {}
    for name, error in models.items():
        draw = torch.Generator().manual_seed(len(name))
        forecast = observed.roll(3, dims=-1) if error == "shift" else observed
        shape = (blocks, 4, *observed.shape[1:]) if ensemble else observed.shape
        noise = torch.randn(shape, generator=draw) * (0 if error == "shift" else error)
        forecasts[name] = of_values(((forecast.unsqueeze(1) if ensemble else forecast) + noise).clamp(min=0))
    return of_forecasts(forecasts, observed, ensemble, first_block, examples, calm)


def mixed_statistics(models=("field", "members", "probabilities")):
    """Statistics of twelve days, forecast as a field, as members and as probabilities."""
    observed = observations(12)
    noise = torch.randn(12, 8, *observed.shape[1:], generator=torch.Generator().manual_seed(0))
    members = (observed.unsqueeze(1) + noise).clamp(min=0)
    shares = torch.cat([(members >= threshold).float().mean(1) for threshold in THRESHOLDS], dim=2)
    every = {
        "field": Field(members[:, 0]),
        "members": Ensemble(members[:, :4]),
        "probabilities": Exceedance(shares, tuple(THRESHOLDS)),
    }
    return of_forecasts({name: every[name] for name in models}, observed, True)


def of_forecasts(forecasts, observed, ensemble, first_block=0, examples=True, calm=()):
    """Statistics of named forecasts of days with a window each; arguments as for `statistics`."""
    families, blocks = FAMILIES | (ENSEMBLE_FAMILIES if ensemble else {}), len(observed)
    mask = torch.ones_like(observed, dtype=torch.bool)
    mask[list(calm)] = False
    labels = tuple(f"2024-05-{first_block + k + 1:02d}" for k in range(blocks))
    seasons = ("DJF", "MAM", "JJA", "SON")
    groups = {"block": torch.arange(blocks), "season": torch.ones(blocks, dtype=torch.int64)}
    sums, maps, rain, probable = [], [], {"observed": observed[0, :, 0].numpy()}, {}
    for name, forecast in forecasts.items():
        metric = GroupSums(families, 3, {"block": blocks, "season": 4}, torch.device("cpu"))
        for number, lead in enumerate(by_lead_time(forecast, observed, mask, 3)):
            metric.add_lead_time(number, lead, groups, {})
        sums.append({grouping: {k: v.numpy() for k, v in metric.sums(grouping).items()} for grouping in groups})
        single = forecast.single()
        rain[name] = single[0, :, 0].numpy()
        if forecast.exceedance:
            probable[name] = forecast.probability(0.5)[0, :, 0].numpy()
        said, seen = single >= 0.5, observed >= 0.5
        parts = (said & seen, ~said & seen, said & ~seen, ~said & ~seen)
        maps.append(np.stack([part.sum(dim=(0, 1, 2)).numpy() for part in parts]))
    axes = {f"{n}/{key}": value for n, family in families.items() for key, value in family.statistics_axes.items()}
    fields = ExampleFields("best", 0.7, "radar", np.datetime64("2024-05-01T12:00", "s"), 5.0, 1.0, rain, probable, 0.5)
    return Statistics(
        models=tuple(forecasts),
        lead_times=(5.0, 10.0, 15.0),
        lead_unit="minutes",
        groups={"block": labels, "season": seasons},
        sums={g: {key: np.stack([one[g][key] for one in sums]) for key in sums[0][g]} for g in groups},
        axes={"windows": (), "missing": ()} | axes,
        labels={f"{n}/{axis}": family.axes[axis] for n, family in families.items() for axis in summed_axes(family)},
        families=SETTINGS | (ENSEMBLE_SETTINGS if ensemble else {}),
        facts={"caveat": "", "created": "2024-05-02 00:00 UTC", "software": {"nowcast": "0"}, "split": "test"},
        map_counts=np.stack(maps),
        map_threshold=0.5,
        examples=[fields] if examples else [],
    ), families
