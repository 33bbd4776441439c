"""Fixtures for sources that are not files of this machine: a Postgres server, a web server, S3."""

from __future__ import annotations

from collections.abc import Iterator

import postgres_server
import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    programs = postgres_server.programs()
    if programs is None:
        pytest.skip("no Postgres server is installed: apt-get install postgresql")
    with postgres_server.running(programs) as server:
        yield server
