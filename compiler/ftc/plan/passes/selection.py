"""Decide which of the queries' rows go on: a sample, and one of each that are equal or nearly so."""

from __future__ import annotations

from importlib.util import find_spec

from ftc.data.selection.bands import FOUND, bands_for
from ftc.diagnostics import Finding
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, DedupeStep, Plan, RenderStep, SampleStep, SelectionStep
from ftc.recipe.model import Dedupe
from ftc.recipe.templates import template_variables

SIMILARITY = 0.8
WORDS = 3
HASHES = 128
LIBRARY = "rensa"


def run(plan: Plan, context: Context) -> Outcome:
    """Sample and dedupe as the recipe says; say what is compared where it does not."""
    assert plan.render is not None  # noqa: S101 - the order of the passes
    data, seed = context.recipe.data, context.recipe.seed
    dedupe, chosen = _dedupe(plan.render, context)
    if isinstance(dedupe, Finding):
        return Outcome(plan, (dedupe,))
    sample = None if data.sample is None else _sample(data.sample)
    step = SelectionStep(sample=sample, dedupe=dedupe, seed=seed)
    return Outcome(filled(plan, chosen, selection=step))


def _sample(part: float) -> SampleStep:
    return SampleStep(fraction=part if part < 1 else None, rows=int(part) if part >= 1 else None)


def _dedupe(render: RenderStep, context: Context) -> tuple[DedupeStep | Finding | None, tuple[Choice, ...]]:
    stated = context.recipe.data.dedupe
    if stated is None:
        return None, ()
    options = stated if isinstance(stated, Dedupe) else Dedupe(method=stated)
    columns = options.columns or _compared(render, context)
    chosen: tuple[Choice, ...] = ()
    if options.columns is None:
        reason = "the columns of text that an example is made of; rows that are equal in them are one"
        chosen = (choice("data.dedupe.columns", list(columns), reason),)
    if options.method == "exact":
        return DedupeStep(method="exact", columns=columns), chosen
    if find_spec(LIBRARY) is None:
        return _missing(context), ()
    similarity = options.similarity
    if similarity is None:
        similarity = SIMILARITY
        chosen += (choice("data.dedupe.similarity", similarity, f"usual for sets of {WORDS} words in a row"),)
    bands = bands_for(similarity, HASHES)
    how = f"pairs are found by MinHash, each of just this similarity at {FOUND:.0%}, and compared exactly"
    chosen += (choice("data.dedupe", {"words": WORDS, "hashes": HASHES, "bands": bands}, how),)
    step = DedupeStep(
        method="near", columns=columns, similarity=similarity, words=WORDS, hashes=HASHES, bands=bands
    )
    return step, chosen


def _compared(render: RenderStep, context: Context) -> tuple[str, ...]:
    """The columns of text that examples are made of; all of text where none of those is."""
    used: set[str] = set()
    for name, source in render.fields.items():
        used |= {name} if source is None else {variable for variable, _ in template_variables(source)}
    text = [column.name for column in context.facts.columns if _is_text(column.type)]
    return tuple(sorted(used & set(text))) or tuple(sorted(text))


def _is_text(type_: str) -> bool:
    return "VARCHAR" in type_ or "JSON" in type_


def _missing(context: Context) -> Finding:
    return Finding(
        "FTC225",
        f"near duplicates are found with the library {LIBRARY}, which is not installed",
        context.origins.value("data", "dedupe"),
        help=("type: pip install 'ftc[dedupe]'", 'or write dedupe = "exact", which needs no library'),
    )
