"""The workers that run a study's missing trials."""

import contextlib
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from nowcast.studies.search.process import Ended, Row, diverged, last_lines, read_metrics
from nowcast.studies.search.samplers import SeededByTrial
from nowcast.studies.search.slots import Step, is_surplus, next_step, queue_again, slot_of, slot_state, slots
from nowcast.studies.search.space import Scalar, SearchSpace
from nowcast.studies.search.study import SECONDS, Objective, log_file, trial_folder


class TrialFailedError(Exception):
    """The trial's own fault; it is recorded and not repeated."""


class NotThisTrialError(Exception):
    """The trial must not run (surplus), or not to its end (interrupted)."""


RunTrial = Callable[[int, int, dict[str, Scalar], int, Callable[[], bool]], Ended]


@dataclass(frozen=True)
class Rules:
    """How trials count.

    Attributes:
        trials: Total of the study.
        retries: How often a trial is tried again after its worker died.
        diverged: failed | worst: what a trial is whose loss became NaN or infinite.
        seed: Of the samplers; trial n trains with seed + n.
        poll_seconds: Between two looks at what others do.
        grace_seconds: After which a trial that never began is lost.
    """

    trials: int
    retries: int
    diverged: str
    seed: int
    poll_seconds: float
    grace_seconds: float


class Workers:
    """Runs the missing trials of a study, several at once."""

    def __init__(
        self,
        study: optuna.Study,
        sampler: Callable[..., optuna.samplers.BaseSampler],
        pruner: optuna.pruners.BasePruner,
        space: SearchSpace,
        objectives: Sequence[Objective],
        rules: Rules,
        folder: Path,
        run_trial: RunTrial,
        facts: dict[str, Any],
    ) -> None:
        """Keep the parts.

        `run_trial(number, seed, values, worker, watch)` runs a process in `trial_folder(number)`; `facts` are kept
        with each trial.
        """
        self.study, self.sampler, self.pruner = study, sampler, pruner
        self.space, self.objectives, self.rules = space, list(objectives), rules
        self.folder, self.run_trial = folder, run_trial
        self.facts = {"host": socket.gethostname(), **facts}
        self.stop = threading.Event()
        self._asking = threading.Lock()
        self._never_began: dict[int, float] = {}

    def work(self, worker: int) -> None:
        """Run trials until none is missing, or until `stop` is set."""
        study = optuna.load_study(
            study_name=self.study.study_name,
            storage=self.study._storage,
            sampler=SeededByTrial(self.sampler, self.rules.seed),
            pruner=self.pruner,
        )
        while not self.stop.is_set():
            step = self._one(study, worker)
            if step == "done":
                return
            if step == "wait":
                self.stop.wait(self.rules.poll_seconds)

    def _one(self, study: optuna.Study, worker: int) -> Step:
        self._asking.acquire()
        release = _once(self._asking.release)
        try:
            optuna.storages.fail_stale_trials(study)
            trials = study.get_trials(deepcopy=False)
            self._give_up_never_begun(study, trials)
            step = next_step(trials, self.rules.trials, self.rules.retries)
            if step == "run":
                self._queue_lost(study, trials)
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # taken for dead, and repeated
                    study.optimize(
                        lambda trial: self._objective(trial, worker, release), n_trials=1, catch=(Exception,)
                    )
            return step
        finally:
            release()

    def _queue_lost(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        for group in slots(trials).values():
            if slot_state(group, self.rules.retries) == "lost":
                queue_again(study, group[-1], self.rules.retries)

    def _give_up_never_begun(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        """Fail trials of workers that died before their first heartbeat, which the database never takes for dead."""
        waiting = [t.number for t in trials if t.state == TrialState.RUNNING and t.user_attrs.get("began") != t.number]
        now = time.monotonic()
        self._never_began = {number: self._never_began.get(number, now) for number in waiting}
        for number, since in self._never_began.items():
            if now - since > self.rules.grace_seconds:
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
                    study.tell(number, state=TrialState.FAIL)

    def _objective(self, trial: Trial, worker: int, release: Callable[[], None]) -> list[float]:
        frozen = trial.study.get_trials(deepcopy=False)
        this = frozen[trial.number]
        if is_surplus(this, [other for other in frozen if other.number != this.number], self.rules.trials):
            trial.set_user_attr("surplus", True)
            raise NotThisTrialError("surplus")
        trial.set_user_attr("began", trial.number)
        for name, fact in self.facts.items():
            trial.set_user_attr(name, fact)
        values = self.space.suggest(trial)
        release()
        try:
            return self._run(trial, slot_of(this), values, worker)
        except (optuna.TrialPruned, NotThisTrialError):
            raise
        except BaseException as error:
            trial.set_user_attr("error", str(error) or repr(error))
            raise

    def _run(self, trial: Trial, slot: int, values: dict[str, Scalar], worker: int) -> list[float]:
        watched = Watched(trial, self.objectives, trial_folder(self.folder, trial.number), self.stop)
        ended = self.run_trial(trial.number, self.rules.seed + slot, values, worker, watched.look)
        watched.read()
        if ended.stopped and not (watched.pruned or watched.diverged):
            trial.set_user_attr("interrupted", True)
            raise NotThisTrialError("interrupted")
        trial.set_user_attr("seconds", round(ended.seconds, 1))
        results = [objective.value(watched.rows, ended.seconds) for objective in self.objectives]
        if watched.diverged or (ended.code == 0 and any(map(math.isnan, results))):
            if self.rules.diverged == "failed":
                last = watched.rows[-1].values if watched.rows else "no line at all"
                raise TrialFailedError(f"a loss or score is NaN or infinite; the last line of metrics.csv: {last}")
            trial.set_user_attr("diverged", True)
            return [objective.worst for objective in self.objectives]
        if watched.pruned:  # whatever exit code a stopped training chooses
            raise optuna.TrialPruned
        if ended.code != 0:
            raise TrialFailedError(f"{_how(ended.code)}\n{last_lines(log_file(self.folder, trial.number))}")
        return results


class Watched:
    """A running trial's metrics.csv: reports every epoch to the study, and finds out when to stop."""

    def __init__(self, trial: Trial, objectives: Sequence[Objective], folder: Path, stop: threading.Event) -> None:
        """Nothing is read yet."""
        self.trial, self.path, self.stop = trial, folder / "metrics.csv", stop
        self.metric = objectives[0].metric if len(objectives) == 1 else SECONDS  # several objectives are not pruned
        self.rows: list[Row] = []
        self.reported = 0
        self.pruned = self.diverged = False

    def read(self) -> bool:
        """Read and report what is new; whether anything was."""
        self.rows = read_metrics(self.path)
        # The second: what training writes when it stops before such a loss is logged.
        self.diverged = diverged(self.rows) or any(self.path.parent.glob("divergence_step_*.json"))
        new = [row for row in self.rows if row.epoch + 1 > self.reported and self.metric in row.values]
        for row in new:
            self.reported = row.epoch + 1  # epochs finished: what pruners count in
            self.trial.report(row.values[self.metric], self.reported)
        return bool(new)

    def look(self) -> bool:
        """Whether the trial should stop."""
        if self.read() and not self.diverged:
            self.pruned = self.trial.should_prune()
        return self.pruned or self.diverged or self.stop.is_set()


def _how(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _once(function: Callable[[], None]) -> Callable[[], None]:
    left = [function]

    def call() -> None:
        if left:
            left.pop()()

    return call
