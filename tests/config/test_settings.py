"""Wrong settings are found before anything is made, and before torch or Lightning are imported."""

import ast
import inspect
from itertools import zip_longest

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nowcast.config.checks.definitions import NotThereError, Source, find
from nowcast.config.checks.settings import RANGES, check_settings
from nowcast.config.checks.signatures import Signature, fits, signature
from nowcast.config.mistakes import UsageError
from nowcast.config.program import CONFIGS
from tests.programs import TINY, composed, ended


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("trainer.max_epochs=two", "trainer.max_epochs must be a whole number or null, got 'two'"),
        ("trainer.max_epochs=true", "trainer.max_epochs must be a whole number or null, got true"),
        ("trainer.max_epochs=-4", "trainer.max_epochs must be at least -1, got -4"),
        ("trainer.max_time=5", "trainer.max_time must be text, "),
        ("trainer.deterministic=maybe", "trainer.deterministic must be true or false, warn or null, got 'maybe'"),
        ("trainer.precision=17", "trainer.precision must be 64, 32, 16, "),
        ("trainer.devices=[a]", "trainer.devices must be a list, list[int], text or a whole number, got [\"a\"]"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches must be at least 1, got 0"),
        ("+trainer.max_epoch=3", "trainer.max_epoch is unknown to lightning.Trainer: did you mean trainer.max_epochs?"),
        ("optimizer.optimizer.lr=fast", "optimizer.optimizer.lr must be a number or "),
        ("optimizer.optimizer.lr=-1", "optimizer.optimizer.lr must be at least 0, got -1"),
        ("optimizer.optimizer.betas=[0.9]", "optimizer.optimizer.betas must be a list, "),
        ("optimizer.optimizer.betas=[0.9,x]", "optimizer.optimizer.betas must be a list, "),
        ("optimizer.optimizer.weight_decay=null", "optimizer.optimizer.weight_decay must be a number, got null"),
        ("+optimizer.optimizer.momentum=1", "optimizer.optimizer.momentum is unknown to torch.optim.AdamW"),
        ("optimizer.schedule.warmup_fraction=2", "optimizer.schedule.warmup_fraction must be from 0 to 1, got 2"),
        ("data.batch_size=x", "data.batch_size must be a whole number, got 'x'"),
        ("data.batch_size=0", "data.batch_size must be at least 1, got 0"),
        ("data.workers=-1", "data.workers must be at least 0, got -1"),
        ("data.workers=1.5", "data.workers must be a whole number, got 1.5"),
        ("data.archives.rain.shape=[8,x]", "data.archives.rain.shape must be a list"),
        ("model.hidden=[a]", "model.hidden must be a list, "),
        ("callbacks.last.minutes=x", "callbacks.last.minutes must be a number, got 'x'"),
        ("callbacks.checkpoint.save_top_k=many", "callbacks.checkpoint.save_top_k must be a whole number"),
        ("model._target_=nowcast.models.networks.convlst.Net", "there is no convlst: did you mean convlstm?"),
        (
            "model._target_=nowcast.models.convlstm.ConvLSTM",
            "lies elsewhere now: type model._target_=nowcast.models.networks.convlstm.ConvLSTM",
        ),
        ("model._target_=nowcast.models.networks.convlstm.ConvLSTMM", "there is no ConvLSTMM: did you mean ConvLSTM?"),
        ("model._target_=no_such_package.Net", "model._target_=no_such_package.Net: there is no no_such_package"),
        ("trainer._target_=lightning.Trainr", "there is no Trainr: did you mean Trainer?"),
        ("seed=-1", "seed must be from 0 to 4294967295, got -1"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line_and_exit_code_2_before_anything_is_made(tmp_path, overrides, said):
    typed = [f"output={tmp_path / 'run'}", f"data.archives.folder={tmp_path / 'echoes'}", overrides]
    code, message = ended("train", "experiment=convlstm", *typed)
    assert code == 2
    assert said in message
    assert "\n" not in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# What constructors alone can say: Lightning's, torch's and ours.
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("trainer.limit_train_batches=2.5", "limit_train_batches"),
        ("trainer.devices=two", "`devices` selected with `CPUAccelerator` should be an int > 0"),
        ("optimizer.optimizer.betas=[2,0.9]", "beta"),
        ("data.windows.stride=0", "data.windows.stride must be at least 1, got 0"),
        ("logger=wandb logger.wandb.settings.no_such=1", "no_such"),
    ],
)
def test_what_only_constructors_know_is_refused_before_anything_is_made_too(tmp_path, overrides, said):
    typed = [f"output={tmp_path / 'run'}", f"data.archives.folder={tmp_path / 'echoes'}", *overrides.split()]
    code, message = ended("train", *TINY, *typed)
    assert code == 2
    assert said in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


GROUPS = (
    "data", "model", "loss", "optimizer", "trainer", "callbacks", "logger", "frame_scores", "scores", "strata",
)  # fmt: skip
# Others depend on it. Experiments, which choose others, are checked in commands/test_main.py.
ALONE = ("scaling",)


def choices(group):
    return [f"{group}={path.stem}" for path in sorted((CONFIGS / group).glob("*.yaml")) if path.stem != "mnist_base"]


def test_every_choice_of_every_group_passes():
    together = zip_longest(*map(choices, GROUPS))
    training = [[one for one in chosen if one] for chosen in together]
    training += [[one] for group in ALONE for one in choices(group)]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for chosen in training:
            check_settings(compose("train", ["output=x", *chosen]))
        for chosen in choices("source"):
            check_settings(compose("prepare", ["input=a", "output=b", chosen]))
        for program in ("evaluate", "check", "compare", "benchmark"):
            check_settings(compose(program))


def test_a_class_in_the_working_directory_is_told_where_to_name_it(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"mynets lies in the working directory.*PYTHONPATH=\$PWD nowcast"):
        check_settings(OmegaConf.create({"model": {"_target_": "mynets.Net"}}))


# -- signatures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [*RANGES, "optuna.samplers.TPESampler"])
def test_what_is_read_from_the_source_is_what_python_finds_when_it_is_imported(target):
    module, _, name = target.rpartition(".")
    imported = inspect.signature(getattr(__import__(module, fromlist=[name]), name)).parameters
    read = signature(target)
    assert read is not None
    named = {key for key, one in imported.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
    assert set(read.annotations) == named
    assert read.open == any(one.kind == one.VAR_KEYWORD for one in imported.values())
    assert set(RANGES.get(target, {})) <= named


def test_what_a_name_stands_for():
    assert find("torch.optim.AdamW").node.name == "AdamW"
    assert find("lightning.Trainer").source.name == "lightning.pytorch.trainer.trainer"
    assert find("numpy.array") is None  # compiled
    for wrong in ("nowcast.nothing.Here", "torch.optim.AdamV", "not_installed.Thing"):
        with pytest.raises(NotThereError):
            find(wrong)


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        ("int", [1, -1], [1.0, "1", None, True, [1]]),
        ("float", [1, 1.5], ["1", None, True]),
        ("bool", [True], [1, "true", None]),
        ("str", ["a"], [1, None, ["a"]]),
        ("Path", ["a/b"], [1]),
        ("int | None", [1, None], ["a"]),
        ("Optional[Union[int, str]]", [1, "a", None], [1.5, []]),
        ("Literal['a', 2]", ["a", 2], ["b", 3]),
        ("list[int]", [[], [1, 2]], [1, ["a"], None]),
        ("tuple[int, ...]", [[1, 2, 3]], [["a"]]),
        ("tuple[int, float]", [[1, 2.5]], [[1], [1, 2, 3], ["a", 1.0]]),
        ("Sequence[float] | None", [[1.0], None], [2.0]),
        ("dict[str, int]", [{"a": 1}], [{"a": "b"}, [1]]),
        ("Mapping[str, Any]", [{"a": 1, "b": [None]}, {}], [[1], 1]),
        ("'int | None'", [1, None], ["a"]),
        ("Alias", [1, None], ["a"]),
        ("Unknown", [1, "a", None, []], []),
        ("Class", [{"_target_": "x"}], [1, "a"]),
        ("Names", ["a"], []),
    ],
)
def test_values_and_annotations(annotation, right, wrong):
    text = "from typing import *\nAlias = Optional[int]\nclass Class:\n    pass\nclass Names(StrEnum):\n    a = 'a'\n"
    source = Source("somewhere", CONFIGS, "", ast.parse(text))
    node = ast.parse(annotation, mode="eval").body
    assert all(fits(value, node, source) for value in right)
    assert not any(fits(value, node, source) for value in wrong)
    assert Signature(source, {"x": node}, {"x"}).refuses("x", None) == ""


def test_probabilities_are_scored_beside_what_they_are_to_beat_without_asking():
    name, chosen = "lagrangian_probability", "model@baselines.lagrangian_probability"
    for program in ("train", "check", "tune"):
        assert name in composed("head=exceedance", program=program).baselines
    assert name in composed().baselines
    assert name not in composed("head=grey").baselines
    assert name not in composed("head=exceedance", f"~{chosen}").baselines
    assert composed("head=exceedance", f"{chosen}=persistence").baselines[name]["_target_"].endswith("Persistence")
