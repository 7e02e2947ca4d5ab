"""How trials are counted, retried and seeded, whatever happens to their workers."""

import threading

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from nowcast.studies.search.process import Ended, Row
from nowcast.studies.search.samplers import Grid, SeededByTrial
from nowcast.studies.search.slots import is_surplus, next_step, queue_again, slot_state, slots
from nowcast.studies.search.space import SearchSpace
from nowcast.studies.search.study import Objective, hidden, open_storage, open_study, trial_folder
from nowcast.studies.search.workers import Rules, Workers
from tests.conftest import thinned

SPACE = SearchSpace({"x": {"key": "x", "type": "float", "low": 0.0, "high": 1.0}})
SCORE = Objective("score", "val/csi_0p5mmh", "max")
SAMPLER = optuna.samplers.RandomSampler


def trial(number, state, first=None, history=(), **attributes):
    lineage = {} if first is None else {"failed_trial": first, "retry_history": list(history)}
    made = create_trial(state=state, value=1.0 if state == TrialState.COMPLETE else None, system_attrs=lineage)
    made.number = number
    made.set_user_attr("made", True)
    for name in attributes:
        made.set_user_attr(name, attributes[name])
    return made


DONE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
RUNNING, WAITING = TrialState.RUNNING, TrialState.WAITING


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([trial(0, DONE)], "done"),
        ([trial(0, PRUNED)], "done"),
        ([trial(0, FAIL, error="x")], "failed"),
        ([trial(0, FAIL)], "lost"),
        ([trial(0, FAIL, interrupted=True)], "lost"),
        ([trial(0, FAIL), trial(3, WAITING, 0, [0])], "waiting"),
        ([trial(0, FAIL), trial(3, RUNNING, 0, [0])], "running"),
        ([trial(0, FAIL), trial(3, FAIL, 0, [0])], "lost"),
        ([trial(0, FAIL), trial(3, FAIL, 0, [0]), trial(5, FAIL, 0, [0, 3])], "failed"),  # two retries are over
        ([trial(0, FAIL), trial(3, FAIL, 0, [0]), trial(5, FAIL, 0, [0, 3], interrupted=True)], "lost"),
        ([trial(0, FAIL), trial(3, DONE, 0, [0])], "done"),
    ],
)
def test_the_state_of_a_slot(group, expected):
    assert slot_state(group, retries=2) == expected


def test_retries_stay_in_their_slot_and_surplus_trials_in_none():
    trials = [trial(0, FAIL), trial(1, DONE), trial(2, FAIL, surplus=True), trial(3, DONE, 0, [0])]
    assert {slot: [t.number for t in group] for slot, group in slots(trials).items()} == {0: [0, 3], 1: [1]}


@pytest.mark.parametrize(
    ("trials", "total", "expected"),
    [
        ([], 1, "run"),
        ([trial(0, DONE)], 1, "done"),
        ([trial(0, DONE)], 2, "run"),
        ([trial(0, RUNNING)], 1, "wait"),
        ([trial(0, RUNNING), trial(1, WAITING)], 2, "run"),
        ([trial(0, FAIL)], 1, "run"),
        ([trial(0, FAIL, error="x")], 1, "done"),
        ([trial(0, DONE), trial(1, FAIL, surplus=True)], 1, "done"),
    ],
)
def test_the_next_step(trials, total, expected):
    assert next_step(trials, total, retries=2) == expected


def test_of_too_many_trials_those_with_the_lowest_numbers_go_on():
    trials = [trial(0, DONE), trial(1, FAIL, surplus=True), trial(2, RUNNING), trial(3, RUNNING)]
    surplus = {t.number: is_surplus(t, [o for o in trials if o is not t], total=2) for t in trials if t.number != 1}
    assert surplus == {0: False, 2: False, 3: True}


def test_of_two_retries_of_one_trial_the_first_goes_on():
    trials = [trial(0, FAIL), trial(1, RUNNING, 0, [0]), trial(2, RUNNING, 0, [0])]
    surplus = [is_surplus(t, [o for o in trials if o is not t], total=5) for t in trials[1:]]
    assert surplus == [False, True]


def test_a_lost_trial_is_queued_with_its_parameters_at_most_so_often():
    study = optuna.create_study()
    study.tell(study.ask(), state=FAIL)
    first = study.ask()
    first.suggest_float("x", 0, 1)
    study.tell(first, state=FAIL)
    for expected in ("waiting", "waiting", "failed"):
        group = slots(study.trials)[1]
        queue_again(study, group[-1], retries=2)
        group = slots(study.trials)[1]
        assert slot_state(group, retries=2) == expected
        assert group[-1].params == first.params
        study.tell(study.ask(), state=FAIL) if expected == "waiting" else None
    assert len(slots(study.trials)[1]) == 3


# -- samplers ------------------------------------------------------------------------------------------------


def proposals(study, count):
    found = []
    for _ in range(count):
        asked = study.ask()
        found.append(asked.suggest_float("x", 0, 1))
        study.tell(asked, asked.params["x"])
    return found


@pytest.mark.parametrize(
    "make", thinned([optuna.samplers.RandomSampler, optuna.samplers.TPESampler, optuna.samplers.CmaEsSampler], fast=[1])
)
def test_a_continued_study_proposes_what_an_uninterrupted_one_does_and_nothing_twice(make, tmp_path):
    whole = optuna.create_study(sampler=SeededByTrial(make, 7))
    expected = proposals(whole, 10)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    found = []
    for count in (3, 4, 3):
        study = optuna.create_study(
            storage=storage, study_name="s", load_if_exists=True, sampler=SeededByTrial(make, 7)
        )
        found += proposals(study, count)
    assert found == pytest.approx(expected)
    assert len(set(found)) == len(found)
    assert proposals(optuna.create_study(sampler=SeededByTrial(make, 8)), 3) != pytest.approx(expected[:3])


# -- storage -------------------------------------------------------------------------------------------------


def storage_in(folder):
    return open_storage(f"sqlite:///{folder / 'new folder' / 'study.db'}", 1, 2, 2)


def test_another_definition_is_refused_with_both_values(tmp_path):
    storage = storage_in(tmp_path)
    open_study("s", storage, [SCORE], {"lr": 1, "crop": 64}, [])
    open_study("s", storage, [SCORE], {"crop": 64, "lr": 1}, [])
    with pytest.raises(ValueError, match=r"crop: 64 → 32; new: 'absent' → 5.*another tune.study"):
        open_study("s", storage, [SCORE], {"lr": 1, "crop": 32, "new": 5}, [])


def test_a_password_does_not_reach_a_message():
    with pytest.raises(ValueError, match=r"tune\.storage=postgresql") as error:
        open_storage("postgresql+psycopg://me:secret@127.0.0.1:1/db", 1, 2, 2)
    assert "secret" not in str(error.value)
    assert "secret" not in hidden("mysql://me:secret@host/db")
    assert "not a database URL" in hidden("nonsense")
    with pytest.raises(ValueError, match="sqlite:///"):
        open_storage("nonsense", 1, 2, 2)


@pytest.mark.parametrize(
    ("mode", "rows", "expected"),
    [("max", [0.1, 0.3, 0.2], 0.3), ("min", [0.1, 0.3], 0.1), ("max", [float("nan"), 0.2], 0.2), ("max", [], None)],
)
def test_the_best_epoch_counts(mode, rows, expected):
    value = Objective("o", "m", mode).value([Row(i, {"m": v}) for i, v in enumerate(rows)], 1.0)
    assert np.isnan(value) if expected is None else value == expected


def test_a_wrong_mode_is_refused():
    with pytest.raises(ValueError, match="max or min, got 'maximise'"):
        Objective("o", "m", "maximise")


# -- workers -------------------------------------------------------------------------------------------------


def write_score(folder, score):
    folder.mkdir()
    (folder / "metrics.csv").write_text(f"epoch,val/csi_0p5mmh\n0,{score}\n")


def workers_of(folder, run_trial, total, queued=()):
    storage = storage_in(folder)
    study = open_study("s", storage, [SCORE], {}, list(queued))
    rules = Rules(total, retries=2, diverged="failed", seed=10, poll_seconds=0.05, grace_seconds=2.0)
    return Workers(study, SAMPLER, optuna.pruners.NopPruner(), SPACE, [SCORE], rules, folder, run_trial, {})


def in_threads(workers, count):
    threads = [threading.Thread(target=workers.work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.thorough
def test_several_workers_run_each_missing_trial_once(tmp_path):
    ran, together = [], threading.Barrier(3, timeout=20)

    def run_trial(number, seed, values, worker, watch):
        ran.append((number, seed, values["x"]))
        if number < 3:
            together.wait()  # all three workers are at work at once
        write_score(trial_folder(tmp_path, number), values["x"])
        return Ended(0, False, 1.0)

    workers = workers_of(tmp_path, run_trial, 9)
    in_threads(workers, 3)
    assert sorted(number for number, *_ in ran) == list(range(9))
    assert all(seed == number + 10 for number, seed, _ in ran)
    assert len({x for *_, x in ran}) == 9
    assert [t.state for t in workers.study.trials] == [DONE] * 9
    assert [t.value for t in workers.study.trials] == [t.params["x"] for t in workers.study.trials]
    in_threads(workers_of(tmp_path, run_trial, 9), 2)
    assert len(ran) == 9
    in_threads(workers_of(tmp_path, run_trial, 11), 2)
    assert len(ran) == 11


def test_a_grid_is_queued_once_and_nothing_else_is_run(tmp_path):
    points, ran = [{"x": 0.25}, {"x": 0.5}, {"x": 0.75}], []

    def run_trial(number, seed, values, worker, watch):
        ran.append(values)
        write_score(trial_folder(tmp_path, number), values["x"])
        return Ended(0, False, 1.0)

    for _ in range(2):
        in_threads(workers_of(tmp_path, run_trial, 3, points), 2)
    assert sorted(value["x"] for value in ran) == [0.25, 0.5, 0.75]
    assert issubclass(Grid, optuna.samplers.BaseSampler)


def test_a_trial_that_never_began_is_given_up_and_tried_again(tmp_path):
    ran = []

    def run_trial(number, seed, values, worker, watch):
        ran.append(seed)
        write_score(trial_folder(tmp_path, number), values["x"])
        return Ended(0, False, 1.0)

    workers = workers_of(tmp_path, run_trial, 2)
    with pytest.warns(UserWarning, match="Heartbeat"):
        workers.study.ask()  # its worker dies before the first heartbeat
    in_threads(workers, 1)
    assert sorted(ran) == [10, 11]
    assert [t.state for t in workers.study.trials] == [FAIL, DONE, DONE]


def test_a_stopped_trial_is_queued_again_with_its_parameters_and_seed(tmp_path):
    ran = []

    def run_trial(number, seed, values, worker, watch):
        ran.append((seed, values["x"]))
        if len(ran) == 2:
            workers.stop.set()
            assert watch()
            return Ended(-15, True, 1.0)
        write_score(trial_folder(tmp_path, number), values["x"])
        return Ended(0, False, 1.0)

    workers = workers_of(tmp_path, run_trial, 3)
    in_threads(workers, 1)
    assert [t.state for t in workers.study.trials] == [DONE, FAIL]
    workers = workers_of(tmp_path, run_trial, 3)
    in_threads(workers, 1)
    assert ran[2] == ran[1]
    assert [seed for seed, _ in ran] == [10, 11, 11, 12] or [seed for seed, _ in ran] == [10, 11, 11, 13]
    assert sorted(slots(workers.study.trials)) in ([0, 1, 2], [0, 1, 3])
