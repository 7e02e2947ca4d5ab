"""`nowcast <command> …`: replaces itself by `python -m nowcast.<command> …`.

It execs rather than calls, because distributed training starts further processes from `sys.argv`.
"""

import os
import sys

from nowcast import __version__

COMMANDS = {
    "train": "train a network, then score it beside the baselines",
    "tune": "search settings of train, each trial a process of its own",
    "summary": "compare the runs of a folder: mean and spread over seeds",
    "evaluate": "score a checkpoint or a baseline on radar archives",
    "predict": "forecast from the newest frames of an archive or of provider files",
    "prepare": "turn a weather service's files into one archive",
    "check": "look at data and model before training",
}


def usage() -> str:
    """The help text."""
    lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            f"nowcast {__version__}: predict the next hours of rain from radar echoes",
            "",
            "usage: nowcast <command> [key=value …]",
            "",
            *lines,
            "",
            "nowcast <command> --help lists settings and choices, --cfg job prints the whole config.",
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
        sys.stdout.write(__version__ + "\n")
        return
    if command not in COMMANDS:
        sys.exit(f"nowcast: unknown command {command!r}; commands: {', '.join(COMMANDS)}")
    os.execv(sys.executable, [sys.executable, "-m", f"nowcast.{command}", *arguments[1:]])


if __name__ == "__main__":
    main()
