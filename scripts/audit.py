"""Known faults of the pinned dependencies, by pip-audit in an environment of its own.

Exit code 1 where there are some, 0 where there are none and where they cannot be looked up, which is said.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A command and what it printed."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main() -> int:
    """Install pip-audit, look up, and say what was found."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        installed = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit")
        if installed.returncode:
            return unknown("pip-audit cannot be installed", installed.stderr)
        settings = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json")
        found = run(python, "-m", "pip_audit", "-r", str(ROOT / "constraints.txt"), *settings)
    try:
        packages = json.loads(found.stdout)["dependencies"]
    except (ValueError, KeyError):
        return unknown("the database of faults cannot be reached", found.stderr)
    return report(packages)


def report(packages: list[dict[str, Any]]) -> int:
    """Say what was found, and what could not be looked up.

    Args:
        packages: pip-audit's entries: name, and version with vulns, or skip_reason.
    """
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return unknown("the registry tells nothing of any package", packages[0]["skip_reason"] if packages else "")
    faulty = [package for package in packages if package.get("vulns")]
    for package in faulty:
        for fault in package["vulns"]:
            fixed = ", ".join(fault["fix_versions"]) or "no version yet"
            sys.stdout.write(f"{package['name']} {package['version']}: {fault['id']}, mended in {fixed}\n")
    looked_up = len(packages) - len(skipped)
    sys.stdout.write(f"audit: {looked_up} packages looked up, {len(faulty)} with known faults")
    sys.stdout.write(f"; NOT looked up: {', '.join(skipped)}\n" if skipped else "\n")
    return 1 if faulty else 0


def unknown(reason: str, detail: str) -> int:
    """Not looked up: no failure, but no silence either."""
    last = detail.strip().splitlines()[-1:] or ["no message"]
    sys.stdout.write(f"audit: NOT DONE, {reason}: {last[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
