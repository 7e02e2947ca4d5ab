"""What is not gone on with: another config, other data, no epoch left, a run that exists or is being written."""

import fcntl
import json

import pytest

from nowcast.forecasting import checkpoint
from tests.programs import ended
from tests.training.resuming import SETTINGS, interrupted, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a finished run, `whole`."""
    folder = tmp_path_factory.mktemp("refused")
    assert train(folder, "whole", "trainer.max_epochs=4", "evaluate=true") == (0, "")
    return folder


@pytest.mark.thorough
def test_a_name_is_no_setting_and_other_epochs_are_those_of_a_new_run(runs):
    assert train(runs, "whole", "trainer.max_epochs=4", "resume=auto", "name=another") == (0, "")
    last = runs / "whole" / "checkpoints" / "last.ckpt"
    code, message = train(runs, "whole", "trainer.max_epochs=5", "resume=auto")
    assert code == 1
    assert "trainer.max_epochs: 4 → 5" in message
    assert message.endswith(f"or begin a new run in another output= with its weights: resume={last}")
    code, message = train(runs, "whole", "trainer.max_epochs=3", "resume=auto")
    assert code == 1
    assert message.endswith(f"resume={last} and trainer.max_epochs above 4")


@pytest.mark.thorough
def test_a_run_that_was_begun_without_what_probabilities_are_to_beat_goes_on(runs):
    settings = ["head=exceedance", "loss=exceedance", "trainer.max_epochs=1"]
    assert train(runs, "probable", *settings, "~model@baselines.lagrangian_probability") == (0, "")
    assert train(runs, "probable", *settings, "resume=auto") == (0, "")


def test_another_config_is_refused_and_named(runs):
    code, message = train(runs, "whole", "trainer.max_epochs=4", "resume=auto", "model.patch=2")
    assert code == 1
    assert "model.patch: 4 → 2" in message
    assert message.endswith("another output=")  # its checkpoint is refused as well


@pytest.mark.thorough
def test_a_schedule_that_depends_on_the_epochs_fixes_their_number(runs):
    adamw = ["optimizer=adamw", "trainer.max_epochs=1"]
    assert train(runs, "adamw", *adamw) == (0, "")
    begin = f"resume={runs / 'adamw' / 'checkpoints' / 'last.ckpt'}"
    code, message = train(runs, "adamw_longer", "optimizer=adamw", "trainer.max_epochs=2", begin)
    assert code == 1
    assert "trainer.max_epochs: 1 → 2" in message
    # So no advice asks for more epochs with these weights, and what it says instead works as it stands.
    code, message = train(runs, "adamw", *adamw, "calibration=frequency", "resume=auto")
    assert (code, message.endswith("or start anew with resume=never in another output=")) == (1, True), message
    code, message = train(runs, "adamw_again", *adamw, begin)
    advice = message.partition("more need a start anew: ")[2].split()
    assert (code, advice) == (1, ["resume=never", "trainer.max_epochs=2"]), message
    assert train(runs, "adamw_again", "optimizer=adamw", *advice) == (0, "")


@pytest.mark.thorough
def test_a_schedule_that_has_epochs_left_goes_on_as_a_new_run_as_its_message_says(runs):
    settings = ["optimizer=adamw", "trainer.max_epochs=2"]
    interrupted(runs, "stopped", *settings, epoch=1)
    code, message = train(runs, "stopped", *settings, "resume=auto", "picture=true")
    advice = message.partition("in another output= with its weights: ")[2].split()
    assert (code, len(advice)) == (1, 1), message
    assert train(runs, "went_on", *settings, "picture=true", *advice) == (0, "")


@pytest.mark.parametrize(
    ("change", "shown"),
    [("model.patch=2", "model.patch: 4 → 2"), ("scaling.max_dbz=50", "scaling.max_dbz: 60.0 → 50"),
     ("data.batch_size=2", "data.batch_size: 4 → 2"), ("seed=7", "seed: 0 → 7")],
)  # fmt: skip
def test_a_checkpoint_of_something_else_is_refused(runs, change, shown):
    begin = f"resume={runs / 'whole' / 'checkpoints' / 'last.ckpt'}"
    code, message = train(runs, "another", "trainer.max_epochs=5", begin, change)
    assert code == 1
    assert shown in message
    assert not (runs / "another" / "config.yaml").exists()


def test_other_data_is_refused_unless_allowed(runs):
    begin = f"resume={runs / 'whole' / 'checkpoints' / 'last.ckpt'}"
    other = ["trainer.max_epochs=5", begin, "data.archives.seed=5"]
    code, message = train(runs, "other_data", *other)
    assert code == 1
    assert "data.archives.seed: 0 → 5" in message
    assert train(runs, "other_data", *other, "allow_data_change=true") == (0, "")
    assert checkpoint.read(runs / "other_data" / "checkpoints" / "last.ckpt")["epoch"] == 4


def test_archives_that_changed_under_the_same_name_are_refused(runs):
    assert train(runs, "same_name", "trainer.max_epochs=1") == (0, "")
    path = runs / "same_name" / "provenance.json"
    facts = json.loads(path.read_text())
    facts.pop("finished", None)
    name, print_ = next(iter(facts["data"]["archives"].items()))
    facts["data"]["archives"][name] = "0123"
    path.write_text(json.dumps(facts))
    code, message = train(runs, "same_name", "trainer.max_epochs=1", "resume=auto")
    assert code == 1
    assert f"archives.{name}: '0123' → '{print_}'" in message
    assert "allow_data_change=true" in message


@pytest.mark.parametrize("value", ["last", "nowhere/last.ckpt"])
def test_a_checkpoint_that_is_not_there_is_refused(runs, value):
    code, message = train(runs, "never", f"resume={value}")
    assert code == 1
    assert f"resume={value}: no such file" in message
    assert "never, auto or the path" in message
    assert not (runs / "never" / "config.yaml").exists()


def test_a_checkpoint_with_nothing_left_to_train_is_refused(runs):
    begin = f"resume={runs / 'whole' / 'checkpoints' / 'last.ckpt'}"
    code, message = train(runs, "nothing_left", "trainer.max_epochs=4", begin)
    assert code == 1
    assert "has trained 4 epochs; with trainer.max_epochs=4 none is left" in message


def test_two_processes_do_not_write_one_run(runs):
    (runs / "shared").mkdir()
    with (runs / "shared" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, message = train(runs, "shared", "resume=auto")
    assert code == 1
    assert f"another process is writing {runs / 'shared'}" in message
    assert [path.name for path in (runs / "shared").iterdir()] == [".lock"]


def test_what_cannot_be_gone_on_with_was_typed_wrongly(runs):
    typed = [*SETTINGS, f"data.archives.folder={runs / 'data'}"]
    more = ["trainer.max_epochs=4", f"output={runs / 'whole'}", "resume=auto", "optimizer.optimizer.lr=0.5"]
    code, message = ended("train", *typed, *more)
    assert (code, "was begun with another config" in message) == (2, True)
    begin = f"resume={runs / 'whole' / 'checkpoints' / 'last.ckpt'}"
    code, message = ended("train", *typed, f"output={runs / 'no'}", "trainer.max_epochs=4", begin)
    assert (code, "none is left: give more, such as trainer.max_epochs=8" in message) == (2, True)


def test_a_run_is_not_overwritten_and_the_message_offers_to_go_on(runs):
    code, message = train(runs, "whole", "trainer.max_epochs=4")
    assert code == 1
    assert "resume=auto" in message
