"""Train neural networks that predict the next hours of rain from radar echoes."""

import sys
from types import TracebackType

__version__ = "0.1.0"


def end_in_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python does with an error that nobody handles, but Ctrl-C ends in one line and exit status 130."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("nowcast: interrupted\n")
    sys.exit(130)


if sys.argv and sys.argv[0].endswith(("-m", "nowcast")):  # a program begins; its imports take seconds
    sys.excepthook = end_in_words
