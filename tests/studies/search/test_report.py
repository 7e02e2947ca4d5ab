"""What a study leaves to read."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from nowcast.studies.search.report import write_trials
from nowcast.studies.search.study import Objective

TRIALS = b"""\
trial,first_trial,state,score,epochs,duration_seconds,seed,lr,model.hidden,host,error
0,0,complete,0.1,2,12.5,3,0.3333333333333333,"[8, 8]",a,
1,1,failed,,,,4,1e-05,,,"it said ""no"", twice"
"""
CHOICES = {"lr": FloatDistribution(1e-5, 1.0), "model.hidden": CategoricalDistribution(("[8, 8]", "[16]"))}


@pytest.fixture
def study():
    study = optuna.create_study()
    study.add_trial(
        create_trial(
            params={"lr": 1 / 3, "model.hidden": "[8, 8]"}, distributions=CHOICES, value=0.1,
            intermediate_values={0: 0.5, 1: 0.1}, user_attrs={"seconds": 12.5, "host": "a"},
        )
    )  # fmt: skip
    study.add_trial(
        create_trial(
            state=TrialState.FAIL, params={"lr": 1e-5}, distributions={"lr": CHOICES["lr"]},
            user_attrs={"error": 'it said "no", twice'},
        )
    )  # fmt: skip
    return study


def test_every_trial_is_a_line_with_all_digits(tmp_path, study):
    write_trials(tmp_path / "trials.csv", study, [Objective("score", "val/loss", "min")], 3)
    assert (tmp_path / "trials.csv").read_bytes() == TRIALS
