"""`nowcast --version`: what a report of a fault should say first.

A process of its own, since PyTorch loads in seconds.
"""

import platform
import sys

import torch

from nowcast import __version__
from nowcast.files import git_commit


def versions() -> str:
    """Version, commit of a checkout ("+changes" where it is not clean), Python, PyTorch, and what trainings run on."""
    commit = git_commit()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    of_commit = f" (commit {commit})" if commit else ""
    return (
        f"nowcast {__version__}{of_commit}\nPython {platform.python_version()}, PyTorch {torch.__version__}\n{device}"
    )


if __name__ == "__main__":
    sys.stdout.write(versions() + "\n")
