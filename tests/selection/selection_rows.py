"""Selections over small files, without compiling a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_requests import Job, source, write_jsonl
from ftc.data.query.ingest import ingested
from ftc.data.query.result import Result
from ftc.data.selection.select import Decision, Selection, select
from ftc.facts.cache import Cache
from ftc.plan.steps import DedupeStep, SampleStep, SelectionStep

Rows = Sequence[Mapping[str, Any]]


def near(similarity: float, hashes: int = 128) -> DedupeStep:
    from ftc.data.selection.bands import bands_for

    return DedupeStep(
        method="near",
        columns=("prompt",),
        similarity=similarity,
        words=3,
        hashes=hashes,
        bands=bands_for(similarity, hashes),
    )


def exact(*columns: str) -> DedupeStep:
    return DedupeStep(method="exact", columns=columns)


def step(
    *,
    fraction: float | None = None,
    rows: int | None = None,
    dedupe: DedupeStep | None = None,
    seed: int = 0,
) -> SelectionStep:
    sample = SampleStep(fraction=fraction, rows=rows) if fraction is not None or rows is not None else None
    return SelectionStep(sample=sample, dedupe=dedupe, seed=seed)


def job(here: Path, rows: Rows, **settings: Any) -> Job:
    """A job over one file with these rows, named t."""
    here.mkdir(parents=True, exist_ok=True)
    path = write_jsonl(here / "t.jsonl", rows)
    return Job(here, (source(path),), **settings)


@contextmanager
def selected(job: Job) -> Iterator[Selection]:
    """The selection of a job."""
    request = job.request()
    paths = {one.step.name: one.paths for one in job.sources}
    sources = ingested(request.sources, paths, Cache(job.directory / "cache"), lambda *_: None)
    scratch = job.directory / f"scratch-{len(list(job.directory.iterdir()))}"
    scratch.mkdir()
    results = [Result(query, sources, scratch / f"query-{n}") for n, query in enumerate(request.queries)]
    try:
        yield select(request.selection, request.split, results, sources, scratch)
    finally:
        for result in results:
            result.__exit__(None, None, None)


def decisions_of(job: Job) -> dict[str, Decision]:
    """What becomes of every row, by its id."""
    with selected(job) as selection:
        return {
            id_: selection.of(query, number)
            for query, result in enumerate(selection.results)
            for number, id_ in enumerate(id_ for ids in result.ids() for id_ in ids)
        }


def decisions(here: Path, rows: Rows, dedupe: DedupeStep, **settings: Any) -> dict[str, Decision]:
    return decisions_of(job(here, rows, selection=step(dedupe=dedupe), **settings))


def duplicates(here: Path, rows: Rows, dedupe: DedupeStep, **settings: Any) -> dict[int, int]:
    """Of each row that goes, by its number, the number of the one that stays."""
    found = {}
    for id_, decision in decisions(here, rows, dedupe, **settings).items():
        if decision.refusal is not None:
            assert decision.refusal.fate == "duplicate"
            found[_number(id_)] = _number(decision.refusal.reason)
    return found


def _number(text: str) -> int:
    return int(text.rpartition(":")[2]) - 1
