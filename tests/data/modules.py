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
    return RadarDataModule(archives, **grouped(settings, NESTED[RADAR], RADAR_GROUPS))


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
