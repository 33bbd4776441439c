"""What the compiled rows say about the recipe: problems with the setting that each belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftc.data.kept.ledger import Examples, LedgerWriter
from ftc.data.query.result import KeyProblems
from ftc.data.query.run_query import QueryFailure
from ftc.diagnostics import Severity
from ftc.facts.bounds import GIGABYTES, SECONDS
from ftc.plan.steps import LimitStep, RenderStep, SplitStep

Key = tuple[str, ...]


@dataclass(frozen=True)
class RowProblem:
    """Something wrong with rows: a code, a sentence, and the key of the recipe's setting it belongs to.

    `inside` is a stretch of characters of that setting's text (the SQL). `place` names the first row
    (an id, or `file:line`), `rows` counts them, `notes` list the first ones with their reasons.
    """

    code: str
    message: str
    at: Key
    inside: tuple[int, int] | None = None
    place: str = ""
    rows: int = 0
    help: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class _Kind:
    message: Callable[[int, LimitStep], str]
    at: Key
    help: tuple[str, ...]


def _rows(count: int, one: str, several: str) -> str:
    return f"one row {one}" if count == 1 else f"{count:,} rows {several}"


DROP_INVALID = 'repair them, or write invalid = "drop" in [data] to leave them out and count them'
INVALID = ("data", "invalid")

KINDS: dict[str, _Kind] = {
    "FTC210": _Kind(
        lambda n, _: _rows(n, "of a source cannot be parsed", "of the sources cannot be parsed"),
        INVALID,
        (DROP_INVALID,),
    ),
    "FTC211": _Kind(
        lambda n, _: _rows(n, "is not in its file's encoding", "are not in their file's encoding"),
        INVALID,
        ('for CSV state it: encoding = "latin-1"; JSONL is always UTF-8', DROP_INVALID),
    ),
    "FTC304": _Kind(
        lambda n, _: _rows(n, "makes its template fail", "make their template fail"),
        ("render",),
        ("handle the case in the template", DROP_INVALID),
    ),
    "FTC305": _Kind(
        lambda n, _: _rows(n, "has a mask that cannot be proved", "have a mask that cannot be proved"),
        ("render", "unproved"),
        ('write unproved = "drop" in [render] to leave such rows out and count them',),
    ),
    "FTC308": _Kind(
        lambda n, _: _rows(n, "trains a turn in history form", "train a turn in history form"),
        ("render", "unproved"),
        (
            'write train_on = "last_assistant" in [render]',
            "where the template thinks unless told otherwise: variables = { enable_thinking = false }",
            'or unproved = "drop" to leave such rows out and count them',
        ),
    ),
    "FTC312": _Kind(
        lambda n, _: _rows(
            n,
            "has a prompt that inference encodes otherwise",
            "have prompts that inference encodes otherwise",
        ),
        ("render", "unproved"),
        (
            'trim the answers, or write train_on = "last_assistant" in [render]',
            'or unproved = "drop" to leave such rows out and count them',
        ),
    ),
    "FTC603": _Kind(
        lambda n, limits: _rows(
            n, f"is longer than {limits.max_length} tokens", f"are longer than {limits.max_length} tokens"
        ),
        ("data", "too_long"),
        ('raise data.max_length, or write too_long = "drop" or "truncate" in [data]',),
    ),
    "FTC604": _Kind(lambda n, _: _rows(n, "is invalid", "are invalid"), INVALID, (DROP_INVALID,)),
    "FTC606": _Kind(
        lambda n, _: _rows(n, "would train nothing", "would train nothing"),
        ("render", "train_on"),
        ('leave them out in the query, or write invalid = "drop" in [data]',),
    ),
    "FTC815": _Kind(
        lambda n, _: _rows(n, "has an id that holds what is redacted", "have ids that hold what is redacted"),
        ("data", "id"),
        ("name another column, or remove the line: rows are then known by their place",),
    ),
}


def _listed(examples: Examples) -> tuple[str, ...]:
    lines = [f"{place}: {reason}" for place, reason in examples.first]
    rest = examples.rows - len(lines)
    return tuple(lines) + ((f"and {rest:,} more",) if rest else ())


def row_problems(ledger: LedgerWriter, limits: LimitStep, render: RenderStep) -> tuple[RowProblem, ...]:
    """The problems that the recipe's policies make of rows that were not kept."""
    codes = ["FTC815"]
    if limits.invalid == "error":
        codes += ["FTC210", "FTC211", "FTC304", "FTC604", "FTC606"]
    if render.unproved == "error":
        codes += ["FTC305", "FTC308", "FTC312"]
    if limits.too_long == "error":
        codes += ["FTC603"]
    found = [(code, ledger.examples(code)) for code in codes]
    return tuple(_problem(code, examples, limits) for code, examples in found if examples is not None)


def _problem(code: str, examples: Examples, limits: LimitStep) -> RowProblem:
    kind = KINDS[code]
    return RowProblem(
        code=code,
        message=kind.message(examples.rows, limits),
        at=kind.at,
        place=examples.first[0][0],
        rows=examples.rows,
        help=kind.help,
        notes=_listed(examples),
    )


def key_problems(column: str | None, found: KeyProblems | None) -> tuple[RowProblem, ...]:
    """Nulls and duplicates in the declared id column."""
    problems = []
    if found and found.nulls:
        problems.append(
            RowProblem(
                code="FTC212",
                message=_rows(found.nulls, f"has no `{column}`", f"have no `{column}`"),
                at=("data", "id"),
                place=found.null_rows[0],
                rows=found.nulls,
                help=(f"leave them out: where {column} is not null",),
                notes=found.null_rows,
            )
        )
    if found and found.duplicates:
        problems.append(
            RowProblem(
                code="FTC605",
                message=f"{found.duplicates:,} rows share their `{column}` with another row",
                at=("data", "id"),
                place=found.duplicate_rows[0][1],
                rows=found.duplicates,
                help=("name a column that is different in each row, or remove the line",),
                notes=tuple(f"{value}: {place}" for value, place in found.duplicate_rows),
            )
        )
    return tuple(problems)


ENDLESS = (
    "join on a condition, and give WITH RECURSIVE an end",
    f"if it is right, allow it more: set {SECONDS} or {GIGABYTES} in the environment",
)


def query_problem(failure: QueryFailure) -> RowProblem:
    """A query that fails on some row, or that was stopped at a limit."""
    if failure.endless:
        return RowProblem(
            code="FTC219",
            message=f"the query was stopped: {failure.message}",
            at=failure.key,
            inside=(failure.start, failure.end),
            help=ENDLESS,
        )
    return RowProblem(
        code="FTC213",
        message=f"the query fails while it runs: {failure.message}",
        at=failure.key,
        inside=(failure.start, failure.end),
        help=("try_cast gives a null where a value does not convert",) if "onver" in failure.message else (),
    )


@dataclass(frozen=True)
class Tally:
    """Rows at each stage: in the sources, out of the query, on both sides of the split."""

    sources: Sequence[str]
    read: int
    returned: int
    train: int
    eval: int


def emptiness(tally: Tally, split: SplitStep, ledger: LedgerWriter) -> tuple[RowProblem, ...]:
    """Nothing to train on, or nothing to evaluate on though it was asked for; says where the rows went."""
    asked = split.holds_out
    if tally.train == 0:
        return (_nothing_to_train(tally, ledger),)
    if asked and tally.eval == 0:
        return (_nothing_held_out(tally, split),)
    return ()


def _nothing_to_train(tally: Tally, ledger: LedgerWriter) -> RowProblem:
    code = "FTC601"
    if tally.read == 0:
        names = ", ".join(f"`{name}`" for name in tally.sources)
        at = ("data", "sources", tally.sources[0]) if len(tally.sources) == 1 else ("data", "sources")
        return RowProblem(code, f"there is nothing to train on: {names} has no rows", at)
    if tally.returned == 0 and ledger.rows("invalid") < tally.read:
        message = f"there is nothing to train on: the query keeps none of the {tally.read:,} rows it reads"
        return RowProblem(code, message, ("data", "query"), help=("loosen its conditions",))
    if tally.eval:
        message = f"there is nothing to train on: all {tally.eval:,} rows are held out"
        return RowProblem(code, message, ("data", "split"), help=("hold out fewer rows",))
    fates = ("invalid", "sampled_out", "duplicate", "unmixed", "too_long", "unproved", "untrained")
    counts = [(ledger.rows(fate), fate.replace("_", " ")) for fate in fates]  # type: ignore[arg-type]
    went = ", ".join(f"{count:,} {fate}" for count, fate in counts if count)
    return RowProblem(code, f"there is nothing to train on: every row was dropped ({went})", ("data",))


def _nothing_held_out(tally: Tally, split: SplitStep) -> RowProblem:
    if split.column is not None or split.query is not None:
        key = "column" if split.column is not None else "query"
        return RowProblem(
            code="FTC602",
            message=f"no row is held out, though data.split.{key} should say which",
            at=("data", "split", key),
            help=("hold out a part of the rows instead: eval = 0.1",),
        )
    asked = f"{split.fraction:g} of the rows" if split.fraction is not None else f"{split.rows} rows"
    return RowProblem(
        code="FTC602",
        message=f"no row is held out, though {asked} should be: there are {tally.train:,} rows in all",
        at=("data", "split", "eval"),
        help=(
            "hold out a number of rows instead, such as eval = 1",
            "or remove the line to hold out nothing",
        ),
    )


def jobs_problem(stated: str) -> RowProblem:
    """`FTC_JOBS` that is not a number of processes."""
    return RowProblem(
        code="FTC719",
        message=f"FTC_JOBS is not a number of processes: `{stated}`",
        at=(),
        help=("set it to 1 or more, or unset it: then there is one process for each core",),
    )


def killed_problem(name: str) -> RowProblem:
    """A worker process that was ended from outside."""
    return RowProblem(
        code="FTC718",
        message=f"a process that compiles rows was ended by {name}",
        at=(),
        help=(
            "run the same command again",
            "if memory ran out, use fewer processes: FTC_JOBS=1",
        ),
    )


def unfit_note(backend: str, reference: str, reason: str) -> RowProblem:
    """A tokenizer library that could not serve, so that another one did."""
    return RowProblem(
        code="FTC622",
        message=f"the rows were encoded by `{reference}`, because `{backend}` cannot be used: {reason}",
        at=(),
        severity=Severity.NOTE,
    )
