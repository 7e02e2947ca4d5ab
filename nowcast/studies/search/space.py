"""The space of a search: named parameters, each of them one key or one group of the training config."""

import math
from dataclasses import dataclass
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from nowcast.config.command_line.overrides import override_text

Scalar = str | int | float | bool | None
DISTRIBUTIONS: dict[str, type[FloatDistribution | IntDistribution]] = {
    "float": FloatDistribution,
    "int": IntDistribution,
}


@dataclass(frozen=True)
class Parameter:
    """One dimension of the space.

    Attributes:
        name: As it stands in tables and plots.
        key: Config key, such as `optimizer.optimizer.lr`, or config group, such as `optimizer`.
        distribution: Its values; a choice that is a list or a mapping is known by its text.
        texts: Choice → what stands right of `key=`; empty for numbers.
        when: Parameter → the values of it with which this one exists; empty = always.
    """

    name: str
    key: str
    distribution: FloatDistribution | IntDistribution | CategoricalDistribution
    texts: dict[Scalar, str]
    when: dict[str, list[Scalar]]

    def exists(self, values: dict[str, Scalar]) -> bool:
        """Whether the parameter belongs to a trial with these values of earlier parameters."""
        return all(name in values and values[name] in allowed for name, allowed in self.when.items())

    def suggest(self, trial: Trial) -> Scalar:
        """Its value in a trial."""
        space = self.distribution
        if isinstance(space, CategoricalDistribution):
            return trial.suggest_categorical(self.name, space.choices)
        if isinstance(space, IntDistribution):
            return trial.suggest_int(self.name, space.low, space.high, step=space.step, log=space.log)
        return trial.suggest_float(self.name, space.low, space.high, step=space.step, log=space.log)

    def grid(self) -> list[Scalar]:
        """All its values.

        Raises:
            ValueError: There are infinitely many.
        """
        space = self.distribution
        if isinstance(space, CategoricalDistribution):
            return list(space.choices)
        if isinstance(space, FloatDistribution) and space.step is None:
            raise ValueError(
                f"tune.space.{self.name} is continuous, and a grid needs a list: give it step, or type: categorical "
                "with choices, or take another tune/sampler"
            )
        step = space.step or 1
        count = math.floor((space.high - space.low) / step + 1e-9) + 1
        return [min(space.low + step * index, space.high) for index in range(count)]

    def ends(self) -> list[Scalar]:
        """All choices, or both ends of the range."""
        space = self.distribution
        return list(space.choices) if isinstance(space, CategoricalDistribution) else [space.low, space.high]

    def override(self, value: Scalar) -> str:
        """The Hydra override that gives the config this value."""
        return f"{self.key}={self.texts[value] if self.texts else override_text(value)}"


def parameter(name: str, node: dict[str, Any]) -> Parameter:
    """A parameter from its node of `tune.space`.

    Raises:
        ValueError: A part is missing, unknown or refused.
    """
    rest = dict(node)
    try:
        key, kind = str(rest.pop("key")), rest.pop("type")
    except KeyError as error:
        raise ValueError(f"tune.space.{name} lacks {error}; see configs/tune/convlstm.yaml") from error
    when = {
        other: allowed if isinstance(allowed, list) else [allowed] for other, allowed in rest.pop("when", {}).items()
    }
    if kind == "categorical":
        choices = rest.pop("choices", None)
        if not isinstance(choices, list) or not choices or rest:
            raise ValueError(f"tune.space.{name}: categorical takes a list of choices and nothing else, got {node}")
        texts = {c if isinstance(c, Scalar) else override_text(c): override_text(c) for c in choices}
        return Parameter(name, key, CategoricalDistribution(list(texts)), texts, when)
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"tune.space.{name}.type must be float, int or categorical, got {kind!r}")
    try:
        return Parameter(name, key, DISTRIBUTIONS[kind](**rest), {}, when)
    except (TypeError, ValueError) as error:
        raise ValueError(f"tune.space.{name}: {error} (a {kind} takes low, high, and step or log)") from error


class SearchSpace:
    """The parameters in the order in which they are chosen."""

    def __init__(self, nodes: dict[str, dict[str, Any]]) -> None:
        """Build from `tune.space`; a parameter set to null is left out.

        Raises:
            ValueError: A parameter is refused, or depends on one that does not stand before it.
        """
        self.parameters: list[Parameter] = []
        for name, node in nodes.items():
            if node is not None:
                self._add(parameter(name, node))
        if not self.parameters:
            raise ValueError("tune.space has no parameter")

    def _add(self, new: Parameter) -> None:
        known = {p.name: p.distribution for p in self.parameters}
        for other, allowed in new.when.items():
            if other not in known:
                raise ValueError(
                    f"tune.space.{new.name}.when names {other}, which does not stand before it: {list(known)}"
                )
            distribution = known[other]
            choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
            if unknown := [value for value in allowed if value not in choices]:
                raise ValueError(f"tune.space.{new.name}.when.{other}: {unknown} not among the choices {list(choices)}")
        self.parameters.append(new)

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """Parameter → value of a trial."""
        values: dict[str, Scalar] = {}
        for p in self.parameters:
            if p.exists(values):
                values[p.name] = p.suggest(trial)
        return values

    def overrides(self, values: dict[str, Scalar]) -> list[str]:
        """Hydra overrides of a trial's values."""
        return [p.override(values[p.name]) for p in self.parameters if p.name in values]

    def grid(self) -> list[dict[str, Scalar]]:
        """Every combination once; the last parameter varies fastest.

        Raises:
            ValueError: A parameter is continuous.
        """
        points: list[dict[str, Scalar]] = [{}]
        for p in self.parameters:
            points = [
                {**point, p.name: value} if p.exists(point) else point
                for point in points
                for value in (p.grid() if p.exists(point) else [None])
            ]
        return points

    def samples(self) -> list[dict[str, Scalar]]:
        """A few combinations that together hold every choice and both ends of every range, to try the config with."""
        missing = {(p.name, value) for p in self.parameters for value in p.ends()}
        found: list[dict[str, Scalar]] = []
        while missing:
            name, value = sorted(missing, key=str)[0]
            point: dict[str, Scalar] = {}
            needed = self._needed(name) | {name: value}
            for p in self.parameters:
                if p.exists(point):
                    new = [end for end in p.ends() if (p.name, end) in missing]
                    point[p.name] = needed.get(p.name, (new or p.ends())[0])
            missing -= set(point.items())
            found.append(point)
        return found

    def _needed(self, name: str) -> dict[str, Scalar]:
        """Values of other parameters with which this one exists."""
        own = next(p for p in self.parameters if p.name == name)
        direct = {other: allowed[0] for other, allowed in own.when.items()}
        for other in list(direct):
            direct = self._needed(other) | direct
        return direct
