"""Run a query with one thread and with several, and compare what comes out, whatever its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftc.data.compile import Locations, Progress, Request, used_sources
from ftc.data.query.ingest import ingested
from ftc.data.query.run_query import FILE, RAW, run_query
from ftc.facts.cache import Cache
from ftc.facts.sandbox import connect
from ftc.plan.steps import QueryStep

THREADS = (1, 4)
"""More threads than cores do: what matters is that rows are met in another order."""

CONTENT = f"""
select count(*), coalesce(sum((md5_number(to_json(r)::varchar) % 9223372036854775783)::hugeint), 0)::varchar
from {RAW} r
"""  # noqa: S608 - a name of ftc's own
"""The number of rows and the sum of their hashes: the same for the same rows in any order."""


@dataclass(frozen=True)
class SelfTest:
    """A query's name and number of rows, and whether they are the same with every number of threads."""

    query: str
    rows: int
    same: bool


def self_tests(
    request: Request, locations: Locations, cache: Cache, progress: Progress
) -> tuple[SelfTest, ...]:
    """Compare the rows of each query of a request; raises QueryFailure, UnreadableSource and OSError."""
    sources = ingested(used_sources(request), locations.sources, cache, progress)
    with cache.scratch() as scratch:
        return tuple(
            self_test(query, sources.directories, scratch / f"query-{number}")
            for number, query in enumerate(request.queries)
        )


def self_test(query: QueryStep, sources: Sequence[Path], scratch: Path) -> SelfTest:
    """Compare a query's rows; raises QueryFailure and OSError."""
    found = [content(query, sources, scratch / f"threads-{threads}", threads) for threads in THREADS]
    return SelfTest(query.name, found[0][0], all(one == found[0] for one in found))


def content(query: QueryStep, sources: Sequence[Path], directory: Path, threads: int) -> tuple[int, str]:
    """How many rows a query has with so many threads, and a digest of them without their order."""
    directory.mkdir(parents=True)
    run_query(query, sources, directory, threads=threads)
    con = connect(directory / FILE, threads=threads)
    try:
        rows, digest = con.execute(CONTENT).fetchall()[0]
    finally:
        con.close()
    return int(rows), str(digest)
