"""Who compiles the rows, and with which tokenizer library: here, or several processes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ftc.data.tokens.encoders import REFERENCE, Unfit
from ftc.data.tokens.gate import Gate
from ftc.data.work.batch import Batch, Rows
from ftc.data.work.crew import WorkerKilled
from ftc.data.work.row_work import RowCompiler, RowSpec
from ftc.data.work.workers import Workers, job_count

MOST_BYTES = 4 << 20
"""Of a batch that is compiled at once: a thousand rows may be long documents."""

CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")
"""Signals by which a library's own mistake ends a process; SIGKILL and SIGTERM come from outside."""

INLINE_BYTES = 4 << 20
"""So much text is compiled here, by the reference, in the time that anything faster needs to start."""


def compiled(
    spec: RowSpec, rows: Iterable[Rows], logs: Path, started: Workers | None = None
) -> Generator[Batch]:
    """The rows compiled, in order; workers write what goes wrong to `logs`.

    Those that are `started` are used if they are prepared for the spec.

    Raises Unfit where the spec's back end cannot serve: then nothing of what came before may be used.
    Raises BadJobs, WorkerKilled and WorkerError.
    """
    pieces = (piece for batch in rows for piece in batch.pieces(MOST_BYTES))
    jobs, (few, whole) = job_count(), _first(pieces, INLINE_BYTES)
    spec, gate = (replace(spec, backend=REFERENCE), None) if whole else _gated(spec)
    with ExitStack() as stack:
        batches: Iterator[Batch]
        if whole or jobs == 1:
            batches = map(RowCompiler(spec), chain(few, pieces))
        else:
            if started is None or started.preparation != spec.preparation:
                started = Workers(spec.preparation, jobs, logs)
            batches = stack.enter_context(started).map(spec, chain(few, pieces))
        yield from batches if gate is None else _checked(batches, gate)


def _checked(batches: Iterator[Batch], gate: Gate) -> Generator[Batch]:
    """The batches of a fast back end, each behind the gate; one that crashes a process is unfit too."""
    try:
        for batch in batches:
            if batch.samples is not None:
                gate.check(batch.samples)
            yield batch
    except WorkerKilled as killed:
        if str(killed) not in CRASHES:
            raise
        raise Unfit(f"a process that used it ended by {killed}") from killed


def _gated(spec: RowSpec) -> tuple[RowSpec, Gate | None]:
    """The spec with what a fast back end needs to be told, and the gate; only the reference tells places."""
    if spec.backend == REFERENCE:
        return spec, None
    gate = Gate(spec.tokenizer_file)
    if spec.render.convention == "trl":
        return replace(spec, backend=REFERENCE), None
    return replace(spec, traits=gate.traits), gate


def _first(rows: Iterator[Rows], most: int) -> tuple[list[Rows], bool]:
    """Batches until they have more than so many bytes, and whether those are all."""
    found, size = [], 0
    for piece in rows:
        found.append(piece)
        size += piece.columns.nbytes
        if size > most:
            return found, False
    return found, True
