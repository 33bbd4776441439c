"""A comparison of two plans as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ftc.diagnostics.json import to_json
from ftc.jobs.results import DiffResult, Side
from ftc.plan.compare import Comparison
from ftc.plan.figures import Figure
from ftc.plan.steps import Choice, SourceStep


def diff_json(result: DiffResult) -> dict[str, Any]:
    """The one entry of `results`; without a comparison only what was asked and found."""
    digests = result.comparison.digests if result.comparison is not None else (None, None)
    head = {
        "old": _side(result.old, digests[0]),
        "new": _side(result.new, digests[1]),
        "ok": result.ok,
        "findings": [to_json(finding) for finding in result.findings],
    }
    if result.comparison is None:
        return head
    rows = None if result.rows is None else asdict(result.rows)
    return {**head, "same": result.same, **_comparison(result.comparison), "rows": rows}


def _side(side: Side, digest: str | None) -> dict[str, Any]:
    named = {"path": str(side.path), "kind": side.kind, "digest": digest}
    return {**named, "measured": side.measured, "unforecast": side.unforecast or None}


def figures_json(figures: tuple[Figure, ...]) -> list[dict[str, Any]]:
    """Figures by name, each with a value a plan."""
    return [
        {"name": figure.name, "values": list(figure.values), "differs": figure.differs} for figure in figures
    ]


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "figures": figures_json(found.figures),
        "sources": [
            {"name": one.name, "old": _source(one.old, one.rows[0]), "new": _source(one.new, one.rows[1])}
            for one in found.sources
        ],
        "queries": [asdict(one) for one in found.queries],
        "settings": [asdict(one) for one in found.settings],
        "choices": [
            {"key": one.key, "old": _choice(one.old), "new": _choice(one.new)} for one in found.choices
        ],
        "data": [asdict(one) for one in found.data],
        "redone": [asdict(one) for one in found.redone],
    }


def _source(source: SourceStep | None, rows: int | None) -> dict[str, Any] | None:
    if source is None:
        return None
    return {**source.model_dump(mode="json"), "sha256": source.sha256, "rows": rows}


def _choice(choice: Choice | None) -> dict[str, Any] | None:
    return None if choice is None else choice.model_dump(mode="json", exclude={"key"})
