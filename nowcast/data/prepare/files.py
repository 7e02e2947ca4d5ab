"""Which provider files are meant."""

import fnmatch
import os
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path


def names_below(folder: Path, pattern: str) -> list[str]:
    """Files below a folder; the names alone are asked, since a folder may hold a hundred thousand."""
    if "/" in pattern:
        return [str(file) for file in folder.rglob(pattern) if file.is_file()]
    found = []
    for top, _, names in os.walk(folder):
        begin = str(Path(top, "_"))[:-1]
        found += [begin + name for name in fnmatch.filter(names, pattern)]
    return found


def find_files(inputs: str | Sequence[str], pattern: str) -> list[Path]:
    """Files as `find_names` finds them."""
    return [Path(name) for name in find_names(inputs, pattern)]


def find_names(inputs: str | Sequence[str], pattern: str) -> list[str]:
    """Files named by folders (searched for `pattern`, with subfolders), globs or file names, sorted by name.

    As text, since a hundred thousand paths take longer to make than to find.

    Raises:
        FileNotFoundError: Nothing there, or nothing that matches.
    """
    files: set[str] = set()
    for text in [inputs] if isinstance(inputs, str) else inputs:
        path = Path(text).expanduser()
        if path.is_dir():
            found = names_below(path, pattern)
            if not found:
                if not any(file.is_file() for file in path.rglob("*")):
                    raise FileNotFoundError(f"input={text} is an empty folder")
                endings = sorted({file.suffix or file.name for file in path.rglob("*") if file.is_file()})
                raise FileNotFoundError(
                    f"no file in {path} matches {pattern!r} (files there end in "
                    f"{', '.join(endings[:8])}); is source= the right "
                    "format? source.pattern= changes the pattern"
                )
        elif path.is_file():  # before globs: a path may hold brackets
            found = [str(path)]
        elif has_magic(text):
            found = [str(Path(name)) for name in glob(str(path), recursive=True) if Path(name).is_file()]  # noqa: PTH207
            if not found:
                raise FileNotFoundError(f"input={text} matches no file")
        else:
            raise FileNotFoundError(f"input={text}: no such file or folder")
        files.update(found)
    return sorted(files, key=lambda name: (name[name.rfind("/") + 1 :], name))
