"""What fits together of model, head and loss, and what those who change one of them are told to type."""

import pytest

from nowcast.config.mistakes import UsageError
from nowcast.training.trial_build import build_network, build_objective
from tests.programs import composed


def built(*typed):
    """Build what a training builds before it begins."""
    config = composed(*typed)
    build_network(config)
    build_objective(config)
    return config


def test_the_default_corrects_extrapolation_and_says_probabilities():
    config = built()
    named = [config[part]["_target_"].rpartition(".")[2] for part in ("model", "head", "loss")]
    assert named == ["Lagrangian", "ExceedanceHead", "ExceedanceLoss"]


@pytest.mark.parametrize("model", ["convlstm", "convlstm_small", "unet"])
def test_other_networks_say_probabilities_as_well(model):
    """All of them: tests/models/networks/test_every_network.py."""
    built(f"model={model}")


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        (["model=fc_lstm"], ["head=grey", "loss=cross_entropy"]),
        (["model=fc_lstm", "loss=mse"], ["head=grey", "loss=cross_entropy"]),
        (["head=grey"], ["model=convlstm_small", "loss=cross_entropy"]),
        (["loss=balanced"], ["model=convlstm_small", "head=grey"]),
        (["model=convlstm", "head=grey"], ["loss=cross_entropy"]),
    ],
)
def test_a_part_that_does_not_fit_the_default_is_refused_with_what_to_type(typed, advice):
    with pytest.raises(UsageError, match=r"choose .*" + " ".join(advice)):
        built(*typed)
    kept = [text for text in typed if text.split("=")[0] not in {one.split("=")[0] for one in advice}]
    built(*kept, *advice)
