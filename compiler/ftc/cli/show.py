"""`ftc show`: examples as the model will see them, the way of a row, and the rows that went."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.data.kept.lineage import Lineage
    from ftc.data.kept.lookup import Order
    from ftc.data.kept.shown import ShownExample
    from ftc.jobs.results import AccountResult, ExamplesResult, TraceResult

FEW, MANY = 3, 20


@dataclass(frozen=True)
class Wanted:
    """What of the compiled rows is to be shown, and how."""

    rows: int | None
    part: Any
    order: Order
    ids: tuple[str, ...]
    fates: tuple[Any, ...]
    dropped: bool
    full: bool
    tokens: bool
    raw: bool = False

    @property
    def problem(self) -> str:
        """What contradicts itself in it, in a sentence; empty if nothing does."""
        account = self.dropped or bool(self.fates)
        if self.raw and not self.ids:
            return "--raw needs --id: other rows are shown as they were compiled"
        rows = self.order != "first" or self.part == "eval"
        if self.ids and (self.rows is not None or account or rows):
            return (
                "--id names the rows; --rows, --eval, --longest, --random, --dropped and --fate choose others"
            )
        if account and rows:
            return "--dropped and --fate list rows of the ledger, which have no side and no length"
        if account and self.tokens:
            return "--tokens needs --id, or compiled rows"
        return ""


def _order(*, longest: bool, random: bool) -> Order:
    if longest and random:
        raise click.UsageError("--longest and --random contradict each other")
    return "longest" if longest else "random" if random else "first"


def _fates(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    from typing import get_args

    from ftc.plan.account import Fate

    for fate in value:
        if fate not in get_args(Fate):
            close = get_close_matches(fate, get_args(Fate), n=1)
            meant = f"did you mean `{close[0]}`?" if close else f"the fates are {', '.join(get_args(Fate))}"
            raise click.BadParameter(f"there is no fate `{fate}`; {meant}")
    return value


@click.command(
    "show",
    epilog=epilog(
        "ftc show recipe.toml --eval --rows 1",
        "ftc show recipe.toml --id tickets:17 --tokens",
        "ftc show recipe.toml --fate too_long --rows 100",
    ),
)
@click.option(
    "--rows",
    type=click.IntRange(1),
    metavar="N",
    help=f"How many rows; by default {FEW} examples, or {MANY} rows of the ledger.",
)
@click.option("--eval", "held_out", is_flag=True, help="Show held-out rows instead of training rows.")
@click.option("--longest", is_flag=True, help="Show the rows of most tokens.")
@click.option("--random", is_flag=True, help="Show rows that a hash of their ids picks: always the same.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Show the way of this row; may be repeated.")
@click.option("--dropped", is_flag=True, help="List rows that were not kept, and why.")
@click.option(
    "--fate",
    "fates",
    multiple=True,
    callback=_fates,
    metavar="FATE",
    help="List rows with this fate in the ledger, such as filtered, too_long or truncated; may be repeated.",
)
@click.option("--raw", is_flag=True, help="With --id: show values with what `redact` replaces.")
@click.option("--tokens", is_flag=True, help="Show every token with its id and whether it carries loss.")
@click.option("--full", is_flag=True, help="Show long stretches without loss, and long values, in full.")
@recipe_options
def command(  # noqa: PLR0913 - one for each option
    request: Request,
    *,
    rows: int | None,
    held_out: bool,
    longest: bool,
    random: bool,
    ids: tuple[str, ...],
    dropped: bool,
    fates: tuple[str, ...],
    raw: bool,
    tokens: bool,
    full: bool,
) -> int:
    """Show examples as the model will see them, or what became of a row.

    Every token is there, control tokens too; those that carry loss are coloured or, without colour, stand
    in ⟦brackets⟧. A line end in the text is shown as ⏎.

    --id shows the whole way of a row: its source's row, the query's row, its side and why, how it was
    changed, the training sequence it is in, its text; or why it went. Of a row that was split or
    unrolled it shows all parts; ROW/2 names one of them. What [data] redact replaces is replaced in its
    values too, unless --raw is given.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", ...}, ...]}, one result a
    recipe. It adds "examples": [{"id", "part", "length", "trained", "tokens": [[text, trained], ...]}, ...];
    with --id "rows": [{"id", "query", "source", "values", "side", "why", "fate", "reason", "changes",
    "text", "examples"}, ...]; with --dropped or --fate "rows": [{"id", "fate", "reason"}, ...] and "total".
    """
    order = _order(longest=longest, random=random)
    part = "eval" if held_out else "train"
    wanted = Wanted(rows, part, order, ids, fates, dropped, full, tokens, raw)
    if wanted.problem:
        raise click.UsageError(wanted.problem)
    from ftc.cli.findings import document, report_findings, result_json

    shown = []
    for recipe in request.recipes:
        result = _result(request, recipe, wanted)
        shown.append(result)
        if not request.json:
            report_findings(result.findings, request.style, request.terminal)
            _print(result, request, wanted)
    if request.json:
        results = [result_json(one.path, one.findings, _json(one, wanted)) for one in shown]
        request.terminal.document(document("show", results))
    return max((exit_code(result.findings) for result in shown), default=FINE)


def _result(request: Request, recipe: Path, wanted: Wanted) -> ExamplesResult | TraceResult | AccountResult:
    from ftc import api
    from ftc.cli.progress import data_progress

    overrides = request.overrides
    with data_progress(request) as progress:
        if wanted.ids:
            return api.trace(recipe, wanted.ids, set=overrides, raw=wanted.raw, progress=progress)
        if wanted.dropped or wanted.fates:
            many = wanted.rows or MANY
            return api.account(recipe, set=overrides, fates=wanted.fates, rows=many, progress=progress)
        few, part, order = wanted.rows or FEW, wanted.part, wanted.order
        return api.examples(recipe, set=overrides, rows=few, part=part, order=order, progress=progress)


def _print(result: ExamplesResult | TraceResult | AccountResult, request: Request, wanted: Wanted) -> None:
    from ftc.cli.example_view import legend

    terminal = request.terminal
    if len(request.recipes) > 1:
        terminal.lines([terminal.style(str(result.path), "accent"), ""])
    for block in _blocks(result, request, wanted):
        terminal.lines([*block, ""])
    if _has_text(result) and not terminal.quiet and not wanted.tokens:
        terminal.out(legend(terminal))


def _has_text(result: ExamplesResult | TraceResult | AccountResult) -> bool:
    from ftc.jobs.results import AccountResult, TraceResult

    if isinstance(result, TraceResult):
        return any(row.examples or row.text for row in result.rows)
    return not isinstance(result, AccountResult) and bool(result.examples)


def _blocks(
    result: ExamplesResult | TraceResult | AccountResult, request: Request, wanted: Wanted
) -> list[list[str]]:
    from ftc.cli.example_view import example_lines
    from ftc.cli.lineage_view import account_lines, lineage_lines, token_lines
    from ftc.jobs.results import AccountResult, TraceResult

    terminal, full, tokens = request.terminal, wanted.full, wanted.tokens
    if isinstance(result, TraceResult):
        return [lineage_lines(row, terminal, full=full, tokens=tokens) for row in result.rows]
    if isinstance(result, AccountResult):
        return [account_lines(result.rows, result.total, terminal)] if result.ok else []
    if tokens:
        return [
            [example_lines(example, terminal)[0], *token_lines(example.each, terminal)]
            for example in result.examples
        ]
    return [example_lines(example, terminal, full=full) for example in result.examples]


def _example_json(example: ShownExample, *, each: bool) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": example.id,
        "part": example.part,
        "length": example.length,
        "trained": example.trained,
        "tokens": [[text, trained] for text, trained in example.tokens],
    }
    if example.members:
        value["members"] = [
            {
                "name": member.name,
                "length": member.length,
                "trained": member.trained,
                "tokens": [[text, trained] for text, trained in member.tokens],
            }
            for member in example.members
        ]
    if each:
        value["each"] = [list(token) for token in example.each]
    if example.packed is not None:
        packed = example.packed
        value["sequence"] = {
            "number": packed.number,
            "of": packed.of,
            "tokens": packed.tokens,
            "capacity": packed.capacity,
            "rows": list(packed.rows),
            "also": list(packed.also),
        }
    return value


def _lineage_json(row: Lineage) -> dict[str, Any]:
    from ftc.cli.lineage_view import plain, source_json

    return {
        "id": row.id,
        "query": row.query,
        "source": source_json(row.source),
        "values": plain(row.values),
        "side": row.side,
        "why": row.why,
        "fate": row.fate,
        "reason": row.reason,
        "changes": [{"id": one.id, "fate": one.fate, "reason": one.reason} for one in row.changes],
        "text": [list(stretch) for stretch in row.text],
        "examples": [_example_json(example, each=True) for example in row.examples],
    }


def _json(result: ExamplesResult | TraceResult | AccountResult, wanted: Wanted) -> dict[str, Any]:
    from ftc.jobs.results import AccountResult, TraceResult

    if isinstance(result, TraceResult):
        return {"rows": [_lineage_json(row) for row in result.rows]}
    if isinstance(result, AccountResult):
        rows = [{"id": row.id, "fate": row.fate, "reason": row.reason} for row in result.rows]
        return {"rows": rows, "total": result.total}
    return {"examples": [_example_json(example, each=wanted.tokens) for example in result.examples]}
