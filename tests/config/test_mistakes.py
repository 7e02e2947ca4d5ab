"""Misspelt and missing settings: one line that says what is wrong, what is near and what is allowed."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from nowcast.config.command_line.overrides import readable
from nowcast.config.mistakes import groups
from nowcast.config.program import CONFIGS
from tests.programs import TINY, run


@pytest.mark.parametrize(
    ("setting", "begins", "allows"),
    [
        ("modle=convlstm", "modle is unknown: did you mean model?", "model, name, optimizer"),
        ("experimnt=open_radar", "experimnt is unknown: did you mean experiment?", "experiment, frame_scores"),
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
    code, message = run("train", "experiment=convlstm", setting)
    assert code == 1
    assert message.startswith(f"nowcast train: error: {begins}")
    assert allows in message.partition("allowed: ")[2]
    assert "\n" not in message
    assert "_target_" not in message
    assert capsys.readouterr().err == message + "\n"


def test_a_list_in_place_of_names_with_values_is_told_as_that():
    code, text = run("evaluate", "model=persistence", "data=radar", "data.archives=[a.nc]", "baselines=[]")
    assert (code, "baselines must be names with values" in text) == (1, True)
    code, text = run("evaluate", "model=persistence", "data=radar", "data.archives=[a.nc]", "~baselines.persistence")
    assert (code, "no archive at a.nc" in text) == (1, True)  # what it advises is taken


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


@pytest.mark.parametrize(
    "text",
    [
        "a b/c.nc", "a=b.nc", "/x y/a (1).nc", "Zürich/a.nc", "it's", "a#1", "a&b", "~/a", "f(1).nc", "a^b", "a\\b=c",
        "a{b}", "a<b",
    ],
)  # fmt: skip
def test_a_path_with_signs_that_hydra_has_no_room_for_is_quoted_for_it(text):
    for override in (f"input={text}", f"+input={text}"):
        assert OverridesParser.create().parse_override(readable(override)).value() == text
    if not set("{'") & set(text):
        listed = OverridesParser.create().parse_override(readable(f"input=[{text},b.nc]")).value()
        assert listed == [text, "b.nc"]


@pytest.mark.parametrize(
    "override", ["seed=1,2", "a=[1,2]", "a={b:c}", "a='b c'", "a=null", "--cfg=job", "-m", "a=${b}", "~a"]
)
def test_what_hydra_can_read_is_left_to_it(override):
    assert readable(override) == override


def test_what_is_still_unreadable_is_told_with_the_quotes_to_type():
    code, text = run("prepare", "source=netcdf", "input=a,b=c.nc", "output=b")
    assert code == 1
    (override,) = shlex.split(text.partition("quote it: ")[2])
    assert OverridesParser.create().parse_override(override).value() == "a,b=c.nc"


@pytest.mark.thorough
def test_a_run_in_a_folder_whose_name_has_to_be_quoted(tmp_path, capsys):
    """What it says of more epochs is typed as it stands."""
    here = tmp_path / "Zürich (a=1) it's"
    common = [*TINY, "evaluate=false", "optimizer=rmsprop_paper", f"data.archives.folder={here / 'the echoes'}"]
    first = [*common, "trainer.max_epochs=1", f"output={here / 'run'}", "resume=auto"]
    assert run("train", *first) == (0, "")
    capsys.readouterr()
    assert run("train", *first) == (0, "")
    advised = capsys.readouterr().out.partition("for more epochs: ")[2].partition(", a larger trainer.max_epochs")[0]
    assert advised
    again = run("train", *common, "trainer.max_epochs=2", f"output={here / 'more'}", *shlex.split(advised))
    assert again == (0, "")


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
    assert groups(CONFIGS / "prepare.yaml") == {"source", "limits", "engine"}


def test_who_asks_for_tracebacks_gets_them(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(HydraException):
        run("train", "modle=convlstm")
