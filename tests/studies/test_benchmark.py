"""`nowcast benchmark`: what it counts against independent counts, and the command itself on a tiny network."""

import json
import time
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nowcast.data.synthetic.archives import SyntheticArchives
from nowcast.models.networks.convlstm import ConvLSTM
from nowcast.studies.benchmarks.growth import enlarged, exponent, measure_growth
from nowcast.studies.benchmarks.loading import measure_loading
from nowcast.studies.benchmarks.rounds import Contender, check_equal, measure
from nowcast.studies.benchmarks.tables import table_of
from nowcast.studies.benchmarks.textbook import Textbook
from nowcast.studies.benchmarks.work import Ceiling, necessary
from nowcast.training.callbacks.memory import peak_memory
from tests.data.synthetic.test_rain import RAIN
from tests.programs import run

TINY = [
    "run=[small]",
    "sizes.small.frame_shape=[8,8]",
    "sizes.small.model.hidden=[4,4]",
    "rounds=2",
    "threads=1",
]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _same_threads_afterwards():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def make(hidden=(3, 2), input_kernels=(3, 5), state_kernels=(3, 1), patch=2):
    torch.manual_seed(0)
    return ConvLSTM(1, patch, hidden, input_kernels, state_kernels, "channel", "current", None)


@pytest.mark.parametrize(("input_steps", "forecast_steps"), [(3, 4), (1, 1), (1, 3)])
def test_necessary_work_is_what_pytorch_counts_in_our_network(input_steps, forecast_steps):
    net, inputs = make(), torch.rand(2, input_steps, 1, 9, 7)
    convolutions = necessary(net, inputs, forecast_steps)
    with FlopCounterMode(display=False) as counted:
        forecast = net(inputs, forecast_steps)
    assert sum(c.flop(train=False)["forward"] for c in convolutions) == counted.get_total_flops()
    with FlopCounterMode(display=False) as counted:
        forecast.sum().backward()
    backward = sum(sum(c.flop(train=True).values()) - c.flop(train=False)["forward"] for c in convolutions)
    assert backward == counted.get_total_flops()


def test_necessary_work_by_hand():
    """One layer of 2 channels, 3×3, on 4×5 patches of 1 pixel, 2 frames to 3, batch 1."""
    net = ConvLSTM(1, 1, [2], [3], [3], "none", "current", None)
    flop = [c.flop(train=True) for c in necessary(net, torch.rand(1, 2, 1, 4, 5), 3)]
    from_input = 2 * 20 * 1 * 8 * 9  # multiplications and additions of one step
    from_state, head = 2 * 20 * 2 * 8 * 9, 2 * 20 * 2 * 1
    assert flop == [
        {"forward": 2 * from_input, "data_gradient": 0, "weight_gradient": 2 * from_input},
        {"forward": from_state, "data_gradient": from_state, "weight_gradient": from_state},
        {"forward": 2 * from_state, "data_gradient": 2 * from_state, "weight_gradient": 2 * from_state},
        {"forward": 3 * head, "data_gradient": 3 * head, "weight_gradient": 3 * head},
    ]


def test_peak_memory_counts_what_lives_at_once():
    def work():
        first = torch.empty(1000, 256)  # 1 MB
        second = torch.empty(2000, 256)
        del first
        return second, torch.empty(500, 256)

    assert peak_memory(work, CPU) == 3000 * 1024


@pytest.mark.parametrize("shape", [(6, 6), (7, 5)])
def test_textbook_forecasts_what_we_forecast(shape):
    net, inputs = make(), torch.rand(2, 3, 1, *shape)
    torch.testing.assert_close(Textbook(net)(inputs, 4), net(inputs, 4), atol=1e-5, rtol=1e-5)


def test_a_network_that_computes_something_else_is_refused():
    net, other = make(), make()
    with torch.no_grad():
        other.head.bias.add_(1)
    contenders = [Contender("ours", "fp32", False, net), Contender("other", "fp32", False, other)]
    with pytest.raises(ValueError, match="other fp32 does not compute what ours fp32 does"):
        check_equal(contenders, torch.rand(1, 2, 1, 6, 6), 2)


def measured(rounds):
    """Rows by a clock that ticks by one second each time it is read: all works take one second."""
    ticks = iter(range(10_000))
    net, inputs, targets = make(), torch.rand(2, 3, 1, 6, 6), torch.rand(2, 2, 1, 6, 6)
    contenders = [Contender(name, "fp32", False, n) for name, n in (("nowcast", net), ("textbook", Textbook(net)))]
    convolutions = necessary(net, inputs, 2)
    rows = measure(
        contenders, convolutions, "train", (inputs, targets), rounds, lambda: float(next(ticks)), lambda i, *_: i, ""
    )
    return rows, convolutions


@pytest.mark.parametrize(("rounds", "spread"), [(1, "-"), (2, "0%")])
def test_one_round_has_no_spread(rounds, spread):
    column = table_of("small", "train", measured(rounds)[0]).columns[2]
    assert (column.header, list(column.cells)) == ("spread", [spread, spread])


def test_figures_follow_from_the_times():
    rows, convolutions = measured(3)
    flop = sum(sum(c.flop(train=True).values()) for c in convolutions)
    for row in rows:
        assert row["seconds_of_rounds"] == [1, 1, 1]
        assert (row["spread"], row["sequences_per_second"], row["flop_per_second"]) == (0, 2, flop)
        assert row["fraction_of_ceiling"] == row["ceiling_seconds"] == 3  # one for each kind of convolution
        assert row["speed_against_textbook"] == 1
        assert row["speed_against_textbook_range"] == [1, 1]
    assert rows[0]["memory_against_textbook"] == rows[0]["peak_memory_mib"] / rows[1]["peak_memory_mib"]


def test_ceiling_does_the_work_that_was_counted():
    net = make()
    convolutions = necessary(net, torch.rand(2, 3, 1, 6, 6), 2)
    ceiling = Ceiling(convolutions, torch.float32, CPU, time.perf_counter)
    for train in (False, True):
        with FlopCounterMode(display=False) as counted:
            seconds = ceiling.seconds(train)
        assert counted.get_total_flops() == sum(sum(c.flop(train).values()) for c in convolutions)
        assert all(value > 0 for value in seconds.values())


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    output = tmp_path / "benchmark.json"
    assert run("benchmark", *TINY, f"output={output}") == (0, "")
    results = json.loads(output.read_text())
    rows = results["sizes"]["small"]["results"]
    found = {(row["name"], row["precision"], row["mode"]) for row in rows}
    names = ("nowcast", "recompute", "direct", "textbook")
    precisions, modes = ("fp32", "bf16"), ("train", "inference")
    assert found == {(name, precision, mode) for name in names for precision in precisions for mode in modes}
    assert results["machine"]["threads"] == 1
    assert all(row["seconds"] > 0 and row["peak_memory_mib"] > 0 for row in rows)
    assert set(rows[0]["ceiling_flop_per_second"]) == {"forward", "data_gradient", "weight_gradient"}
    memory = {(row["name"], row["precision"]): row["peak_memory_mib"] for row in rows if row["mode"] == "train"}
    assert memory["recompute", "fp32"] < memory["nowcast", "fp32"]
    printed = capsys.readouterr().out
    assert "small, inference" in printed
    assert "…" not in printed  # nothing is cut on 80 columns
    assert "ceiling bf16, GFLOP/s: forward" in printed


def test_the_exponent_is_the_slope_of_the_logarithms():
    assert exponent((1, 2, 5, 10), [3, 6, 15, 30]) == pytest.approx(1)
    assert exponent((1, 2, 5, 10), [1, 4, 25, 100]) == pytest.approx(2)
    assert exponent((1, 10), [7, 7]) == pytest.approx(0)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [("batch", (20, 5, 15, (100, 80))), ("frames", (2, 50, 150, (100, 80))), ("pixels", (2, 5, 15, (316, 253)))],
)
def test_ten_times_the_work_along_each_axis(axis, expected):
    assert enlarged(axis, 10, (2, 5, 15, (100, 80))) == expected
    assert enlarged(axis, 1, (2, 5, 15, (100, 80))) == (2, 5, 15, (100, 80))


def test_growth_times_every_size_in_turn():
    ticks = iter(range(10_000))
    contender = Contender("nowcast", "fp32", False, make())
    row = measure_growth(
        "batch", contender, (1, 2, 2, (6, 6)), CPU, 2, lambda items, *_: items, lambda: float(next(ticks))
    )
    assert row == {"axis": "batch", "precision": "fp32", "factors": [1, 2, 5, 10], "seconds": [1] * 4, "exponent": 0}


@pytest.mark.thorough
def test_growth_and_loading_alone(tmp_path, capsys):
    output = tmp_path / "out.json"
    settings = ["growth=[batch]", "sizes.decade.frame_shape=[8,8]", "sizes.decade.model.hidden=[4,4]", "rounds=1"]
    settings += [
        "loading=[32]",
        "archives.rain.shape=[40,40]",
        "archives.rain.frames=24",
        f"archives.folder={tmp_path}",
    ]
    settings += ["threads=1", f"output={output}"]
    assert run("benchmark", "run=[]", "precisions=[fp32]", *settings) == (0, "")
    results = json.loads(output.read_text())
    assert [row["cache"] for row in results["loading"]] == ["none", "memmap"]
    assert all(row["side"] == 32 and row["windows_per_second"] > 0 for row in results["loading"])
    assert len(results["growth"]) == 1
    printed = capsys.readouterr().out
    assert "batch, fp32: 1x" in printed
    assert "windows of 20x32x32, cache=memmap" in printed


def test_windows_per_second_follow_from_the_clock(tmp_path):
    """A clock that ticks by a quarter second each time it is read: after a second 3 windows were read."""
    archives = SyntheticArchives(replace(RAIN, shape=(20, 20), frames=24), str(tmp_path), 1, 0, 0, 0)
    ticks = (tick / 4 for tick in range(1000))
    rows = measure_loading(archives.paths(), [16], 1.0, 0, lambda: next(ticks))
    assert [row["windows_per_second"] for row in rows] == [3, 3]


def test_a_peer_joins_with_a_python_file(tmp_path):
    peer, output = tmp_path / "peer.py", tmp_path / "out.json"
    peer.write_text(
        "from nowcast.studies.benchmarks.textbook import Textbook\n\n\ndef build(net):\n    return Textbook(net)\n"
    )
    settings = [*TINY, "modes=[inference]", "precisions=[fp32]", f"against={peer}", f"output={output}"]
    assert run("benchmark", *settings) == (0, "")
    rows = json.loads(output.read_text())["sizes"]["small"]["results"]
    assert [row["name"] for row in rows] == ["nowcast", "recompute", "direct", "textbook", "against"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["run=[huge]"], "run=['huge']: choose from radar, moving_mnist, large, grid480, decade, small"),
        (["precisions=[fp8]"], "choose from fp32, bf16"),
        (["modes=[]"], "choose from train, inference"),
        (["rounds=0"], "rounds must be at least 1"),
        (["clock=sun"], "clock must be wall"),
        (["against=/nowhere/peer.py"], "/nowhere/peer.py: no such file"),
        (["compiled=[]"], "compiled must be"),
        (["run=[]"], "run=[]: choose from radar"),
        (["growth=[depth]"], "growth=['depth']: choose from batch, frames, pixels"),
        (["run=[]", "loading=[481]"], "loading=[481]: sides must be 1 to 480 cells"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    code, text = run("benchmark", *TINY, *settings)
    assert code == 1
    assert message in text


def test_a_peer_without_build_is_refused(tmp_path):
    peer = tmp_path / "peer.py"
    peer.write_text("x = 1\n")
    code, text = run("benchmark", *TINY, f"against={peer}")
    assert code == 1
    assert "defines no build(net)" in text


def test_compiling_without_a_compiler_is_refused_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    code, text = run("benchmark", *TINY, "compiled=[true]")
    assert code == 1
    assert "install g++" in text


@pytest.mark.slow
def test_compiled_networks_are_measured_too(tmp_path):
    output = tmp_path / "out.json"
    settings = ["modes=[inference]", "precisions=[fp32]", "compiled=[false,true]", f"output={output}"]
    assert run("benchmark", *TINY, *settings) == (0, "")
    rows = json.loads(output.read_text())["sizes"]["small"]["results"]
    assert ("nowcast", True) in {(row["name"], row["compiled"]) for row in rows}


def test_a_contender_that_computes_something_else_is_refused():
    net, other = make(), make()
    with torch.no_grad():
        other.head.bias.add_(0.5)
    same = Contender("same", "fp32", False, net)
    assert check_equal([Contender("nowcast", "fp32", False, net), same], torch.rand(1, 2, 1, 6, 6), 2)["same fp32"] == 0
    with pytest.raises(ValueError, match="other fp32 does not compute what nowcast fp32 does"):
        check_equal(
            [Contender("nowcast", "fp32", False, net), Contender("other", "fp32", False, other)],
            torch.rand(1, 2, 1, 6, 6),
            2,
        )
