"""Scores of ensembles and of the probabilities that they give."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nowcast.forecasting.forecast import Need
from nowcast.verification.scores.family import Axis, Best, in_order


class EnsembleErrors:
    """Continuous ranked probability score, spread and error of the ensemble mean, in mm h-1.

    crps = Σ|x_i - y|/M - ΣΣ|x_i - x_j| / 2M² (empirical); crps_fair has 2M(M-1) instead and does not depend on how
    many members there are. Of a single forecast crps is its absolute error, and crps_fair and spread are undefined.
    spread = sqrt(mean of (M+1)/M × variance with M-1), skill_rmse the RMSE of the ensemble mean; their ratio
    spread_skill is one for a reliable ensemble, below one for one that is too sure.

    Sources: Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 20; Ferro 2014, doi:10.1002/qj.2270 (fair);
    Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1, eq. 15 (spread and error).
    """

    needs: Need = "members"
    axes: dict[str, Axis] = {  # noqa: RUF012 (a constant)
        "part": ("n", "absolute", "half_pairs_empirical", "half_pairs_fair", "variance", "squared_error"),
    }  # fmt: skip
    statistics_axes: dict[str, tuple[str, ...]] = {"parts": ("part",)}  # noqa: RUF012
    best: dict[str, Best] = {  # noqa: RUF012
        "crps": "lowest", "crps_fair": "lowest", "spread": "none", "skill_rmse": "lowest",
        "spread_skill": "nearest one",
    }  # fmt: skip

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """One number per lead time."""
        return dict.fromkeys(self.best, ())

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Sums (B, 6) of each sample; NaN where one member leaves a part undefined."""
        members, y = forecast.flatten(2).double(), observed.flatten(1).double()  # (B, M, N), (B, N)
        m = members.shape[1]
        # Σ_i Σ_j |x_i - x_j| = 2 Σ_i (2i - M - 1) x_(i), i = 1 … M in order of size.
        rank = 2 * torch.arange(1, m + 1, device=members.device, dtype=members.dtype) - m - 1
        pairs = 2 * torch.einsum("m,bmn->b", rank, members.sort(dim=1).values) if m > 1 else members.new_zeros(len(y))
        mean = members.mean(dim=1)
        undefined = y.new_full((len(y),), torch.nan)
        parts = (
            mask.flatten(1).sum(1).double(),
            (members - y[:, None]).abs().mean(dim=1).sum(1),
            pairs / (2 * m**2),
            pairs / (2 * m * (m - 1)) if m > 1 else undefined,
            (m + 1) / m * members.var(dim=1).sum(1) if m > 1 else undefined,
            (mean - y).square().sum(1),
        )
        return {"parts": torch.stack(parts, dim=1)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…)."""
        n, absolute, empirical, fair, variance, squared = sums["parts"].unbind(-1)
        spread, skill = (variance / n).sqrt(), (squared / n).sqrt()
        return {
            "crps": (absolute - empirical) / n,
            "crps_fair": (absolute - fair) / n,
            "spread": spread,
            "skill_rmse": skill,
            "spread_skill": torch.where(skill > 0, spread / skill, torch.nan),
        }


class Probabilities:
    """Scores of the probability of rain at or above a threshold.

    An ensemble gives it by the share of its members that reach it.

    brier = mean (p - o)², in [0, 1], best 0. brier_skill = 1 - brier / (ō(1 - ō)): better than always saying the
    observed frequency ō. roc_area: area under pod against pofd of all decision levels, 0.5 is no skill. Curves by
    probability: reliability (frequency of the event when p was forecast) and forecast_share; roc_pod and roc_pofd
    (event forecast when p >= level).

    Args:
        thresholds: K rain rates in mm h-1, rising; an event is rate >= threshold.
        levels: L; curves are by probabilities rounded to 0, 1/L, …, 1. Exact when M divides L.

    Sources: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; Wilks, Statistical Methods in the
    Atmospheric Sciences, ch. 8 (reliability, ROC).
    """

    needs: Need = "probability"

    def __init__(self, thresholds: Sequence[float], levels: int) -> None:
        """Keep the settings."""
        self.thresholds, self.levels = in_order(tuple(thresholds), "verification.thresholds"), levels
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")

    @property
    def axes(self) -> dict[str, Axis]:
        """Thresholds in mm h-1, probabilities."""
        probabilities = tuple(level / self.levels for level in range(self.levels + 1))
        return {
            "threshold": self.thresholds,
            "probability": probabilities,
            "tally": ("forecasts", "events", "probability_sum"),
        }

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Σ(p-o)² (K,) and, by probability, forecasts, events and Σp."""
        return {"squared": ("threshold",), "tallies": ("threshold", "probability", "tally")}

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """Numbers by threshold, curves by threshold and probability."""
        numbers = dict.fromkeys(("brier", "brier_skill", "roc_area"), ("threshold",))
        curves = ("reliability", "forecast_probability", "forecast_share", "roc_pod", "roc_pofd")
        return numbers | dict.fromkeys(curves, ("threshold", "probability"))

    @property
    def best(self) -> dict[str, Best]:
        """Curves are not good or bad."""
        good: dict[str, Best] = {"brier": "lowest", "brier_skill": "highest", "roc_area": "highest"}
        return {name: good.get(name, "none") for name in self.score_axes}

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Sums of each sample: (B, K) and (B, K, L+1, 3)."""
        squared, tallies = [], []
        valid = mask.flatten(1)
        bins = self.levels + 2  # the last one is for cells that do not count
        offset = torch.arange(len(valid), device=valid.device)[:, None] * bins
        for k, threshold in enumerate(torch.tensor(self.thresholds, dtype=observed.dtype).tolist()):
            p = forecast[:, k].double().flatten(1)  # (B, N)
            o = (observed >= threshold).double().flatten(1)
            squared.append(((p - o).square() * valid).sum(1))
            level = (p * self.levels).round().long().masked_fill(~valid, self.levels + 1) + offset
            tally = [
                torch.bincount(level.flatten(), weights, minlength=len(valid) * bins).view(-1, bins)[:, :-1].double()
                for weights in (None, o.flatten(), p.flatten())
            ]
            tallies.append(torch.stack(tally, dim=-1))
        return {"squared": torch.stack(squared, dim=1), "tallies": torch.stack(tallies, dim=1)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…, K) and curves (…, K, L+1)."""
        n, events, p = sums["tallies"].unbind(-1)
        total, observed = n.sum(-1), events.sum(-1)
        rate = observed / total
        brier = sums["squared"] / total
        # From the strictest decision level to "always": cumulated from above.
        pod = events.flip(-1).cumsum(-1).flip(-1) / observed[..., None]
        pofd = (n - events).flip(-1).cumsum(-1).flip(-1) / (total - observed)[..., None]
        beyond = torch.zeros_like(pod[..., :1])
        area = torch.trapezoid(torch.cat([pod, beyond], -1).flip(-1), torch.cat([pofd, beyond], -1).flip(-1), dim=-1)
        return {
            "brier": brier,
            "brier_skill": torch.where(rate * (1 - rate) > 0, 1 - brier / (rate * (1 - rate)), torch.nan),
            "roc_area": area,
            "reliability": events / n,
            "forecast_probability": p / n,
            "forecast_share": n / total[..., None],
            "roc_pod": pod,
            "roc_pofd": pofd,
        }


class RankHistogram:
    """How often the observation falls into each part of the ordered ensemble; flat for a reliable one.

    Observations equal to members (mostly no rain) are spread evenly over the ranks that they may have, which is what
    drawing at random gives on average. Ranks of any number of members are mapped to `bins` equal parts of [0, 1].

    Args:
        bins: Parts; with members + 1 of them they are the ranks.

    Sources: Hamill 2001, doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2.
    """

    needs: Need = "members"
    best: dict[str, Best] = {"rank_histogram": "none"}  # noqa: RUF012 (a constant)

    def __init__(self, bins: int) -> None:
        """Keep the number of parts."""
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}")
        self.bins = bins

    @property
    def axes(self) -> dict[str, Axis]:
        """Middles of the parts."""
        return {"rank": tuple((k + 0.5) / self.bins for k in range(self.bins))}

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Observations by part."""
        return {"ranks": ("rank",)}

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """Share of observations by part."""
        return {"rank_histogram": ("rank",)}

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Observations (B, bins) of each sample by part."""
        m = forecast.shape[1]
        truth, valid = observed[:, None], mask.flatten(1)
        below = (forecast < truth).sum(1).flatten(1)  # (B, N)
        equal = (forecast == truth).sum(1).flatten(1)
        pair = (below * (m + 1) + equal).masked_fill(~valid, (m + 1) ** 2)
        offset = torch.arange(len(pair), device=pair.device)[:, None] * ((m + 1) ** 2 + 1)
        counts = torch.bincount((pair + offset).flatten(), minlength=len(pair) * ((m + 1) ** 2 + 1))
        return {"ranks": counts.view(len(pair), -1)[:, :-1].double() @ self._shares(m).to(forecast.device)}

    def _shares(self, members: int) -> Tensor:
        """((M+1)², bins): how an observation with so many members below and equal is spread over the parts."""
        ranks = members + 1
        below, equal = torch.meshgrid(torch.arange(ranks), torch.arange(ranks), indexing="ij")
        low = below.flatten().double() / ranks
        high = low + (equal.flatten().double() + 1) / ranks
        edges = torch.linspace(0, 1, self.bins + 1, dtype=torch.float64)
        reached = ((edges - low[:, None]) / (high - low)[:, None]).clamp(0, 1)
        return reached.diff(dim=1)

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Shares (…, bins), 1/bins for a reliable ensemble."""
        return {"rank_histogram": sums["ranks"] / sums["ranks"].sum(-1, keepdim=True)}
