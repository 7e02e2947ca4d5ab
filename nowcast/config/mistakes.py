"""What is wrong with a setting, in one line: what there is instead, and what is near it."""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from nowcast.config.checks.definitions import NotThereError
from nowcast.config.checks.signatures import signature
from nowcast.config.command_line.overrides import in_quotes
from nowcast.config.grouped import name_now, owner

GROUP_NEEDED = re.compile(r"You must specify '([^']+)'.*?Available options:(.*)", re.DOTALL)
NO_GROUP = re.compile(r"Could not override '([^']+)'")
NO_CHOICE = re.compile(r"([\w/]+)(@[\w.]+)?=(null|\{.*|\[.*)?", re.DOTALL)
IN_FILE = re.compile(r"In '[^']+': ")


class UsageError(ValueError):
    """What was typed cannot be run: nothing was made of it, and it has to be typed otherwise."""


@contextmanager
def as_typed() -> Iterator[None]:
    """What is refused in this block is refused as it was typed: nothing was made yet."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError:  # it says more than that, such as that a file is damaged
            raise
        raise UsageError(str(error)) from error


def refuse_missing_checkpoint(path: Path) -> None:
    """Refuse a checkpoint that is not there.

    Raises:
        FileNotFoundError: No such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; runs keep theirs in <run>/checkpoints/")


USAGE = (HydraException, OmegaConfBaseException, UsageError, FileNotFoundError, FileExistsError)


class ErrorExit(SystemExit):
    """The end of a command by an error, already told; `message` says what was told."""

    def __init__(self, code: int, message: str) -> None:
        """Keep both: SystemExit takes a code or a message."""
        super().__init__(code)
        self.message = message


def ended_by(error: Exception, command: str, file: Path) -> ErrorExit:
    """Tell an error in words; the end of the command with exit code 2 as to what was typed, 1 as to what was done."""
    message = f"nowcast {command}: error: {in_words(error, file)}"
    sys.stderr.write(message + "\n")
    return ErrorExit(2 if isinstance(error, USAGE) else 1, message)


def in_words(error: Exception, program: Path) -> str:
    """One line for what Hydra or OmegaConf refuses; other errors have their own words.

    Args:
        error: What was raised.
        program: The program's config file, whose defaults tell which groups there are.
    """
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return str(error)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__ or error.__context__
    if words := _of_groups(error, program):
        return words
    if isinstance(error, OverrideParseException):
        advice = f"; if it is a text, quote it: {text}" if (text := in_quotes(str(error.override))) else ""
        return f"{error.override} cannot be read as key=value: {_first_line(error)}{advice}"
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}= is missing; add {cause.full_key}=<value>"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
        place = IN_FILE.match(str(error))
        return (place[0] if place else "") + _unknown_key(str(cause.full_key), cause.parent_node, program)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        if _first_line(cause) == "Cannot merge DictConfig with ListConfig":
            key = cause.full_key
            if now := _called_otherwise(key, owner(cause.parent_node)):
                return now
            return (
                f"{key} must be names with values, {key}={{<name>: <value>}}, got a list; ~{key}.<name> takes one out"
            )
        return f"{cause.full_key}: {_first_line(cause)}"
    return _first_line(error)


def _unknown_key(full_key: str, parent: DictConfig, program: Path) -> str:
    above, dot, key = full_key.rpartition(".")
    if now := _called_otherwise(full_key, parent.get("_target_")):
        return now
    if _takes(parent.get("_target_"), key):
        return f"{full_key} is not in the config, but may be added: +{full_key}=<value>"
    known = {str(name) for name in parent if str(name) not in ("hydra", "_target_")}
    if not above:
        known |= groups(program)
    return f"{full_key} is unknown{near(key, known, above + dot)}; allowed: {', '.join(sorted(known))}"


def _of_groups(error: Exception, program: Path) -> str:
    """What is to be said of a choice among configs; "" where the error is of something else."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        close = near(name, error.options, f"{group}=")
        return f"{group}={name} is unknown{close}; allowed: {', '.join(error.options)}"
    if needed := GROUP_NEEDED.match(str(error)):
        return f"{needed[1]}= is missing; allowed: {', '.join(needed[2].split())}"
    found = NO_GROUP.match(str(error))
    return _not_chosen_here(found[1], program) if found else ""


def _not_chosen_here(group: str, program: Path) -> str:
    """What is to be said of a group that this program has not, or not at that place; "" where it is no group at all."""
    name, at, _ = group.partition("@")
    known, of_training = groups(program), groups(program.with_name("train.yaml"))
    if name not in known | of_training:
        return ""
    why = f"has no place in nowcast {program.stem}" if at else f"is chosen in training: leave {group}= out"
    return f"{group}= {why}; allowed: {', '.join(sorted(known))}"


def refuse_no_choice(overrides: Iterable[str], program: Path) -> None:
    """Refuse a group of configs that is set to nothing, to settings or to what is no name: Hydra does not say what is.

    Args:
        overrides: As typed.
        program: The program's config file.

    Raises:
        UsageError: With what to type.
    """
    for group, place, value in (found.groups(default="") for found in map(NO_CHOICE.fullmatch, overrides) if found):
        if group not in groups(program) or _are_names(value):
            continue
        choices = sorted(file.stem for file in (program.parent / group).glob("*.yaml"))
        way = f"type {group}=none" if "none" in choices else f"leave {group}= out"
        if place:
            way = f"~{group}{place} takes it out"
        if value.startswith("{"):
            way = f"settings of one are {group}.<name>=<value>"
        if value.startswith("["):
            way = f"several are {group}=[<name>,<name>]"
        raise UsageError(f"{group}{place}={value} chooses none of its configs: {way}; allowed: {', '.join(choices)}")


def _are_names(value: str) -> bool:
    """Whether a value is a list of texts, of which Hydra takes each for a config; other things in one crash it."""
    if not value.startswith("["):
        return False
    try:
        found = OverridesParser.create().parse_override(f"list={value}").value()
    except HydraException:
        return True  # told as what cannot be read
    return isinstance(found, list) and all(isinstance(one, str | QuotedString) for one in found)


def _called_otherwise(full_key: str, target: object) -> str:
    above, _, key = full_key.rpartition(".")
    now = name_now(target, key)
    return now and f"{full_key} is called {above}.{now} now: type {above}.{now}=<value>"


def _takes(target: object, name: str) -> bool:
    try:
        known = signature(str(target)) if target else None
    except NotThereError:
        return False
    return known is not None and name in known.annotations


def groups(config: Path) -> set[str]:
    """Groups that a config and those that it builds on choose from."""
    found: set[str] = set()
    content: Any = OmegaConf.load(config) if config.is_file() else {}
    for entry in content.get("defaults", []):
        if isinstance(entry, str):
            found |= groups(config.with_name(f"{entry}.yaml"))
        else:
            found |= {str(name) for name in entry if " " not in str(name) and "@" not in str(name)}
    return found


def near(word: str, known: Iterable[str], prefix: str) -> str:
    """The known word that is most like this one, asked as "did you mean", or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f": did you mean {prefix}{close[0]}?" if close else ""


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
