"""A folder `configs` beside which a command is typed."""

import pytest
import yaml

from nowcast.config.trusted import OURS
from nowcast.forecasting import checkpoint
from tests.programs import TINY, ended, run


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A working directory, with signs in its name that settings have no room for, and an experiment of its own."""
    folder = tmp_path / "my rain, 2024"
    (folder / "configs" / "experiment").mkdir(parents=True)
    (folder / "configs" / "model").mkdir()
    (folder / "configs" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: narrow\n  - _self_\nseed: 41\n"
    )
    (folder / "configs" / "model" / "narrow.yaml").write_text("defaults:\n  - convlstm\n  - _self_\nhidden: [3, 5]\n")
    monkeypatch.chdir(folder)
    return folder


def test_own_experiments_and_models_are_found_and_may_stand_on_ours(own, capsys):
    shown = ""
    for typed in (["experiment=mine", "output=x", "--cfg", "job"], ["--cfg", "job", "experiment=mine", "output=x"]):
        assert run("train", *typed) == (0, "")
        shown, before = capsys.readouterr().out, shown
        assert shown == (before or shown)
    assert "\nseed: 41\n" in shown
    assert "hidden:\n  - 3\n  - 5\n" in shown
    assert "_target_: nowcast.models.networks.convlstm.ConvLSTM" in shown
    assert run("train", "--help") == (0, "")
    listed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("experiment: "))
    assert {"mine", "convlstm"} <= set(listed.removeprefix("experiment: ").split(", "))


def test_a_network_of_an_own_config_is_trained(own):
    settings = [text for text in TINY if not text.startswith(("experiment=", "model."))]
    more = ["experiment=mine", "loss=cross_entropy", "trainer.max_epochs=1", "evaluate=false", "calibration=none"]
    assert run("train", *settings, *more, "output=run", "data.archives.folder=echoes") == (0, "")
    assert yaml.safe_load((own / "run" / "config.yaml").read_text())["model"]["hidden"] == [3, 5]
    weights = checkpoint.read(own / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    assert {3 * 4, 5 * 4} <= {len(values) for name, values in weights.items() if values.ndim == 4}


def test_a_name_of_ours_is_refused(own):
    (own / "configs" / "model" / "unet.yaml").write_text("_target_: os.system\ncommand: touch ran\n")
    code, message = ended("train", "output=x")
    assert code == 2
    assert "configs/model/unet.yaml: nowcast has configs of these names" in message
    assert "Traceback" not in message
    assert run("train", "hydra.searchpath=[]", "output=x", "--cfg", "job") == (0, "")
    assert sorted(path.name for path in own.iterdir()) == ["configs"]


@pytest.mark.parametrize("ours", [True, False])
def test_a_folder_that_is_ours_or_has_nothing_of_our_groups_changes_nothing(tmp_path, monkeypatch, ours, capsys):
    monkeypatch.chdir(OURS.parent if ours else tmp_path)
    if not ours:
        (tmp_path / "configs" / "webserver").mkdir(parents=True)
        (tmp_path / "configs" / "webserver" / "unet.yaml").write_text("port: 80\n")
    assert run("train", "output=x", "--cfg", "hydra") == (0, "")
    shown = capsys.readouterr().out
    assert "searchpath: []" in shown or str(tmp_path) not in shown.partition("searchpath:")[2].partition("\n  ")[0]
    assert "webserver" not in shown
