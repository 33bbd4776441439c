"""README.md of a run: the hub's metadata, what it is for, what it changed, how to load and rebuild it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ftc import __version__
from ftc.artifact.cards import origin, results
from ftc.artifact.cards.loading import loading
from ftc.artifact.cards.markdown import code, plain, prose, sections, table
from ftc.artifact.cards.metadata import fields, yaml_block
from ftc.artifact.cards.stated import stated
from ftc.artifact.chain import ChainedRun, bases
from ftc.artifact.documents import Finished
from ftc.plan.steps import Plan
from ftc.recipe.card import Card

UNSAID = "The recipe does not say.\n"
ARGUMENTS = {
    "learning_rate": "learning rate",
    "lr_scheduler_type": "schedule",
    "warmup_steps": "warm-up steps",
    "weight_decay": "weight decay",
    "max_grad_norm": "largest norm of the gradient",
    "optim": "optimizer",
    "bf16": "computation in bfloat16",
    "fp16": "computation in float16",
}
"""Arguments of the trainer that the card tells, in this order."""

REPRODUCE = """`ftc verify . --rebuild`, in this directory, makes the run again from recipe.toml and the
inputs that recipe.lock lists, and compares every weight: the same on the same kind of machine
(environment.json). `sha256sum -c MANIFEST.sha256` checks the files.
"""


def _summary(plan: Plan) -> str:
    base = code(plan.model.location) if plan.model else "a base model"
    method = plan.tune.method if plan.tune else "training"
    objective = plan.objective.name if plan.objective else "training"
    unit = "packed sequences" if plan.packing is not None and plan.packing.packed else "rows"
    steps = f", {plan.train.steps} steps of {plan.train.batch} {unit}" if plan.train else ""
    return f"{base}, tuned by {method} ({objective}){steps}. Built by ftc {__version__} from `recipe.toml`.\n"


def _head(plan: Plan, card: Card) -> str:
    title = plain(card.title or plan.name)
    said = prose(card.summary) + "\n" if card.summary else ""
    return f"# {title}\n\n{said}{_summary(plan)}"


def _uses(card: Card) -> Iterator[tuple[str, str]]:
    told = {
        "Intended use": card.intended_use,
        "Out of scope": card.out_of_scope,
        "Limitations": card.limitations,
    }
    for title, text in told.items():
        yield title, prose(text) if text else UNSAID


def _data(plan: Plan) -> str:
    if plan.data is None:
        return ""
    parts = (
        origin.sources(plan),
        origin.queries(plan),
        "What became of the rows:\n",
        origin.ledger(plan.data),
    )
    more = (
        "[DATA_CARD.md](DATA_CARD.md) tells more of them, [data/ledger.json](data/ledger.json) names each.\n"
    )
    return "\n".join(part for part in (*parts, more) if part)


def _settings(plan: Plan) -> str:
    """The objective, the method and the schedule, as the plan has them."""
    rows: list[tuple[str, str]] = []
    if plan.objective is not None:
        rows.append(("objective", f"{plan.objective.name} ({plan.objective.trainer} of TRL)"))
    if plan.tune is not None:
        share = "" if plan.tune.parameters is None else f", {plan.tune.parameters:,} parameters train"
        whole = f" of {plan.tune.total:,}" if share and plan.tune.total is not None else ""
        rows.append(("method", f"{plan.tune.method}{share}{whole}"))
    if plan.train is not None:
        rows.append(("steps", f"{plan.train.steps} ({plan.train.epochs:g} epochs)"))
        rows.append(("batch", f"{plan.train.batch} ({plan.train.micro_batch} at a time)"))
        given = plan.train.arguments
        rows += [(title, json.dumps(given[key])) for key, title in ARGUMENTS.items() if given.get(key)]
    rows.append(("seed", str(plan.seed)))
    return table(("setting", "value"), ((name, code(value)) for name, value in rows))


def _training(plan: Plan, about: Mapping[str, Any] | None) -> str:
    """Settings, and how training went where the held-out rows were looked at or the model overfits."""
    lines = [_settings(plan)]
    if about and (about.get("held_out") or about.get("overfitting")):
        lines.append(_course(about))
    return "\n".join(lines)


def _course(about: Mapping[str, Any]) -> str:
    lines = []
    if about.get("held_out"):
        ended = ", as the held-out loss no longer fell" if about["ended_early"] else ""
        lines.append(f"{about['last_step']} of {about['steps']} steps{ended}.")
        lines.append(f"The saved weights are those of step {about['kept_step']}.")
    if about.get("overfitting"):
        message = about["overfitting"]["message"]
        lines.append(f"{message[0].upper()}{message[1:]}.")
    rows = [(str(one["step"]), f"{one['loss']:.4f}") for one in about.get("held_out", ())]
    shown = f"\n{table(('step', 'held-out loss'), rows)}" if rows else ""
    return " ".join(lines) + "\n" + shown


def _machine(plan: Plan) -> str:
    """The device and the packages that decide the weights; time and price are no part of a plan."""
    if plan.environment is None:
        return ""
    dtype = plan.model.dtype if plan.model else ""
    rows: list[tuple[str, str]] = [("device", plan.environment.device)]
    rows += [("weights in", dtype)] if dtype else []
    rows += sorted(plan.environment.packages.items())
    return table(("what", "which"), ((plain(name), code(value)) for name, value in rows))


def _chain_text(chain: Sequence[ChainedRun]) -> str:
    """What the model was before, run by run; the first one began with a model."""
    if not chain:
        return ""
    below, first = bases(chain), ""
    if below:
        start = code(below[0].model.location)
        first = f"The first run began with {start}; each other one with the run above it.\n\n"
    if len(chain) > len(below):
        first += "The reward model scored the answers that this run sampled.\n\n"
    rows = ((code(run.place), plain(run.objective), plain(run.method), f"`{run.plan[:16]}`") for run in chain)
    return first + table(("run", "objective", "method", "plan"), rows)


def _choices(plan: Plan) -> str:
    if not plan.choices:
        return "None: the recipe states everything.\n"
    rows = (
        (code(c.key), code(json.dumps(c.value, ensure_ascii=False)), plain(c.reason)) for c in plan.choices
    )
    return "What the recipe leaves open, the compiler chose:\n\n" + table(("setting", "value", "why"), rows)


def _people(card: Card) -> Iterator[tuple[str, str]]:
    if card.licence:
        own = f" ({plain(card.licence_name)})" if card.licence_name else ""
        link = f", {plain(card.licence_link)}" if card.licence_link else ""
        yield "Licence", f"{code(card.licence)}{own}{link}\n"
    lines = [
        *(["Authors: " + ", ".join(map(plain, card.authors))] if card.authors else []),
        *([f"Questions: {plain(card.contact)}"] if card.contact else []),
        *([f"Page: <{card.homepage}>"] if card.homepage else []),
        *([f"Version {card.version}"] if card.version else []),
        *([f"Published {card.published}"] if card.published else []),
    ]
    yield "Who made it", "".join(f"- {line}\n" for line in lines)
    yield (
        "Citation",
        "\n".join(f"    {line}" for line in card.citation.splitlines()) + "\n" if card.citation else "",
    )


def readme_text(
    plan: Plan,
    measured: Mapping[str, Any],
    chain: Sequence[ChainedRun] = (),
    about: Mapping[str, Any] | None = None,
    card: Card | None = None,
) -> str:
    """The whole README.md; `measured` holds the metrics before and after, `chain` what it builds on.

    `about` is what training.json says, `card` what the recipe's [card] does.
    """
    card = card or Card()
    parts = [
        *_uses(card),
        ("Evaluation", results.evaluation(measured, plan)),
        *results.kept_apart(measured, plan),
        ("Load", f"In this directory:\n\n```python\n{loading(plan, chain)}```\n"),
        ("Chain", _chain_text(chain)),
        ("Data", _data(plan)),
        ("Training", _training(plan, about)),
        ("Hardware and software", _machine(plan)),
        ("Choices", _choices(plan)),
        ("Reproduce", REPRODUCE),
        *_people(card),
    ]
    block = yaml_block(fields(plan, measured, chain, card))
    return f"{block}\n{_head(plan, card)}{sections(parts)}"


def document(run: Finished) -> bytes:
    """README.md of a run, in UTF-8."""
    card = stated(run.recipe_text)
    return readme_text(run.plan, run.measured, run.chain, run.about, card).encode()
