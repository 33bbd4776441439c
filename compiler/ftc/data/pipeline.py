"""The rows of the queries' results on their way to shards and ledger, batch by batch, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.classes import class_problems, in_order
from ftc.data.kept.ledger import IN_GENERAL, LedgerWriter
from ftc.data.kept.lint_rows import CompiledReader, group_of, special_tokens
from ftc.data.kept.sample import Worked, too_small, write_sample
from ftc.data.kept.shards import PartWriter
from ftc.data.problems import RowProblem, Tally, emptiness, key_problems, row_problems
from ftc.data.query.ingest import SourceAccount
from ftc.data.selection.select import GOING, NOT_LOOKED_AT, UNSEEN
from ftc.data.work.batch import EVAL, TRAIN, Account, Batch, Rows, joined
from ftc.data.work.dispatch import compiled
from ftc.data.work.row_work import RowSpec, rendered_columns
from ftc.lints import kept
from ftc.lints.collector import Collector
from ftc.lints.spec import LintSpec
from ftc.plan.account import Fate, Ledger, SourceRows
from ftc.plan.steps import DataStep, Part

if TYPE_CHECKING:
    from ftc.data.compile import Locations, Progress, Request
    from ftc.data.selection.select import Selection
    from ftc.data.work.workers import Workers

LEFT_OUT = "the query leaves the row out"


class Pipeline:
    """One compilation: opened results, one per query, and the directory that takes their rows.

    `backend` is the tokenizer library; `run` raises Unfit where it cannot serve.
    """

    def __init__(
        self,
        request: Request,
        locations: Locations,
        selection: Selection,
        directory: Path,
        progress: Progress,
        backend: str,
    ) -> None:
        self._backend = backend
        self._request, self._locations, self._selection = request, locations, selection
        results = self._results = selection.results
        self._directory, self._progress = directory, progress
        self._ledger = LedgerWriter(directory)
        self._lints = Collector(directory)
        render = request.render
        classified = render.closed and "label" in render.carried
        self._parts = {
            side: PartWriter(directory, name, classified=classified)
            for side, name in ((TRAIN, "train"), (EVAL, "eval"))
        }
        self._left_out: deque[tuple[int, Sequence[Account]]] = deque()
        self._total = sum(result.count for result in results)
        self._worked: dict[tuple[Fate, str], Worked] = {}

    def run(
        self, accounts: Sequence[SourceAccount], started: Workers | None = None
    ) -> tuple[DataStep | None, Ledger, tuple[RowProblem, ...]]:
        """Go through all rows; the step is None where there are problems.

        `started` are processes that may have loaded the tokenizer already.
        """
        try:
            self._unread(accounts)
            self._rows(started)
            train, eval_ = (part.close() for part in self._parts.values())
            self._parts[TRAIN].sizes.write(self._directory)
            self._write_sample()
            ledger = self._close_ledger(accounts, train.rows, eval_.rows)
        except BaseException:
            self._ledger.abandon()
            for part in self._parts.values():
                part.abandon()
            raise
        names = [account.name for account in accounts]
        problems = self._problems(Tally(names, ledger.read, self._total, train.rows, eval_.rows))
        if problems:
            return None, ledger, problems
        self._judge({TRAIN: train, EVAL: eval_})
        step = DataStep(
            train=train,
            eval=eval_ if eval_.rows else None,
            ledger=ledger,
            labels=self._parts[TRAIN].labels,
            longest_target=max(part.counts.longest_answer for part in self._parts.values()),
            mix=self._selection.mix,
            classes=in_order(self._parts[TRAIN].counts.classes),
        )
        return step, ledger, ()

    def _judge(self, parts: dict[int, Part]) -> None:
        self._progress("looking for odd rows", 0, None)
        group = group_of(self._request.split.keys, rendered_columns(self._request.render))
        reader = CompiledReader(self._directory, parts, self._locations.tokenizer, self._results, group)
        kept.write(self._directory, self._lints.close(reader))

    def _unread(self, accounts: Sequence[SourceAccount]) -> None:
        for account in accounts:
            for bad in account.bad:
                self._ledger.add(bad.place, bad.fate, bad.reason, bad.code)
        for result in self._results:
            if self._selection.strata:
                self._ledger.count("filtered", LEFT_OUT, result.left_out, result.filtered())
                continue
            for id_ in result.filtered():
                self._ledger.add(id_, "filtered", LEFT_OUT)

    def _write_sample(self) -> None:
        """Where only some rows are looked at: how many of how many, and what became of those in the work."""
        strata = self._selection.strata
        if strata:
            self._ledger.count(GOING[UNSEEN], NOT_LOOKED_AT, sum(one.rows - one.looked_at for one in strata))
            write_sample(self._directory, strata, tuple(self._worked.values()))

    def _close_ledger(self, accounts: Sequence[SourceAccount], train: int, eval_: int) -> Ledger:
        traced = [result.traced for result in self._results]
        own = sum(
            source.rows - len(source.bad) if source is not None else result.count
            for source, result in zip(traced, self._results, strict=True)
        )
        bad = sum(len(account.bad) for account in accounts)
        sources = tuple(SourceRows(name=account.name, rows=account.rows) for account in accounts)
        return self._ledger.close(sources, read=own + bad, train=train, eval_=eval_)

    def _problems(self, tally: Tally) -> tuple[RowProblem, ...]:
        request = self._request
        found: tuple[RowProblem, ...] = ()
        for query, result in zip(request.queries, self._results, strict=True):
            found += key_problems(query.id_column, result.key_problems())
        found += row_problems(self._ledger, request.limits, request.render)
        empty = emptiness(tally, request.split, self._ledger)
        if any(one.looked_at < one.rows for one in self._selection.strata):
            empty = tuple(too_small(problem, self._selection.strata) for problem in empty)
        classes = [self._parts[side].counts.classes for side in (TRAIN, EVAL)]
        return found or empty or class_problems(*classes)

    def _rows(self, started: Workers | None) -> None:
        done = 0
        rows = joined(self._selected()) if self._selection.strata else self._selected()
        with closing(compiled(self._spec(), rows, self._directory.parent, started)) as batches:
            for batch in batches:
                self._add(batch)
                done += batch.read
                self._progress("compiling rows", done, self._total)
        while self._left_out:
            self._account_for(self._left_out.popleft()[1])

    def _selected(self) -> Iterator[Rows]:
        """The rows that are to be compiled, in order: query after query.

        What is left out waits for the rows after it, which other processes may still compile.
        """
        number = 0
        for query, result in enumerate(self._results):
            place = 0
            for ids, columns in result.rows():
                chosen = self._selection.some(query, place, ids)
                place += len(ids)
                self._left_out.append((number, chosen.account))
                rows = chosen.rows(ids, columns, number)
                if len(rows):
                    yield rows
                number += len(rows)

    def _spec(self) -> RowSpec:
        request = self._request
        return RowSpec(
            tokenizer_file=self._locations.tokenizer,
            tokenizer=request.tokenizer,
            render=request.render,
            limits=request.limits,
            split=request.split,
            threshold=self._selection.threshold,
            shapes=self._results[0].shapes,
            backend=self._backend,
            lints=LintSpec(
                controls=special_tokens(self._locations.tokenizer),
                chat_template=request.render.chat_template,
                rows=self._total,
            ),
        )

    def _add(self, batch: Batch) -> None:
        while self._left_out and self._left_out[0][0] <= batch.number:
            self._account_for(self._left_out.popleft()[1])
        self._account_for(batch.account)
        if self._selection.strata:
            self._tally(batch.account)
        if batch.features is not None:
            lengths = batch.offsets[1:] - batch.offsets[:-1]
            self._lints.add(batch.features, sides=batch.sides, lengths=lengths, targets=batch.targets)
        for side, part in self._parts.items():
            part.add(batch.side(side))

    def _tally(self, lines: Iterable[Account]) -> None:
        for line in lines:
            key = line.fate, IN_GENERAL.get(line.fate, line.reason)
            before = self._worked.get(key) or Worked(*key, 0, 0)
            self._worked[key] = Worked(*key, before.rows + 1, before.more + line.more)

    def _account_for(self, lines: Iterable[Account]) -> None:
        for line in lines:
            self._ledger.add(line.id, line.fate, line.reason, line.code, more=line.more)
