"""Data modules of tests, with their settings by name, whatever group they are in."""

from dataclasses import fields

from nowcast.config.grouped import MNIST, NESTED, RADAR
from nowcast.data.datamodule import RadarDataModule
from nowcast.data.mnist.moving_mnist import MovingMnist
from nowcast.data.mnist.settings import DigitSettings, SequenceCounts, SequenceFiles
from nowcast.data.windows.settings import SamplingSettings, SplitSettings, WindowSettings

RADAR_GROUPS = {"windows": WindowSettings, "split": SplitSettings, "sampling": SamplingSettings}
MNIST_GROUPS = {
    "digits": DigitSettings, "test_digits": DigitSettings, "sequences": SequenceCounts, "files": SequenceFiles,
}  # fmt: skip


def radar(archives, **settings):
    """A RadarDataModule; `split` is the method."""
    new = {
        name: f"sampling.{name}"
        for name in ("archive_weights", "rain_factor_sigma", "zoom", "crops_per_window", "season_weights")
    } | {"train_archives": "split.train_archives"}  # since there are groups
    return RadarDataModule(archives, **grouped(settings, NESTED[RADAR] | new, RADAR_GROUPS))


def moving_mnist(**settings):
    """A MovingMnist; `digits` are the images."""
    return MovingMnist(**grouped(settings, NESTED[MNIST], MNIST_GROUPS))


def grouped(settings, places, groups):
    inside = {name: {} for name in groups}
    for name in settings.keys() & places.keys():
        group, _, setting = places[name].partition(".")
        inside[group][setting] = settings[name]
    assert all(inside[name].keys() <= {field.name for field in fields(groups[name])} for name in groups)
    made = {name: groups[name](**inside[name]) for name in groups}
    return {name: value for name, value in settings.items() if name not in places} | made


SETTINGS = {
    "timestep_minutes": None,
    "allow_mixed_timesteps": False,
    "cell_km": None,
    "input_steps": 3,
    "forecast_steps": 2,
    "stride": 1,
    "crop": 16,
    "eval_crop": 16,
    "random_crops": False,
    "augment": "none",
    "min_rain_fraction": 0.0,
    "min_valid_fraction": 0.0,
    "importance_floor": None,
    "samples_per_epoch": None,
    "split": "all",
    "val_archives": [],
    "test_archives": [],
    "block_minutes": 40.0,
    "val_fraction": 0.2,
    "test_fraction": 0.2,
    "gap_minutes": 0.0,
    "batch_size": 4,
    "workers": 0,
    "seed": 0,
}


def module(*paths, **changes):
    return radar([str(path) for path in paths], **(SETTINGS | changes))
