"""Checkpoints as safetensors and JSON: the same forecast, and nothing read that is not of one checkpoint."""

import json
import math

import pytest
import torch

from nowcast import load_forecaster
from nowcast.config.command_line.arguments import PRETRAINED, checkpoint_path
from nowcast.forecasting import checkpoint
from nowcast.forecasting.network import NetworkForecaster
from nowcast.forecasting.weights_file import write_weights
from tests.programs import TINY, run


@pytest.fixture(scope="module")
def best(trained):
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture
def packed(best, tmp_path):
    return write_weights(checkpoint.read(best), tmp_path / "own.safetensors")[0]


def said(loaded):
    values = torch.rand(1, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 5
    with torch.inference_mode():
        return [model(values, 4).single() for model in (loaded.forecaster, loaded.calibrated())]


def test_weights_forecast_like_their_checkpoint_bit_for_bit(best, packed):
    before, after = checkpoint.load(best), checkpoint.load(packed)
    for one, other in zip(said(before), said(after), strict=True):
        assert torch.equal(one, other)
    assert (after.data, after.version) == (before.data, before.version)
    assert after.config["data"] == before.config["data"]
    assert not {"output", "callbacks", "logger"} & after.config.keys()  # folders of the machine that trained
    torch.testing.assert_close(
        torch.tensor(after.validation["csi"]["convlstm"]), torch.tensor(before.validation["csi"]["convlstm"]),
        rtol=0, atol=0, equal_nan=True,
    )  # fmt: skip


def test_undefined_scores_are_null_in_the_file_and_nan_here(best, tmp_path):
    content = checkpoint.read(best)
    content["validation"]["csi"]["convlstm"][0][0] = math.nan
    path, beside = write_weights(content, tmp_path / "a.safetensors")
    assert "NaN" not in beside.read_text()
    assert math.isnan(checkpoint.load(path).validation["csi"]["convlstm"][0][0])


def test_json_of_other_weights_or_none_is_refused(packed):
    beside = packed.with_suffix(".json")
    text = beside.read_text()
    beside.write_text(json.dumps(json.loads(text) | {"weights_sha256": "0" * 64}))
    with pytest.raises(ValueError, match=r"own\.json beside it is of other weights"):
        checkpoint.load(packed)
    for damaged in ("[]", "{"):
        beside.write_text(damaged)
        with pytest.raises(ValueError, match=r"own\.safetensors: "):
            checkpoint.load(packed)
    beside.unlink()
    with pytest.raises(ValueError, match=r"not readable weights with their own\.json"):
        checkpoint.load(packed)
    beside.write_text(text)
    packed.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(ValueError, match="not readable weights"):
        checkpoint.load(packed)


def test_json_that_names_a_class_of_others_is_refused(packed):
    beside = packed.with_suffix(".json")
    facts = json.loads(beside.read_text())
    facts["config"]["model"]["_target_"] = "subprocess.run"
    beside.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"model\._target_ is 'subprocess\.run'"):
        checkpoint.load(packed)


def test_weights_alone_are_no_training_to_go_on_with(packed, tmp_path):
    code, message = run(
        "train", f"resume={packed}", f"output={tmp_path / 'run'}", *TINY, f"data.archives.folder={tmp_path}"
    )
    assert code == 1
    assert f"init={packed} begins with them" in message


def test_pretrained_is_a_word_and_all_else_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_path("pretrained") == PRETRAINED
    assert str(checkpoint_path("./pretrained")) == "pretrained"
    with pytest.raises(FileNotFoundError, match="no checkpoint at other"):
        load_forecaster("other")


@pytest.mark.skipif(not PRETRAINED.is_file(), reason="no weights are packaged")
def test_the_weights_that_come_with_the_project_load():
    loaded = checkpoint.load("pretrained")
    assert isinstance(loaded.forecaster, NetworkForecaster)
    assert loaded.calibration is not None
    assert load_forecaster("pretrained").input_steps == loaded.data["input_steps"]
    assert sum(path.stat().st_size for path in PRETRAINED.parent.iterdir()) <= 4_000_000
