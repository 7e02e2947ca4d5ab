"""Running the real commands in this very process."""

import csv
import importlib
import logging
import os
import sys
from unittest import mock

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra

from nowcast.config.program import CONFIGS

TINY = [
    "experiment=convlstm",
    "data.archives.rain.shape=[16,16]",
    "data.archives.rain.frames=12",
    "data.archives.train_events=3",
    "data.archives.val_events=1",
    "data.archives.test_events=1",
    "data.crop=16",
    "data.input_steps=3",
    "data.forecast_steps=4",
    "data.workers=0",
    "data.sampling.min_rain_fraction=0",
    "data.sampling.samples_per_epoch=8",
    "data.batch_size=4",
    "model.hidden=[4,4]",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "callbacks.progress=null",
    "picture=false",  # a second; true where a test looks at one
]


def run(program, *overrides):
    """Exit code and message of `nowcast <program> <overrides>`: 1 for every error that has a message."""
    code, message = ended(program, *overrides)
    return (1 if message else code), message


def ended(program, *overrides):
    """The very exit code and the message of `nowcast <program> <overrides>`, as a process of its own would end."""
    module = importlib.import_module(f"nowcast.commands.{program}")
    before, handlers, level = sys.argv, logging.root.handlers[:], logging.root.level
    hook, raising = sys.excepthook, logging.raiseExceptions
    sys.argv = [f"nowcast.commands.{program}", *overrides]
    # Hydra composes every config twice, once to look whether it asks for a multirun by itself: none of ours does.
    no_mode = mock.patch.object(Hydra, "get_mode", return_value=None)
    try:
        with mock.patch.dict(os.environ), no_mode:
            module.main()
    except SystemExit as end:
        return end.code or 0, getattr(end, "message", "")
    finally:
        sys.argv, sys.excepthook, logging.raiseExceptions = before, hook, raising
        for handler in set(logging.root.handlers) - set(handlers):
            handler.close()
        logging.root.handlers[:], logging.root.level = handlers, level
    return 0, ""


def rows(path):
    """The lines of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def composed(*overrides, program="train"):
    """The config of a command, which is not run."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(program, list(overrides))
