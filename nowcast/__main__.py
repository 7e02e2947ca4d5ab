"""`nowcast <command> …`: replaces itself by `python -P -m nowcast.config.start <command> …`.

It execs rather than calls, because some of what a command needs is settled when a process starts.
"""

import os
import shlex
import sys
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from nowcast import __version__
from nowcast.config.command_line.quoting import quoted
from nowcast.config.start import command_line, environment
from nowcast.repository import make_repository

COMMANDS = {
    "train": "train a network, then score it beside the baselines",
    "tune": "search settings of train, each trial a process of its own",
    "summary": "compare the runs of a folder: mean and spread over seeds",
    "evaluate": "score checkpoints, baselines and others' forecasts on radar archives",
    "compare": "scores of finished runs side by side",
    "predict": "forecast from the newest frames of an archive or of provider files",
    "plot": "draw a forecast or an archive as PNG, GIF or MP4",
    "prepare": "turn a weather service's files into one archive",
    "check": "look at data and model before training",
    "benchmark": "measure speed and memory beside the textbook ConvLSTM",
}
INIT = "init"  # composes no config, and needs no process of its own
ALL = COMMANDS | {INIT: "begin a repository of your own: an experiment, a model, their tests"}


def usage() -> str:
    """The help text."""
    lines = [f"  {name:<11}{text}" for name, text in ALL.items()]
    return "\n".join(
        [
            f"nowcast {__version__}: predict the next hours of rain from radar echoes",
            "",
            "usage: nowcast <command> [key=value …]   (nowcast compare <run> <run> …, nowcast plot <file.nc>)",
            "",
            *lines,
            "",
            "nowcast <command> --help lists settings and choices, --cfg job prints the whole config.",
            "nowcast --version says of what version, commit and device; nowcast -sc install=bash completes commands.",
        ]
    )


def main() -> None:
    """Entry point."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage() + "\n")
        return
    command = arguments[0]
    if command == "--version":
        say_versions()
        return
    if command in ("-sc", "--shell-completion"):
        complete(arguments)
        return
    if command == INIT:
        begin_repository(arguments[1:])
        return
    if command not in COMMANDS:
        refuse(f"nowcast: unknown command {command!r}; commands: {', '.join(ALL)}")
    rest = names_as_setting(command, arguments[1:])
    become(command, rest)


def become(command: str, arguments: list[str]) -> None:
    """Go on as this command."""
    os.environ.update(environment(command))
    os.execv(sys.executable, command_line(command, arguments))


def say_versions() -> None:
    """Go on as what says them."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "nowcast.config.command_line.versions"])


def begin_repository(arguments: list[str]) -> None:
    """`nowcast init <folder>`."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        refuse("usage: nowcast init <folder>   (an empty one, or none yet; its name is that of the package inside)")
    folder = Path(arguments[0]).expanduser()
    try:
        written = make_repository(folder)
    except (OSError, ValueError) as error:
        refuse(f"nowcast init: error: {error}")
    sys.stdout.writelines(f"wrote {path}\n" for path in written)
    sys.stdout.write(f"next: cd {shlex.quote(str(folder))}; make install test\n")


def refuse(message: str) -> NoReturn:
    """End with what is wrong with the command line."""
    sys.stderr.write(message + "\n")
    sys.exit(2)


def complete(arguments: list[str]) -> None:
    """What a shell asks for: `nowcast -sc install=bash` once, then `nowcast -sc query=bash` at each press of the key.

    Hydra completes settings of one program, whose name stands in front of them; here that is the command's.
    """
    words = os.environ.get("COMP_LINE", "").split(maxsplit=2)
    if not any(text.startswith("query=") for text in arguments):
        become("train", arguments)
    elif len(words) > 1 and words[1] in COMMANDS and os.environ["COMP_LINE"].rpartition(words[1])[2]:
        os.environ["COMP_LINE"] = f"nowcast {words[2] if len(words) > 2 else ''}"
        become(words[1], arguments)
    else:
        begun = words[1] if len(words) > 1 else ""
        sys.stdout.write(" ".join(name for name in ALL if name.startswith(begun)) + "\n")


def is_name(text: str) -> bool:
    """Whether a text names a file or folder rather than a setting; what is there is a name, whatever it holds."""
    return not text.startswith("-") and ("=" not in text or Path(text).expanduser().exists())


def names_as_setting(command: str, arguments: list[str]) -> list[str]:
    """`compare a b key=value` as `compare runs=[a,b] key=value`, `plot a` as `plot file=a`, quoted for Hydra."""
    if command not in ("compare", "plot"):
        return arguments
    plain = list(takewhile(is_name, arguments))
    others = arguments[len(plain) :]
    texts = [quoted(text) for text in plain]
    if command == "plot" and len(plain) > 1:
        refuse(f"nowcast plot draws one file, got {', '.join(plain)}; for the observations beside: observed=<archive>")
    setting = f"file={texts[0]}" if command == "plot" and texts else f"runs=[{','.join(texts)}]"
    return [setting, *others] if plain else others


if __name__ == "__main__":
    main()
