"""What may befall a training from outside, said in words: a full disk, a dead worker, too little memory."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nowcast.config.command_line.quoting import typed

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WORKER_DIED = re.compile(
    r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\) (?:exited unexpectedly|is killed by signal: ([^.]*))"
)
NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")


@contextmanager
def explained(folder: Path, config: dict[str, Any]) -> Iterator[None]:
    """Turn what the system does to a training into errors that say what is kept and what to type.

    Args:
        folder: The run directory.
        config: The config of the run, plain types.

    Raises:
        OSError: The disk is full.
        ValueError: A process that loads data died, or memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ValueError(_out_of_memory(str(error), folder, config)) from error
    except RuntimeError as error:
        # Loading a batch hides the cause: the loader's own thread dies of the error of the worker.
        text = f"{error}\n{error.__cause__ or ''}"
        if any(sign in text for sign in NO_MEMORY):
            raise ValueError(_out_of_memory(str(error), folder, config)) from error
        if match := WORKER_DIED.search(text):
            raise ValueError(_worker_died(match, folder, config)) from error
        raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        text = f"{error.strerror}: files that were whole before are as they were. Make room. {_go_on(folder)}"
        raise OSError(error.errno, text, error.filename or str(folder)) from error


def _out_of_memory(text: str, folder: Path, config: dict[str, Any]) -> str:
    data, model, trainer = config["data"], config["model"], config["trainer"]
    batch = data["batch_size"]
    steps = trainer["accumulate_grad_batches"]
    lower = []
    if batch > 1:
        lower.append(
            f"data.batch_size={batch // 2} trainer.accumulate_grad_batches={steps * 2} (half of {batch}; the same "
            "batch per step of the optimiser)"
        )
    if model.get("recompute") is False:
        lower.append("model.recompute=true (about half the memory, a quarter slower)")
    if trainer["precision"] == "32-true":
        lower.append("trainer.precision=bf16-mixed")
    if data.get("crop"):
        lower.append(f"data.crop, now {data['crop']}")
    if model.get("hidden"):
        lower.append(f"model.hidden, now {model['hidden']}")
    return (
        f"out of memory with batches of {batch} x ({data['input_steps']} + {data['forecast_steps']}) frames: "
        f"{_numbers(text)}. Lower what needs it, in a new run: {'; '.join(lower)}. {_kept(folder)}"
    )


def _numbers(text: str) -> str:
    """The sentences of torch's message that hold numbers, without its advice to developers."""
    sentences = re.split(r"(?<=[a-zA-Z])\. |\n", text)
    kept = [part.strip().rstrip(".") for part in sentences if re.search(r"\d (?:[KMGT]i?B|bytes)", part)]
    return ". ".join(kept) or text.partition("\n")[0] or "no memory left"


def _worker_died(match: re.Match[str], folder: Path, config: dict[str, Any]) -> str:
    how = f", killed by {match[2].strip()}" if match[2] else ""
    return (
        f"a process that loads data died (pid {match[1]}{how}), most often because the machine has no memory left: "
        f"lower data.workers, now {config['data']['workers']} (the results do not depend on it). {_go_on(folder)}"
    )


def _kept(folder: Path) -> str:
    last = folder / "checkpoints" / "last.ckpt"
    return f"The last checkpoint is {last}" if last.is_file() else "There was no checkpoint yet"


def _go_on(folder: Path) -> str:
    return f"{_kept(folder)}; go on with the same command, {typed('output', folder)} and resume=auto"
