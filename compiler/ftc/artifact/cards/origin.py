"""Where a run's rows came from and what became of them, as both cards tell it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from ftc.artifact.cards.markdown import code, plain, table
from ftc.artifact.cards.metadata import hub_dataset
from ftc.plan.steps import DataStep, Plan, QueryStep, SourceStep

SHORT = 12
"""Digits of a digest that a table shows."""


def place(source: SourceStep) -> str:
    """Where a source is, without directories of the machine that built the run."""
    known = hub_dataset(source)
    if known is not None:
        return known[0]
    location = source.location
    if location.startswith(("/", "~")) or ":\\" in location[:3]:
        return location.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return location


def sources(plan: Plan) -> str:
    """A line for each source: where it is, its form, how many rows it had, its digest."""
    rows = {one.name: one.rows for one in plan.data.ledger.sources} if plan.data else {}
    lines = [
        (
            code(source.name),
            code(place(source)),
            plain(source.format),
            f"{rows[source.name]:,}" if source.name in rows else "",
            f"`{source.sha256[:SHORT]}`" if source.files else "",
        )
        for source in plan.sources or ()
    ]
    return table(("source", "where", "format", "rows", "SHA-256"), lines)


def queries(plan: Plan) -> str:
    """Which queries made the rows, by their digests; their text stands in plan.json."""
    return "".join(f"- {_query(query)}\n" for query in plan.queries or ())


def _query(query: QueryStep) -> str:
    digest = sha256(query.sql.encode()).hexdigest()[:SHORT]
    columns = ", ".join(code(column.name) for column in query.columns)
    name = f"The query {code(query.name)}" if query.name else "The query"
    weight = f", weight {query.weight:g}" if query.weight is not None else ""
    returned = f" returns {columns}" if columns else " is in plan.json"
    return f"{name} (SHA-256 `{digest}`{weight}){returned}."


def ledger(data: DataStep) -> str:
    """The account of every row: read, gone with the reason, trained on, held out."""
    account = data.ledger
    rows = [("read", str(account.read), "")]
    rows += [(line.fate.replace("_", " "), str(line.rows), plain(line.reason)) for line in account.lines]
    tokens = f"{data.train.tokens} tokens, {data.train.trained_tokens} of them trained"
    rows += [
        ("trained on", str(account.train), tokens),
        *_sequences(data),
        ("held out", str(account.eval), ""),
    ]
    return table(("rows", "number", "why"), rows)


def _sequences(data: DataStep) -> Iterator[tuple[str, str, str]]:
    """The line of packed rows: how many sequences, and how full they are."""
    packed = data.sequences
    if packed is not None and packed.capacity is not None:
        full = f"{packed.capacity} tokens each at most, {100 * packed.utilisation:.2f} % full"
        yield ("packed in sequences", str(packed.count), full)
