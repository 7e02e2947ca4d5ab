"""What each command of a test asks Hydra for again is found once: a refusal costs a fifth, a tiny training half.

Texts become what they became before, files of ours and of Hydra what they held before. What is refused is refused anew
each time, and nothing is kept where files of a test take part. Copies are pickles, which cost a sixth of
`copy.deepcopy`.
"""

import copy
import dataclasses
import functools
import importlib.metadata
import os
import pickle
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import hydra
import omegaconf.base
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from nowcast.config.program import CONFIGS

FOLDERS = tuple(f"{folder}{os.sep}" for folder in (CONFIGS, Path(hydra.__file__).parent))
SOURCES = {"pkg://hydra.conf", f"file://{CONFIGS}", "structured://"}
OWN = [
    (place, name, getattr(place, name))
    for place, name in (
        (OmegaConf, "load"),
        (OverridesParser, "parse_rule"),
        (omegaconf.base, "parse"),
        (config_loader_impl, "create_defaults_list"),
        (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
        (importlib.metadata, "distributions"),
        (DictConfig, "__deepcopy__"),
    )
]


@contextmanager
def once():
    """All that follows."""
    with ExitStack() as stack:
        for part in (read_once, parsed_once, composed_once, listed_once, copied_fast):
            stack.enter_context(part())
        yield


@contextmanager
def anew():
    """Nothing of it: as it is for users."""
    with ExitStack() as stack:
        for place, name, own in OWN:
            stack.enter_context(mock.patch.object(place, name, own))
        yield


@contextmanager
def read_once():
    """Each YAML file of ours and of Hydra is parsed once."""
    load, kept = OmegaConf.load, {}

    def read(file):
        name = str(file if isinstance(file, str | Path) else getattr(file, "name", ""))
        if not name.startswith(FOLDERS):
            return load(file)
        if name not in kept:
            kept[name] = pickle.dumps(load(file))
        return pickle.loads(kept[name])

    with mock.patch.object(OmegaConf, "load", read):
        yield


@contextmanager
def parsed_once():
    """Each override and each interpolation is parsed once."""
    parse_rule, tree = OverridesParser.parse_rule, functools.cache(omegaconf.base.parse)
    override = functools.cache(lambda text: parse_rule(OverridesParser.create(), text, "override"))

    def parse(parser, text, rule_name):
        return copy.copy(override(text)) if rule_name == "override" else parse_rule(parser, text, rule_name)

    with mock.patch.object(OverridesParser, "parse_rule", parse), mock.patch.object(omegaconf.base, "parse", tree):
        yield


@contextmanager
def composed_once():
    """Each choice of configs is composed once; the settings of single values are merged into it by Hydra, each time."""
    create, compose = config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
    kept = {}

    def chosen(repo, config_name, overrides_list, prepend_hydra, skip_missing):
        """The list of configs that a command is made of."""
        if not SOURCES.issuperset(places(repo)):
            return create(repo, config_name, overrides_list, prepend_hydra, skip_missing)
        plain = [override for override in overrides_list if not override.is_sweep_override()]
        choices = [override for override in plain if chooses(override, repo)]
        key = (config_name, *(each.input_line for each in choices), prepend_hydra, skip_missing, places(repo))
        if key not in kept:
            kept[key] = pickle.dumps(create(repo, config_name, choices, prepend_hydra, skip_missing))
        settings = [override for override in plain if override not in choices]
        return dataclasses.replace(pickle.loads(kept[key]), config_overrides=settings)

    def merged(loader, defaults, repo):
        """These configs, merged."""
        if not SOURCES.issuperset(places(repo)):
            return compose(loader, defaults, repo)
        key = (repr(defaults), places(repo))
        if key not in kept:
            kept[key] = pickle.dumps(compose(loader, defaults, repo))
        return pickle.loads(kept[key])

    with (
        mock.patch.object(config_loader_impl, "create_defaults_list", chosen),
        mock.patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", merged),
    ):
        yield


@contextmanager
def listed_once():
    """The installed packages are listed once for each sys.path, of which entry points ask each time."""
    kept = {}

    def listed(**wanted):
        key = (*sys.path, *wanted.items())
        if key not in kept:
            kept[key] = [ReadOnce(package) for package in distributions(**wanted)]
        return kept[key]

    distributions = importlib.metadata.distributions
    with mock.patch.object(importlib.metadata, "distributions", listed):
        yield


@contextmanager
def copied_fast():
    """Hydra and OmegaConf copy whole configs some fifty times a command: a tenth of what all commands of tests take."""

    def copied(config, memo):
        parent = config.__dict__["_parent"]
        config.__dict__["_parent"] = None  # or all that it stands in would be copied, too
        try:
            kept = pickle.dumps(config)
        except (AttributeError, TypeError, pickle.PicklingError):  # it holds an object that has no pickle
            kept = None
        finally:
            config.__dict__["_parent"] = parent
        if kept is None:
            return own(config, memo)
        new = pickle.loads(kept)
        new.__dict__["_parent"] = parent
        return new

    own = DictConfig.__deepcopy__
    with mock.patch.object(DictConfig, "__deepcopy__", copied):
        yield


class ReadOnce:
    """A package whose entry points are read from its folder once."""

    def __init__(self, package):
        self._package, self._normalized_name = package, package._normalized_name

    def __getattr__(self, name):
        return getattr(self._package, name)

    @functools.cached_property
    def entry_points(self):
        return self._package.entry_points


def places(repository):
    """Where a repository looks for configs, in this order."""
    return tuple(f"{source.scheme()}://{source.path}" for source in repository.get_sources())


def chooses(override, repository):
    """Whether an override chooses among configs, as Hydra tells it from one that sets a value."""
    return not isinstance(override.value(), dict) and repository.group_exists(override.key_or_group)
