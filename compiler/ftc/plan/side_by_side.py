"""Several plans side by side: the figures of each, and every setting in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from ftc.estimate.forecast import Forecast
from ftc.plan.compare import settings
from ftc.plan.figures import Figure, figures_of
from ftc.plan.steps import Plan, QueryStep


@dataclass(frozen=True, slots=True)
class Setting:
    """A place in the plan, such as `limits.max_length`, with its value in each; None where it has none."""

    path: str
    values: tuple[JsonValue, ...]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Whole plans compared: all figures, and the settings that are not the same in all."""

    figures: tuple[Figure, ...]
    settings: tuple[Setting, ...]


def side_by_side(plans: Sequence[Plan], forecasts: Sequence[Forecast | None] = ()) -> SideBySide:
    """Compare some plans, the first with each of the others; and their forecasts, where there are any."""
    trees = [_tree(plan) for plan in plans]
    paths = dict.fromkeys(
        path for plan in plans[1:] for path in (change.path for change in settings(plans[0], plan))
    )
    whole = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
    own = [name for name in (*_names(plans, "sources"), *_names(plans, "sql")) if _differs(trees, name)]
    listed = (Setting(path, tuple(_at(tree, path) for tree in trees)) for path in (*own, *whole))
    return SideBySide(figures_of(plans, forecasts), tuple(listed))


def _tree(plan: Plan) -> dict[str, JsonValue]:
    """The plan as JSON; of the sources the digests, and the queries by name."""
    dumped: dict[str, JsonValue] = plan.model_dump(mode="json")
    queries = {query.name: query for query in plan.queries or ()}
    steps: dict[str, JsonValue] = {name: query.model_dump(mode="json") for name, query in queries.items()}
    return {
        **dumped,
        "sources": {source.name: source.sha256 for source in plan.sources or ()},
        "sql": {name or "query": query.sql for name, query in {**queries, **_held_out(plan)}.items()},
        "query": steps.get("", steps),
    }


def _held_out(plan: Plan) -> Mapping[str, QueryStep]:
    query = plan.split.query if plan.split is not None else None
    return {} if query is None else {"split.query": query}


def _names(plans: Sequence[Plan], part: str) -> list[str]:
    names: dict[str, None] = {}
    for plan in plans:
        inside = _tree(plan)[part]
        names |= dict.fromkeys(inside) if isinstance(inside, dict) else {}
    return [f"{part}.{name}" for name in names]


def _differs(trees: Sequence[JsonValue], path: str) -> bool:
    first, *others = (_at(tree, path) for tree in trees)
    return any(other != first for other in others)


def _at(tree: JsonValue, path: str) -> JsonValue:
    """The value at a place whose keys may have dots in them; None where there is none."""
    if not path:
        return tree
    for key in tree if isinstance(tree, dict) else ():
        if isinstance(tree, dict) and f"{path}.".startswith(f"{key}."):
            return _at(tree[key], path[len(key) + 1 :])
    return None
