"""What belongs to a network beside its module is found by name: nobody has to add a new one to a list."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from nowcast.config.program import CONFIGS
from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.forecasting.network import build_network
from nowcast.studies.search.space import SearchSpace
from tests.models.networks.shared.learning import node

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
ROOM = "nowcast.models.networks."
TARGETS = {
    path.stem: str(yaml.safe_load(path.read_text(encoding="utf-8")).get("_target_"))
    for path in sorted((CONFIGS / "model").glob("*.yaml"))
}
NETWORKS = [name for name, target in TARGETS.items() if target.startswith(ROOM)]
ROW = re.compile(r"^\| `model=(\w+)` \| (\d+) → (\d+) \|[^|]*\| ([\d,]+) \|", re.M)
ROWS = {name: (int(seen), int(said), int(ours.replace(",", ""))) for name, seen, said, ours in ROW.findall(TEXT)}


def weights(net):
    return sum(parameter.numel() for parameter in net.parameters())


SLOW_WITHOUT_MEMORY = ("evolution",)  # whose spectral norms take a second of small operations there


def built(name, head=None, **settings):
    """At its own size, but without memory."""
    with torch.device("cpu" if name in SLOW_WITHOUT_MEMORY else "meta"):
        return build_network(OmegaConf.create(node(name, **settings)), head or GreyHead())


def test_every_module_of_the_room_has_a_config_and_every_config_is_looked_at():
    classes = {target.rpartition(".")[0] for target in TARGETS.values() if target.startswith(ROOM)}
    modules = {f"{ROOM}{path.stem}" for path in (ROOT / "nowcast" / "models" / "networks").glob("*.py")}
    assert modules - classes == {f"{ROOM}__init__", f"{ROOM}frames"}
    assert len(NETWORKS) >= 4


@pytest.mark.parametrize("name", NETWORKS)
def test_each_has_a_test_a_row_and_a_paragraph(name):
    module = TARGETS[name].split(".")[-2]
    assert (ROOT / "tests" / "models" / "networks" / f"test_{module}.py").is_file()
    assert name in ROWS
    assert re.search(rf"^### `{name}`$", TEXT, re.M)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_has_the_weights_that_its_row_says(name):
    seen, said, ours = ROWS[name]
    steps = {"input_steps": seen, "forecast_steps": said}
    names = yaml.safe_load((CONFIGS / "model" / f"{name}.yaml").read_text(encoding="utf-8")).keys()
    assert weights(built(name, **{key: value for key, value in steps.items() if key in names})) == ours


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "fc_lstm"])  # which is one of grey values
def test_each_says_probabilities_as_well(name):
    assert weights(built(name, ExceedanceHead((0.5, 2.0, 5.0)))) > weights(built(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_each_has_a_space_whose_ends_can_be_built(name):
    values = yaml.safe_load((CONFIGS / "tune" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert values["defaults"] == ["settings"]
    space = SearchSpace(values["space"])
    keys = {one.key for one in space.parameters}
    assert "optimizer.optimizer.lr" in keys
    assert any(key.startswith("model.") for key in keys)
    for sample in space.samples():
        typed = OmegaConf.from_dotlist(space.overrides(sample))
        assert weights(built(name, **OmegaConf.to_container(typed.get("model", OmegaConf.create())))) > 0
