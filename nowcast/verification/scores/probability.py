"""Scores of the probability of rain at or above a threshold, whoever says it.

An ensemble says it by the share of its members that reach the threshold, a single field says 0 or 1.

Sources: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; Murphy 1973,
doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2 (parts of the Brier score); Wilks, Statistical Methods in the
Atmospheric Sciences, ch. 8 (reliability, ROC, value); Richardson 2000, doi:10.1002/qj.49712656313 (economic value);
Hersbach 2000, doi:10.1175/1520-0434(2000)015<0559:DOTCRP>2.0.CO;2 (CRPS as the integral of Brier scores).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nowcast.forecasting.forecast import Need
from nowcast.verification.scores.categorical import csi
from nowcast.verification.scores.family import Axis, Best, in_order

NUMBERS: dict[str, Best] = {
    "brier": "lowest", "brier_skill": "highest", "brier_reliability": "lowest", "brier_resolution": "none",
    "brier_uncertainty": "none", "roc_area": "highest", "csi_optimal": "highest", "csi_optimal_level": "none",
}  # fmt: skip
CURVES = ("reliability", "forecast_probability", "forecast_share", "roc_pod", "roc_pofd", "csi_by_level")
TRUNCATED_CRPS, VALUE = "crps_between_thresholds", "economic_value"


class Probabilities:
    """Scores of probabilities, each of an event "rate >= threshold".

    By threshold: brier = mean (p - o)², in [0, 1], best 0. brier_skill = 1 - brier / (ō(1 - ō)): better than always
    saying the observed frequency ō. Its parts by forecast probability, brier = reliability - resolution + uncertainty:
    brier_reliability, best 0; brier_resolution, best ō(1 - ō); brier_uncertainty = ō(1 - ō). They add up where all
    forecasts of a step of probability are the same. roc_area: area under pod against pofd of all decision levels, 0.5
    is no skill. csi_optimal: CSI when the event is forecast from the best decision level on, csi_optimal_level; it is
    chosen on the windows that are scored, so it is an upper bound of what a level chosen before reaches.

    Skill against another model: brier_skill_lagrangian = 1 - brier / its brier, which `verification.intervals` makes.

    Curves by probability: reliability (frequency of the event when p was forecast) and forecast_share; roc_pod,
    roc_pofd and csi_by_level (event forecast when p >= level). By ratio of cost to loss: economic_value =
    (E_climate - E) / (E_climate - E_perfect) of the expense E of who protects himself from the best decision level on;
    0 is no better than to protect always or never, 1 as good as a perfect forecast.

    Of all thresholds: crps_between_thresholds, mm h-1: the integral of the Brier score from the first to the last
    threshold by the trapezoidal rule. It lacks what lies outside, so it is comparable between forecasts that are scored
    with the same thresholds only.

    Args:
        thresholds: K rain rates in mm h-1, rising.
        levels: L; curves are by probabilities rounded to 0, 1/L, …, 1. Exact when M divides L.
        cost_loss_ratios: Costs of protection as shares of the loss that it prevents, each in (0, 1).
        reference: Name of the model that brier_skill_lagrangian is against.

    Raises:
        ValueError: A setting is out of its range.
    """

    needs: Need = "probability"

    def __init__(
        self, thresholds: Sequence[float], levels: int, cost_loss_ratios: Sequence[float], reference: str
    ) -> None:
        """Keep the settings."""
        self.thresholds, self.levels = in_order(tuple(thresholds), "verification.thresholds"), levels
        self.ratios, self.reference = in_order(tuple(cost_loss_ratios), "cost_loss_ratios"), reference
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")
        if not 0 < self.ratios[0] <= self.ratios[-1] < 1:
            raise ValueError(f"cost_loss_ratios must lie between 0 and 1, got {list(self.ratios)}")

    @property
    def skills(self) -> dict[str, str]:
        """Skill against the reference → the score that it is of."""
        return {"brier_skill_lagrangian": "brier"}

    @property
    def axes(self) -> dict[str, Axis]:
        """Thresholds in mm h-1, probabilities, ratios of cost to loss."""
        probabilities = tuple(level / self.levels for level in range(self.levels + 1))
        return {
            "threshold": self.thresholds,
            "probability": probabilities,
            "tally": ("forecasts", "events", "probability_sum"),
            "cost_loss": self.ratios,
        }

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Σ(p-o)² (K,) and, by probability, forecasts, events and Σp."""
        return {"squared": ("threshold",), "tallies": ("threshold", "probability", "tally")}

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """Numbers by threshold, curves by threshold and probability or ratio of cost to loss."""
        axes: dict[str, tuple[str, ...]] = dict.fromkeys((*NUMBERS, *self.skills), ("threshold",))
        axes[TRUNCATED_CRPS] = ()
        axes |= dict.fromkeys(CURVES, ("threshold", "probability"))
        return axes | {VALUE: ("threshold", "cost_loss")}

    @property
    def best(self) -> dict[str, Best]:
        """Curves by probability are not good or bad."""
        good: dict[str, Best] = {**NUMBERS, TRUNCATED_CRPS: "lowest", VALUE: "highest"}
        good.update(dict.fromkeys(self.skills, "highest"))
        return {name: good.get(name, "none") for name in self.score_axes}

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Sums of each sample: (B, K) and (B, K, L+1, 3)."""
        valid = mask.flatten(1)[:, None]
        limits = torch.tensor(self.thresholds, dtype=observed.dtype, device=observed.device)[:, None]
        p, o = forecast.flatten(2).double(), (observed.flatten(1)[:, None] >= limits) & valid  # (B, K, N)
        certain = p == 1
        if bool((_count(p != 0) == _count(certain)).all()):
            return self._of_certain(certain & valid, o, mask)
        squared = (p - o.double()).square_().mul_(valid).sum(-1)
        return {"squared": squared, "tallies": self._tallies(p, o, valid)}

    def _of_certain(self, said: Tensor, o: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The same sums of forecasts that say 0 or 1, which are counts."""
        hits, forecasts, events = (_count(part) for part in (said & o, said, o))  # (B, K)
        cells = _count(mask.flatten(1))[:, None].expand_as(hits)
        tallies = torch.zeros(*hits.shape, self.levels + 1, 3, dtype=torch.float64, device=hits.device)
        tallies[:, :, 0, :2] = torch.stack([cells - forecasts, events - hits], dim=-1)
        tallies[:, :, -1] = torch.stack([forecasts, hits, forecasts], dim=-1)
        return {"squared": forecasts + events - 2 * hits, "tallies": tallies}

    def _tallies(self, p: Tensor, o: Tensor, valid: Tensor) -> Tensor:
        batch, kinds, _ = p.shape
        bins = self.levels + 2  # the last one is for cells that do not count
        level = (p * self.levels).round_().int().masked_fill_(~valid, self.levels + 1)
        level += (torch.arange(batch * kinds, dtype=torch.int32, device=p.device) * bins).view(batch, kinds, 1)
        every = batch * kinds * bins
        others, events = torch.bincount((2 * level + o).flatten(), minlength=2 * every).view(-1, 2).double().unbind(-1)
        total = torch.bincount(level.flatten(), p.flatten(), minlength=every)
        return torch.stack([others + events, events, total], dim=-1).view(batch, kinds, bins, 3)[:, :, :-1]

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…, K), curves (…, K, L+1) and values (…, K, R)."""
        n, events, p = sums["tallies"].unbind(-1)
        total, observed = n.sum(-1), events.sum(-1)
        brier = sums["squared"] / total
        # From the strictest decision level to "always": cumulated from above.
        hits, false_alarms = (part.flip(-1).cumsum(-1).flip(-1) for part in (events, n - events))
        pod, pofd = hits / observed[..., None], false_alarms / (total - observed)[..., None]
        beyond = torch.zeros_like(pod[..., :1])
        area = torch.trapezoid(torch.cat([pod, beyond], -1).flip(-1), torch.cat([pofd, beyond], -1).flip(-1), dim=-1)
        curves = {
            "reliability": events / n,
            "forecast_probability": p / n,
            "forecast_share": n / total[..., None],
            "roc_pod": pod,
            "roc_pofd": pofd,
            "csi_by_level": csi(hits, observed[..., None] - hits, false_alarms),
        }
        return (
            {"brier": brier, "roc_area": area, TRUNCATED_CRPS: self._integral(brier)}
            | self._brier_parts(sums["tallies"], brier)
            | self._optimum(curves["csi_by_level"], observed)
            | curves
            | {VALUE: economic_value(hits, false_alarms, observed, total, self.ratios)}
        )

    def _integral(self, brier: Tensor) -> Tensor:
        """Over the rain rate, mm h-1; NaN with one threshold."""
        if len(self.thresholds) == 1:
            return torch.full_like(brier[..., 0], torch.nan)
        return torch.trapezoid(brier, brier.new_tensor(self.thresholds), dim=-1)

    def _brier_parts(self, tallies: Tensor, brier: Tensor) -> dict[str, Tensor]:
        """Skill against the observed frequency, and reliability, resolution and uncertainty (…, K)."""
        n, events, p = tallies.unbind(-1)
        total = n.sum(-1)
        rate = events.sum(-1) / total
        said = n.clamp(min=1)  # what nobody said adds nothing
        climate = rate * (1 - rate)
        return {
            "brier_skill": torch.where(climate > 0, 1 - brier / climate, torch.nan),
            "brier_reliability": ((p - events).square() / said).sum(-1) / total,
            "brier_resolution": ((events - n * rate[..., None]).square() / said).sum(-1) / total,
            "brier_uncertainty": climate,
        }

    def _optimum(self, by_level: Tensor, observed: Tensor) -> dict[str, Tensor]:
        """The best CSI of all decision levels and the lowest level that reaches it; NaN without events.

        Forecasts of a step were rounded to it, so the level is where the step begins: half a step below.
        """
        best, at = by_level.nan_to_num(-1.0).max(dim=-1, keepdim=True)
        at = (by_level == best).int().argmax(dim=-1)
        level = ((at.double() - 0.5) / self.levels).clamp(min=0.0)
        known = (observed > 0) & (best[..., 0] >= 0)
        return {
            "csi_optimal": torch.where(known, best[..., 0], torch.nan),
            "csi_optimal_level": torch.where(known, level, torch.nan),
        }

    def is_informative(self, sums: Mapping[str, Tensor]) -> bool:
        """Whether something else than 0 and 1 was said, of which the scores of events know nothing."""
        n, _, p = sums["tallies"].nan_to_num(0.0).unbind(-1)
        return bool((p[..., :-1] > 0).any() or (p[..., -1] < n[..., -1]).any())


def economic_value(
    hits: Tensor, false_alarms: Tensor, observed: Tensor, total: Tensor, ratios: Sequence[float]
) -> Tensor:
    """Relative economic value (…, R) for the best of all decision levels, of which one is "never".

    Who protects himself pays the cost C, who does not and is hit bears the loss L; with α = C/L a forecast costs
    α (hits + false alarms) + misses, the better one of always and never min(α, ō), a perfect one α ō.

    Args:
        hits: (…, L+1) by decision level.
        false_alarms: (…, L+1).
        observed: (…) events.
        total: (…) cells.
        ratios: R values of α.
    """
    rate, values = observed / total, []
    for ratio in ratios:
        expense = (ratio * (hits + false_alarms) + observed[..., None] - hits).amin(dim=-1)
        expense = torch.minimum(expense, observed) / total  # "never" costs every loss
        climate, perfect = rate.clamp(max=ratio), ratio * rate
        value = (climate - expense) / (climate - perfect)
        values.append(torch.where(climate > perfect, value, torch.nan))
    return torch.stack(values, dim=-1)


def _count(cells: Tensor) -> Tensor:
    """How many of the last axis are true, float64."""
    return cells.view(torch.uint8).sum(-1, dtype=torch.int32).double()
