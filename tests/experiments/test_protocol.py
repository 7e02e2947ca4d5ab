"""docs/protocol.md names functions, config keys and tests: all exist, and so does every page that code cites."""

import ast
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:nowcast|configs|tests|scripts)/[\w./-]+)(?:::([\w.]+))?`", PAGE)))
CITED = sorted(
    {
        (mention, str(path.relative_to(ROOT)))
        for folder in ("nowcast", "configs", "scripts")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".yaml", ".sh")
        for mention in re.findall(r"docs/(?:decisions/\d{4}|[\w-]+\.md)", path.read_text())
    }
)


def names_in(path):
    """Functions, classes, methods and constants of a Python file, with the names of their classes."""
    found = set()

    def collect(body, prefix):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                collect(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.Assign):
                found.update(prefix + target.id for target in node.targets if isinstance(target, ast.Name))

    collect(ast.parse(path.read_text()).body, "")
    return found


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_the_page_names_exists(path, name):
    assert (ROOT / path).exists()
    if not name:
        return
    if path.endswith(".yaml"):
        content = OmegaConf.load(ROOT / path)
        for key in name.split("."):
            assert key in content
            content = content._get_node(key)  # as written, not resolved
    else:
        assert name in names_in(ROOT / path)


def test_the_page_names_code_and_tests_in_every_row():
    assert len(NAMED) > 100
    tables = PAGE.split("## Departures")[0]
    rows = [row for row in tables.splitlines() if row.startswith("| ") and not row.startswith(("| fact", "| ---"))]
    assert len(rows) > 40
    for row in rows:
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`|the same, and the counts", row), row
        assert re.search(r"\| [RTUM](, [TUM])* \|$", row), row


@pytest.mark.parametrize(("mention", "where"), CITED)
def test_pages_that_code_cites_exist(mention, where):
    assert list(ROOT.glob(f"{mention}*")), where


def test_links_of_the_page_lead_somewhere():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
