"""Misspelt and missing settings: one line that says what is wrong, what is near and what is allowed."""

import pytest
from hydra.errors import HydraException

from nowcast.config import CONFIGS
from nowcast.mistakes import groups
from tests.programs import run


@pytest.mark.parametrize(
    ("setting", "begins", "allows"),
    [
        ("modle=convlstm", "modle is unknown: did you mean model?", "model, name, optimizer"),
        ("experimnt=open_radar", "experimnt is unknown: did you mean experiment?", "evaluate, experiment, logger"),
        ("model.hiden=[8]", "model.hiden is unknown: did you mean model.hidden?", "channels, frame_shape, hidden"),
        ("model=convlstn", "model=convlstn is unknown: did you mean model=convlstm?", "convlstm, convlstm_small"),
        ("trainer.max_epoch=3", "trainer.max_epoch is unknown: did you mean trainer.max_epochs?", "max_epochs, max_s"),
        (
            "verification.treshold=1",
            "verification.treshold is unknown: did you mean verification.thresholds?",
            "common",
        ),
        ("optimizer.qqq=3", "optimizer.qqq is unknown; allowed", "optimizer, schedule"),
    ],
)
def test_misspelt_settings(setting, begins, allows, capsys):
    code, message = run("train", setting)
    assert code == 1
    assert message.startswith(f"nowcast train: error: {begins}")
    assert allows in message.partition("allowed: ")[2]
    assert "\n" not in message
    assert "_target_" not in message
    assert capsys.readouterr().err == message + "\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["input=a", "output=b"], "source= is missing; allowed: bom, eccc_gif, "),
        (["source=knmi"], "input= is missing; add input=<value>"),
        (
            ["source=knmi", "input=a", "output=b", "workers=x"],
            "workers: Value 'x' of type 'str' could not be",
        ),
        (["source=["], "source=[ cannot be read as key=value: "),
    ],
)
def test_missing_and_unreadable_settings(settings, message):
    code, text = run("prepare", *settings)
    assert code == 1
    assert text.startswith(f"nowcast prepare: error: {message}")
    assert "\n" not in text


@pytest.mark.parametrize("output", ["null", "{here}/file", "{here}/file/below", "${{foo}}"])
def test_an_impossible_run_directory_is_one_line(tmp_path, output):
    (tmp_path / "file").touch()
    code, text = run("train", f"output={output.format(here=tmp_path)}")
    assert code == 1
    assert text.startswith("nowcast train: error: ")
    assert "\n" not in text


def test_a_misspelt_key_in_a_file_names_the_file(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nnaem: mine\n")
    code, text = run("train", f"--config-dir={tmp_path}", "experiment=mine")
    assert code == 1
    assert text.startswith("nowcast train: error: In 'experiment/mine': naem is unknown: did you mean name?; allowed: ")


def test_groups_of_a_program_that_builds_on_another():
    assert {"data", "experiment", "reduced", "model"} <= groups(CONFIGS / "check.yaml")
    assert groups(CONFIGS / "prepare.yaml") == {"source", "limits"}


def test_who_asks_for_tracebacks_gets_them(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(HydraException):
        run("train", "modle=convlstm")
