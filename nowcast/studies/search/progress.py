"""How far a study is: a bar with the best value so far, and a line for each trial that ended."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nowcast.studies.search.report import best_trials, state_word
from nowcast.studies.search.slots import slot_state, slots
from nowcast.studies.search.study import Objective, log_file


class StudyProgress:
    """Shows a study, the trials of other machines included."""

    def __init__(
        self,
        study: optuna.Study,
        objectives: Sequence[Objective],
        total: int,
        retries: int,
        folder: Path,
        console: Console,
    ) -> None:
        """Show what is there already as done."""
        self.study, self.objectives, self.retries = study, objectives, retries
        self.folder, self.console = folder, console
        self.shown = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, TextColumn("{task.fields[found]}"), console=console)
        self.task = self.bar.add_task("trials", total=total, found="")

    def __enter__(self) -> Self:
        """Begin to show."""
        self.bar.start()
        self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Show the last state."""
        self.refresh()
        self.bar.stop()

    def refresh(self) -> None:
        """Read the study and show what is new."""
        trials = self.study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self.shown:
                self.shown.add(trial.number)
                self.console.print(self.line(trial), highlight=False, soft_wrap=True, markup=False)
        states = [slot_state(group, self.retries) for group in slots(trials).values()]
        best = best_trials(self.study)
        found = f"best {self.values(best[0].values)} (trial {best[0].number})" if best else ""
        if len(best) > 1:
            found = f"{len(best)} trials that no other beats"
        self.bar.update(self.task, completed=sum(state in ("done", "failed") for state in states), found=found)

    def line(self, trial: FrozenTrial) -> str:
        """What happened to a trial."""
        word = state_word(trial)
        if word == "failed":
            last = trial.user_attrs["error"].strip().splitlines()[-1]
            return f"trial {trial.number} failed: {last} ({log_file(self.folder, trial.number)})"
        result = f": {self.values(trial.values)}" if trial.state == TrialState.COMPLETE else ""
        epochs = f" after {len(trial.intermediate_values)} epochs" if word == "pruned" else ""
        given = ", ".join(f"{name}={_short(value)}" for name, value in trial.params.items())
        return f"trial {trial.number} {word}{epochs}{result} ({given})"

    def values(self, values: Sequence[float]) -> str:
        """Objectives and their values."""
        return ", ".join(f"{o.metric} {_short(value)}" for o, value in zip(self.objectives, values, strict=True))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)
