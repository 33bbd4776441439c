"""Invariants of the plan, checked between passes; a violation is a bug of ftc, not of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.evaluation import METRICS, load
from ftc.plan.account import STAYING, Ledger
from ftc.plan.steps import DataStep, Part, Plan, SplitStep

REQUIRED = (
    "sources",
    "queries",
    "model",
    "tokenizer",
    "objective",
    "render",
    "limits",
    "selection",
    "split",
    "packing",
    "data",
    "tune",
    "train",
    "environment",
)


class InvalidPlanError(AssertionError):
    """A pass left a plan that cannot be true."""


def _part_problems(name: str, part: Part, plan: Plan) -> Iterator[str]:
    limit = plan.limits.max_length if plan.limits else None
    silent = plan.render is not None and plan.render.train_on == "nothing"
    if silent and part.trained_tokens:
        yield f"{name}: tokens are trained, though rows are not predicted"
    if not silent and not 0 < part.trained_tokens <= part.tokens:
        yield f"{name}: trained tokens are not between 1 and all tokens"
    if not 0 < part.shortest <= part.longest:
        yield f"{name}: lengths out of order"
    if limit is not None and part.longest > limit:
        yield f"{name}: a row is longer than the limit"


def _shards(plan: Plan) -> Iterator[str]:
    for name in ("train", "eval"):
        part = getattr(plan.data, name, None)
        if part is not None and part.rows != sum(shard.rows for shard in part.shards):
            yield f"{name}: the shards do not hold its rows"


def _line_problems(ledger: Ledger) -> Iterator[str]:
    for line in ledger.lines:
        if line.rows < 1 or line.more < 0:
            yield f"the ledger's line `{line.fate}` counts no row"
        if line.more and line.fate not in ("split", "unrolled"):
            yield f"the ledger's line `{line.fate}` makes several rows of one"
        if line.fate in STAYING and line.rows > ledger.train + ledger.eval + ledger.lost:
            yield f"the ledger's line `{line.fate}` counts more rows than there are"


def _ledger_problems(data: DataStep) -> Iterator[str]:
    yield from _line_problems(data.ledger)
    if data.ledger.unexplained:
        yield f"the ledger leaves {data.ledger.unexplained} rows unexplained"
    if data.ledger.train != data.train.rows:
        yield "the ledger's training rows are not those compiled"
    if data.ledger.eval != (data.eval.rows if data.eval else 0):
        yield "the ledger's held-out rows are not those compiled"


def _data(plan: Plan) -> Iterator[str]:
    if plan.data is None:
        return
    yield from _part_problems("train", plan.data.train, plan)
    if plan.data.eval is not None:
        yield from _part_problems("eval", plan.data.eval, plan)
    yield from _ledger_problems(plan.data)


def _sequences(plan: Plan) -> Iterator[str]:
    if plan.data is None or plan.data.sequences is None:
        return
    sequences, train = plan.data.sequences, plan.data.train
    if sequences.rows != train.rows + train.repeats:
        yield "the sequences do not hold every row as often as it is used"
    if not sequences.count <= sequences.rows <= sequences.tokens:
        yield "a sequence or a row is empty"
    if sequences.capacity is not None and sequences.longest > sequences.capacity:
        yield "a sequence is longer than the capacity"
    if plan.packing is not None and plan.packing.packed != (sequences.capacity is not None):
        yield "the sequences are not laid out as was decided"


def _named(split: SplitStep) -> set[str]:
    return {*split.keys, *(name for name in (split.stratify, split.column) if name is not None)}


def _query(plan: Plan) -> Iterator[str]:
    if plan.queries is None:
        return
    names = [column.name for column in plan.queries[0].columns]
    first = {column.name: column.type for column in plan.queries[0].columns}
    if any({column.name: column.type for column in query.columns} != first for query in plan.queries):
        yield "the queries return different columns"
    if len({query.name for query in plan.queries}) != len(plan.queries):
        yield "the queries' names are not distinct"
    if (len(plan.queries) > 1) and any(query.weight is None for query in plan.queries):
        yield "a query of a mix has no weight"
    if len(names) != len(set(names)):
        yield "the query's columns are not distinct"
    if plan.split is not None and not _named(plan.split) <= set(names):
        yield "the split names a column that the query does not return"
    dedupe = plan.selection.dedupe if plan.selection is not None else None
    if dedupe is not None and not set(dedupe.columns) <= set(names):
        yield "duplicates are told by a column that the query does not return"
    if plan.render is not None:
        taken = {name for name, source in plan.render.fields.items() if source is None}
        if not taken <= set(names):
            yield "the rendering takes a column that the query does not return"


def _render(plan: Plan) -> Iterator[str]:
    if plan.render is not None and (plan.render.form == "chat") != (plan.render.chat_template is not None):
        yield "a chat template goes with the chat form, and only with it"


def _train(plan: Plan) -> Iterator[str]:
    if plan.train is not None and plan.train.micro_batch * plan.train.accumulation != plan.train.batch:
        yield "micro-batches do not accumulate to the batch"
    if plan.train is None or plan.data is None or plan.data.sequences is not None:
        return
    if plan.data.train.repeats or (plan.packing is not None and plan.packing.packed):
        yield "packed or repeated rows are not laid out in sequences"


def _eval(plan: Plan) -> Iterator[str]:
    for suite in plan.all_suites:
        labelled = any(name in METRICS and load(name).needs == "labels" for name in suite.metrics)
        if labelled != bool(suite.labels):
            yield f"labels go with a metric among labels, and only with it ({suite.name})"
        if suite.harness is None and {gate.metric for gate in suite.gates} - set(suite.metrics):
            yield f"a gate is about what is not measured ({suite.name})"


def _choices(plan: Plan) -> Iterator[str]:
    keys = [choice.key for choice in plan.choices]
    if len(keys) != len(set(keys)):
        yield "a value was chosen twice"


INVARIANTS: tuple[Callable[[Plan], Iterator[str]], ...] = (
    _query,
    _render,
    _data,
    _sequences,
    _train,
    _eval,
    _choices,
)


def verify(plan: Plan, after: str, *, estimated: bool = False) -> None:
    """Check every invariant that the plan's filled-in parts allow; raises InvalidPlanError.

    `after` is the pass that made this plan, or `end` for the whole plan, in which nothing may be open. In one
    that is `estimated` the shards hold a sample of the rows.
    """
    invariants = INVARIANTS if estimated else (*INVARIANTS, _shards)
    problems = [problem for invariant in invariants for problem in invariant(plan)]
    if after == "end":
        problems += [f"{name} is still open" for name in REQUIRED if getattr(plan, name) is None]
    if problems:
        raise InvalidPlanError(f"after the pass `{after}`: {'; '.join(problems)}")
