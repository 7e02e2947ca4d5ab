"""The audit of dependencies says what it knows and what it does not."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("audit", Path(__file__).parents[2] / "scripts" / "audit.py")
audit = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

SOUND = {"name": "a", "version": "1", "vulns": []}
FAULTY = {
    "name": "b",
    "version": "2",
    "vulns": [{"id": "X-1", "fix_versions": ["3"]}, {"id": "X-2", "fix_versions": []}],
}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([SOUND], 0, "audit: 1 packages looked up, 0 with known faults\n"),
        ([SOUND, SKIPPED], 0, "NOT looked up: c"),
        ([SOUND, FAULTY], 1, "b 2: X-1, mended in 3\nb 2: X-2, mended in no version yet\n"),
        ([SKIPPED], 0, "audit: NOT DONE, the registry tells nothing of any package: not found"),
        ([], 0, "audit: NOT DONE"),
    ],
)
def test_report(capsys, packages, code, words):
    assert audit.report(packages) == code
    assert words in capsys.readouterr().out
