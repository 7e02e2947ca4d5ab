"""Experiments on open radar: what they train on, and that no network of theirs is scored on a provider that it saw."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nowcast.config.build import build
from nowcast.config.program import CONFIGS
from nowcast.data.archive.paths import Together

NAMES = (
    "bom_20201031", "catalonia_a", "catalonia_b", "eccc_cascm", "eccc_casgo", "fmi_20160928", "knmi_20100826",
    "mch_20150515", "mch_20160711", "mrms_20190610",
)  # fmt: skip


def composed(*typed: str):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", list(typed))


def trained_on(config, folder: Path, monkeypatch) -> set[str]:
    """Names of the archives that are not the test, but for synthetic ones."""
    (folder / "data" / "open_radar").mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / "data" / "open_radar" / f"{name}.nc").touch()
    monkeypatch.chdir(folder)
    parts = build(config.data.archives.parts)
    names = {path.stem for path in Together(parts | {"synthetic": None, "systems": None}).paths()}
    tests = config.data.split.test_archives
    return {name for name in names if not any(fnmatchcase(name, test) for test in tests)}


def test_the_weights_that_come_with_it_see_open_licences_alone(tmp_path, monkeypatch):
    config = composed("experiment=pretrained")
    licensed = {"eccc_cascm", "eccc_casgo", "fmi_20160928", "knmi_20100826", "mrms_20190610"}
    assert trained_on(config, tmp_path, monkeypatch) == licensed
    assert set(config.data.archives.parts.synthetic.kinds) == {"showers", "lasting", "still", "fast", "wide"}


def test_extremes_that_are_scored_are_none_that_steady_rain_trains_on(tmp_path, monkeypatch):
    config = composed("experiment=steady_rain")
    assert trained_on(config, tmp_path, monkeypatch) == trained_on(
        composed("experiment=pretrained"), tmp_path, monkeypatch
    )
    assert set(config.data.archives.parts.synthetic.kinds) >= {"standing", "steady", "showers", "wide"}
    extremes = OmegaConf.load(CONFIGS / "data" / "extremes.yaml").archives
    systems = config.data.archives.parts.systems
    assert systems.seed != extremes.seed
    assert systems.folder != extremes.folder
    assert not set(systems.cases) & set(extremes.cases)


@pytest.mark.parametrize(
    "tested",
    [("mch_*", "bom_*", "catalonia_*"), ("knmi_*", "fmi_*", "eccc_*")],
)
def test_a_provider_is_trained_on_or_tested(tmp_path, monkeypatch, tested):
    typed = ["experiment=open_radar", f"data.split.test_archives=[{','.join(tested)}]"]
    expected = {name for name in NAMES if not any(fnmatchcase(name, test) for test in tested)}
    assert trained_on(composed(*typed), tmp_path, monkeypatch) == expected
    default = composed("experiment=open_radar")
    assert list(default.data.split.test_archives) == ["mch_*", "bom_*", "catalonia_*"]
