"""`nowcast init <folder>`: a repository of one's own, from the files of `nowcast/template/`."""

import keyword
import re
from pathlib import Path

TEMPLATE = Path(__file__).parent / "template"
SUFFIX, PLACEHOLDER = ".template", "PACKAGE"  # so that no tool takes them for files of ours
HIDDEN = {"gitignore": ".gitignore"}  # which would hold here


def make_repository(folder: Path) -> list[Path]:
    """Write an experiment, a model, their tests, a Makefile, a CI file and a README.

    Args:
        folder: Empty, or not there yet. Its name is that of the Python package inside.

    Returns:
        What was written.

    Raises:
        FileExistsError: There is something in the folder.
        ValueError: Its name cannot be that of a Python package.
    """
    package = package_name(folder.absolute().name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds something already; choose another folder: nowcast init <folder>")
    return [_write(source, folder, package) for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}"))]


def package_name(name: str) -> str:
    """The name of a folder as that of a Python package: my-rain as my_rain.

    Raises:
        ValueError: There is none, or it is that of nowcast, of Python's words or of a folder of the repository.
    """
    package = re.sub(r"[-. ]", "_", name).lower()
    if not re.fullmatch(r"[a-z]\w*", package, re.ASCII) or keyword.iskeyword(package):
        raise ValueError(
            f"{name!r} cannot be the name of a Python package: it begins with a letter and has letters, digits, _; "
            "choose another folder"
        )
    if package in ("nowcast", "configs", "tests", "torch"):
        raise ValueError(f"{name!r} is the name of something else that the repository needs; choose another folder")
    return package


def _write(source: Path, folder: Path, package: str) -> Path:
    place = str(source.relative_to(TEMPLATE)).removesuffix(SUFFIX).replace(PLACEHOLDER, package)
    target = folder / HIDDEN.get(place, place)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source.read_text(encoding="utf-8").replace(PLACEHOLDER, package), encoding="utf-8")
    return target
