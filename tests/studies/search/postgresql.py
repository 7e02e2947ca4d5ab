"""A PostgreSQL server of its own for a test: in a temporary folder, on a socket there, as an unprivileged user."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

USERS = ("postgres", "nobody")  # the server refuses to run as root


def binaries() -> Path:
    """Folder of initdb and pg_ctl; Debian keeps them outside PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        if os.environ.get("NOWCAST_REQUIRE_POSTGRESQL") == "1":
            pytest.fail("NOWCAST_REQUIRE_POSTGRESQL=1, and there is no PostgreSQL server: apt-get install postgresql")
        pytest.skip("no PostgreSQL server here (apt-get install postgresql)")
    return folders[-1]


def unprivileged() -> pwd.struct_passwd | None:
    """The user to become; None where this process is not root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server with an empty database; gives its URL, and stops and removes it afterwards."""
    programs, user = binaries(), unprivileged()
    folder = Path(
        tempfile.mkdtemp(prefix="nowcast-postgresql-", dir="/tmp")
    )  # short: a socket's path has 107 characters
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)

    def call(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60, **identity)

    data = str(folder / "data")
    try:
        call(str(programs / "initdb"), "-D", data, "-U", "nowcast", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        call(str(programs / "pg_ctl"), "-D", data, "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://nowcast@/postgres?host={folder}"
        finally:
            call(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
