"""`nowcast benchmark models=[…]`: operations against hand-counted tables, and the command on tiny networks."""

import itertools
import json
import re

import pytest
import torch
from torch import nn

from nowcast.models.networks.convlstm import ConvLSTM
from nowcast.models.networks.unet import UNet
from nowcast.studies.benchmarks.models.flop import count_flop
from nowcast.studies.benchmarks.models.measure import Candidate, measure
from nowcast.studies.benchmarks.tables import table_of_models
from nowcast.studies.benchmarks.work import necessary
from tests.programs import run

CPU = torch.device("cpu")
SETTINGS = [
    "run=[]",
    "models=[convlstm_small,lagrangian,persistence]",
    "precisions=[fp32]",
    "of_models.frame_shape=[16,16]",
    "of_models.input_steps=2",
    "of_models.forecast_steps=2",
    "of_models.batch_size=1",
    "rounds=1",
    "threads=1",
]


@pytest.fixture(autouse=True)
def _same_threads_afterwards():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# Module, shape of its input, multiplications of a forward pass: output cells × weights that make one of them.
BY_HAND = {
    "convolution": (nn.Conv2d(3, 4, (3, 5), padding=(1, 2)), (2, 3, 6, 7), 2 * (4 * 6 * 7) * (3 * 3 * 5)),
    "each channel by itself": (nn.Conv2d(8, 16, 3, padding=1, groups=8), (2, 8, 6, 7), 2 * (16 * 6 * 7) * (1 * 9)),
    "two groups": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (1, 4, 5, 5), (6 * 5 * 5) * (2 * 9)),
    "every second cell": (nn.Conv2d(3, 4, 3, padding=1, stride=2), (2, 3, 6, 8), 2 * (4 * 3 * 4) * (3 * 9)),
    "with holes": (nn.Conv2d(3, 4, 3, padding=2, dilation=2), (1, 3, 6, 8), (4 * 6 * 8) * (3 * 9)),
    # Each input cell is multiplied with a kernel of 2×2 for each of the outputs.
    "transposed": (nn.ConvTranspose2d(3, 4, 2, stride=2), (2, 3, 5, 6), 2 * (3 * 5 * 6) * (4 * 4)),
    "transposed, in groups": (nn.ConvTranspose2d(4, 4, 2, stride=2, groups=4), (2, 4, 5, 6), 2 * (4 * 5 * 6) * 4),
    "matrix": (nn.Linear(5, 7), (3, 5), 3 * 5 * 7),
    "no operation that counts": (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), (1, 2, 4, 4), 0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_operations_by_hand(case):
    module, shape, multiplications = BY_HAND[case]
    seen = torch.rand(shape, requires_grad=True)
    assert count_flop(lambda: module(seen), module) == 2 * multiplications
    result = module(seen)
    assert count_flop(lambda: result.sum().backward(), module) == 2 * 2 * multiplications  # of inputs and weights


def test_no_gradient_of_inputs_is_counted_where_there_is_none():
    module, seen = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 6, 6)
    result = module(seen)
    assert count_flop(lambda: result.sum().backward(), module) == 2 * (4 * 4 * 4) * (3 * 9)


def test_operations_of_a_unet_by_hand():
    """2 frames to 3 on 8×6 and, half as fine, 4×3 cells; widths 2 and 3."""
    net, frames = UNet(2, 3, 1, [2, 3]), torch.rand(1, 2, 1, 8, 6)
    fine, coarse = 8 * 6 * 9, 4 * 3 * 9
    first = fine * 2 * 2
    down = first + fine * 2 * 2 + coarse * (2 * 3 + 3 * 3)
    up, last = fine * ((2 + 3) * 2 + 2 * 2), 8 * 6 * 2 * 3
    forward = 2 * (down + up + last)
    assert count_flop(lambda: net(frames, 3), net) == forward
    result = net(frames, 3)
    assert count_flop(lambda: result.sum().backward(), net) == 2 * forward - 2 * first  # frames have no gradient


@pytest.mark.parametrize("recompute", [False, True])
def test_winograd_and_recomputation_change_no_count(recompute):
    """32 channels on 32×32 cells: there Winograd's method would do a third of the multiplications."""
    torch.manual_seed(0)
    net = ConvLSTM(1, 1, [32], [3], [3], "channel", "current", None, recompute=recompute, winograd=True)
    inputs, before = torch.rand(1, 2, 1, 32, 32), net.execution
    expected = sum(sum(each.flop(train=True).values()) for each in necessary(net, inputs, 2))
    assert count_flop(lambda: net(inputs, 2).sum().backward(), net) == expected
    assert net.execution == before


def test_a_network_is_left_as_it_was_after_a_mistake():
    net = ConvLSTM(1, 1, [2], [3], [3], "none", "current", None)
    before = net.execution
    with pytest.raises(ValueError, match="inputs must be"):
        count_flop(lambda: net(torch.rand(1, 1, 4, 4), 2), net)
    assert net.execution == before
    assert before.winograd


def candidate(name="net"):
    batch = {"inputs": torch.rand(4, 2, 1, 6, 6), "targets": torch.rand(4, 3, 1, 6, 6)}
    return Candidate(name, "fp32", UNet(2, 3, 1, [2]), None, batch)


def test_figures_follow_from_the_times():
    """A clock that is read before and after each work, in turns: the first takes 2 s, the second 4, then 6 and 4."""
    times = itertools.accumulate([0, 2, 0, 4, 0, 6, 0, 4])
    one, other = candidate("one"), candidate("other")
    rows = measure([one, other], "inference", 2, lambda: float(next(times)), CPU)
    assert [row["seconds_of_rounds"] for row in rows] == [[2, 6], [4, 4]]
    assert [(row["name"], row["seconds"], row["spread"]) for row in rows] == [("one", 4, 1), ("other", 4, 0)]
    assert [row["sequences_per_second"] for row in rows] == [1, 1]
    flop = 4 * 2 * 36 * (9 * (2 * 2 + 2 * 2) + 2 * 3)
    assert [row["flop"] for row in rows] == [flop, flop]
    assert rows[0]["flop_per_second"] == flop / 4
    assert rows[0]["parameters"] == (2 * 2 * 9 + 2) * 2 + (2 * 3 + 3)
    assert rows[0]["peak_memory_mib"] is None  # it is not trained, as a baseline


def test_one_round_has_no_spread():
    times = itertools.count()
    rows = measure([candidate()], "inference", 1, lambda: float(next(times)), CPU)
    cells = [next(iter(column.cells)) for column in table_of_models("inference", rows).columns]
    assert cells[:5] == ["net fp32", "85", "1", "-", "4"]
    assert cells[-1] == "-"


def test_the_command_measures_any_model(tmp_path, capsys):
    output = tmp_path / "benchmark.json"
    assert run("benchmark", *SETTINGS, f"output={output}") == (0, "")
    rows = json.loads(output.read_text())["models"]
    assert [(row["name"], row["mode"]) for row in rows] == [
        ("convlstm_small", "train"),
        ("lagrangian", "train"),
        ("convlstm_small", "inference"),
        ("lagrangian", "inference"),
        ("persistence", "inference"),
    ]
    trained = {row["name"]: row for row in rows if row["mode"] == "train"}
    said = {row["name"]: row for row in rows if row["mode"] == "inference"}
    for name in ("convlstm_small", "lagrangian"):
        # Weights, two moments of each, and gradients.
        assert trained[name]["peak_memory_mib"] > 4 * 4 * trained[name]["parameters"] / 2**20
        assert 2 < trained[name]["flop"] / said[name]["flop"] < 3
        assert trained[name]["parameters"] == said[name]["parameters"] > 0
    assert [said["persistence"][key] for key in ("parameters", "flop", "peak_memory_mib")] == [0, None, None]
    printed = capsys.readouterr().out
    assert "models, train" in printed
    assert "…" not in printed  # nothing is cut on 80 columns
    assert re.search(r"persistence fp32 +0 .* - +- +-", printed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["models=[convgrue]"], "models=['convgrue']: there is no convgrue; choose from convgru, convlstm"),
        (["of_models.batch_size=0"], "of_models.batch_size must be at least 1, got 0"),
        (["models=[fc_lstm]"], "choose head=grey loss=cross_entropy"),
        (["of_models.settings=[data.input_stepz=3]"], "input_stepz"),
        (["of_models.settings=[loss=mse]", "models=[unet]", "of_models.frame_shape=[4,4]"], "at least 8"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    code, text = run("benchmark", *SETTINGS, *settings)
    assert code == 1
    assert message in text
