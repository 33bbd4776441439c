"""The parts of a page in words and figures, as the template prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import dedent

from ftc.cli.forecast_view import gib, span
from ftc.cli.layout import clip, number, percent, plural
from ftc.cli.packing_view import sequence_lines
from ftc.cli.plan_view import (
    eval_lines,
    model_line,
    proof_line,
    render_line,
    split_line,
    train_lines,
    value_text,
)
from ftc.cli.tune_view import tune_line
from ftc.diagnostics import Finding
from ftc.lints import LINTS, describe
from ftc.lints.base import Linted
from ftc.plan.account import STAYING
from ftc.plan.steps import DataStep, Plan
from ftc.report.flow import WORDS
from ftc.report.material import Material
from ftc.report.text import WIDEST_ID

FIRST_IDS = 3
MOST_ROWS = 60
"""Rows of a table of digests; recipe.lock has all."""
TONES = {"error": "bad", "warning": "warn", "note": "plain"}

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure that stands at the head of the page."""

    value: str
    label: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A line of the ledger: its sign, its count, what became of the rows, why, and the first of them."""

    sign: str
    rows: str
    fate: str
    reason: str
    ids: str
    kind: str


@dataclass(frozen=True, slots=True)
class LintRow:
    """What a lint found: its code and name, how it is taken, in words, and the first rows."""

    code: str
    name: str
    level: str
    rows: str
    said: str
    help: tuple[str, ...]
    hits: tuple[Pair, ...]


def lede(plan: Plan) -> str:
    """What the plan does, in a sentence."""
    method = plan.tune.method if plan.tune else "training"
    objective = plan.objective.name if plan.objective else "training"
    base = plan.model.location if plan.model else "a model"
    steps = ""
    if plan.train is not None:
        unit = "packed sequence" if plan.packing is not None and plan.packing.packed else "row"
        steps = f" in {plural(plan.train.steps, 'step')} of {plural(plan.train.batch, unit)}"
    return f"{base}, tuned by {method} for {objective}{steps}."


def tiles(material: Material) -> tuple[Tile, ...]:
    """The figures that tell most, in order."""
    return (*_data_tiles(material.plan), *_model_tiles(material.plan), *_cost_tiles(material))


def _data_tiles(plan: Plan) -> Iterator[Tile]:
    data = plan.data
    if data is None:
        return
    held = f"{plural(data.eval.rows, 'row')} held out" if data.eval is not None else "none held out"
    yield Tile(number(data.train.rows), "rows to train on", held)
    share = percent(data.train.trained_tokens, data.train.tokens)
    if data.train.trained_tokens:
        yield Tile(
            number(data.train.trained_tokens), "tokens with loss", f"{share} of {number(data.train.tokens)}"
        )
    else:
        yield Tile(number(data.train.tokens), "tokens to read", "none of them is predicted")


def _model_tiles(plan: Plan) -> Iterator[Tile]:
    if plan.train is not None:
        epochs = f"{plan.train.epochs:.3g} {'epoch' if plan.train.epochs == 1 else 'epochs'}"
        yield Tile(number(plan.train.steps), "steps" if plan.train.steps != 1 else "step", epochs)
    tune = plan.tune
    if tune is not None and tune.parameters and tune.total:
        yield Tile(
            _millions(tune.parameters), "parameters train", f"of {_millions(tune.total)}, {tune.method}"
        )


def _millions(count: int) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return number(count)


def _cost_tiles(material: Material) -> Iterator[Tile]:
    own = material.forecasts.own if material.forecasts is not None else None
    if own is None:
        return
    if own.memory is not None:
        of = f"of {gib(own.memory.capacity)}, {own.device}" if own.memory.capacity else f"on {own.device}"
        yield Tile(gib(own.memory.needed), "memory at the peak", of)
    if own.duration is not None and material.run is None:
        cost = f"${own.cost.likely:,.2f} at the likely price" if own.cost is not None else f"on {own.device}"
        yield Tile(span(own.duration.total), "for the whole build", cost)


def ledger_rows(data: DataStep) -> tuple[LedgerRow, ...]:
    """The account as a table: what was read, each line, what is kept."""
    ledger = data.ledger
    rows = [LedgerRow("", number(ledger.read), "read", _made_of(data), "", "sum")]
    rows += [
        LedgerRow(
            "−",
            number(line.rows),
            WORDS[line.fate],
            clip(line.reason, 300),
            _ids(line.first_ids, line.rows),
            "lost",
        )
        for line in ledger.lines
        if line.fate not in STAYING
    ]
    if ledger.more:
        rows.append(
            LedgerRow("+", number(ledger.more), "made", "by splitting or unrolling rows", "", "changed")
        )
    kept = ledger.train + ledger.eval
    sides = f"{number(ledger.train)} to train on, {number(ledger.eval)} held out"
    rows.append(LedgerRow("=", number(kept), "kept", sides, "", "sum"))
    rows += [
        LedgerRow(
            "",
            number(line.rows),
            f"of these {WORDS[line.fate]}",
            clip(line.reason, 300),
            _ids(line.first_ids, line.rows),
            "changed",
        )
        for line in ledger.lines
        if line.fate in STAYING
    ]
    return tuple(rows)


def _made_of(data: DataStep) -> str:
    several = data.ledger.sources
    if len(several) == 1 and several[0].rows == data.ledger.read:
        return f"every row of {several[0].name}"
    return "made of " + ", ".join(f"{number(one.rows)} of {one.name}" for one in several[: FIRST_IDS * 4])


def _ids(ids: Sequence[str], rows: int) -> str:
    told = ", ".join(clip(one, WIDEST_ID) for one in ids[:FIRST_IDS])
    return f"{told}, …" if told and rows > FIRST_IDS else told


def part_rows(data: DataStep) -> tuple[tuple[str, ...], ...]:
    """Rows, tokens and lengths of both sides."""
    return tuple(
        (
            name,
            number(part.rows),
            number(part.tokens),
            f"{number(part.trained_tokens)} ({percent(part.trained_tokens, part.tokens)})",
            f"{number(part.shortest)} to {number(part.longest)}",
        )
        for name, part in (("train", data.train), ("held out", data.eval))
        if part is not None
    )


def data_facts(plan: Plan) -> tuple[Pair, ...]:
    """How rows are held out, rendered, masked and packed."""
    found: list[Pair] = []
    if plan.split is not None:
        found.append(("split", split_line(plan.split, plan.data)))
    if plan.render is not None:
        found.append(("rendering", render_line(plan.render)))
    if plan.data is not None and plan.render is not None:
        found.append(("masks", proof_line(plan.data, plan.render)))
    if plan.data is not None:
        found += sequence_lines(plan.data.sequences)
        found += [("classes", clip(", ".join(plan.data.classes), 400))] if plan.data.classes else []
    return tuple(found)


def training_facts(plan: Plan) -> tuple[Pair, ...]:
    """The model, what of it trains, the schedule, what is measured."""
    found: list[Pair] = []
    if plan.model is not None:
        found.append(("base", model_line(plan.model)))
    if plan.tune is not None:
        found.append(("method", tune_line(plan.tune)))
    if plan.train is not None and plan.objective is not None:
        sequences = plan.data.sequences if plan.data is not None else None
        found += [("training", told) for told in train_lines(plan.train, plan.objective.name, sequences)]
    if plan.data is not None:
        found += [("evaluation", told) for told in eval_lines(plan)]
    return tuple(found)


def arguments(plan: Plan) -> tuple[Pair, ...]:
    """Every argument of the trainer."""
    told = plan.train.arguments.items() if plan.train is not None else ()
    return tuple((key, clip(value_text(value), 200)) for key, value in told)


def choice_rows(material: Material) -> tuple[tuple[str, str, str], ...]:
    """What the recipe leaves open, with what was chosen and why."""
    chosen = material.forecasts.chosen if material.forecasts is not None else ()
    return tuple(
        (one.key, clip(value_text(one.value), 200), one.reason) for one in (*chosen, *material.plan.choices)
    )


def lint_rows(linted: Sequence[Linted]) -> tuple[LintRow, ...]:
    """The lints that found something, or could not look, the sternest first."""
    order = {"deny": 0, "warn": 1, None: 2, "allow": 3}
    found = [one for one in linted if one.result.rows or one.result.missing]
    return tuple(_lint(one) for one in sorted(found, key=lambda one: order[one.level]))


def _lint(linted: Linted) -> LintRow:
    level, result = linted
    missing = f"it takes the package {result.missing}: pip install 'ftc[lints]'" if result.missing else ""
    said = describe(result) if result.rows else None
    helps = (*(said.help if said else ()), *((missing,) if missing else ()))
    return LintRow(
        code=LINTS[result.lint].code,
        name=result.lint,
        level={None: "few", "allow": "allowed", "warn": "warning", "deny": "denied"}[level],
        rows=f"{number(result.rows)} of {plural(result.looked_at, 'row')}"
        if result.rows
        else "not looked for",
        said=said.message if said else "",
        help=helps,
        hits=tuple(
            (
                clip(f"{hit.id} and {hit.other}" if hit.other else hit.id, 2 * WIDEST_ID),
                clip(hit.excerpt, 300),
            )
            for hit in result.first
        ),
    )


def other_findings(findings: Sequence[Finding]) -> tuple[tuple[str, Finding], ...]:
    """What was found beside the lints, with how serious it is."""
    lints = {lint.code for lint in LINTS.values()}
    return tuple((TONES[one.severity.value], one) for one in findings if one.code not in lints)


def digest_rows(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """Every input by its digest: sources, the model's files, the template."""
    found = [
        ("source", f"{one.name}: {one.location}", one.sha256) for one in (plan.sources or ())[:MOST_ROWS]
    ]
    if plan.model is not None:
        revision = f" at {plan.model.revision}" if plan.model.revision else ""
        found.append(("model", f"{plan.model.location}{revision}, config.json", plan.model.config_sha256))
        found.append(("model", "tokenizer.json", plan.model.tokenizer_sha256))
        found += [("model", file.name, file.sha256) for file in plan.model.weights[:MOST_ROWS]]
    if plan.data is not None:
        shards = [shard.file for part in (plan.data.train, plan.data.eval) if part for shard in part.shards]
        found += [("compiled rows", file.name, file.sha256) for file in shards[:MOST_ROWS]]
    return tuple(found)


def packages(plan: Plan) -> tuple[Pair, ...]:
    """The packages beside ftc that decide what comes of it."""
    found = plan.environment.packages if plan.environment is not None else {}
    return tuple((name, release) for name, release in found.items() if name != "ftc")


def queries(plan: Plan) -> tuple[Pair, ...]:
    """The SQL of each query, by its name."""
    return tuple((one.name or "query", dedent(one.sql).strip()) for one in plan.queries or ())
