"""Every option of the trainer, the loggers, losses and optimisers has an effect."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from nowcast.config.build import build
from nowcast.forecasting.heads import GreyHead
from nowcast.training.task import NowcastTask
from nowcast.training.trainer import close_loggers, make_trainer, quieten
from tests.conftest import thinned
from tests.programs import composed


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("trainer.precision=bf16-mixed", lambda t: t.precision, "bf16-mixed"),
        ("trainer.gradient_clip_val=3.0", lambda t: t.gradient_clip_val, 3.0),
        ("trainer.accumulate_grad_batches=4", lambda t: t.accumulate_grad_batches, 4),
        ("trainer.max_epochs=7", lambda t: t.max_epochs, 7),
        ("trainer.max_steps=9", lambda t: t.max_steps, 9),
        ("trainer.limit_train_batches=5", lambda t: t.limit_train_batches, 5),
        ("trainer.limit_val_batches=5", lambda t: t.limit_val_batches, 5),
        ("trainer.check_val_every_n_epoch=3", lambda t: t.check_val_every_n_epoch, 3),
        ("trainer.num_sanity_val_steps=2", lambda t: t.num_sanity_val_steps, 2),
        ("trainer.log_every_n_steps=3", lambda t: t.log_every_n_steps, 3),
        ("trainer.enable_progress_bar=false", lambda t: t.progress_bar_callback is None, True),
        ("callbacks=early_stopping", lambda t: t.early_stopping_callback.patience, 10),
        ("callbacks=ema", lambda t: [type(c).__name__ for c in t.callbacks].count("EMAWeightAveraging"), 1),
        ("callbacks.checkpoint.mode=min", lambda t: t.checkpoint_callback.mode, "min"),
        (
            "callbacks.learning_rate=null",
            lambda t: [type(c).__name__ for c in t.callbacks].count("LearningRateMonitor"),
            0,
        ),
    ],
)
def test_trainer_options_change_the_trainer(tmp_path, override, read, value):
    quieten()
    config = composed(override, f"output={tmp_path}")
    if override.startswith("trainer.enable_progress_bar"):
        config.callbacks.progress = None
    assert read(make_trainer(config, tmp_path)) == value
    assert composed(f"output={tmp_path}") != config


def convolution():
    net = torch.nn.Conv2d(1, 1, 3)
    return NowcastTask(net, GreyHead(), None, torch.nn.L1Loss(), None, None, [], None, None, None, 2, {})


@pytest.mark.parametrize(
    ("losses", "mean"), [([1.0, 3.0], 5 / 3), ([1.0, torch.nan], torch.nan), ([torch.inf, 1.0], torch.inf)]
)
def test_the_validation_loss_is_the_mean_of_windows_and_hides_nothing(losses, mean):
    task = convolution()
    for loss, windows in zip(losses, (2, 1), strict=True):
        task.validation_loss.update(torch.tensor(loss), weight=windows)
    assert float(task.validation_loss.compute()) == pytest.approx(mean, nan_ok=True)


def test_fully_sharded_training_cuts_the_weights_and_clips_their_gradients(tmp_path):
    """In a group of one process; tests/training/together/test_distributed.py trains with two."""
    config = composed("trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.precision=32-true")
    strategy = build(config.trainer.strategy)
    assert (type(strategy), strategy._save_distributed_checkpoint) == (ModelParallelStrategy, False)
    assert config.trainer.gradient_clip_val == 1.0
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    try:
        task = convolution()
        task._trainer = SimpleNamespace(strategy=strategy)
        task._device_mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
        task.configure_model()
        assert all(isinstance(parameter, DTensor) for parameter in task.net.parameters())
        task.configure_model()  # of a network that is cut already
        single = convolution()
        single._trainer = SimpleNamespace(strategy=None)
        single.configure_model()
        assert not any(isinstance(parameter, DTensor) for parameter in single.net.parameters())
    finally:
        torch.distributed.destroy_process_group()


def test_weights_and_biases_stays_offline_unless_told_otherwise(tmp_path, monkeypatch):
    quieten()
    for mode in (None, "online"):
        monkeypatch.delenv("WANDB_MODE", raising=False)
        if mode is not None:
            monkeypatch.setenv("WANDB_MODE", mode)
        trainer = make_trainer(composed("logger=wandb", f"output={tmp_path}"), tmp_path)
        loggers = {type(logger).__name__: logger for logger in trainer.loggers}
        assert set(loggers) == {"MetricsLogger", "PatientWandbLogger"}
        assert loggers["PatientWandbLogger"]._wandb_init["mode"] == (mode or "offline")


def test_every_logger_that_can_be_ended_is_ended():
    ended = []
    ours = SimpleNamespace(finish=lambda exit_code: ended.append(("ours", exit_code)))
    other = SimpleNamespace(experiment=SimpleNamespace(finish=lambda exit_code: ended.append(("other", exit_code))))
    loggers = [ours, other, SimpleNamespace(experiment=object()), SimpleNamespace()]
    close_loggers(SimpleNamespace(loggers=loggers, state=SimpleNamespace(finished=False)))
    assert ended == [("ours", 1), ("other", 1)]


@pytest.mark.parametrize("loss", thinned(["cross_entropy", "mse", "mae", "balanced"], fast=[0, 3]))
@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop_paper"])
def test_every_loss_and_optimiser_trains(loss, optimizer):
    settings = [f"loss={loss}", f"optimizer={optimizer}", "optimizer.optimizer.lr=0.02", "model.hidden=[2,2]"]
    config = composed("experiment=convlstm", *settings)
    torch.manual_seed(0)
    net, criterion, parts = build(config.model), build(config.loss), build(config.optimizer)
    optimiser = parts["optimizer"](net.parameters())
    inputs, target = torch.rand(1, 3, 1, 8, 8), 0.7 + 0.1 * torch.rand(1, 2, 1, 8, 8)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = criterion(net(inputs, 2), target, torch.ones_like(target, dtype=torch.bool))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
