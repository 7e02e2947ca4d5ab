"""What an empty split is answered with: settings that leave none empty, when they are typed as they stand."""

import numpy as np
import pytest

from nowcast.data.windows.index import SPLITS, NoWindowError
from tests.data.archives import frame, moving_rain, write
from tests.data.modules import module

README = {"input_steps": 5, "forecast_steps": 15, "block_minutes": 240.0, "gap_minutes": 30.0, "split": "blocks"}
WHOLE = {"crop": None, "eval_crop": None}


def typed(text):
    """The overrides of a message as settings of the data module."""
    pairs = {key.rpartition(".")[2]: value for key, _, value in (part.partition("=") for part in text.split())}
    return {name: int(value) if name.endswith("steps") else float(value) for name, value in pairs.items()}


def refusal(*paths, empty="val", **settings):
    """What the message of an empty split names."""
    with pytest.raises(NoWindowError) as error:
        module(*paths, **(WHOLE | settings)).dataset(empty)
    return error.value.way_out


@pytest.mark.parametrize("frames", [9, 13, 24, 40])
@pytest.mark.parametrize("how", ["blocks", "paper", "archives"])
def test_short_archives_get_settings_that_work_when_typed(tmp_path, frames, how):
    paths = [moving_rain(tmp_path / f"{name}.nc", frames=frames) for name in "ab"]
    settings = README | {"split": how, "test_archives": ["b"] if how == "archives" else []}
    settings |= {"gap_minutes": 0.0} if how == "paper" else {}
    found = typed(refusal(*paths, **settings))
    assert found["forecast_steps"] >= 1
    data = module(*paths, **(WHOLE | settings | found))
    assert all(len(data.dataset(split)) > 0 for split in SPLITS)


def test_two_hours_keep_a_time_step_between_the_splits(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=24)
    assert refusal(path, **README) == (
        "data.input_steps=2 data.forecast_steps=4 data.split.block_minutes=40 data.split.gap_minutes=5"
    )


def test_what_training_would_leave_out_next_is_named_at_once(tmp_path):
    dry = write(tmp_path / "a.nc", [frame(5 * k, np.zeros((8, 10))) for k in range(24)])
    filters = {"min_rain_fraction": 0.01, "min_valid_fraction": 0.5}
    found = refusal(dry, **README, **filters)
    assert found.endswith(" data.sampling.min_rain_fraction=0 data.sampling.min_valid_fraction=0")
    data = module(dry, **(WHOLE | README | filters | typed(found)))
    assert all(len(data.dataset(split)) > 0 for split in SPLITS)
    assert refusal(dry, empty="train", **filters | {"split": "archives", "val_archives": ["none"]}) == (
        "data.sampling.min_rain_fraction=0 data.sampling.min_valid_fraction=0"
    )


def test_three_frames_are_too_few_whatever_is_typed(tmp_path):
    assert refusal(moving_rain(tmp_path / "a.nc", frames=3), **README) == ""


def test_an_evaluation_of_everything_needs_test_windows_only(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=8)
    assert typed(refusal(path, empty="test", **README | {"split": "all"})) == {"input_steps": 2, "forecast_steps": 6}
