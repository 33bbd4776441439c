"""A Postgres server of our own, from the system's package, for the length of a test run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "plantedpassword9431"  # noqa: S105 - it must show up nowhere
USER = "ftc_tester"
ACCOUNT = "postgres"
"""The account as which the server runs where the tests run as root, which Postgres refuses."""


def programs() -> Path | None:
    """The directory of the newest server's programs; None where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@dataclass(frozen=True)
class Server:
    """Where the server listens."""

    directory: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _as_account() -> list[str]:
    if os.geteuid():
        return []
    return ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"]


def _run(*command: str | Path, directory: Path) -> None:
    done = subprocess.run(
        [*_as_account(), *map(str, command)], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running(bin_: Path) -> Iterator[Server]:
    """A server with a new cluster; stopped and removed behind the block."""
    directory = Path(tempfile.mkdtemp(prefix="ftc-pg-", dir="/tmp"))
    try:
        (directory / "password").write_text(PASSWORD)
        if not os.geteuid():
            shutil.chown(directory, ACCOUNT, ACCOUNT)
            shutil.chown(directory / "password", ACCOUNT, ACCOUNT)
        data, port = directory / "data", _free_port()
        _run(
            bin_ / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "--no-sync", "-E", "UTF8",
            f"--pwfile={directory / 'password'}", "--locale=C.UTF-8", directory=directory,
        )  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {directory} -c fsync=off -c max_connections=20"
        start = ["-D", data, "-l", directory / "log", "-w", "-o", options, "start"]
        _run(bin_ / "pg_ctl", *start, directory=directory)
        try:
            yield Server(directory, port)
        finally:
            _run(bin_ / "pg_ctl", "-D", data, "-m", "immediate", "stop", directory=directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
