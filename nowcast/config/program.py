"""What every program shares: its configuration, building objects from it, and plain errors."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from traceback import clear_frames

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nowcast.config.checks.settings import check_settings
from nowcast.config.command_line.overrides import readable
from nowcast.config.command_line.own_folder import OwnFolder, searchpath_typed
from nowcast.config.mistakes import ended_by, refuse_no_choice
from nowcast.config.moved import refuse_old_keys
from nowcast.config.schema import SCHEMATA
from nowcast.config.start import begin, wants_tracebacks
from nowcast.config.trusted import OURS, config_packages

CONFIGS = OURS
Plugins.instance().register(OwnFolder)
MISTAKES = (ValueError, OSError, ModuleNotFoundError, OmegaConfBaseException)  # of the user, as errors

for _name, _schema in SCHEMATA.items():
    ConfigStore.instance().store(name=f"{_name}_schema", node=_schema)
# Hydra copies its store for each of the 157 lists of choices that --help takes, which is 1.3 s: it is a singleton, and
# copies what it gives away.
ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def program(name: str) -> Callable[[Callable[[DictConfig], Iterable[Path] | None]], Callable[[], None]]:
    """Turn a function of the composed config into the command `nowcast <name>`, which says what the function wrote.

    The module of a command imports what is light, so that help, completion and refusals are there at once. What does
    the work is one import, in the function, after it has refused what it can: PyTorch and Lightning load in seconds.

    Mistakes of the user end with one message and exit code 2 where what was typed cannot be run, and 1 where it was
    begun and failed (wrong data, full disk); HYDRA_FULL_ERROR=1 shows the traceback. Ctrl-C ends with one line and 130.
    """

    def decorate(main: Callable[[DictConfig], Iterable[Path] | None]) -> Callable[[], None]:
        def run(config: DictConfig) -> None:
            try:
                check_settings(config)
                say_written(main(config) or ())
            except MISTAKES as error:
                clear_frames(error.__traceback__)  # ends progress bars of loops that it left: others would wait
                if wants_tracebacks():
                    raise
                if in_multirun():  # Hydra says of which job
                    # A parallel job sends it to the others, for which a long chain of causes is too deep (tblib).
                    error.__context__ = None
                    raise error.with_traceback(None) from None
                raise ended_by(error, name, CONFIGS / f"{name}.yaml") from error

        command: Callable[[], None] = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(run)

        def start() -> None:
            begin()
            try:
                prepare_command_line()
                refuse_old_keys(sys.argv[1:])
                refuse_no_choice(sys.argv[1:], CONFIGS / f"{name}.yaml")
                command()
            except (HydraException, *MISTAKES) as error:
                if wants_tracebacks():
                    raise
                raise ended_by(error, name, CONFIGS / f"{name}.yaml") from error
            except KeyboardInterrupt as end:
                clear_frames(end.__traceback__)
                sys.stderr.write(f"nowcast {name}: interrupted\n")
                sys.exit(130)

        return start

    return decorate


def prepare_command_line() -> None:
    """Make what was typed what Hydra reads, and let it find the configs of installed extensions."""
    if any(text in ("-sc", "--shell-completion") for text in sys.argv[1:]):
        sys.argv[0] = "nowcast"  # what the shell is to complete, in place of this file
    sys.argv[1:] = [readable(text) for text in sys.argv[1:]]
    folders = [f"pkg://{package}" for package in config_packages()]
    if folders and not searchpath_typed():
        sys.argv.append(f"hydra.searchpath=[{','.join(folders)}]")


def say_written(paths: Iterable[Path]) -> None:
    """A line for each file that a command wrote."""
    for path in paths:
        sys.stdout.write(f"wrote {path}\n")


def in_multirun() -> bool:
    """Whether this process runs jobs of `-m`."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def chosen(group: str) -> str:
    """What was chosen of a group of configs, by its name; "None" where nothing was."""
    return str(HydraConfig.get().runtime.choices.get(group))


def config_folders() -> list[str]:
    """The option --config-dir, if the user gave it."""
    sources = HydraConfig.get().runtime.config_sources
    return [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]


def given_on_command_line(prefix: str) -> list[str]:
    """Overrides that the user typed for keys below `prefix`, such as "data.crop=null"."""
    overrides = HydraConfig.get().overrides.task
    return [text for text in overrides if text.lstrip("+~").startswith(prefix)]
