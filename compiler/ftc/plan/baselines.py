"""Baselines of suites: their rows with training examples before each prompt, compiled and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.compile import Locations, Request, compile_data, request_key
from ftc.data.query.run_query import QueryFailure
from ftc.diagnostics import Finding, Severity, Span
from ftc.facts.cache import Cache, CacheProblem, cache_key, code_digest
from ftc.facts.digests import file_digest
from ftc.facts.sources.base import UnreadableSource
from ftc.plan.compiling import data_findings
from ftc.plan.context import CompiledBaselines
from ftc.plan.steps import BaselineStep, ColumnType, LimitStep, Plan, QueryStep, SourceStep, SplitStep
from ftc.recipe.layers import Origins

if TYPE_CHECKING:
    from ftc.data.baselines import Kind
    from ftc.data.compile import Compiled
    from ftc.data.compiled_rows import Rows
    from ftc.plan.compiling_suites import SuiteCompiler

KIND = "fetched"
"""A source of rows that lies in the cache is found there under this kind, and checked before it is read."""
CODE = ("data", "plan/baselines.py")
FILE = "rows.jsonl"


@dataclass(frozen=True)
class Baselines:
    """The baselines that a suite asks for: `kinds` with so many training `examples` before each prompt."""

    name: str
    kinds: tuple[Kind, ...]
    examples: int
    suite: Rows
    origins: Origins
    span: Span | None


def compiled_baselines(compiler: SuiteCompiler, plan: Plan, asked: Baselines) -> CompiledBaselines:
    """The rows of each baseline of a suite, compiled or found in the cache."""
    wrong = _unfit(plan, asked)
    if wrong is not None:
        return CompiledBaselines((), (wrong,))
    steps: list[BaselineStep] = []
    findings: list[Finding] = []
    for kind in asked.kinds:
        try:
            made = _one(compiler, plan, asked, kind)
        except CacheProblem as problem:
            made = Finding(problem.code, problem.message, help=(problem.help,))
        except (QueryFailure, UnreadableSource) as failure:
            made = Finding("FTC566", f"the rows cannot be read once more: {failure}")
        if isinstance(made, Finding):
            return CompiledBaselines((), (made,))
        steps.append(made[0])
        findings += made[1]
    return CompiledBaselines(tuple(steps), tuple(findings))


def _unfit(plan: Plan, asked: Baselines) -> Finding | None:
    """Why training examples cannot stand before a suite's prompts."""
    renders = [plan.render, asked.suite.render]
    if all(one and one.form in ("chat", "completion") and not one.members for one in renders):
        return None
    message = "baselines put training examples with their answers before a prompt, and these rows have none"
    return Finding("FTC566", message, asked.span, help=("remove `baselines`",))


def _one(
    compiler: SuiteCompiler, plan: Plan, asked: Baselines, kind: Kind
) -> tuple[BaselineStep, tuple[Finding, ...]] | Finding:
    pool = compiler.training_rows(plan)
    directory = _rows(compiler, plan, asked, pool, kind)
    request, locations = _request(plan, asked.suite, directory, compiler.cache)
    locations = replace(locations, tokenizer=pool.locations.tokenizer)
    done = compile_data(request, locations, cache=compiler.cache, progress=compiler.progress)
    if done.step is None or done.directory is None:
        return _failed(compiler, asked, done)
    part = compiler.kept(done.step.train, f"{asked.name}-{kind}", done.directory)
    step = BaselineStep(
        kind=kind,
        examples=asked.examples,
        pool=min(plan.data.train.rows if plan.data else 0, _pool()),
        part=part,
        ledger=done.step.ledger,
    )
    return step, tuple(_left_out(asked, kind, step))


def _pool() -> int:
    from ftc.data.baselines import POOL

    return POOL


def _failed(compiler: SuiteCompiler, asked: Baselines, done: Compiled) -> Finding:
    found = data_findings(done, compiler.facts, asked.origins)
    reason = found[0].message if found else "no row is left"
    message = f"the suite `{asked.name}` cannot have training examples before its prompts: {reason}"
    return Finding("FTC566", message, asked.span, help=("write fewer `examples`",))


def _left_out(asked: Baselines, kind: Kind, step: BaselineStep) -> Iterator[Finding]:
    """A warning where examples and prompt do not fit the model's context."""
    for line in step.ledger.lines:
        if line.fate in ("too_long", "invalid", "unproved"):
            yield Finding(
                "FTC564",
                f"{line.rows:,} of {step.ledger.read:,} rows of `{asked.name}` are not measured with "
                f"{asked.examples} examples ({kind}): {line.reason}",
                asked.span,
                help=("write fewer `examples`",),
                severity=Severity.WARNING,
            )


def _rows(compiler: SuiteCompiler, plan: Plan, asked: Baselines, pool: Rows, kind: Kind) -> Path:
    """The directory with the rows as a source, made or found in the cache."""
    inputs = {
        "training": request_key(pool.request),
        "suite": [request_key(asked.suite.request), [shard.file.sha256 for shard in asked.suite.part.shards]],
    }
    options = {"kind": kind, "examples": asked.examples, "seed": plan.seed}
    key = cache_key(KIND, inputs, options, code=code_digest(*CODE))
    with compiler.cache.alone(KIND, key):
        return compiler.cache.entry(KIND, key) or _made(compiler, plan, asked, pool, kind, key)


def _made(compiler: SuiteCompiler, plan: Plan, asked: Baselines, pool: Rows, kind: Kind, key: str) -> Path:
    from ftc.data.baselines import asked_rows, write_rows

    eos = compiler.eos(plan)
    said = compiler.progress or (lambda *_: None)
    with compiler.cache.scratch() as scratch:
        sides = []
        for name, rows in (("suite", asked.suite), ("pool", pool)):
            (scratch / name).mkdir()
            sides.append(list(asked_rows(rows, eos, compiler.cache, scratch / name, said)))
        directory = scratch / "baseline"
        directory.mkdir()
        write_rows(kind, asked.examples, sides[0], sides[1], plan.seed, directory / FILE)
        return compiler.cache.adopt(KIND, key, directory)


def _request(plan: Plan, suite: Rows, directory: Path, cache: Cache) -> tuple[Request, Locations]:
    """How the rows are compiled: as the suite's, but for the columns that make them."""
    assert plan.model is not None  # noqa: S101 - the order of the passes
    chat = suite.render.form == "chat"
    names = {"messages": "JSON"} if chat else {"prompt": "VARCHAR", "completion": "VARCHAR"}
    source = SourceStep(
        name="rows",
        location=FILE,
        format="jsonl",
        options={"columns": {"id": "VARCHAR", **names}},
        files=(file_digest(directory / FILE, FILE, cache),),
    )
    types = {"id": "VARCHAR", **names}
    columns = tuple(ColumnType(name=name, type=kind) for name, kind in types.items())
    render = suite.render.model_copy(
        update={
            "fields": dict.fromkeys(names),
            "carried": (),
            "train_on": "last_assistant" if chat else "completion",
            "history": "keep" if chat else suite.render.history,
        }
    )
    request = Request(
        sources=(source,),
        queries=(QueryStep(sql="select * from rows", columns=columns, id_column="id", traced_source="rows"),),
        tokenizer=suite.request.tokenizer,
        tokenizer_sha256=suite.request.tokenizer_sha256,
        render=render,
        limits=LimitStep(max_length=plan.model.context_length, too_long="drop", invalid="drop"),
        split=SplitStep(fraction=None, rows=None, keys=(), seed=0),
    )
    return request, Locations(sources={"rows": (directory / FILE,)}, tokenizer=suite.locations.tokenizer)
