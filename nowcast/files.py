"""Files that are either whole or not there, and folders that one process at a time writes."""

import fcntl
import logging
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


def of_project(installed: str, source: Path) -> Path:
    """A file or folder that lies inside the package where that is installed, and beside it in a checkout.

    Args:
        installed: Its place in the package.
        source: Its place in the checkout.
    """
    package = Path(__file__).parent
    inside = package / installed
    return inside if inside.exists() else package.parent / source  # beside an installed one lie other packages


def git_commit() -> str | None:
    """Commit of the source tree, with "+changes" when it is not clean; None outside a checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():  # an installed package may lie in somebody else's
        return None
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changes else commit


def how_to_install(extra: str) -> str:
    """What to do where an optional dependency is missing."""
    if (Path(__file__).parent / "configs").exists():
        return f"install nowcast with its extra {extra}, from where you have it"
    return f"in the checkout: pip install -c constraints.txt -e '.[{extra}]'"


def partial_name(path: Path) -> Path:
    """A name beside `path` that nobody else writes to: processes in two containers often have the same number."""
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path` only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def written_by_one(folder: Path) -> Iterator[None]:
    """Keep a folder for this process until the block ends; the system lets go of it if the process dies.

    Raises:
        FileExistsError: Another process is writing it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:  # "w" would change its time
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileExistsError(
                f"another process is writing {folder}; wait until it has ended, or choose another output="
            ) from error
        yield


@contextmanager
def made_by_one(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the same folder, and keep others out until this one ends.

    What is made in a folder by the first is found there by the others: they look again once they are inside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process that makes %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def refuse_existing_run(folder: Path) -> None:
    """Keep a run from being overwritten.

    Raises:
        FileExistsError: The folder holds one.
    """
    if (folder / "config.yaml").exists():
        raise FileExistsError(
            f"{folder} holds a run already; runs are never overwritten. Choose another output=, or resume=auto to go on"
        )
