"""Scores of ensembles."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nowcast.forecasting.forecast import Need
from nowcast.verification.scores.family import Axis, Best


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
