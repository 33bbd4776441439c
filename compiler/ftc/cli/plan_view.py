"""A plan on one screen: what would happen to the data and the model, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from ftc.cli.chain_view import chain_lines
from ftc.cli.forecast_view import forecast_sections
from ftc.cli.layout import LABEL, clip, number, pad, percent, plural, size, table, wrap
from ftc.cli.length_view import length_lines
from ftc.cli.lint_view import lint_lines
from ftc.cli.packing_view import batch_words, sequence_lines
from ftc.cli.sample_view import ABOUT, estimated_tokens, fate_range, is_estimated, sample_lines
from ftc.cli.terminal import Terminal, escape
from ftc.cli.training_view import option_lines, watch_lines
from ftc.cli.tune_view import tune_line
from ftc.plan.account import STAYING, LedgerLine
from ftc.plan.steps import (
    Choice,
    DataStep,
    EvalStep,
    ModelStep,
    Part,
    Plan,
    RenderStep,
    Sequences,
    SourceStep,
    SplitStep,
    TrainStep,
)

if TYPE_CHECKING:
    from ftc.api import PlanResult
    from ftc.plan.sampled import Sampling

Section = tuple[str, list[str]]
SHORT_DIGEST = 16
MINUS = "\N{MINUS SIGN}"
FIRST_IDS = 3


def sources_lines(sources: Sequence[SourceStep], data: DataStep | None) -> list[str]:
    """What is read: a line a source, and below it the digest by which a recipe can pin it."""
    read = {source.name for source in data.ledger.sources} if data is not None else None
    lines = []
    for source in sources:
        weight = size(sum(file.bytes for file in source.files))
        what = "a table" if source.format == "postgres" else plural(len(source.files), "file")
        unused = "" if read is None or source.name in read else "; no query reads it"
        lines.append(f"{source.name}: {source.location} ({what}, {weight}){unused}")
        lines.append(f"  {source.sha256}")
    return lines


def _ids(line: LedgerLine, width: int) -> str:
    ids = ", ".join(line.first_ids[:FIRST_IDS])
    more = line.rows > min(FIRST_IDS, len(line.first_ids))
    return clip(f"{ids}, …" if ids and more else ids, width) if ids else ""


def _fate(line: LedgerLine) -> str:
    words = line.fate.replace("_", " ")
    if line.more:
        return f"of these {words}, which made {plural(line.rows + line.more, 'row')}"
    return f"of these {words}" if line.fate in STAYING else words


def _counted(sign: str, rows: int, width: int) -> str:
    return pad(sign + number(rows), width, right=True)


def _fate_lines(line: LedgerLine, head: str, width: int, sampling: Sampling | None) -> list[str]:
    """A fate with its count and reason, the first row ids below."""
    indent = " " * (len(head) + 1)
    first, *rest = wrap(f"{_fate(line)}{fate_range(line, sampling)}: {line.reason}", width - len(indent))
    ids = _ids(line, width - len(indent) - 5)
    lines = [f"{head} {first}", *(indent + text for text in rest)]
    return [*lines, f"{indent}rows {ids}"] if ids else lines


def _made_of(data: DataStep) -> str:
    """What the rows were made of, where they are not simply those of one source."""
    sources = data.ledger.sources
    if len(sources) == 1 and sources[0].rows == data.ledger.read:
        return ""
    return f" (made of {', '.join(f'{number(source.rows)} of {source.name}' for source in sources)})"


def ledger_lines(data: DataStep, width: int, sampling: Sampling | None = None) -> list[str]:
    """The account of every row: read, minus each fate, is what trains and what is held out."""
    ledger = data.ledger
    kept = ledger.train + ledger.eval
    scaled = ABOUT if sampling is not None else ""
    room = len(number(max(ledger.read, kept))) + 1 + len(scaled)
    lines = [f"{_counted('', ledger.read, room)} read{_made_of(data)}"]
    for line in ledger.lines:
        if line.fate not in STAYING:
            sign = f"{ABOUT}{MINUS}" if is_estimated(line, sampling) else MINUS
            lines += _fate_lines(line, _counted(sign, line.rows, room), width, sampling)
    if ledger.more:
        lines.append(
            f"{_counted(f'{scaled}+', ledger.more, room)} more rows, made by splitting or unrolling some"
        )
    split = f": {number(ledger.train)} to train on, {number(ledger.eval)} held out" if ledger.eval else ""
    lines.append(f"{_counted(f'{scaled}=', kept, room)} kept{split}")
    for line in ledger.lines:
        if line.fate in STAYING:
            sign = ABOUT if is_estimated(line, sampling) else ""
            lines += _fate_lines(line, _counted(sign, line.rows, room), width, sampling)
    return lines


def proof_line(data: DataStep, render: RenderStep, compiled: int | None = None) -> str:
    """What is known of the masks; no kept row is without a proof. `compiled` counts those of a sample."""
    rows = plural(data.ledger.train + data.ledger.eval, "kept row")
    if compiled is not None:
        rows = plural(compiled, "kept row") + " of the sample"
    if render.train_on == "nothing":
        return f"no token of all {rows} is predicted: they are read whole" if render.closed else "none"
    if render.form == "text":
        return f"every token of all {rows} trains"
    if render.form == "completion":
        return f"known by construction for all {rows}: the completion and its end token"
    unproved = sum(line.rows for line in data.ledger.lines if line.fate == "unproved")
    dropped = f"; {plural(unproved, 'row')} without a proof left out" if unproved else ""
    return f"proved from the chat template for all {rows}{dropped}"


def _part_row(name: str, part: Part) -> tuple[str, ...]:
    lengths = f"{number(part.shortest)} to {number(part.longest)}"
    trained = f"{number(part.trained_tokens)} ({percent(part.trained_tokens, part.tokens)})"
    return name, number(part.rows), number(part.tokens), trained, lengths


def token_lines(data: DataStep) -> list[str]:
    """Rows, tokens, trained tokens and lengths of both parts, as a table."""
    rows = [("", "rows", "tokens", "with loss", "tokens a row"), _part_row("train", data.train)]
    if data.eval is not None:
        rows.append(_part_row("eval", data.eval))
    return table(rows, right=(1, 2, 3, 4))


def split_line(split: SplitStep, data: DataStep | None) -> str:
    """How rows are held out, and how many of a stated number are left once rows were dropped."""
    if not split.holds_out:
        return "none: every row trains"
    if split.column is not None:
        return f"held out as the column {split.column} says"
    if split.query is not None:
        return f"held out are the rows that split.query returns, told by their {', '.join(split.keys)}"
    within = f", of each {split.stratify} in proportion" if split.stratify is not None else ""
    share = percent(split.fraction, 1) if split.fraction is not None else plural(split.rows or 0, "row")
    said = f"{share} held out{within} by a hash of {', '.join(split.keys)} (seed {split.seed})"
    left = data.eval.rows if data is not None and data.eval is not None else None
    if split.rows is None or left is None or left >= split.rows:
        return said
    return f"{said}; {number(left)} of them are left after rows were dropped"


def model_line(model: ModelStep) -> str:
    """The base model and its precision."""
    revision = f" at {model.revision[:12]}" if model.revision else ""
    return (
        f"{model.location}{revision} ({model.architecture}, {model.dtype}, "
        f"context {number(model.context_length)}, vocabulary {number(model.vocabulary)})"
    )


def render_line(render: RenderStep) -> str:
    """What a row becomes, and which of its tokens train."""
    forms = {"chat": "the chat template", "completion": "prompt and completion", "text": "whole documents"}
    made = [name for name, source in render.fields.items() if source is not None]
    templates = f"; [render] makes {', '.join(made)}" if made else ""
    return f"{forms[render.form]}{templates}; trains on {render.train_on.replace('_', ' ')}"


def train_lines(train: TrainStep, objective: str, sequences: Sequences | None, scaled: str = "") -> list[str]:
    """The schedule: steps, batches, learning rate, checkpoints; `scaled` stands before estimated steps."""
    options: dict[str, Any] = train.arguments
    batch = batch_words(train, sequences)
    warm = options.get("warmup_steps")
    epochs = f"{train.epochs:.3g} {'epoch' if train.epochs == 1 else 'epochs'}"
    rate = f"learning rate {options.get('learning_rate'):g}, {options.get('lr_scheduler_type')}"
    return [
        f"{objective}: {scaled}{plural(train.steps, 'step')} of {batch}, {epochs}",
        rate + (f" after {warm} warm-up steps" if warm else ""),
        f"a checkpoint every {plural(train.save_every, 'step')}",
        *watch_lines(train.watch),
        *option_lines(options),
    ]


def eval_lines(plan: Plan) -> list[str]:
    """What is measured before and after: a line for each suite, its gates and baselines behind it."""
    if not plan.all_suites:
        return ["nothing is held out, so nothing is measured"]
    return [_suite_line(step, plan) for step in plan.all_suites]


def _suite_line(step: EvalStep, plan: Plan) -> str:
    gates = "".join(f"; gate: {gate.metric.replace('_', ' ')} {gate.text}" for gate in step.gates)
    if step.harness is not None:
        rows = f" on {plural(step.harness.limit, 'row')} each" if step.harness.limit else ""
        about = f"lm-evaluation-harness {step.harness.version}, not in the estimate"
        return f"{step.name}: {', '.join(step.harness.tasks)}{rows} ({about}), before and after{gates}"
    metrics = ", ".join(metric.replace("_", " ") for metric in step.metrics)
    held = plan.data.eval.rows if plan.data and plan.data.eval else 0
    rows = plural(held, "held-out row") if step.rows is None else plural(step.rows.part.rows, "row")
    name = "" if step.rows is None and step.name == "held_out" else f"{step.name}: "
    labels = f"; labels {', '.join(label.strip() for label in step.labels)}" if step.labels else ""
    asked = " and ".join(f"{one.kind.replace('_', ' ')} of {one.examples}" for one in step.baselines)
    beside = f"; the base with {asked} training examples too" if asked else ""
    return f"{name}{metrics} on {rows}, before and after{labels}{gates}{beside}"


def choice_lines(choices: Sequence[Choice], width: int) -> list[str]:
    """Each value the compiler picked, `key = value`, with its reason."""
    lines: list[str] = []
    for choice in choices:
        first, *rest = wrap(choice.reason, width - 4)
        lines += [
            f"{choice.key} = {clip(value_text(choice.value), width - len(choice.key) - 3)}",
            f"    {first}",
        ]
        lines += [f"    {text}" for text in rest]
    return lines


def value_text(value: Any) -> str:
    """A value of the plan in the recipe's words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, str) and value != value.strip():
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


def _wrapped(lines: Iterable[str], width: int) -> list[str]:
    return [part for line in lines for part in wrap(line, width)]


def _hint(data: DataStep, directory: Path | None, width: int) -> list[str]:
    """Where the rows that went are to be seen."""
    gone = data.ledger.lost
    if not gone or directory is None:
        return []
    them = "it" if gone == 1 else f"all {number(gone)}"
    return wrap(f"`ftc show --dropped` lists {them}, `ftc show --id ROW` shows one", width)


def _data_sections(result: PlanResult, plan: Plan, width: int) -> Iterable[Section]:
    if plan.sources:
        yield "sources", _wrapped(sources_lines(plan.sources, plan.data), width)
    sampling = result.sampling
    if sampling is not None:
        yield "sample", _wrapped(sample_lines(sampling), width)
    if plan.data is not None:
        rows = ledger_lines(plan.data, width, sampling)
        yield "rows", rows if sampling is not None else [*rows, *_hint(plan.data, result.data, width)]
    if plan.split is not None:
        yield "split", wrap(split_line(plan.split, plan.data), width)
    if plan.data is not None:
        yield "tokens", token_lines(plan.data) if sampling is None else estimated_tokens(plan.data, sampling)
        lengths = result.lengths
        if lengths is not None:
            yield "lengths", length_lines(lengths, width)
        yield from ((label, wrap(line, width)) for label, line in sequence_lines(plan.data.sequences))
    if plan.data is not None and plan.render is not None:
        compiled = None if sampling is None else sum(sampling.compiled.values())
        yield "masks", wrap(proof_line(plan.data, plan.render, compiled), width)
    if plan.data is not None and plan.data.classes:
        yield "classes", wrap(", ".join(plan.data.classes), width)
    if result.lints is not None:
        yield "lints", lint_lines(result.lints, width)


def _model_sections(plan: Plan, width: int) -> Iterable[Section]:
    one_line: list[tuple[str, Any, Callable[[Any], str]]] = [
        ("model", plan.model, model_line),
        ("render", plan.render, render_line),
        ("tune", plan.tune, tune_line),
    ]
    for label, step, line in one_line:
        if step is not None:
            yield label, wrap(line(step), width)


def _run_sections(result: PlanResult, plan: Plan, width: int) -> Iterable[Section]:
    if plan.train is not None and plan.objective is not None:
        sequences = plan.data.sequences if plan.data else None
        scaled = f"{ABOUT} " if result.sampling and "train.steps" in result.sampling.figures else ""
        yield "train", _wrapped(train_lines(plan.train, plan.objective.name, sequences, scaled), width)
    if plan.train is not None and plan.data is not None:
        yield "evaluate", [line for one in eval_lines(plan) for line in wrap(one, width)]
    if plan.environment is not None:
        packages = ", ".join(f"{name} {version}" for name, version in plan.environment.packages.items())
        varies = ", ".join(plan.train.varies) if plan.train is not None else ""
        same = f"; the last bits may change by: {varies}" if varies else ""
        yield "machine", wrap(f"{plan.environment.device}; {packages}{same}", width)


def _full_sections(plan: Plan) -> Iterable[Section]:
    """What only --verbose shows: the SQL, and every argument of the trainer."""
    for query in plan.queries or ():
        yield f"query {query.name}".strip(), dedent(query.sql).strip().split("\n")
    if plan.train is not None:
        yield "arguments", [f"{key} = {value_text(value)}" for key, value in plan.train.arguments.items()]


def plan_screen(result: PlanResult, plan: Plan, terminal: Terminal) -> list[str]:
    """All lines of `ftc plan`: the data, the model, the run, and the choices."""
    width = terminal.width - LABEL
    named = terminal.style(plan.name, "strong")
    lines = [f"{named}  plan {result.digest[:SHORT_DIGEST]}" if result.digest else named]
    if result.sampling is not None:
        lines = [f"{named}  an estimate, from a sample of the rows"]
    groups = [
        _data_sections(result, plan, width),
        _model_sections(plan, width),
        _run_sections(result, plan, width),
    ]
    if result.forecasts is not None:
        groups.append(forecast_sections(result.forecasts, width))
    if result.chain:
        groups.append((("chain", chain_lines(result.chain, width)),))
    if terminal.verbose:
        groups.append(_full_sections(plan))
    for group in groups:
        shown = [line for label, texts in group for line in labelled(label, texts, terminal)]
        lines += ["", *shown] if shown else []
    choices = (*(result.forecasts.chosen if result.forecasts else ()), *plan.choices)
    if choices:
        lines += ["", "Left open by the recipe, and chosen:"]
        lines += [f"  {escape(text)}" for text in choice_lines(choices, terminal.width - 2)]
    return lines


def labelled(label: str, texts: Sequence[str], terminal: Terminal) -> list[str]:
    """Lines with a label in front of the first."""
    head = terminal.style(pad(label, LABEL), "dim")
    rest = " " * LABEL
    return [((rest if index else head) + escape(text)).rstrip() for index, text in enumerate(texts)]
