"""One version, a changelog that a change adds to, and a citation of what is there."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from nowcast import __version__

ROOT = Path(__file__).parents[3]


def test_the_citation_is_of_this_version_under_this_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == __version__
    assert citation["license"] == re.search(r'^license = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format asks for
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_the_changelog_begins_with_what_is_not_released_and_goes_back_in_time():
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert titles[0] == "Unreleased"
    versions = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) \((unreleased|\d{4}-\d\d-\d\d)\)", title) for title in titles[1:]]
    assert all(versions)
    numbers = [tuple(map(int, version.groups()[:3])) for version in versions]
    assert numbers == sorted(set(numbers), reverse=True)
    assert ".".join(map(str, numbers[0])) == __version__


@pytest.mark.parametrize(
    ("files", "code"),
    [(["nowcast/a.py"], 1), (["configs/a.yaml", "docs/a.md"], 1), (["docs/a.md", "tests/a.py"], 0),
     (["nowcast/a.py", "CHANGELOG.md"], 0)],
)  # fmt: skip
def test_a_change_of_the_package_adds_to_the_changelog(tmp_path, files, code):
    def git(*typed):
        user = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *user, *typed], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("checkout", "-q", "-b", "change")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    done = subprocess.run([ROOT / ".ci" / "changelog", "main"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert ("add one under '## Unreleased'" in done.stderr) == bool(code)
    assert all(name in done.stderr for name in files if code and name.startswith(("nowcast", "configs")))
