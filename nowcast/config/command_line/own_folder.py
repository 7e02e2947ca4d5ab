"""The folder `configs` beside which a command is typed: experiments, models and data of a user's own repository."""

import sys
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from nowcast.config.mistakes import UsageError
from nowcast.config.trusted import OURS

NAME = "configs"


def own_folder(working: Path) -> Path | None:
    """The user's folder of configs, whose folders are groups as ours are: it adds names to them.

    It takes no name of ours away: what was not typed is the same in every working directory, whoever made that.

    Args:
        working: Where the command was typed.

    Returns:
        None where there is none, where it is ours (in a checkout), or where it holds no config of a group of ours.

    Raises:
        UsageError: A config in it has the name of one of ours.
    """
    folder = (working / NAME).absolute()
    if not folder.is_dir() or folder.samefile(OURS):
        return None
    groups = [path.name for path in OURS.iterdir() if path.is_dir()]
    found = [path.relative_to(folder) for group in groups for path in sorted((folder / group).rglob("*.yaml"))]
    taken = [str(Path(NAME) / path) for path in found if (OURS / path).exists()]
    if taken:
        raise UsageError(
            f"{', '.join(taken)}: nowcast has configs of these names, and yours stand beside them: give yours others; "
            "without your folder: hydra.searchpath=[]"
        )
    return folder if found else None


class OwnFolder(SearchPathPlugin):
    """Hydra's way to look into more folders: for commands, lists of choices and completion alike."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder behind ours, unless the user says where to look.

        Raises:
            UsageError: See `own_folder`.
        """
        folder = None if searchpath_typed() else own_folder(Path())
        if folder:
            search_path.append("own", f"file://{folder}")


def searchpath_typed() -> bool:
    """Whether the command line says itself where configs are looked for."""
    return any(text.lstrip("+").startswith("hydra.searchpath=") for text in sys.argv[1:])
