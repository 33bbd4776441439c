"""The rows of the queries' results on their way to shards and ledger, batch by batch, in order."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftc.data.batch import EVAL, TRAIN, Batch, Rows
from ftc.data.ingest import SourceAccount
from ftc.data.ledger import LedgerWriter
from ftc.data.problems import RowProblem, Tally, emptiness, key_problems, row_problems
from ftc.data.row_work import RowCompiler, RowSpec
from ftc.data.shards import PartWriter
from ftc.data.shared_prompts import PromptHashes
from ftc.data.split import row_hash, threshold
from ftc.data.workers import Workers, job_count
from ftc.plan.steps import DataStep, Ledger, SourceRows

if TYPE_CHECKING:
    from ftc.data.compile import Locations, Progress, Request
    from ftc.data.result import Result

LEFT_OUT = "the query leaves the row out"

MOST_BYTES = 4 << 20
"""Of a batch that is compiled at once: a thousand rows may be long documents."""

INLINE_BYTES = 4 << 20
"""So much text is compiled here in the time that other processes need to start."""


class Pipeline:
    """One compilation: opened results, one per query, and the directory that takes their rows."""

    def __init__(
        self,
        request: Request,
        locations: Locations,
        results: Sequence[Result],
        directory: Path,
        progress: Progress,
    ) -> None:
        self._request, self._locations, self._results = request, locations, results
        self._directory, self._progress = directory, progress
        self._ledger = LedgerWriter(directory)
        self._prompts = PromptHashes()
        self._parts = {TRAIN: PartWriter(directory, "train"), EVAL: PartWriter(directory, "eval")}
        self._total = sum(result.count for result in results)

    def run(
        self, accounts: Sequence[SourceAccount]
    ) -> tuple[DataStep | None, Ledger, tuple[RowProblem, ...]]:
        """Go through all rows; the step is None where there are problems."""
        try:
            self._unread(accounts)
            self._rows()
            train, eval_ = (part.close() for part in self._parts.values())
            self._parts[TRAIN].sizes.write(self._directory)
            ledger = self._close_ledger(accounts, train.rows, eval_.rows)
        except BaseException:
            self._ledger.abandon()
            raise
        names = [account.name for account in accounts]
        problems = self._problems(Tally(names, ledger.read, self._total, train.rows, eval_.rows))
        if problems:
            return None, ledger, problems
        step = DataStep(
            train=train,
            eval=eval_ if eval_.rows else None,
            ledger=ledger,
            shared_prompts=self._prompts.shared(self._directory, eval_),
            labels=self._parts[TRAIN].labels,
            longest_target=max(part.counts.longest_answer for part in self._parts.values()),
        )
        return step, ledger, ()

    def _unread(self, accounts: Sequence[SourceAccount]) -> None:
        for account in accounts:
            for bad in account.bad:
                self._ledger.add(bad.place, "invalid", bad.reason, bad.code)
        for result in self._results:
            for id_ in result.filtered():
                self._ledger.add(id_, "filtered", LEFT_OUT)

    def _close_ledger(self, accounts: Sequence[SourceAccount], train: int, eval_: int) -> Ledger:
        traced = [result.traced for result in self._results]
        own = sum(
            source.rows if source is not None else result.count
            for source, result in zip(traced, self._results, strict=True)
        )
        bad = sum(len(account.bad) for account in accounts if account not in traced)
        sources = tuple(SourceRows(name=account.name, rows=account.rows) for account in accounts)
        return self._ledger.close(sources, read=own + bad, train=train, eval_=eval_)

    def _problems(self, tally: Tally) -> tuple[RowProblem, ...]:
        request = self._request
        found: tuple[RowProblem, ...] = ()
        for query, result in zip(request.queries, self._results, strict=True):
            found += key_problems(query.id_column, result.key_problems())
        found += row_problems(self._ledger, request.limits, request.render)
        return found or emptiness(tally, request.split, self._ledger)

    def _rows(self) -> None:
        done = 0
        with closing(self._compiled()) as batches:
            for batch in batches:
                self._add(batch)
                done += batch.read
                self._progress("compiling rows", done, self._total)

    def _compiled(self) -> Generator[Batch]:
        """The rows compiled, in order: here where they are few, by several processes otherwise."""
        rows = (piece for rows in self._selected() for piece in rows.pieces(MOST_BYTES))
        jobs, (few, whole) = job_count(), _first(rows, INLINE_BYTES)
        if whole or jobs == 1:
            yield from map(RowCompiler(self._spec()), chain(few, rows))
            return
        with Workers(self._spec(), jobs, self._directory.parent) as workers:
            yield from workers.map(chain(few, rows))

    def _selected(self) -> Iterator[Rows]:
        """The rows that are to be compiled, in order: query after query."""
        number = 0
        for result in self._results:
            for ids, columns in result.rows():
                sides, copies = np.zeros(len(ids), dtype=np.uint8), np.ones(len(ids), dtype=np.int32)
                yield Rows(ids, columns, number, sides, copies)
                number += len(ids)

    def _spec(self) -> RowSpec:
        request = self._request
        return RowSpec(
            tokenizer_file=self._locations.tokenizer,
            tokenizer=request.tokenizer,
            render=request.render,
            limits=request.limits,
            split=request.split,
            threshold=self._split_threshold(),
            shapes=self._results[0].shapes,
        )

    def _split_threshold(self) -> int:
        split = self._request.split
        if split.rows is None:
            return threshold(split, ())
        rows = (row for result in self._results for row in result.column_values(split.keys))
        return threshold(split, (row_hash(split, row) for row in rows))

    def _add(self, batch: Batch) -> None:
        for account in batch.account:
            self._ledger.add(account.id, account.fate, account.reason, account.code, more=account.more)
        self._prompts.add(batch)
        for side, part in self._parts.items():
            part.add(batch.side(side))


def _first(rows: Iterator[Rows], most: int) -> tuple[list[Rows], bool]:
    """Batches until they have more than so many bytes, and whether those are all."""
    found, size = [], 0
    for piece in rows:
        found.append(piece)
        size += piece.columns.nbytes
        if size > most:
            return found, False
    return found, True
