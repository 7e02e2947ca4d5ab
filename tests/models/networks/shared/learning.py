"""What every network of configs/model must be able to do, at a size that takes a moment."""

from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from torch import Tensor

from nowcast.config.program import CONFIGS
from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.forecasting.network import build_network, outputs_of, penalty_of
from nowcast.scaling import GreyScale
from nowcast.training.losses.cells import CrossEntropy
from nowcast.training.losses.events import ExceedanceLoss
from nowcast.units import Spacing

STEPS = {"input_steps": 3, "forecast_steps": 2}
THRESHOLDS = (0.5, 2.0)
SCALING = GreyScale(118.239, 1.5241, -10.0, 60.0)
FIVE = Spacing(torch.tensor([5.0, 5.0]), torch.full((2, 2), 2.0))


def node(name: str, **small: Any) -> dict[str, Any]:
    """The config of a model, with some settings smaller, and steps where it names them."""
    values = yaml.safe_load((CONFIGS / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert small.keys() <= values.keys()
    return values | {key: value for key, value in STEPS.items() if key in values} | small


def plain(name: str, **small: Any) -> torch.nn.Module:
    """As its paper has it: one value for each cell."""
    torch.manual_seed(0)
    return build_network(OmegaConf.create(node(name, **small)), GreyHead())


def rain(steps: int, shape: tuple[int, int], seed: int) -> Tensor:
    """(2, steps, 1, H, W) mm h-1, smooth, wet and dry, with a part without data."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2, steps, 5, 5, generator=draw)
    values = torch.nn.functional.interpolate(coarse, size=shape, mode="bilinear")[:, :, None].mul(4).clamp(min=0)
    values[:, :, :, :2, :3] = torch.nan
    return values


def loss_of(net: torch.nn.Module, head: Any, shape: tuple[int, int]) -> Tensor:
    """Loss of a batch with cells without data, among inputs and targets."""
    inputs, targets = rain(STEPS["input_steps"], shape, 1), rain(STEPS["forecast_steps"], shape, 2)
    loss = ExceedanceLoss([1.0, 1.0], 0.5) if head.thresholds else CrossEntropy("cell")
    outputs = outputs_of(net, SCALING, inputs, targets.shape[1], FIVE)
    assert outputs.shape == (2, targets.shape[1], head.channels, *shape)
    said = loss(head.logits(outputs), head.target(targets, SCALING), targets.isfinite())
    return said + penalty_of(net) if net.training else said


def learns(net: torch.nn.Module, head: Any, shape: tuple[int, int] = (13, 18)) -> None:
    """Each part gets a finite gradient in a few steps, and the loss falls; no NaN gets through."""
    optimizer, reached = torch.optim.Adam(net.parameters(), 0.01), set()
    net.eval()
    with torch.no_grad():
        first = loss_of(net, head, shape)
    net.train()
    for _ in range(8):
        optimizer.zero_grad()
        loss = loss_of(net, head, shape)
        loss.backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            reached |= {name} if parameter.grad.abs().sum() > 0 else set()
        optimizer.step()
    assert {name for name, _ in net.named_parameters()} - reached == set()
    net.eval()
    with torch.no_grad():
        assert loss_of(net, head, shape) < first


def learns_in_all_ways(name: str, **small: Any) -> None:
    """Plain, with probabilities, and as the correction of extrapolation."""
    learns(plain(name, **small), GreyHead())
    head = ExceedanceHead(THRESHOLDS)
    learns(build_network(OmegaConf.create(node(name, **small)), head), head)
    around = node("lagrangian", lead_minutes=[5, 10]) | {"net": node(name, **small) | {"_partial_": True}}
    del around["defaults"]
    learns(build_network(OmegaConf.create(around), head), head)
