"""What the tests find once is what Hydra finds anew."""

import pytest

from nowcast.config.trusted import config_packages
from tests.config.once import anew
from tests.conftest import thinned
from tests.extension import declare
from tests.programs import TINY, run


@pytest.mark.parametrize(
    ("program", "typed"),
    thinned(
        [
            ("train", TINY),
            (
                "train",
                ["model=unet", "~model@baselines.extrapolation", "callbacks=ema", "+callbacks.last.x={a:[1,null]}"],
            ),
            ("evaluate", ["model=persistence", "data=radar", "+model@baselines.rover1=rover1", "output='a b'"]),
            ("evaluate", ["model=persistence", "scores=full", "hydra/launcher=joblib", "data.archives=[a.nc,b.nc]"]),
            ("prepare", ["source=knmi", "input=a", "output=b", "hydra.searchpath=[pkg://nowcast]"]),
        ],
        fast=[1, 2],
    ),
)
def test_a_config_is_the_same_as_composed_anew(program, typed, capsys):
    with anew():
        assert run(program, *typed, "--cfg", "all") == (0, "")
        expected = capsys.readouterr().out
    assert "runtime:" in expected
    for _ in range(2):
        assert run(program, *typed, "--cfg", "all") == (0, "")
        assert capsys.readouterr().out == expected


@pytest.mark.parametrize("typed", ["modle=unet", "model=unit", "~model@baselines.nobody", "seed={", "trainer=cup"])
def test_a_refusal_is_the_same_again_and_again(typed):
    with anew():
        expected = run("train", typed)
    assert expected[0] == 1
    assert [run("train", typed) for _ in range(2)] == [expected] * 2


def test_files_of_a_test_are_read_anew(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    for seed in (3, 4):
        (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\nseed: {seed}\n")
        assert run("train", "--config-dir", str(tmp_path), "experiment=mine", "--cfg", "job") == (0, "")
        assert f"\nseed: {seed}\n" in capsys.readouterr().out


def test_a_package_that_is_installed_later_is_found(tmp_path, monkeypatch):
    before = config_packages()
    declare(tmp_path, monkeypatch, "[nowcast.configs]\nlater = later.configs\n", "later")
    assert config_packages() == sorted([*before, "later.configs"])
