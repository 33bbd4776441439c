"""What differs between two plans, as values: every leaf of one that is not the same in the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from ftc.estimate.forecast import Forecast
from ftc.plan.canonical import digest
from ftc.plan.figures import Figure, figures_of
from ftc.plan.redone import Redone, redone
from ftc.plan.steps import Choice, Plan, QueryStep, SourceStep

Which = Literal["old", "new"]

TOLD_APART = ("sources", "queries", "data", "choices")
"""Parts of the plan that have a form of their own here; of the others each leaf is a `Change`."""

SQL = "sql"


@dataclass(frozen=True, slots=True)
class Change:
    """A value that differs, by its place in the plan, such as `train.arguments.learning_rate`.

    `only` says which plan alone has a value there at all.
    """

    path: str
    old: JsonValue
    new: JsonValue
    only: Which | None = None


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A source that one plan alone has, or that is another in the two; with how many rows it has in each."""

    name: str
    old: SourceStep | None
    new: SourceStep | None
    rows: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class QueryChange:
    """SQL that differs; of the queries of a mix by name, `split.query` for the one that holds rows out."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class ChoiceChange:
    """A value that the compiler chose otherwise, or with another reason; None where it was not left open."""

    key: str
    old: Choice | None
    new: Choice | None

    @property
    def only_reason(self) -> bool:
        """Whether the value is the same."""
        return self.old is not None and self.new is not None and self.old.value == self.new.value


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that differs between two whole plans; `digests` are theirs.

    `figures` are those of both plans, the equal ones too. `data` lists places inside the compiled data where
    no figure differs by itself, such as the digest of a shard. `redone` is what `new` makes anew.
    """

    digests: tuple[str, str]
    figures: tuple[Figure, ...]
    sources: tuple[SourceChange, ...]
    queries: tuple[QueryChange, ...]
    settings: tuple[Change, ...]
    choices: tuple[ChoiceChange, ...]
    data: tuple[Change, ...]
    redone: tuple[Redone, ...]

    @property
    def same(self) -> bool:
        """Whether both are one plan, byte for byte."""
        return self.digests[0] == self.digests[1]


def compare(
    old: Plan, new: Plan, forecasts: tuple[Forecast | None, Forecast | None] = (None, None)
) -> Comparison:
    """Compare two whole plans, and what their builds take, where that is forecast of both."""
    builds = () if None in forecasts else forecasts
    return Comparison(
        digests=(digest(old), digest(new)),
        figures=figures_of((old, new), builds),
        sources=tuple(_sources(old, new)),
        queries=tuple(_queries(old, new)),
        settings=settings(old, new),
        choices=tuple(_choices(old.choices, new.choices)),
        data=tuple(changes("data", _value(old, "data"), _value(new, "data"))),
        redone=redone(old, new),
    )


def _value(plan: Plan, part: str) -> JsonValue:
    step = getattr(plan, part)
    return None if step is None else step.model_dump(mode="json")


def settings(old: Plan, new: Plan) -> tuple[Change, ...]:
    """The leaves that differ outside the sources, the SQL, the compiled data and the choices."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    found = [
        change
        for part in Plan.model_fields
        if part not in TOLD_APART
        for change in changes(part, before[part], after[part])
    ]
    found = [change for change in found if change.path != f"split.query.{SQL}"]
    return (*found, *_of_queries(old, new), *_order_of_sources(old, new))


def changes(path: str, old: JsonValue, new: JsonValue) -> Iterator[Change]:
    """The leaves that differ below a place; a list is a leaf, and so is a table that one side lacks."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if not _equal(old, new):
            yield Change(path, old, new)
        return
    for key in sorted({*old, *new}):
        below = f"{path}.{key}"
        if key in old and key in new:
            yield from changes(below, old[key], new[key])
        else:
            yield Change(below, old.get(key), new.get(key), "old" if key in old else "new")


def _equal(old: JsonValue, new: JsonValue) -> bool:
    """Whether two values are the same JSON: 1 is not 1.0, and true is not 1."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_equal(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_equal, old, new))
    return type(old) is type(new) and old == new


def _sources(old: Plan, new: Plan) -> Iterator[SourceChange]:
    before = {source.name: source for source in old.sources or ()}
    after = {source.name: source for source in new.sources or ()}
    rows = _source_rows(old), _source_rows(new)
    for name in (*before, *(name for name in after if name not in before)):
        pair = before.get(name), after.get(name)
        if pair[0] != pair[1]:
            yield SourceChange(name, *pair, (rows[0].get(name), rows[1].get(name)))


def _source_rows(plan: Plan) -> Mapping[str, int]:
    return {source.name: source.rows for source in plan.data.ledger.sources} if plan.data else {}


def _order_of_sources(old: Plan, new: Plan) -> Iterator[Change]:
    """The order in which sources stand in the recipe, where that alone differs."""
    before, after = ([source.name for source in plan.sources or ()] for plan in (old, new))
    if before != after and sorted(before) == sorted(after):
        yield Change("sources", list[JsonValue](before), list[JsonValue](after))


def _named(plan: Plan) -> dict[str, QueryStep]:
    return {query.name: query for query in plan.queries or ()}


def _queries(old: Plan, new: Plan) -> Iterator[QueryChange]:
    before, after = ({**_named(plan), **_held_out(plan)} for plan in (old, new))
    for name in (*before, *(name for name in after if name not in before)):
        pair = tuple(side[name].sql if name in side else None for side in (before, after))
        if pair[0] != pair[1]:
            yield QueryChange(name, *pair)


def _held_out(plan: Plan) -> dict[str, QueryStep]:
    query = plan.split.query if plan.split is not None else None
    return {} if query is None else {"split.query": query}


def _of_queries(old: Plan, new: Plan) -> Iterator[Change]:
    """What differs of the queries beside their SQL, and of those that both plans have."""
    before, after = _named(old), _named(new)
    for name in before:
        if name in after:
            pair = (side[name].model_dump(mode="json", exclude={SQL}) for side in (before, after))
            yield from changes(f"query.{name}" if name else "query", *pair)
    common = [[name for name in side if name in before and name in after] for side in (before, after)]
    if common[0] != common[1]:
        yield Change("query", list[JsonValue](common[0]), list[JsonValue](common[1]))


def _choices(old: Sequence[Choice], new: Sequence[Choice]) -> Iterator[ChoiceChange]:
    before = {choice.key: choice for choice in old}
    after = {choice.key: choice for choice in new}
    for key in (*before, *(key for key in after if key not in before)):
        pair = before.get(key), after.get(key)
        if _dumped(pair[0]) != _dumped(pair[1]):
            yield ChoiceChange(key, *pair)


def _dumped(choice: Choice | None) -> str:
    return "" if choice is None else choice.model_dump_json()
