"""CONTRIBUTING's map: its places exist, and it shows every room in the order of the import contract."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MOST_MODULES = 12
MOST_LINES = 350


def layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["containers"] == ["nowcast"])
    return [name.strip() for layer in layers for name in layer.split("|")]


def test_every_place_that_is_named_exists():
    places = re.findall(r"(?:nowcast|configs|tests|docs|scripts)/[\w./-]*", TEXT)
    assert len(places) > 20
    assert [place for place in places if not (ROOT / place.rstrip(".")).exists()] == []


def test_documents_name_modules_where_they_are():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        places = re.findall(r"\bnowcast/[\w/]+\.py\b", document.read_text(encoding="utf-8"))
        assert [place for place in places if not (ROOT / place).exists()] == [], document


def test_every_room_of_the_contract_is_on_the_map_in_its_order():
    names = layers()
    rooms = [name for name in names if (ROOT / "nowcast" / name).is_dir()]
    assert re.findall(r"^\| `nowcast/(\w+)/` \|", TEXT, re.M) == rooms
    assert [name for name in names if name not in rooms and f"`nowcast/{name}.py`" not in TEXT] == []


def test_every_folder_says_what_it_is():
    for init in (ROOT / "nowcast").rglob("__init__.py"):
        assert init.read_text().startswith('"""'), init


def test_every_folder_is_small_enough_to_look_through():
    folders = {init.parent for room in ("nowcast", "tests") for init in (ROOT / room).rglob("__init__.py")}
    modules = {folder: [path.name for path in folder.glob("*.py") if path.name != "__init__.py"] for folder in folders}
    assert len(modules) > 60
    assert {folder: names for folder, names in modules.items() if len(names) > MOST_MODULES} == {}


def test_every_file_is_short_enough_to_read_at_once():
    files = [path for folder in ("nowcast", "tests", "scripts") for path in (ROOT / folder).rglob("*.py")]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(lines) > 300
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_every_room_has_its_tests():
    missing = [name for name in layers() if (ROOT / "nowcast" / name).is_dir() and not (ROOT / "tests" / name).is_dir()]
    assert missing == []


def test_every_place_of_the_tests_with_the_lowest_versions_exists():
    """pytest stops at a path that is not there, but nobody types `make test-lowest` after each move."""
    told = subprocess.run(["make", "-n", "test-lowest"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    places = re.findall(r"\btests/\S+", told)
    assert len(places) > 10
    assert [place for place in places if not (ROOT / place).exists()] == []
