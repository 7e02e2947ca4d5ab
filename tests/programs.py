"""Running the real commands in this very process."""

import csv
import importlib
import logging
import sys

TINY = [
    "data.archives.rain.shape=[16,16]",
    "data.archives.rain.frames=12",
    "data.archives.train_events=3",
    "data.archives.val_events=1",
    "data.archives.test_events=1",
    "data.crop=16",
    "data.input_steps=3",
    "data.forecast_steps=4",
    "data.workers=0",
    "data.min_rain_fraction=0",
    "data.samples_per_epoch=8",
    "data.batch_size=4",
    "model.hidden=[4,4]",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "callbacks.progress=null",
]


def run(program, *overrides):
    """Exit code and message of `nowcast <program> <overrides>`."""
    module = importlib.import_module(f"nowcast.{program}")
    before, handlers, level = sys.argv, logging.root.handlers[:], logging.root.level
    sys.argv = [f"nowcast.{program}", *overrides]
    try:
        module.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            return 1, end.code
        return end.code or 0, ""
    finally:
        sys.argv = before
        for handler in set(logging.root.handlers) - set(handlers):
            handler.close()
        logging.root.handlers[:], logging.root.level = handlers, level
    return 0, ""


def rows(path):
    """The lines of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))
