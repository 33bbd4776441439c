"""Compile data: query, render, mask, tokenise, split, account; cached by all that decides the bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.example import Refusal, Rendered
from ftc.data.ingest import SourceAccount, UnreadableSource, ingest, is_whole, read_accounts
from ftc.data.ledger import LedgerWriter
from ftc.data.problems import (
    RowProblem,
    Tally,
    emptiness,
    key_problems,
    query_problem,
    row_problems,
)
from ftc.data.render import Renderer
from ftc.data.result import QueryFailure, Result, ResultRow
from ftc.data.shards import PartWriter
from ftc.data.shared_prompts import PromptHashes
from ftc.data.split import row_hash, threshold
from ftc.data.tokenise import Encoded, Encoder
from ftc.facts.cache import Cache, CacheProblem, cache_key, code_digest
from ftc.plan.steps import (
    DataStep,
    Ledger,
    LimitStep,
    Part,
    QueryStep,
    RenderStep,
    SourceRows,
    SourceStep,
    SplitStep,
    TokenizerStep,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

CODE = (
    "data",
    "facts/json_types.py",
    "facts/readers.py",
    "facts/sandbox.py",
    "facts/sql_tree.py",
    "plan/steps.py",
    "recipe/templates.py",
)
STEP = "step.json"
LEFT_OUT = "the query leaves the row out"
AUDITED_FIRST = 3
AUDITED_OF = 100
"""One row of this many is compared with transformers' own rendering, chosen by the hash of its id."""

Progress = Callable[[str, int, int | None], None]
_Batch = list[tuple[ResultRow, Rendered | Refusal]]


@dataclass(frozen=True)
class Request:
    """Everything that decides the compiled bytes."""

    sources: tuple[SourceStep, ...]
    queries: tuple[QueryStep, ...]
    tokenizer: TokenizerStep
    tokenizer_sha256: str
    render: RenderStep
    limits: LimitStep
    split: SplitStep


@dataclass(frozen=True)
class Locations:
    """Where the inputs are on this machine: each source's files in order, and tokenizer.json."""

    sources: Mapping[str, tuple[Path, ...]]
    tokenizer: Path


@dataclass(frozen=True)
class Compiled:
    """The compiled data and its directory, or the problems that prevented it.

    `ledger` is there as soon as the rows have been gone through, with problems too; `cached` says that
    nothing was read.
    """

    step: DataStep | None
    directory: Path | None
    problems: tuple[RowProblem, ...]
    cached: bool
    ledger: Ledger | None = None


def request_key(request: Request) -> str:
    """The key under which the result is kept."""
    steps = (*request.queries, request.tokenizer, request.render, request.limits, request.split)
    inputs = {
        "sources": [source.model_dump(mode="json", exclude={"location"}) for source in request.sources],
        "steps": [step.model_dump(mode="json") for step in steps],
        "tokenizer": request.tokenizer_sha256,
    }
    return cache_key("data", inputs, {}, code=code_digest(*CODE))


def compile_data(
    request: Request, locations: Locations, *, cache: Cache, progress: Progress | None = None
) -> Compiled:
    """The compiled rows of a request, from the cache where they are; mistakes come back as problems."""
    key = request_key(request)
    try:
        return _stored(cache, key) or _compiled(request, locations, cache, key, progress or _silent)
    except CacheProblem as problem:
        return _failed(RowProblem(problem.code, problem.message, (), help=(problem.help,)))
    except QueryFailure as failure:
        return _failed(query_problem(failure))
    except UnreadableSource as failure:
        message = f"the source `{failure.source}` cannot be read: {failure.reason}"
        return _failed(RowProblem("FTC210", message, ("data", "sources", failure.source)))


def _silent(stage: str, done: int, total: int | None) -> None:
    del stage, done, total


def _failed(*problems: RowProblem) -> Compiled:
    return Compiled(None, None, problems, cached=False)


def _stored(cache: Cache, key: str) -> Compiled | None:
    """The result of an earlier run; one whose files are not all there is removed."""
    directory = cache.entry("data", key)
    if directory is None:
        return None
    step = _whole_step(directory)
    if step is None:
        cache.drop("data", key)
        return None
    return Compiled(step, directory, (), cached=True, ledger=step.ledger)


def _whole_step(directory: Path) -> DataStep | None:
    try:
        step = DataStep.model_validate_json((directory / STEP).read_bytes())
    except (OSError, ValueError):
        return None
    parts = [part for part in (step.train, step.eval) if part is not None]
    files = [shard.file for part in parts for shard in part.shards]
    whole = all(
        (directory / file.name).is_file() and (directory / file.name).stat().st_size == file.bytes
        for file in files
    )
    return step if whole else None


def _compiled(request: Request, locations: Locations, cache: Cache, key: str, progress: Progress) -> Compiled:
    progress("reading sources", 0, None)
    sources = _sources(request, locations, cache)
    with cache.scratch() as scratch:
        directory = scratch / "data"
        directory.mkdir()
        progress("running the query", 0, None)
        with Result(request.queries[0], sources, read_accounts(sources), scratch) as result:
            work = _Work(request, locations, result, directory, progress)
            step, ledger, problems = work.run(read_accounts(sources))
        if step is None:
            return Compiled(None, None, problems, cached=False, ledger=ledger)
        (directory / STEP).write_text(step.model_dump_json(), encoding="utf-8")
        return Compiled(step, cache.adopt("data", key, directory), (), cached=False, ledger=ledger)


def _sources(request: Request, locations: Locations, cache: Cache) -> Path:
    """The directory with the rows of the sources that the query reads; read once for many queries."""
    used = _used(request)
    inputs = {"sources": [source.model_dump(mode="json", exclude={"location"}) for source in used]}
    key = cache_key("sources", inputs, {}, code=code_digest(*CODE))
    found = cache.entry("sources", key)
    if found is not None and is_whole(found):
        return found
    if found is not None:
        cache.drop("sources", key)
    with cache.scratch() as scratch:
        directory = scratch / "sources"
        directory.mkdir()
        ingest(used, locations.sources, directory)
        return cache.adopt("sources", key, directory)


def _used(request: Request) -> tuple[SourceStep, ...]:
    from ftc.facts import sql_tree
    from ftc.facts.sandbox import connect

    con = connect()
    try:
        tree = sql_tree.parse(con, request.queries[0].sql)
    finally:
        con.close()
    names = sql_tree.read_sources(tree, [source.name for source in request.sources]) if tree else ()
    return tuple(source for source in request.sources if source.name in names)


class _Work:
    """One compilation: the rows of a result on their way to shards and ledger."""

    def __init__(
        self, request: Request, locations: Locations, result: Result, directory: Path, progress: Progress
    ) -> None:
        self._request, self._result, self._progress = request, result, progress
        tokenizer, render = request.tokenizer, request.render
        self._encoder = Encoder(
            locations.tokenizer, tokenizer, request.limits, bos=render.form in ("completion", "text")
        )
        self._renderer = Renderer(render, tokenizer, self._encoder.eos)
        self._ledger = LedgerWriter(directory)
        self._directory, self._prompts = directory, PromptHashes()
        self._train, self._eval = PartWriter(directory, "train"), PartWriter(directory, "eval")
        self._threshold = self._split_threshold()
        self._seen = 0

    def _split_threshold(self) -> int:
        split = self._request.split
        if split.rows is None:
            return threshold(split, ())
        rows = self._result.column_values(split.keys)
        return threshold(split, (row_hash(split, row) for row in rows))

    def run(
        self, accounts: Sequence[SourceAccount]
    ) -> tuple[DataStep | None, Ledger, tuple[RowProblem, ...]]:
        """Go through all rows; the step is None where there are problems."""
        try:
            self._unread(accounts)
            total = self._result.count
            self._rows(total)
            train, eval_ = self._train.close(), self._eval.close()
            ledger = self._close_ledger(accounts, total, train, eval_)
        except BaseException:
            self._ledger.abandon()
            raise
        names = [account.name for account in accounts]
        problems = self._problems(Tally(names, ledger.read, total, train.rows, eval_.rows))
        if problems:
            return None, ledger, problems
        step = DataStep(
            train=train,
            eval=eval_ if eval_.rows else None,
            ledger=ledger,
            shared_prompts=self._prompts.shared(self._directory, eval_),
            labels=self._train.labels,
            longest_target=max(self._train.counts.longest_answer, self._eval.counts.longest_answer),
        )
        return step, ledger, ()

    def _unread(self, accounts: Sequence[SourceAccount]) -> None:
        for account in accounts:
            for bad in account.bad:
                self._ledger.add(bad.place, "invalid", bad.reason, bad.code)
        for id_ in self._result.filtered():
            self._ledger.add(id_, "filtered", LEFT_OUT)

    def _close_ledger(
        self, accounts: Sequence[SourceAccount], total: int, train: Part, eval_: Part
    ) -> Ledger:
        traced = self._result.traced
        own = traced.rows if traced is not None else total
        bad = sum(len(account.bad) for account in accounts if account != traced)
        sources = tuple(SourceRows(name=account.name, rows=account.rows) for account in accounts)
        return self._ledger.close(sources, read=own + bad, train=train.rows, eval_=eval_.rows)

    def _problems(self, tally: Tally) -> tuple[RowProblem, ...]:
        request = self._request
        found = key_problems(request.queries[0].id_column, self._result.key_problems())
        found += row_problems(self._ledger, request.limits, request.render)
        return found or emptiness(tally, request.split, self._ledger)

    def _rows(self, total: int) -> None:
        """Render and encode at once: a batch is rendered while the one before it is encoded."""
        from concurrent.futures import ThreadPoolExecutor

        before: tuple[_Batch, Future[list[Encoded | Refusal]]] | None = None
        with ThreadPoolExecutor(1) as encoding:
            for rows in self._result.rows():
                batch = [(row, self._rendered(row)) for row in rows]
                texts = [rendered for _, rendered in batch if isinstance(rendered, Rendered)]
                ahead = encoding.submit(self._encoder.encode, texts)
                if before is not None:
                    self._account(before[0], before[1].result())
                before = batch, ahead
                self._progress("compiling rows", self._seen, total)
            if before is not None:
                self._account(before[0], before[1].result())

    def _account(self, batch: _Batch, encoded: Sequence[Encoded | Refusal]) -> None:
        done = iter(encoded)
        for row, rendered in batch:
            outcome = next(done) if isinstance(rendered, Rendered) else rendered
            if isinstance(outcome, Refusal):
                self._ledger.refuse(row.id, outcome)
            else:
                assert isinstance(rendered, Rendered)  # noqa: S101 - only a rendering is encoded
                self._keep(row, rendered, outcome)

    def _rendered(self, row: ResultRow) -> Rendered | Refusal:
        self._seen += 1
        rendered = self._renderer(row.values)
        if isinstance(rendered, Rendered) and self._audited(row):
            return self._renderer.audit(row.values, rendered) or rendered
        return rendered

    def _audited(self, row: ResultRow) -> bool:
        chosen = int.from_bytes(sha256(row.id.encode()).digest()[:8], "big") % AUDITED_OF == 0
        return chosen or self._seen <= AUDITED_FIRST

    def _keep(self, row: ResultRow, rendered: Rendered, encoded: Encoded) -> None:
        if encoded.truncated:
            self._ledger.add(row.id, "truncated", f"cut to {len(encoded.ids)} tokens")
        split = self._request.split
        held_out = bool(self._threshold) and row_hash(split, row.values) < self._threshold
        self._prompts.add(rendered, held_out=held_out)
        (self._eval if held_out else self._train).add(row.id, encoded)
