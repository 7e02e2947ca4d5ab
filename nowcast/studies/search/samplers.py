"""Samplers for studies that are continued, and shared by machines."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState


class SeededByTrial(optuna.samplers.BaseSampler):
    """A sampler made anew for each trial, seeded by the study's seed and the trial's number.

    One sampler with one seed would propose its first random trials again whenever a study is continued, and the same
    ones in every process.
    """

    def __init__(self, make: Callable[..., optuna.samplers.BaseSampler], seed: int) -> None:
        """Keep the constructor."""
        self.make, self.seed = make, seed
        self.sampler = make(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the trial's sampler."""
        self.sampler = self.make(seed=int(np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0] >> 1))
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler does."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler does."""
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 (a parameter's value)
        """As the sampler does."""
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """As the sampler does."""
        self.sampler.after_trial(study, trial, state, values)


class Grid(optuna.samplers.RandomSampler):
    """All combinations, each once: they are queued when the study is created, and nothing is sampled."""
