"""How sure a score is: a bootstrap over blocks of windows that are independent of each other.

Neighbouring windows and neighbouring cells see the same rain, so single values must not be drawn; whole days or
events are. A score is recomputed from the sums of every draw of blocks, which needs no forecast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nowcast.verification.ranking import goodness
from nowcast.verification.scores.family import Best, ChoosesFrames, Family
from nowcast.verification.scores.lead_means import mean_over
from nowcast.verification.scores.sums import of_family

Values = NDArray[np.float64]
Counts = NDArray[np.int64]
BETTER, WORSE, SAME, FEW, UNDEFINED = "better", "worse", "not distinguishable", "too few blocks", "undefined"
MIN_DEFINED = 0.95  # share of resamples in which a score must be defined to have an interval


@dataclass(frozen=True, eq=False)
class Estimate:
    """A score and its interval, each (T, …); NaN = undefined, or too few blocks for an interval.

    Attributes:
        value: The score of all blocks together.
        low: Lower end of the interval.
        high: Upper end.
        lead_times: How many lead times each number is of: 0 or 1, of a mean those where the score is defined.
    """

    value: Values
    low: Values
    high: Values
    lead_times: Counts


@dataclass(frozen=True, eq=False)
class Difference:
    """What one model gains over another on the same blocks, each (T, …); undefined where either's score is.

    Attributes:
        value: Score minus the other's score.
        gain: How much nearer to the best value: the difference, turned so that positive is better.
        low: Lower end of the interval of the gain.
        high: Upper end.
        verdict: "better", "worse", "not distinguishable", "too few blocks" or "undefined".
        lead_times: How many lead times each number is of: 0 or 1, of a mean those where both scores are defined.
    """

    value: Values
    gain: Values
    low: Values
    high: Values
    verdict: NDArray[np.str_]
    lead_times: Counts


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals from blocks drawn with replacement; the same draws for every model and score.

    Args:
        resamples: Draws.
        level: Share of draws inside an interval, such as 0.95.
        min_blocks: With fewer blocks there is no interval and no verdict.
        seed: Seed of the draws.

    Raises:
        ValueError: Settings out of range.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13; Hamill 1999,
    doi:10.1175/1520-0434(1999)014<0155:HTFENP>2.0.CO;2 (paired resampling of blocks for forecasts).
    """

    resamples: int
    level: float
    min_blocks: int
    seed: int

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.resamples < 1 or not 0 < self.level < 1 or self.min_blocks < 2:
            raise ValueError(
                "uncertainty needs resamples >= 1, 0 < level < 1 and min_blocks >= 2, got "
                f"{self.resamples}, {self.level}, {self.min_blocks}"
            )

    def weights(self, blocks: int) -> Tensor:
        """(resamples, blocks) float64: how often each block is in each draw."""
        draw = np.random.default_rng(self.seed)
        counts = draw.multinomial(blocks, np.full(blocks, 1 / blocks), size=self.resamples)
        return torch.from_numpy(counts.astype(np.float64))

    def draw(self, sums: Mapping[str, Tensor], families: Mapping[str, Family]) -> "Drawn":
        """Every score of all blocks together and of every draw of blocks.

        Args:
            sums: "family/statistic" → (blocks, T, …) float64.
            families: The families of those names.
        """
        blocks = len(next(iter(sums.values())))
        weights = self.weights(blocks) if blocks >= self.min_blocks else None
        value: dict[str, Values] = {}
        drawn: dict[str, Values] = {}
        frames: dict[str, Values] = {}
        for name, family in families.items():
            parts = of_family(sums, name)
            whole = family.scores({key: part.sum(0) for key, part in parts.items()})
            value |= {f"{name}/{score}": number.numpy() for score, number in whole.items()}
            if isinstance(family, ChoosesFrames):
                frames |= dict.fromkeys((f"{name}/{score}" for score in whole), parts[family.frames].numpy())
            if weights is not None:
                every = family.scores({key: torch.tensordot(weights, part, dims=1) for key, part in parts.items()})
                drawn |= {f"{name}/{score}": numbers.numpy() for score, numbers in every.items()}
        best = {f"{name}/{score}": best for name, family in families.items() for score, best in family.best.items()}
        return Drawn(value, drawn, best, frames)

    def estimates(self, scores: "Drawn") -> dict[str, Estimate]:
        """Every score with its interval: "family/score" → estimate."""
        return self._estimates(scores, {name: 1 - np.isnan(value) for name, value in scores.value.items()})

    def mean_estimates(self, scores: "Drawn") -> dict[str, Estimate]:
        """The same of the mean over the lead times where a score is defined."""
        chosen = {name: ~np.isnan(value) for name, value in scores.value.items()}
        return self._estimates(scores.over_lead_times(chosen), _how_many(chosen))

    def _estimates(self, scores: "Drawn", lead_times: Mapping[str, Counts]) -> dict[str, Estimate]:
        estimates = {}
        for name, number in scores.value.items():
            low, high = self._interval(scores.drawn[name]) if scores.drawn else (np.full_like(number, np.nan),) * 2
            estimates[name] = Estimate(number, low, high, lead_times[name])
        return estimates

    def differences(self, one: "Drawn", other: "Drawn") -> dict[str, Difference]:
        """What the first model gains over the second, for every score that can be good."""
        paired = one.paired_with(other)
        return self._differences(one, other, {name: both.astype(np.int64) for name, both in paired.items()})

    def mean_differences(self, one: "Drawn", other: "Drawn") -> dict[str, Difference]:
        """The same of means over the lead times where the scores of both are defined."""
        paired = one.paired_with(other)
        return self._differences(one.over_lead_times(paired), other.over_lead_times(paired), _how_many(paired))

    def _differences(self, one: "Drawn", other: "Drawn", lead_times: Mapping[str, Counts]) -> dict[str, Difference]:
        differences = {}
        for name, best in one.best.items():
            if best == "none" or name not in lead_times:
                continue
            a, b = (np.where(lead_times[name] > 0, scores.value[name], np.nan) for scores in (one, other))
            gain = goodness(a, best) - goodness(b, best)
            low = high = np.full_like(gain, np.nan)
            verdict = np.where(np.isnan(gain), UNDEFINED, FEW)
            if one.drawn:
                low, high = self._interval(goodness(one.drawn[name], best) - goodness(other.drawn[name], best))
                low, high = (np.where(np.isnan(gain), np.nan, end) for end in (low, high))
                verdict = _verdict(low, high)
            differences[name] = Difference(a - b, gain, low, high, verdict, lead_times[name])
        return differences

    def _interval(self, drawn: Values) -> tuple[Values, Values]:
        tail = (1 - self.level) / 2
        return percentile(drawn, tail), percentile(drawn, 1 - tail)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Scores of one model, of all blocks and of every draw.

    Attributes:
        value: "family/score" → (T, …).
        drawn: The same → (resamples, T, …); empty when there are too few blocks.
        best: The same → which values are good.
        frames: The same → (blocks, T) frames that a score is a mean over, where a forecast decides which they are.
    """

    value: dict[str, Values]
    drawn: dict[str, Values]
    best: dict[str, Best]
    frames: dict[str, Values]

    def paired_with(self, other: "Drawn") -> dict[str, NDArray[np.bool_]]:
        """Score of both → (T, …): where it is defined, and over as many frames in every block."""
        both = self.value.keys() & other.value.keys()
        paired = {
            name: ~np.isnan(value) & ~np.isnan(other.value[name]) for name, value in self.value.items() if name in both
        }
        for name, frames in self.frames.items():
            if name in both:
                paired[name] &= (frames == other.frames[name]).all(axis=0)
        return paired

    def over_lead_times(self, chosen: Mapping[str, NDArray[np.bool_]]) -> "Drawn":
        """The mean over lead times, T = 1.

        A draw of blocks in which a score is undefined at one of them has none: it would be a mean over others.

        Args:
            chosen: Score → (T, …) which lead times.
        """
        value = {name: mean_over(self.value[name], which) for name, which in chosen.items()}
        drawn = {name: mean_over(self.drawn[name], which[None], axis=1) for name, which in chosen.items() if self.drawn}
        return Drawn(value, drawn, self.best, {})

    def with_skill(self, name: str, score: str, reference: "Drawn") -> "Drawn":
        """The same with a further score, 1 - `score` / the reference's on the same blocks; NaN where that is 0."""
        value = self.value | {name: _skill(self.value[score], reference.value[score])}
        drawn = self.drawn | ({name: _skill(self.drawn[score], reference.drawn[score])} if self.drawn else {})
        return replace(self, value=value, drawn=drawn)


def _skill(score: Values, reference: Values) -> Values:
    return 1 - np.divide(score, reference, where=reference > 0, out=np.full_like(score, np.nan))


def _how_many(chosen: Mapping[str, NDArray[np.bool_]]) -> dict[str, Counts]:
    return {name: lead_times.sum(axis=0, keepdims=True) for name, lead_times in chosen.items()}


def percentile(drawn: Values, share: float) -> Values:
    """Quantile over the first axis of the defined values; NaN where fewer than MIN_DEFINED are defined."""
    ordered = np.sort(drawn, axis=0)  # NaN last
    defined = (~np.isnan(ordered)).sum(axis=0)
    position = share * np.maximum(defined - 1, 0)
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(defined - 1, 0))
    low, high = (np.take_along_axis(ordered, index[None], axis=0)[0] for index in (lower, upper))
    between: Values = low + (high - low) * (position - lower)
    return np.where(defined >= MIN_DEFINED * len(drawn), between, np.nan)


def _verdict(low: Values, high: Values) -> NDArray[np.str_]:
    return np.select([np.isnan(low) | np.isnan(high), low > 0, high < 0], [UNDEFINED, BETTER, WORSE], SAME)
