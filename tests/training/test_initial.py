"""`init=`: a new run begins with the weights of a checkpoint, and with no others than fit."""

import json

import pytest
import torch

from nowcast.config.mistakes import UsageError
from nowcast.forecasting import checkpoint
from nowcast.forecasting.weights_file import write_weights
from nowcast.training.initial import begin_with
from tests.programs import TINY, run


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    content = checkpoint.read(trained / "checkpoints" / "best.ckpt")
    return write_weights(content, tmp_path_factory.mktemp("packed") / "own.safetensors")[0]


def train(trained, folder, *more):
    data = f"data.archives.folder={trained.parent / 'data'}"
    quick = ["trainer.max_epochs=1", "evaluate=false", "callbacks.watch=null", "seed=5"]
    return run("train", *TINY, *quick, data, f"output={folder}", *more)


@pytest.mark.thorough
def test_a_run_that_learns_nothing_ends_with_the_weights_that_it_began_with(trained, packed, tmp_path):
    folder = tmp_path / "run"
    assert train(trained, folder, f"init={packed}", "optimizer.optimizer.lr=0") == (0, "")
    begun, ended = (checkpoint.read(path) for path in (packed, folder / "checkpoints" / "best.ckpt"))
    assert begun["state_dict"].keys() == ended["state_dict"].keys()
    for name, value in begun["state_dict"].items():
        assert torch.equal(value, ended["state_dict"][name]), name
    facts = json.loads((folder / "provenance.json").read_text())["init"]
    assert facts["from"] == str(packed)
    assert facts["training_data"] == begun["nowcast"]["data"]["archives"]
    last = folder / "checkpoints" / "last.ckpt"
    assert train(trained, tmp_path / "again", f"init={last}") == (0, "")  # any checkpoint will do


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["model.hidden=[4,6]"], ["init=", "does not fit: model.", "give the settings of its config.yaml"]),
        (["head=exceedance", "loss=exceedance"], ["does not fit: head._target_: ", "GreyHead' → ", "ExceedanceHead"]),
        (["scaling.max_dbz=70"], ["does not fit: scaling.max_dbz: 60.0 → 70"]),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_line(trained, packed, tmp_path, typed, words):
    code, message = train(trained, tmp_path / "run", f"init={packed}", *typed)
    assert code == 1
    assert "\n" not in message
    for word in words:
        assert word in message
    assert not (tmp_path / "run" / "config.yaml").exists()  # no run was begun


def test_a_checkpoint_is_not_resumed_and_begun_with():
    with pytest.raises(UsageError, match=r"resume=a\.ckpt goes on .* init=own begins with others: give one of them"):
        begin_with("own", torch.nn.Identity(), {"resume": "a.ckpt"})


def test_a_run_that_goes_on_does_not_begin_again(trained, packed, tmp_path):
    """Though the file is gone that it began with."""
    folder, own = tmp_path / "run", tmp_path / "own.safetensors"
    for suffix in (".safetensors", ".json"):
        own.with_suffix(suffix).write_bytes(packed.with_suffix(suffix).read_bytes())
    assert train(trained, folder, f"init={own}") == (0, "")
    own.unlink()
    assert train(trained, folder, f"init={own}", "resume=auto") == (0, "")
