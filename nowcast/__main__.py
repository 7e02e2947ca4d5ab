"""`nowcast <command> …`: replaces itself by `python -m nowcast.<command> …`.

It execs rather than calls, because distributed training starts further processes from `sys.argv`.
"""

import os
import sys
from itertools import takewhile

from nowcast import __version__

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
# Networks ask for large blocks again and again, which glibc by default gives back to the system and has mapped and
# cleared anew each time: keeping them, in huge pages, makes a training step a sixth faster (docs/performance.md).
KEEP_MEMORY = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
WITH_NETWORKS = ("train", "evaluate", "predict", "check", "benchmark")


def usage() -> str:
    """The help text."""
    lines = [f"  {name:<11}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            f"nowcast {__version__}: predict the next hours of rain from radar echoes",
            "",
            "usage: nowcast <command> [key=value …]   (nowcast compare <run> <run> …, nowcast plot <file.nc>)",
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
    rest = names_as_setting(command, arguments[1:])
    if command in WITH_NETWORKS:
        os.environ.setdefault("GLIBC_TUNABLES", KEEP_MEMORY)
    os.execv(sys.executable, [sys.executable, "-m", f"nowcast.{command}", *rest])


def names_as_setting(command: str, arguments: list[str]) -> list[str]:
    """`compare a b key=value` as `compare runs=[a,b] key=value`, `plot a` as `plot file=a`, quoted for Hydra."""
    if command not in ("compare", "plot"):
        return arguments
    plain = list(takewhile(lambda text: not text.startswith("-") and "=" not in text, arguments))
    others = arguments[len(plain) :]
    quoted = ["'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" for text in plain]
    if command == "plot" and len(plain) > 1:
        sys.exit(
            f"nowcast plot draws one file, got {', '.join(plain)}; for the observations beside: observed=<archive>"
        )
    setting = f"file={quoted[0]}" if command == "plot" and quoted else f"runs=[{','.join(quoted)}]"
    return [setting, *others] if plain else others


if __name__ == "__main__":
    main()
