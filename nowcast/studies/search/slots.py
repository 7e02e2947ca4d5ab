"""Which trials of a study are done, and which are missing.

Trials are counted by *slots*. A trial whose worker died, or was interrupted, is queued again under a new number and
stays in the slot of its first number, so that `tune.trials` is a total whatever happens.
"""

from collections.abc import Sequence
from typing import Literal

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
Step = Literal["run", "wait", "done"]


def slot_of(trial: FrozenTrial) -> int:
    """The number under which the trial was first tried."""
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else first


def slots(trials: Sequence[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """Slot → its trials, oldest first; without those that were one too many."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        if "surplus" not in trial.user_attrs:
            found.setdefault(slot_of(trial), []).append(trial)
    return found


def slot_state(trials: Sequence[FrozenTrial], retries: int) -> str:
    """State: done | failed | running | waiting | lost (to be queued again), from the trials of one slot."""
    states = {trial.state for trial in trials}
    if states & set(ENDED):
        return "done"
    if TrialState.RUNNING in states:
        return "running"
    if TrialState.WAITING in states:
        return "waiting"
    last = trials[-1]
    deaths = len(RetryHeartbeatStaleTrialCallback.retry_history(last)) + ("interrupted" not in last.user_attrs)
    return "failed" if "error" in last.user_attrs or deaths > retries else "lost"


def next_step(trials: Sequence[FrozenTrial], total: int, retries: int) -> Step:
    """What a worker has to do."""
    states = [slot_state(group, retries) for group in slots(trials).values()]
    if "waiting" in states or "lost" in states or len(states) < total:
        return "run"
    return "wait" if "running" in states else "done"


def is_surplus(trial: FrozenTrial, trials: Sequence[FrozenTrial], total: int) -> bool:
    """Whether workers on several machines began one trial too many: those with the lowest numbers go on."""
    groups = slots([*trials, trial])
    rank = sum(first < slot_of(trial) for first in groups)
    rivals = [other for other in groups[slot_of(trial)] if other.number < trial.number]
    return rank >= total or any(other.state != TrialState.FAIL for other in rivals)


def queue_again(study: optuna.Study, trial: FrozenTrial, retries: int) -> None:
    """Queue a lost trial with the same parameters, unless that happened `retries` times."""
    died = RetryHeartbeatStaleTrialCallback.retry_history(trial)
    if "interrupted" not in trial.user_attrs:
        died = [*died, trial.number]
    if len(died) > retries:
        return
    lineage = {**trial.system_attrs, "failed_trial": slot_of(trial), "retry_history": died}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING, params=trial.params, distributions=trial.distributions, system_attrs=lineage
        )
    )
