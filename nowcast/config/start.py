"""How a program starts: `python -P -m nowcast.config.start <command> …`, and all that it changes in its process.

Nothing else of the package changes the environment or the hooks of a process, and nothing changes it when it is
imported; `quieten` of training and of searches lowers what libraries log when these begin.
"""

import logging
import os
import runpy
import sys
from types import TracebackType

FULL_ERROR, WANTED = "HYDRA_FULL_ERROR", "NOWCAST_FULL_ERROR"
SAFE_PATH = "PYTHONSAFEPATH"
# Networks ask for large blocks again and again, which glibc by default gives back to the system and has mapped and
# cleared anew each time: keeping them, in huge pages, makes a training step a sixth faster (docs/performance.md).
TUNABLES, KEEP_MEMORY = (
    "GLIBC_TUNABLES",
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184",
)
WITH_NETWORKS = ("train", "evaluate", "predict", "check", "benchmark")
COUNTING_MEMORY = ("check", "benchmark")  # which makes torch warn of old blocks


def command_line(command: str, arguments: list[str]) -> list[str]:
    """What runs a command. The working directory is no place to import from: it may hold a folder called nowcast."""
    return [sys.executable, "-P", "-m", "nowcast.config.start", command, *arguments]


def environment(command: str) -> dict[str, str]:
    """Variables that a command must be started with, beside those that the user has set."""
    wanted = {TUNABLES: KEEP_MEMORY} if command in WITH_NETWORKS else {}
    if command in COUNTING_MEMORY:
        wanted["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    variables = {name: value for name, value in wanted.items() if name not in os.environ}
    return {**variables, SAFE_PATH: "1"}  # for what it starts in turn: a distributed run's processes, loaders, jobs


def begin() -> None:
    """Make this process one of ours; once more changes nothing."""
    sys.excepthook = end_in_words
    logging.raiseExceptions = False  # a full disk is told by what writes checkpoints and metrics, once
    os.environ[SAFE_PATH] = "1"
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler announces each start and stop
    # Hydra raises what it refuses, instead of printing it in its own words; what the user wants stays known.
    os.environ.setdefault(WANTED, os.environ.get(FULL_ERROR, "0"))
    os.environ[FULL_ERROR] = "1"


def wants_tracebacks() -> bool:
    """Whether the user set HYDRA_FULL_ERROR=1."""
    return os.environ.get(WANTED, os.environ.get(FULL_ERROR)) == "1"


def end_in_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python does with an error that nobody handles, but Ctrl-C ends in one line and exit status 130."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("nowcast: interrupted\n")
    sys.exit(130)


def main() -> None:
    """Run the module of a command as if it were called by `python -m`, which is how it starts further processes."""
    begin()
    command = sys.argv.pop(1)
    runpy.run_module(f"nowcast.commands.{command}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
