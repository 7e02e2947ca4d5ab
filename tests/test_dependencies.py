"""What we rely on in our dependencies beyond what they document.

A test here that fails after an update says which file of ours needs another way.
"""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import lightning
import optuna
import pytest
import torch
import wandb
from hydra._internal import utils as hydras
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError
from packaging.requirements import Requirement

from nowcast.training.trainer import quieten

PACKAGE = Path(__file__).parents[1] / "nowcast"
# Private names of others that the package uses → where; each has a test below.
PRIVATE = {
    "_get_full_key": "config.py",
    "_is_amx_tile_supported": "models/winograd.py",
    "_storage": "search/workers.py",
    "_load_from_state_dict": "scaling.py",
    "_console": "watch.py",
    "_experiment": "metrics_log.py, wandb_logger.py",
    "_wandb_init": "wandb_logger.py",
}


def own_names():
    """Names with an underscore that the package defines itself."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {one.id for one in targets if isinstance(one, ast.Name)}
    return names


def test_every_private_name_of_others_that_the_package_uses_is_on_the_list():
    ours, used = (own_names() | {"_replace", "_fields", "_target_"}) - PRIVATE.keys(), set()  # documented all the same
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr) and node.attr not in ours:
                used.add(node.attr)
            if isinstance(node, ast.ImportFrom) and "._" in f".{node.module}":
                used.add(node.module)
    assert used == PRIVATE.keys()


def test_the_lowest_versions_that_are_tested_are_those_that_are_allowed():
    root = PACKAGE.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = ("raster", "cloud", "sweeps", "tune", "tensorboard")
    wanted = [*project["dependencies"], *(one for name in names for one in extras[name])]
    lines = (root / "constraints-lowest.txt").read_text().splitlines()
    pins = {Requirement(line).name: str(Requirement(line).specifier)[2:] for line in lines if "==" in line}
    for requirement in map(Requirement, wanted):
        (lowest,) = [one.version for one in requirement.specifier if one.operator == ">="]
        if requirement.name != "torch":
            # The first release of it: 6 is 6.0.0, and 4.10 of some is 4.10.0.84.
            assert re.match(rf"{re.escape(lowest)}(\.0)*(\.84)?$", pins[requirement.name]), requirement


# -- Python --------------------------------------------------------------------------------------------------


def test_processes_that_python_starts_get_its_safe_path():
    """start.py: loader processes must not import from the working directory either."""
    look = "import subprocess; print(*subprocess._args_from_interpreter_flags())"
    assert "-P" in subprocess.run([sys.executable, "-P", "-c", look], capture_output=True, text=True).stdout.split()


def test_joblib_names_its_way_of_starting_processes_loky():
    """multirun.py sets another for loader processes, which do not know it."""
    from joblib.externals.loky.backend import context

    assert "loky" in context.START_METHODS


# -- Lightning -----------------------------------------------------------------------------------------------


def test_a_distributed_run_starts_its_further_processes_by_the_name_of_the_main_module():
    """start.py: the module that runs as __main__ is that of the command, and sys.argv its settings."""
    from lightning.fabric.strategies.launchers import subprocess_script

    source = inspect.getsource(subprocess_script)
    assert source.count('"-m", __main__.__spec__.name]') == 2
    assert source.count("sys.argv[1:]") >= 2
    assert "hydra.output_subdir=null" in source


def trainer(folder, **more):
    return lightning.Trainer(
        accelerator="cpu", default_root_dir=folder, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **more,
    )  # fmt: skip


class Line(lightning.LightningModule):
    """Fits one weight; writes down where it is."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.zeros(1)), []

    def training_step(self, batch, index):
        self.seen.append((self.trainer.fit_loop.epoch_loop.batch_progress.current.ready, self.global_step))
        loss = (self.weight - batch.mean()).square().sum()
        self.log("train/loss", loss)
        return loss

    def on_train_batch_end(self, outputs, batch, index):
        self.last = (index + 1 == self.trainer.num_training_batches, float(self.trainer.callback_metrics["train/loss"]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_the_trainer_counts_batches_and_steps_as_we_read_them(tmp_path):
    """data/sampling.py draws what is left of an epoch by `current.ready`; task.py logs an epoch's last loss."""
    quieten()
    task = Line()
    run = trainer(tmp_path, max_epochs=2)
    run.fit(task, torch.utils.data.DataLoader(torch.ones(3, 1)))
    assert task.seen == [(1, 0), (2, 1), (3, 2), (1, 3), (2, 4), (3, 5)]
    assert task.last[0]
    run.save_checkpoint(tmp_path / "a.ckpt")
    loops = torch.load(tmp_path / "a.ckpt", weights_only=True)["loops"]["fit_loop"]
    assert {"epoch_progress", "epoch_loop.batch_progress"} <= loops.keys()  # checkpoint.py and resume.py
    assert isinstance(run.strategy.reduce_boolean_decision(True, all=False), bool)  # stopping.py: any_process


@pytest.mark.parametrize(
    ("owner", "method", "arguments"),
    [
        (ModelCheckpoint, "check_monitor_top_k", {"trainer", "current"}),  # callbacks.py: ties, NaN
        (ModelCheckpoint, "load_state_dict", {"state_dict"}),
        (EarlyStopping, "load_state_dict", {"state_dict"}),
        (TorchCheckpointIO, "save_checkpoint", {"checkpoint", "path", "storage_options"}),
        (RichProgressBar, "configure_columns", {"trainer"}),  # watch.py
        (lightning.Trainer, "fit", {"model", "datamodule", "ckpt_path", "weights_only"}),  # training.py; since 2.6
        (RichProgressBar, "get_metrics", {"trainer", "pl_module"}),
        (ExperimentWriter, "save", set()),  # metrics_log.py
    ],
)
def test_methods_of_lightning_that_we_replace_take_what_ours_take(owner, method, arguments):
    found = set(inspect.signature(getattr(owner, method)).parameters) - {"self"}
    assert arguments <= found
    assert all(
        inspect.signature(getattr(owner, method)).parameters[name].default is not inspect.Parameter.empty
        for name in found - arguments
    )


def test_the_bar_has_its_console_once_training_begins():
    """watch.py says a line where that is no terminal."""
    assert RichProgressBar()._console is None
    assert "self._console = get_console()" in re.sub(r": Console", "", inspect.getsource(RichProgressBar))


def test_attributes_that_hold_the_best_checkpoint():
    """callbacks.py, training.py."""
    callback = ModelCheckpoint(monitor="x")
    assert {"best_model_score", "best_model_path", "best_k_models", "mode", "dirpath"} <= set(vars(callback))
    assert {"best_model_score", "best_k_models", "dirpath"} <= callback.state_dict().keys()


def test_the_writer_of_metrics_keeps_rows_with_their_step(tmp_path):
    """metrics_log.py writes them its own way."""
    writer = ExperimentWriter(str(tmp_path))
    writer.log_metrics({"a": torch.tensor(1.0)}, 3)
    assert writer.metrics == [{"a": 1.0, "step": 3}]
    assert Path(writer.metrics_file_path).name == "metrics.csv"
    assert "_experiment" in vars(CSVLogger(tmp_path))


# -- W&B -----------------------------------------------------------------------------------------------------


def test_the_logger_of_wandb_begins_its_run_late_and_with_the_arguments_that_it_keeps(tmp_path):
    """wandb_logger.py goes on offline by changing them; an error of its process has one of these classes."""
    logger = WandbLogger(save_dir=str(tmp_path), mode="offline", project="x")
    assert logger._experiment is None
    assert logger._wandb_init["mode"] == "offline"
    assert not list(tmp_path.iterdir())
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

    assert issubclass(HandleAbandonedError, Exception)
    assert issubclass(MailboxClosedError, Exception)
    assert issubclass(wandb.errors.UsageError, Exception)
    assert issubclass(wandb.errors.CommError, Exception)
    assert callable(wandb.teardown)


# -- Optuna --------------------------------------------------------------------------------------------------


def test_a_study_knows_its_storage_and_a_sampler_what_its_study_is():
    """search/workers.py opens the study once for each worker."""
    study = optuna.create_study()
    assert optuna.load_study(study_name=study.study_name, storage=study._storage).trials == []


# -- torch ---------------------------------------------------------------------------------------------------


def test_a_processor_says_whether_it_has_tiles():
    assert isinstance(torch.cpu._is_amx_tile_supported(), bool)


def test_a_module_is_asked_about_each_of_its_states():
    """scaling.py compares its constants with those of a checkpoint."""
    names = list(inspect.signature(torch.nn.Module._load_from_state_dict).parameters)
    assert names[:4] == ["self", "state_dict", "prefix", "local_metadata"]


def test_the_profiler_counts_memory_event_by_event():
    """callbacks/memory.py."""
    with torch.profiler.profile(profile_memory=True) as profiler:
        torch.ones(1000)
    events = [one for one in profiler.profiler.kineto_results.events() if one.name() == "[memory]"]
    assert max(event.nbytes() for event in events) >= 4000
    assert all(isinstance(event.start_ns(), int) for event in events)


def test_a_loader_says_which_worker_died_in_words_that_we_look_for():
    """faults.py."""
    from torch.utils.data import dataloader

    assert "DataLoader worker (pid(s) {pids_str}) exited unexpectedly" in inspect.getsource(dataloader)


# -- Hydra and OmegaConf -------------------------------------------------------------------------------------


def test_hydra_raises_its_errors_where_the_variable_is_set(monkeypatch):
    """start.py sets it, so that mistakes.py says them in words."""

    def wrong():
        raise HydraException("wrong")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(HydraException, match="wrong"):
        hydras.run_and_report(wrong)


def test_errors_of_hydra_hold_what_we_say_of_them():
    """mistakes.py."""
    with pytest.raises(OverrideParseException) as error:
        OverridesParser.create().parse_overrides(["a=b=c"])
    assert error.value.override == "a=b=c"
    assert {"missing_cfg_file", "options"} <= set(inspect.signature(MissingConfigException.__init__).parameters)
    config = OmegaConf.create({"a": {"b": 1}})
    OmegaConf.set_struct(config, True)
    with pytest.raises((ConfigAttributeError, ConfigKeyError)) as unknown:
        config.a.c  # noqa: B018
    assert unknown.value.full_key == "a.c"
    assert list(unknown.value.parent_node) == ["b"]
    assert config.a._get_full_key(None) == "a"


def test_shell_completion_is_for_the_program_that_argv_names(monkeypatch):
    """config.py: sys.argv[0] is `nowcast` while a shell asks."""
    monkeypatch.setattr(sys, "argv", ["nowcast"])
    assert BashCompletion._get_exec() == "nowcast"
    monkeypatch.setattr(sys, "argv", ["/x/nowcast/commands/train.py"])
    assert BashCompletion._get_exec() == "python"
